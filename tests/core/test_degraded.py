"""Degraded: what went wrong on the way and does not end the run is told in its end, and its status says so."""

from __future__ import annotations

from typing import Any

import pytest

import dwf
from dwf.core import events as ev
from dwf.core.state import Status
from dwf.errors import ScriptBug, ValueRefused
from tests.core.driver import Fake, act, blocked


@dwf.activity(critical=False, default="unknown", title="ask the mail server")
def mail(_: str) -> str:
    raise AssertionError("nobody performs it here")


async def mails_and_goes_on() -> Any:
    said = await mail("done")
    await act("last")
    return said


def test_a_step_that_is_not_critical_may_fail_and_gives_its_default() -> None:
    with Fake(mails_and_goes_on) as run:
        run.fail("mail", "no route\nto host")
        run.complete("last")
        assert run.result == "unknown"
        assert run.asked == ["act mail", "RunDegraded", "act last"]
        assert run.outcome.degraded == ["ask the mail server failed: ValueError: no route to host"]
        assert run.state().degraded == run.outcome.degraded
        run.prove()


def test_one_that_did_not_fail_leaves_no_mark() -> None:
    with Fake(mails_and_goes_on) as run:
        run.complete("mail", "sent")
        run.complete("last")
        assert run.result == "sent" and run.outcome.degraded == []


def test_a_step_that_is_not_critical_is_cancelled_like_any_other() -> None:
    with Fake(mails_and_goes_on) as run:
        run.cancel()
        run.end_cancelled("mail")
        assert isinstance(run.outcome, ev.WorkflowCancelled)
        run.prove()


def test_a_command_that_is_not_critical_gives_what_it_ended_with() -> None:
    async def main() -> Any:
        found = await dwf.sh("logger", "done", critical=False)
        return [found.code, found.out, found.err]

    with Fake(main) as run:
        error = ev.ErrorInfo(
            type="ExitCode", message="exit code 3", details=ev.Payload(b'{"exit_code":3,"stderr":"no"}')
        )
        run.deliver(ev.ActivityFailed(command=1, error=error))
        assert run.result == [3, "", "no"]
        assert run.outcome.degraded == ["logger done failed: exit code 3"]


def test_the_script_marks_the_run_itself_and_the_status_says_so() -> None:
    async def main() -> None:
        dwf.degrade("one of three copies is old")
        await act("last")

    with Fake(main) as run:
        assert run.state().status is Status.RUNNING
        run.complete("last")
        run.note(run.outcome)
        assert run.state().status is Status.DEGRADED and run.state().status.closed
        run.prove()


def test_a_run_that_fails_has_failed_whatever_was_marked_before() -> None:
    async def main() -> None:
        dwf.degrade("a little")
        raise dwf.Failure("and then all of it")

    with Fake(main) as run:
        run.note(run.outcome)
        assert run.state().status is Status.FAILED


def test_marks_beyond_the_first_twenty_are_in_the_history_only() -> None:
    async def main() -> None:
        for number in range(30):
            dwf.degrade(f"mark {number}")

    with Fake(main) as run:
        assert len(run.outcome.degraded) == len(run.state().degraded) == 20
        assert len(run.openings) == 30


@pytest.mark.parametrize("reason", [7, None, "x" * 5000, "\ud800"])
def test_a_reason_that_is_no_text_blocks_the_run(reason: Any) -> None:
    async def main() -> None:
        dwf.degrade(reason)

    assert isinstance(blocked(main), ValueRefused)


def test_a_mark_is_no_way_to_go_on_from_a_bug() -> None:
    async def main() -> None:
        try:
            {}.nothing  # type: ignore[attr-defined]  # noqa: B018
        except AttributeError:
            dwf.degrade("it did not work")

    assert isinstance(blocked(main), ScriptBug)


@pytest.mark.parametrize("options", [{"critical": "no"}, {"default": 3}])
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueRefused):
        dwf.activity(**options)
