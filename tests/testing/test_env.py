"""The test kit tests runbooks as cron would run them, and lets a month pass in a moment."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import dwf
from dwf.core import events as ev
from dwf.errors import UsageError
from dwf.testing import Env, Run

BOOK = """
import asyncio, dwf

@dwf.activity(retry=dwf.Retry(initial="10m", backoff=1, max_interval="1h", jitter="none", max_attempts=5))
def drain(host: str, *, hard: bool = False) -> int:
    raise OSError("there is no such host in a test")

@dwf.activity
def note(text: str) -> str:
    return text.upper()

@dwf.workflow
async def rotate(host: str = "web1") -> object:
    left = await drain(host, hard=True)
    sh = await dwf.sh("systemctl", "reload", "nginx")
    await dwf.sleep("30d")
    return [left, sh.out, await note(host)]

@dwf.workflow
async def asks() -> str:
    dwf.on_query("how", lambda: "asking")
    answer = await dwf.approve("Go on?", timeout="4h", on_timeout="reject")
    return answer.comment

@dwf.workflow
async def listens() -> object:
    try:
        return await dwf.wait_signal("go", timeout="2h")
    except TimeoutError:
        return "late"

@dwf.workflow
async def parent() -> object:
    return await rotate("db1")

@dwf.workflow
async def for_ever() -> None:
    while True:
        await dwf.sleep("1h")
"""


@pytest.fixture
def book(tmp_path: Path) -> str:
    path = tmp_path / "book.py"
    path.write_text(BOOK)
    return str(path)


def test_a_month_passes_in_a_moment(dwf_env: Env, book: str) -> None:
    began = time.monotonic()
    dwf_env.stub("drain", 3)
    dwf_env.stub("systemctl", "done\n")
    run = dwf_env.run(f"{book}:rotate", "r1")
    assert run.result == [3, "done\n", "WEB1"] and run.status == "completed"
    assert timedelta(days=30) <= run.elapsed < timedelta(days=30, minutes=1)
    assert run.steps == ["drain", "systemctl reload nginx", "note"]
    assert dwf_env.now == datetime(2026, 1, 31, tzinfo=UTC)
    assert time.monotonic() - began < 60, "it has really waited"


def test_a_stub_has_the_arguments_of_its_step_and_each_attempt(dwf_env: Env, book: str) -> None:
    drain = dwf_env.stub("drain", sequence=[OSError("no"), OSError("no"), 7])
    shell = dwf_env.stub("systemctl", "")
    run = dwf_env.run(f"{book}:rotate", host="db7")
    assert run.result[0] == 7 and run.attempts("drain") == 3
    assert [(call.args, call.kwargs) for call in drain.calls] == [(("db7",), {"hard": True})] * 3
    assert shell.calls[0].args == ("systemctl", "reload", "nginx")
    assert run.elapsed == timedelta(days=30, minutes=20), "the retries waited by the clock of the test"


def test_a_stub_may_be_a_function_and_may_fail_for_ever(dwf_env: Env, book: str) -> None:
    dwf_env.stub("drain", call=lambda host, hard: len(host) if hard else 0)
    dwf_env.stub("systemctl", raises=RuntimeError("no unit"))
    run = dwf_env.run(f"{book}:rotate", host="abcde")
    assert run.status == "failed" and run.error is not None and "no unit" in run.told
    assert run.steps == ["drain"]
    with pytest.raises(AssertionError, match=r"has no result: failed; .*no unit"):
        run.result  # noqa: B018


def test_what_is_not_stubbed_is_really_done(dwf_env: Env, book: str) -> None:
    run = dwf_env.run(f"{book}:rotate")
    assert run.status == "failed" and run.attempts("drain") == 5 and "no such host" in run.told


def test_answers_come_at_their_time(dwf_env: Env, book: str) -> None:
    run = dwf_env.start(f"{book}:asks", "r1")
    dwf_env.at("3h", lambda: run.approve("fine"))
    dwf_env.tick()
    assert (
        run.status == "waiting"
        and run.told == "waiting; it waits for approval 'Go on?'"
        and run.query("how") == "asking"
    )
    dwf_env.skip()
    assert run.result == "fine" and timedelta(hours=3) <= run.elapsed < timedelta(hours=3, minutes=1)


def test_an_answer_after_the_time_is_up_does_not_count(dwf_env: Env, book: str) -> None:
    run = dwf_env.start(f"{book}:asks", "r1")
    dwf_env.tick()
    dwf_env.clock.leap_to(dwf_env.clock() + 5 * 3_600_000_000)
    run.approve()  # nobody has ticked since, so it is not known yet that it comes too late
    dwf_env.tick()
    assert run.status == "failed" and run.all(ev.ApprovalResolved)[0].timed_out


@pytest.mark.parametrize(("after", "result"), [("119m", 5), ("121m", "late")])
def test_a_signal_wins_or_loses_against_a_timeout_by_the_clock_of_the_test(
    dwf_env: Env, book: str, after: str, result: object
) -> None:
    run = dwf_env.start(f"{book}:listens", "r1")
    dwf_env.at(after, lambda: run.signal("go", 5) if run.status == "waiting" else None)
    dwf_env.skip()
    assert run.result == result


def test_a_signal_that_was_sent_before_the_time_was_up_counts_though_the_tick_comes_later(
    dwf_env: Env, book: str
) -> None:
    run = dwf_env.start(f"{book}:listens", "r1")
    dwf_env.tick()
    run.signal("go", 5)
    dwf_env.clock.leap_to(dwf_env.clock() + 3 * 3_600_000_000)
    dwf_env.tick()
    assert run.result == 5


def test_time_can_be_let_pass_for_a_while_only(dwf_env: Env, book: str) -> None:
    run = dwf_env.start(f"{book}:for_ever", "r1")
    dwf_env.skip("10h 30m")
    assert run.status == "waiting" and run.elapsed >= timedelta(hours=10)
    assert sum(type(event).__name__ == "TimerFired" for event in run.events) == 10
    run.cancel()
    dwf_env.skip()
    assert run.status == "cancelled"


def test_children_run_too(dwf_env: Env, book: str) -> None:
    dwf_env.stub("drain", 1)
    dwf_env.stub("systemctl", "x")
    assert dwf_env.run(f"{book}:parent").result == [1, "x", "DB1"]


def test_what_stands_in_for_a_child_has_its_arguments_and_is_a_run_of_its_own(dwf_env: Env, book: str) -> None:
    rotate = dwf_env.stub("rotate", "rotated")
    run = dwf_env.run(f"{book}:parent", "r1")
    assert run.result == "rotated" and rotate.calls[0].kwargs == {"host": "db1"}
    (child,) = run.all(ev.ChildWorkflowRequested)
    assert Run(dwf_env, child.run).status == "completed" and Run(dwf_env, child.run).steps == []


def test_a_child_that_is_to_fail_fails_and_does_not_block(dwf_env: Env, book: str) -> None:
    dwf_env.stub("rotate", raises=OSError("no such host"))
    run = dwf_env.run(f"{book}:parent", "r1")
    assert run.status == "failed" and "no such host" in run.told


def test_a_run_that_the_test_starts_is_itself_though_children_of_its_kind_are_not(dwf_env: Env, book: str) -> None:
    dwf_env.stub("rotate", "rotated")
    dwf_env.stub("drain", 1)
    dwf_env.stub("systemctl", "x")
    assert dwf_env.run(f"{book}:rotate").result == [1, "x", "WEB1"]


def test_a_stub_that_says_nothing_or_two_things_is_refused(dwf_env: Env) -> None:
    for wrong in ({}, {"value": 1, "raises": OSError()}, {"sequence": []}):
        with pytest.raises(UsageError, match="what stands in for drain"):
            dwf_env.stub("drain", **wrong)


def test_two_worlds_know_nothing_of_each_other(tmp_path: Path, book: str) -> None:
    one, other = Env(tmp_path / "one"), Env(tmp_path / "other")
    one.stub("drain", 1)
    other.stub("drain", 2)
    for env in (one, other):
        env.stub("systemctl", "x")
    assert [env.run(f"{book}:rotate", "r1").result[0] for env in (one, other)] == [1, 2]


@dwf.activity
def counts(step: int) -> list[object]:
    about = dwf.activity_info()
    return [step, about.attempt, about.step, about.idempotency_key("x")]


@dwf.activity
async def waits(step: int) -> int:
    if step < 0:
        raise ValueError("negative")
    return step


def test_an_activity_is_tried_alone_as_an_attempt_of_it(dwf_env: Env) -> None:
    assert dwf_env.perform(counts, 7, attempt=3) == [7, 3, "counts", "test:1:x"]
    assert dwf_env.perform(waits, step=2) == 2
    with pytest.raises(ValueError, match="negative"):
        dwf_env.perform(waits, -1)


CALLS_BACK = """
import dwf

@dwf.activity
def hand_out(token: str, where: str) -> None:
    raise OSError("not in a test")

@dwf.workflow
async def w() -> object:
    job = dwf.callback("job")
    await hand_out(job.token, "there")
    return await job
"""


def test_a_stub_gets_the_token_of_a_callback_as_its_step_would(dwf_env: Env, tmp_path: Path) -> None:
    path = tmp_path / "calls_back.py"
    path.write_text(CALLS_BACK)
    tokens: list[str] = []
    dwf_env.stub("hand_out", call=lambda token, where: tokens.append(token))
    run = dwf_env.start(path, "r1")
    dwf_env.skip("1m")
    assert run.told.startswith("waiting") and len(tokens) == 1 and len(tokens[0]) > 20


# -- harder ways ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["normal", "paranoid", "dying"])
def test_a_runbook_comes_to_the_same_in_every_mode(tmp_path: Path, book: str, mode: str) -> None:
    env = Env(tmp_path / "state", mode)
    drain = env.stub("drain", sequence=[OSError("no"), 3])
    env.stub("systemctl", "x")
    run = env.start(f"{book}:parent", "r1")
    other = env.start(f"{book}:asks", "r2")
    env.at("3h", lambda: other.approve("fine"))
    env.skip()
    assert run.result == [3, "x", "DB1"] and other.result == "fine"
    assert len(drain.calls) == 2 and (env.deaths > 5) == (mode == "dying")


def test_paranoid_finds_a_script_that_is_not_the_same_from_the_top(tmp_path: Path) -> None:
    path = tmp_path / "book.py"
    path.write_text(
        "import colorsys, dwf\n\n@dwf.workflow\nasync def w():\n"
        "    colorsys.seen = getattr(colorsys, 'seen', 0) + 1\n"
        "    await dwf.sleep(colorsys.seen)\n    await dwf.wait_signal('go')\n"
    )
    Env(tmp_path / "normal").run(path, "r1")
    with pytest.raises(dwf.DwfError, match="no longer fits its history"):
        Env(tmp_path / "paranoid", "paranoid").run(path, "r1")
