"""Handlers: signals go to functions of the script, in order, while its main function goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

import dwf
from dwf.core import events as ev
from dwf.core.values import encode
from dwf.errors import NondeterminismError, ScriptBug, ScriptError, ValueRefused
from tests.core.driver import Fake, act, blocked, replayed


def notes(run: Fake) -> list[str]:
    found: list[str] = run.outcome.notes
    return found


# -- taking -----------------------------------------------------------------------------------------------------


def test_a_handler_takes_the_signals_of_its_name_while_the_workflow_goes_on() -> None:
    async def main() -> Any:
        seen: list[Any] = []
        dwf.on_signal("add", seen.append)
        await act("a")
        return seen

    with Fake(main) as run:
        run.signal("add", 1)
        run.signal("other", 9)
        run.signal("add", 2)
        run.complete("a")
        assert run.result == [1, 2]
        assert run.asked == ["act a", "wait add got 3", "wait add got 6"]
        assert [s.name for s in run.state().unconsumed.values()] == ["other"]
        run.prove()


def test_signals_that_were_kept_are_given_to_a_handler_when_it_is_registered_oldest_first() -> None:
    async def main() -> Any:
        seen: list[Any] = []
        await act("a")
        dwf.on_signal("add", seen.append)
        return list(seen)

    with Fake(main) as run:
        run.signal("add", 1)
        run.signal("add", 2)
        run.complete("a")
        assert run.result == [1, 2]
        assert run.state().unconsumed == {}
        run.prove()


def test_a_coroutine_function_goes_on_as_a_task_beside_the_workflow() -> None:
    async def main() -> Any:
        done: list[Any] = []

        async def deploy(host: str) -> None:
            done.append(await act(f"deploy {host}"))

        dwf.on_signal("deploy", deploy)
        await dwf.wait_until(lambda: len(done) == 2)
        return done

    with Fake(main) as run:
        run.signal("deploy", "web1")
        run.signal("deploy", "web2")
        assert sorted(s.title for s in run.state().steps.values()) == ["deploy web1", "deploy web2"]
        run.complete("deploy web2", "second")
        run.complete("deploy web1", "first")
        assert run.result == ["second", "first"]
        run.prove()


def test_a_workflow_that_only_has_handlers_waits_for_something_that_can_happen() -> None:
    async def main() -> Any:
        seen: list[Any] = []
        dwf.on_signal("stop", lambda: seen.append("stop"))
        await dwf.wait_until(lambda: seen)
        return seen

    with Fake(main) as run:
        run.replay.check_not_stuck()
        run.signal("stop", {"of": "no interest"})
        assert run.result == ["stop"]
        run.prove()


def test_who_waits_for_a_signal_comes_before_its_handler() -> None:
    async def main() -> Any:
        seen: list[Any] = []
        dwf.on_signal("go", seen.append)
        return [await dwf.wait_signal("go"), await act("a"), seen]

    with Fake(main) as run:
        run.signal("go", 1)
        run.signal("go", 2)
        run.complete("a", "done")
        assert run.result == [1, "done", [2]]
        assert run.state().unconsumed == {}
        run.prove()


def test_the_latest_handler_of_a_name_is_the_one() -> None:
    async def main() -> Any:
        seen: list[str] = []
        dwf.on_signal("go", lambda value: seen.append(f"old {value}"))
        await act("a")
        dwf.on_signal("go", lambda value: seen.append(f"new {value}"))
        await act("b")
        return seen

    with Fake(main) as run:
        run.signal("go", 1)
        run.complete("a")
        run.signal("go", 2)
        run.complete("b")
        assert run.result == ["old 1", "new 2"]
        run.prove()


def test_a_handler_may_register_another_and_signal_order_holds() -> None:
    async def main() -> Any:
        seen: list[Any] = []

        def begin(value: int) -> None:
            seen.append(value)
            dwf.on_signal("more", seen.append)

        dwf.on_signal("begin", begin)
        await dwf.wait_until(lambda: len(seen) == 3)
        return seen

    with Fake(main) as run:
        run.signal("more", 2)
        run.signal("more", 3)
        run.signal("begin", 1)
        assert run.result == [1, 2, 3]
        run.prove()


# -- the catch-all ----------------------------------------------------------------------------------------------


def test_signals_of_any_other_name_go_to_the_catch_all_with_their_names() -> None:
    async def main() -> Any:
        seen: list[Any] = []
        dwf.on_signal("known", lambda value: seen.append(["handler", value]))
        dwf.on_unknown_signal(lambda name, value: seen.append([name, value]))
        await act("a")
        return seen

    with Fake(main) as run:
        run.signal("odd", 1)
        run.signal("known", 2)
        run.signal("even", 3)
        run.complete("a")
        assert run.result == [["odd", 1], ["handler", 2], ["even", 3]]
        assert run.state().unconsumed == {}
        run.prove()


def test_the_catch_all_takes_what_was_kept_in_the_order_in_which_it_came() -> None:
    async def main() -> Any:
        seen: list[Any] = []
        await act("a")
        dwf.on_unknown_signal(lambda name, value: seen.append(f"{name}{value}"))
        return list(seen)

    with Fake(main) as run:
        for number, name in enumerate(("b", "a", "b")):
            run.signal(name, number)
        run.complete("a")
        assert run.result == ["b0", "a1", "b2"]
        run.prove()


def test_what_the_script_waits_for_itself_is_not_the_catch_alls_also_between_two_waits() -> None:
    async def main() -> Any:
        seen: list[Any] = []
        dwf.on_unknown_signal(lambda name, value: seen.append(name))
        first = await dwf.wait_signal("go")
        await act("a")
        return [first, await dwf.wait_signal("go"), seen]

    with Fake(main) as run:
        run.signal("go", 1)
        run.signal("go", 2)
        run.complete("a")
        assert run.result == [1, 2, []]
        run.prove()


# -- types and mistakes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_annotation", [True, False])
def test_the_payload_is_converted_and_one_that_does_not_fit_is_passed_over_with_a_note(by_annotation: bool) -> None:
    async def main() -> Any:
        seen: list[Any] = []

        def annotated(number: int) -> None:
            seen.append(number)

        if by_annotation:
            dwf.on_signal("go", annotated)
        else:
            dwf.on_signal("go", seen.append, type=int)
        await act("a")
        return seen

    with Fake(main) as run:
        run.signal("go", "five")
        run.signal("go", 5)
        run.complete("a")
        assert run.result == [5]
        assert run.state().unconsumed == {}, "it was looked at, and will not be looked at again"
        (note,) = notes(run)
        assert "signal go (line 3) was passed over" in note
        run.prove()


@pytest.mark.parametrize(
    ("register", "told"),
    [
        (lambda: dwf.on_signal("go", 5), "it takes a function, not int"),  # type: ignore[arg-type]
        (lambda: dwf.on_signal("go", lambda a, b: None), "takes the payload, and nothing else"),
        (lambda: dwf.on_signal("go", lambda *, host: None), "only be given by name"),
        (lambda: dwf.on_unknown_signal(lambda payload: None), "the name and the payload"),  # type: ignore
    ],
)
def test_a_function_that_cannot_be_called_with_a_payload_is_refused_where_it_is_registered(
    register: Callable[[], None], told: str
) -> None:
    async def main() -> None:
        register()
        await act("a")

    error = blocked(main)
    assert isinstance(error, ValueRefused) and told in str(error)


def test_a_bug_in_a_handler_blocks_the_run_at_once() -> None:
    async def plain() -> None:
        dwf.on_signal("go", lambda value: value["typo"])
        await act("a")

    async def awaited() -> None:
        async def react(value: Any) -> None:
            await asyncio.sleep(0)
            value["typo"]

        dwf.on_signal("go", react)
        await act("a")

    for main in (plain, awaited):
        run = Fake(main)
        run.start()
        with pytest.raises(ScriptBug, match="KeyError: 'typo'"):
            run.signal("go", {})
        run.replay.close()
        run.prove()


def test_a_failure_in_a_handler_is_noted_and_the_run_goes_on() -> None:
    async def main() -> Any:
        async def react(value: str) -> None:
            await act(value)

        dwf.on_signal("go", react)

        def refuse(value: Any) -> None:
            raise dwf.Failure("not today")

        dwf.on_signal("no", refuse)
        await act("a")

    with Fake(main) as run:
        run.signal("go", "b")
        run.signal("no")
        run.fail("b", "broken")
        run.complete("a")
        assert notes(run) == [
            "the handler of signal no failed: not today",
            "the handler of signal go failed: b failed: ValueError: broken",
        ]
        run.prove()


def test_code_that_takes_a_signal_which_it_had_left_alone_no_longer_fits_its_history() -> None:
    async def old() -> None:
        await act("a")
        await act("b")

    async def new() -> None:
        dwf.on_signal("go", lambda: None)
        await old()

    run = Fake(old)
    with run:
        run.signal("go", 1)
        run.complete("a")
    program = Fake(new).program
    with pytest.raises(NondeterminismError, match="SignalWaitOpened go"):
        replayed(program, run.events)


# -- the end ----------------------------------------------------------------------------------------------------


def test_a_handler_that_is_still_at_work_at_the_end_is_named_there() -> None:
    async def main() -> None:
        async def react(value: str) -> None:
            await act(value)

        dwf.on_signal("go", react)
        await act("a")

    with Fake(main) as run:
        run.signal("go", "b")
        run.complete("a")
        assert isinstance(run.outcome, ev.WorkflowCompleted)
        assert notes(run) == ["the handler of signal go had not finished"]
        assert run.outcome.open == [3]
        run.prove()


def test_handlers_finished_waits_for_all_that_are_at_work_and_not_for_itself() -> None:
    async def main() -> Any:
        done: list[str] = []

        async def react(value: str) -> None:
            await act(value)
            done.append(value)

        async def stop() -> None:
            await dwf.handlers_finished()
            done.append("all")

        dwf.on_signal("go", react)
        dwf.on_signal("stop", stop)
        await act("a")
        await dwf.handlers_finished()
        return done

    with Fake(main) as run:
        run.signal("go", "b")
        run.signal("stop")
        run.complete("a")
        assert run.outcome is None
        run.signal("go", "c")
        run.complete("b")
        run.complete("c")
        assert run.result == ["b", "c", "all"]
        assert notes(run) == []
        run.prove()


def test_handlers_finished_gives_up_at_its_timeout() -> None:
    async def main() -> Any:
        dwf.on_signal("go", lambda: act("b"))
        await dwf.wait_signal("begin")
        with contextlib.suppress(TimeoutError):
            await dwf.handlers_finished(timeout="1m")
        return "left it"

    with Fake(main) as run:
        run.signal("go")
        run.signal("begin")
        run.fire()
        assert run.result == "left it"
        assert notes(run) == ["the handler of signal go had not finished"]
        run.prove()


# -- mutex and semaphore ----------------------------------------------------------------------------------------


def test_a_lock_keeps_handlers_and_workflow_from_each_other() -> None:
    async def main() -> Any:
        lock = asyncio.Lock()
        told: list[str] = []

        async def alone(name: str) -> None:
            async with lock:
                told.append(f"{name} begins")
                await act(name)
                told.append(f"{name} ends")

        dwf.on_signal("do", alone)
        await alone("main")
        await dwf.handlers_finished()
        return told

    with Fake(main) as run:
        run.signal("do", "first")
        run.signal("do", "second")
        assert [s.title for s in run.state().steps.values()] == ["main"]
        for name in ("main", "first", "second"):
            run.complete(name)
        assert run.result == [f"{name} {what}" for name in ("main", "first", "second") for what in ("begins", "ends")]
        run.prove()


def test_a_semaphore_lets_so_many_handlers_work_at_a_time() -> None:
    async def main() -> Any:
        places = asyncio.Semaphore(2)

        async def work(name: str) -> None:
            async with places:
                await act(name)

        dwf.on_signal("do", work)
        await dwf.wait_signal("stop")
        await dwf.handlers_finished()

    with Fake(main) as run:
        for name in "abcd":
            run.signal("do", name)
        run.signal("stop")
        assert [s.title for s in run.state().steps.values()] == ["a", "b"]
        run.complete("b")
        assert [s.title for s in run.state().steps.values()] == ["a", "c"]
        for name in ("a", "c", "d"):
            run.complete(name)
        assert isinstance(run.outcome, ev.WorkflowCompleted)
        run.prove()


# -- all that are there -----------------------------------------------------------------------------------------


def test_wait_signals_takes_all_that_are_there_as_one_event() -> None:
    async def main() -> Any:
        await act("a")
        return await dwf.wait_signals("go")

    with Fake(main) as run:
        for number in range(50):
            run.signal("go", number)
        run.signal("other")
        run.complete("a")
        assert run.result == list(range(50))
        assert run.asked == ["act a", "SignalsTaken"]
        assert [s.name for s in run.state().unconsumed.values()] == ["other"]
        run.prove()


def test_wait_signals_waits_for_the_first_if_there_is_none() -> None:
    async def main() -> Any:
        return [await dwf.wait_signals("go"), await dwf.wait_signals("go", timeout=5, default=["none"])]

    with Fake(main) as run:
        run.signal("go", 1)
        run.fire()
        assert run.result == [[1], ["none"]]
        assert run.asked == ["wait go", "wait go", "timer 5", "unwait 2"]
        run.prove()


def test_wait_signals_passes_over_what_does_not_fit_and_waits_on_if_nothing_does() -> None:
    async def main() -> Any:
        await act("a")
        try:
            return await dwf.wait_signals("go", type=int, timeout=9)
        except TimeoutError as error:
            return str(error)

    with Fake(main) as run:
        run.signal("go", "one")
        run.signal("go", "two")
        run.complete("a")
        assert run.outcome is None
        run.signal("go", 3)
        assert run.result == [3]
        assert len(notes(run)) == 2
        run.prove()


def test_a_run_that_is_closed_with_handlers_at_work_leaves_no_trace() -> None:
    async def main() -> None:
        async def react(value: str) -> None:
            try:
                await act(value)
            finally:
                dwf.on_signal("more", react)
                await act("undo")

        dwf.on_signal("go", react)
        await act("a")

    run = Fake(main)
    run.start()
    run.signal("go", "b")
    run.replay.close()
    assert run.asked == ["act a", "wait go got 3", "act b"]


# -- updates ----------------------------------------------------------------------------------------------------


def accepted(run: Fake, name: str, **given: Any) -> list[Any]:
    return run.deliver(ev.UpdateAccepted(name=name, input=ev.Payload(encode(given))))


def test_an_update_is_answered_by_its_handler_now_or_when_its_task_ends() -> None:
    async def main() -> Any:
        limit = [1]

        def put(to: int) -> int:
            limit[0] = to
            return to * 10

        async def work(host: str) -> str:
            return f"{await act(host)} after {limit[0]}"

        dwf.on_update("put", put)
        dwf.on_update("work", work)
        await dwf.wait_signal("stop")
        return limit[0]

    with Fake(main) as run:
        accepted(run, "work", host="web1")
        accepted(run, "put", to=5)
        assert sorted(run.state().updates.open) == [3]
        run.complete("web1", "done")
        run.signal("stop")
        assert run.result == 5
        answers = [e for e in run.events if isinstance(e, ev.UpdateCompleted)]
        assert [(a.update, bytes(a.result)) for a in answers] == [(5, b"50"), (3, b'"done after 5"')]
        assert run.state().updates.open == {}
        run.prove()


def test_a_failure_of_an_update_is_its_answer_and_the_run_goes_on() -> None:
    async def main() -> Any:
        async def work(host: str) -> None:
            await act(host)

        dwf.on_update("work", work)
        await dwf.wait_signal("stop")

    with Fake(main) as run:
        accepted(run, "work", host="web1")
        run.fail("web1", "broken")
        run.signal("stop")
        (failed,) = (e for e in run.events if isinstance(e, ev.UpdateFailed))
        assert (failed.update, failed.error.type) == (3, "ActivityError")
        assert "broken" in failed.error.message
        assert notes(run) == []
        run.prove()


def test_a_bug_in_an_update_blocks_the_run_and_so_does_a_result_that_cannot_be_stored() -> None:
    async def main() -> None:
        dwf.on_update("typo", lambda: {}["typo"])
        dwf.on_update("odd", object)
        await act("a")

    for name, told in (("typo", "KeyError"), ("odd", "the result of the update odd")):
        run = Fake(main)
        run.start()
        with pytest.raises(ScriptError, match=told):
            accepted(run, name)
        run.replay.close()
        run.prove()


def test_an_update_that_the_script_does_not_take_any_more_is_no_longer_its_history() -> None:
    async def old() -> None:
        dwf.on_update("put", lambda: None)
        await act("a")

    async def new() -> None:
        await act("a")

    run = Fake(old)
    with run:
        accepted(run, "put")
    with pytest.raises(NondeterminismError, match="recorded UpdateAccepted put"):
        replayed(Fake(new).program, run.events)


def test_an_update_that_had_not_finished_is_named_in_the_record_of_the_end() -> None:
    async def main() -> None:
        async def work() -> None:
            await act("b")

        dwf.on_update("work", work)
        await act("a")

    with Fake(main) as run:
        accepted(run, "work")
        run.complete("a")
        assert notes(run) == ["the handler of update work had not finished"]
        run.prove()


def test_a_look_leaves_the_replay_as_it_was_unless_it_asks_for_something() -> None:
    async def main() -> Any:
        dwf.on_query("left", lambda: 3)
        dwf.on_query("acts", lambda: dwf.status("here"))
        await act("a")
        return "done"

    with Fake(main) as run:
        queries = run.replay.commands.handlers.queries
        assert run.replay.look("a query", lambda: queries["left"].call({})) == 3
        run.complete("a")
        assert run.result == "done"
        with pytest.raises(ScriptBug, match="ReadOnly: a query may only look"):
            run.replay.look("a query", lambda: queries["acts"].call({}))
        with pytest.raises(ScriptBug, match="ReadOnly"):
            run.replay.apply([])
