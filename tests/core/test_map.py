"""Fan-out: in order, some at a time, in stages; who fails is counted, and what was not begun is named."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import dwf
from dwf.authoring.fanout import Stage
from dwf.core import events as ev
from dwf.core.values import decode
from dwf.errors import ScriptBug, ValueRefused
from tests.core.driver import Fake, act, blocked


@dwf.activity
def patch(host: str) -> Any:
    return host


def open_steps(run: Fake) -> list[str]:
    return [bytes(step.scheduled.input).decode().split('"')[3] for step in run.state().steps.values()]


def mapping(count: int = 5, **options: Any) -> Any:
    async def main() -> Any:
        found = await dwf.map(patch, [f"web{n}" for n in range(1, count + 1)], **options)
        return [found.values, [item.item for item in found.failed]]

    return main


def first(run: Fake) -> int:
    return min(run.state().steps)


def test_items_begin_in_order_some_at_a_time_and_results_keep_it() -> None:
    with Fake(mapping(5, max_concurrent=2)) as run:
        assert open_steps(run) == ["web1", "web2"]
        run.complete(max(run.state().steps), "two")
        assert open_steps(run) == ["web1", "web3"]
        run.complete(first(run), "one")
        for word in ("three", "four", "five"):
            run.complete(first(run), word)
        assert run.result == [["one", "two", "three", "four", "five"], []]
        run.prove()


def test_one_more_than_tolerated_stops_it_and_those_that_run_are_waited_for() -> None:
    with Fake(mapping(9, max_concurrent=3, tolerate=1)) as run:
        run.fail(first(run), "no disk")
        assert open_steps(run) == ["web2", "web3", "web4"]
        run.fail(first(run), "no route")
        assert open_steps(run) == ["web3", "web4"] and run.outcome is None
        run.complete(first(run))
        run.complete(first(run))
        error = run.outcome.error
        assert error.type == "MapFailed"
        assert error.message.startswith("2 of 9 of patch failed, 1 tolerated: web1 (patch failed: ValueError: no disk)")
        assert error.message.endswith("; not begun: web5, web6, web7, web8, web9")
        details = decode(error.details)
        assert [each["item"] for each in details["failed"]] == ["web1", "web2"]
        assert details["skipped"] == ["web5", "web6", "web7", "web8", "web9"] and details["done"] == 2
        run.prove()


@pytest.mark.parametrize(
    ("options", "may_fail"),
    [
        ({}, 0), ({"tolerate": 2}, 2), ({"tolerate": "10%"}, 1), ({"tolerate": "19%"}, 1), ({"tolerate": "100%"}, 10),
        ({"min_ok": 8}, 2), ({"min_ok": "75%"}, 2), ({"min_ok": 8, "tolerate": 1}, 1), ({"min_ok": 11}, -1),
    ],
)  # fmt: skip
def test_what_may_fail_is_said_by_count_by_share_or_by_what_must_succeed(options: Any, may_fail: int) -> None:
    with Fake(mapping(10, max_concurrent=1, **options)) as run:
        if may_fail < 0:
            assert run.outcome is None or isinstance(run.outcome, ev.WorkflowFailed)
            return
        for _ in range(may_fail):
            run.fail(first(run))
            assert run.outcome is None or may_fail == 10
        while run.outcome is None:
            run.complete(first(run), "ok")
        assert isinstance(run.outcome, ev.WorkflowCompleted)
    with Fake(mapping(10, max_concurrent=1, **options)) as run:
        while run.outcome is None:
            run.fail(first(run))
        failures = sum(isinstance(event, ev.ActivityFailed) for event in run.events)
        assert failures == min(may_fail + 1, 10)


def test_tolerated_failures_degrade_the_run_and_are_named() -> None:
    with Fake(mapping(3, tolerate=1)) as run:
        run.complete(first(run), 1)
        run.fail(first(run), "no disk")
        run.complete(first(run), 3)
        assert run.result == [[1, None, 3], ["web2"]]
        assert run.outcome.degraded == ["1 of 3 of patch failed: web2 (patch failed: ValueError: no disk)"]
        run.prove()


def test_stages_begin_when_the_last_is_over_and_the_gate_lets_them() -> None:
    stages: list[Stage] = []

    async def gate(stage: Stage) -> None:
        stages.append(stage)
        await dwf.approve(f"stage {stage.number}: {stage.done} done, {stage.next} more?")

    with Fake(mapping(10, ramp=[1, 3, "50%", "100%"], gate=gate)) as run:
        assert open_steps(run) == ["web1"]
        for begun in (2, 2, 5):
            while run.state().steps:
                run.complete(first(run))
            (approval,) = run.state().approvals
            run.deliver(ev.ApprovalResolved(command=approval, outcome="approved"))
            assert len(open_steps(run)) == begun
        while run.state().steps:
            run.complete(first(run))
        assert isinstance(run.outcome, ev.WorkflowCompleted)
        assert [(s.number, s.of, s.done, s.next) for s in stages[:3]] == [(1, 4, 1, 2), (2, 4, 3, 2), (3, 4, 5, 5)]
        run.prove()


def test_a_canary_that_fails_stops_the_rest() -> None:
    with Fake(mapping(100, ramp=[1, "100%"])) as run:
        run.fail(first(run))
        assert run.outcome.error.message.endswith("and 89 more")
        assert len([e for e in run.openings if isinstance(e, ev.ActivityScheduled)]) == 1


@pytest.mark.parametrize("no", ["raise", "false"])
def test_a_gate_that_says_no_ends_the_map(no: str) -> None:
    async def gate(_: Stage) -> Any:
        if no == "raise":
            raise dwf.Failure("looks bad")
        return False

    with Fake(mapping(4, ramp=[1], gate=gate)) as run:
        run.complete(first(run))
        assert isinstance(run.outcome, ev.WorkflowFailed)
        assert run.outcome.error.message in ("looks bad", "patch: the gate after stage 1 of 2 said no")


def test_cancelling_a_map_ends_its_steps_and_begins_none() -> None:
    with Fake(mapping(9, max_concurrent=2)) as run:
        run.cancel()
        run.end_cancelled(first(run))
        run.end_cancelled(first(run))
        assert isinstance(run.outcome, ev.WorkflowCancelled)
        assert len([e for e in run.openings if isinstance(e, ev.ActivityScheduled)]) == 2
        run.prove()


def test_an_item_may_be_more_than_one_step() -> None:
    async def both(host: str) -> Any:
        await act(f"drain {host}")
        return await act(f"patch {host}")

    async def main() -> Any:
        found = await dwf.map(both, ["web1", "web2"], tolerate=1)
        return found.values

    with Fake(main) as run:
        run.fail("drain web2")
        run.complete("drain web1")
        run.complete("patch web1", "ok")
        assert run.result == ["ok", None]
        run.prove()


def test_the_fold_counts_what_is_done_what_failed_and_in_which_stage_it_is() -> None:
    with Fake(mapping(10, ramp=[2, "100%"], tolerate=1, max_concurrent=4)) as run:
        run.complete(first(run))
        run.fail(first(run))
        run.complete(first(run))
        (found,) = run.state().fan_outs.values()
        assert (found.done, found.failed, found.open, found.stage) == (2, 1, 4, 2)


def test_no_items_are_no_work() -> None:
    with Fake(mapping(0, ramp=[1, "50%"])) as run:
        assert run.result == [[], []]


def test_a_bug_in_one_item_blocks_and_is_nobodys_failure() -> None:
    async def broken(host: str) -> Any:
        await act(f"patch {host}")
        return {}[host]

    async def main() -> Any:
        try:
            return await dwf.map(broken, ["web1", "web2"], tolerate="100%")
        except Exception:
            return "caught"

    with Fake(main) as run, pytest.raises(ScriptBug):
        run.complete("patch web1")


@pytest.mark.parametrize(
    "options",
    [
        {"max_concurrent": 0}, {"max_concurrent": 5000}, {"max_concurrent": True}, {"tolerate": -1}, {"tolerate": "x%"},
        {"tolerate": "110%"}, {"tolerate": 0.1}, {"tolerate": "nan%"}, {"min_ok": "many"}, {"ramp": [0]},
        {"ramp": "50%"},
        {"ramp": ["0%"]}, {"ramp": 5}, {"gate": print}, {"ramp": [1], "gate": 3}, {"title": 3},
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(options: Any) -> None:
    assert isinstance(blocked(mapping(3, **options)), ValueRefused)


@pytest.mark.parametrize("items", [{"a", "b"}, "abc", 7, None, range(10_001)])
def test_what_is_no_list_or_too_long_is_refused_before_anything_begins(items: Any) -> None:
    async def main() -> None:
        await dwf.map(patch, items)

    assert isinstance(blocked(main), ValueRefused)


def test_the_limit_counts_all_maps_of_a_run() -> None:
    async def main() -> None:
        await asyncio.gather(dwf.map(patch, range(6000)), dwf.map(patch, range(4001)))

    error = blocked(main)
    assert isinstance(error, ValueRefused) and "10,001" in error.message and "10,000" in error.message


def test_a_function_that_gives_nothing_to_await_is_refused() -> None:
    async def main() -> None:
        await dwf.map(lambda _: 3, [1])  # type: ignore[arg-type, return-value]

    assert isinstance(blocked(main), ValueRefused)
