"""What an exception that leaves the workflow means, and that a bug neither ends a run nor starts a cleanup."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

import dwf
from dwf.core import events as ev
from dwf.core.outcome import error_info, said
from dwf.core.values import decode
from dwf.errors import ActivityError, DwfError, ScriptBug, ValueRefused
from tests.core.driver import Fake, act, blocked


class Mine(Exception):
    pass


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raising(error: BaseException) -> Any:
    async def main() -> None:
        raise error

    return main


def group(*errors: BaseException) -> BaseException:
    return BaseExceptionGroup("several", list(errors))


# -- failures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (dwf.Failure("no disk", disk="sda"), "Failure"),
        (TimeoutError("late"), "TimeoutError"),
        (ActivityError("drain", "ValueError", "no"), "ActivityError"),
        (dwf.ApprovalRejected("go on?", "ann"), "ApprovalRejected"),
        (Mine("mine"), "Mine"),
        (group(dwf.Failure("a"), TimeoutError()), "BaseExceptionGroup"),
        (group(group(dwf.Failure("a")), asyncio.CancelledError()), "Failure"),
    ],
)
def test_failures_end_the_run_however_deep_they_lie_in_groups(error: BaseException, told: str) -> None:
    with Fake(raising(error), failure_types=(Mine,)) as run:
        assert isinstance(run.outcome, ev.WorkflowFailed)
        assert run.outcome.error.type in (told, told.removeprefix("Base"))


def test_a_step_that_failed_in_a_task_group_is_a_failure_with_its_facts() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(act("drain"))

    with Fake(main) as run:
        run.fail("drain", "no route")
        error = run.outcome.error
        assert error.type == "ActivityError" and "no route" in error.message
        assert decode(error.details)["activity"] == "drain"
        assert "test_outcome.py" in error.traceback
        run.prove()


def test_details_of_a_failure_are_kept_also_when_they_cannot_be_stored() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    with Fake(raising(dwf.Failure("a", serial=5))) as run:
        assert decode(run.outcome.error.details) == {"serial": 5}
    with Fake(raising(dwf.Failure("a", odd=Odd(), half="\ud800", fine=1))) as run:
        shown = decode(run.outcome.error.details)
        assert shown == {"odd": "(its __repr__ raised RuntimeError)", "half": "'\\ud800'", "fine": "1"}


def test_exceptions_without_words_and_with_too_many_are_told_all_the_same() -> None:
    assert said(Broken()) == "(its __str__ raised RuntimeError)"
    assert len(said(Mine("x" * 10**6))) < 20_000
    assert said(Mine("\ud800")) == "\\ud800"
    assert error_info(Broken()).type == "Broken"


# -- bugs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        KeyError("typo"),
        AssertionError("no"),
        RecursionError(),
        SystemExit(3),
        KeyboardInterrupt(),
        OSError(5, "no"),
        Mine(),
        Broken(),
        GeneratorExit(),
        group(dwf.Failure("a"), KeyError("typo")),
        asyncio.CancelledError("nobody asked"),
    ],
)
def test_anything_else_blocks_the_run_with_type_and_line(error: BaseException) -> None:
    bug = blocked(raising(error))
    assert isinstance(bug, ScriptBug)
    assert "test_outcome.py:" in bug.where or isinstance(error, asyncio.CancelledError)


def test_a_bug_that_wraps_a_failure_says_how_to_fail_on_purpose() -> None:
    async def main() -> None:
        try:
            await act("drain")
        except ActivityError as error:
            raise ValueError("wrapped") from error

    with Fake(main) as run:
        with pytest.raises(ScriptBug) as caught:
            run.fail("drain")
        assert "raise dwf.Failure(...) from error" in (caught.value.hint or "")
        run.prove()


def test_on_request_a_bug_ends_the_run_as_failed() -> None:
    with Fake(raising(KeyError("typo")), bug_fails=True) as run:
        assert run.outcome.error.type == "KeyError"


def test_a_result_that_cannot_be_stored_blocks() -> None:
    async def main() -> Any:
        return object()

    assert isinstance(blocked(main), ValueRefused)


def test_sys_exit_in_a_task_does_not_leave_the_loop() -> None:
    async def main() -> str:
        task = asyncio.create_task(_exits())
        await asyncio.sleep(1)
        return "done" if task.done() else "not"

    async def _exits() -> None:
        sys.exit(4)

    with Fake(main) as run, pytest.raises(ScriptBug, match="SystemExit"):
        run.fire()


def test_a_callback_that_raises_blocks() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: {}["typo"])
        await act("a")

    async def exits() -> None:
        asyncio.get_running_loop().call_soon(sys.exit)
        await act("a")

    assert "KeyError" in str(blocked(main))
    assert "SystemExit" in str(blocked(exits))


# -- a bug never compensates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bug", [NameError, UnboundLocalError, TypeError, AttributeError, ImportError, AssertionError])
@pytest.mark.parametrize("how", ["except", "finally", "group"])
def test_a_cleanup_that_a_bug_starts_is_blocked_before_it_is_recorded(bug: type[Exception], how: str) -> None:
    async def main() -> None:
        await act("switch")
        if how == "except":
            try:
                raise bug("typo")
            except Exception:
                await act("undo")
                raise
        if how == "finally":
            try:
                raise bug("typo")
            finally:
                await act("undo")
        try:
            raise ExceptionGroup("several", [bug("typo")])
        except* bug:
            await act("undo")

    with Fake(main) as run:
        with pytest.raises(ScriptBug, match="went on to ActivityScheduled undo"):
            run.complete("switch")
        assert run.asked == ["act switch"]
        assert "test_outcome.py:" in run.error.where  # type: ignore[union-attr]
        run.prove()


@pytest.mark.parametrize("error", [KeyError, ValueError, LookupError, dwf.Failure])
def test_what_a_runbook_may_well_expect_can_be_handled(error: type[Exception]) -> None:
    async def main() -> str:
        try:
            raise error("expected")
        except Exception:
            await act("undo")
        return "undone"

    with Fake(main) as run:
        run.complete("undo")
        assert run.result == "undone"


def test_a_typo_in_one_task_of_a_group_does_not_call_off_the_others() -> None:
    """The mended script would not call them off, and would not fit this history any more."""

    async def typo() -> None:
        await act("first")
        raise NameError("typo")

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(typo())
            tasks.create_task(act("other"))

    with Fake(main) as run:
        with pytest.raises(ScriptBug, match="NameError: typo"):
            run.complete("first")
        assert run.asked == ["act first", "act other"]
        run.prove()


def test_where_bugs_fail_a_group_cleans_up() -> None:
    async def typo() -> None:
        raise NameError("typo")

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(act("other"))
            tasks.create_task(typo())

    with Fake(main, bug_fails=True) as run:
        assert run.asked == ["act other", "cancel 1"]


def test_an_exception_that_the_engine_itself_handles_is_none_of_the_scripts() -> None:
    async def main() -> None:
        await act("a")
        await act("b")

    with Fake(main) as run:
        try:
            raise TypeError("the engine's own")
        except TypeError:
            run.complete("a")
        assert run.asked == ["act a", "act b"]


# -- the end ------------------------------------------------------------------------------------------------------


def test_the_loop_stops_the_moment_the_main_coroutine_is_done() -> None:
    after: list[str] = []

    async def background() -> None:
        await asyncio.sleep(0)
        after.append("ran on")
        await act("late")

    async def main() -> str:
        asyncio.get_running_loop().call_soon(after.append, "callback")
        task = asyncio.create_task(background())
        await asyncio.sleep(0)
        return task.get_name()

    with Fake(main) as run:
        assert run.outcome is not None and run.asked == [] and after == ["callback"]
        run.prove()


def test_the_terminal_event_lists_what_is_open() -> None:
    async def main() -> str:
        waits = [asyncio.create_task(w) for w in (act("a"), dwf.sleep(60), dwf.wait_signal("go"), act("b"))]
        await act("c")
        return str(len(waits))

    with Fake(main) as run:
        run.complete("b")
        run.complete("c")
        assert run.asked == ["act c", "act a", "timer 60", "wait go", "act b"]
        assert run.outcome.open == [2, 3, 4]
        run.prove()


def background(*, fails_with: BaseException, awaited: bool, gathered: bool = False) -> Any:
    async def dies() -> None:
        raise fails_with

    async def main() -> str:
        task: Any = asyncio.gather(dies()) if gathered else asyncio.create_task(dies())
        await act("a")
        if awaited:
            await asyncio.wait([task])
            task.exception()
        return "done"

    return main


@pytest.mark.parametrize("gathered", [False, True])
def test_a_background_task_that_died_of_a_bug_and_was_never_awaited_blocks(gathered: bool) -> None:
    with Fake(background(fails_with=KeyError("typo"), awaited=False, gathered=gathered)) as run:
        with pytest.raises(ScriptBug, match="typo"):
            run.complete("a")
        run.prove()


@pytest.mark.parametrize("gathered", [False, True])
def test_one_that_failed_is_named_in_the_terminal_event(gathered: bool) -> None:
    with Fake(background(fails_with=dwf.Failure("no disk"), awaited=False, gathered=gathered)) as run:
        run.complete("a")
        assert run.outcome.notes == ["a background task failed and was never awaited: no disk"]
        run.prove()


def test_one_that_somebody_looked_at_is_no_news() -> None:
    with Fake(background(fails_with=KeyError("typo"), awaited=True)) as run:
        run.complete("a")
        assert run.result == "done" and run.outcome.notes == []


def test_a_background_bug_blocks_a_cancelled_run_too() -> None:
    with Fake(background(fails_with=KeyError("typo"), awaited=False)) as run:
        run.cancel()
        with pytest.raises(ScriptBug, match="typo"):
            run.end_cancelled("a")


# -- stuck --------------------------------------------------------------------------------------------------------


def test_a_run_that_waits_for_nothing_says_where() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with Fake(main) as run, pytest.raises(DwfError, match=r"nothing that can happen, at test_outcome\.py:\d+ in main"):
        run.replay.check_not_stuck()


@pytest.mark.parametrize("wait", [lambda: act("a"), lambda: dwf.sleep(5), lambda: dwf.wait_signal("go")])
def test_a_run_that_waits_for_something_is_not_stuck(wait: Any) -> None:
    async def main() -> None:
        task = asyncio.create_task(wait())
        await asyncio.Event().wait()
        await task

    with Fake(main) as run:
        run.replay.check_not_stuck()
