"""Heartbeats: an attempt says that it is alive and how far it is, and the next one goes on from there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import dwf
from dwf.activities import prepare_async, prepare_function
from dwf.activities.info import CURRENT, ActivityInfo
from dwf.activities.plan import Attempt, Kind
from dwf.core import events as ev
from dwf.core.runtime import ActivityCall
from dwf.core.state import Status
from dwf.errors import ValueRefused
from tests.activities.processes import is_alive
from tests.engine.house import House, in_thread, until
from tests.engine.processes import begin_tick, kill

PLAIN, ISOLATED, ADOPTED = "", "isolate=True, ", "isolate=True, orphan='adopt', "
COUNTS = """
@dwf.activity(%sretry=dwf.Retry(initial="1ms"))
%sdef count() -> list:
    found = dwf.activity_info().heartbeat_details
    note("found", found)
    for n in range((found or 0) + 1, 4):
        dwf.heartbeat(n)
        if n == 2 and found is None:
            raise ValueError("fell over")
    return [found, n]

@dwf.workflow
async def main():
    return await count()
"""
SHELL = """
@dwf.workflow
async def main(adopt: str = "kill"):
    text = '''
    cat "$DWF_CHECKPOINT_FILE" >> "$1" 2>/dev/null || echo nothing >> "$1"
    touch "$DWF_HEARTBEAT_FILE"
    test "$DWF_ATTEMPT" -gt 1 && exit 0
    printf '{"row": 42}\\n' > "$DWF_CHECKPOINT_FILE"
    %s
    '''
    await dwf.sh(LEDGER, script=text, title="copy", orphan=adopt, retry=dwf.Retry(initial="1ms"))
"""


def files(house: House) -> list[str]:
    """What attempts have left behind besides what they printed."""
    known = ("", ".out", ".err", ".end")
    return [path.name for path in Path(house.store.layout.out).rglob("*") if path.suffix not in known]


@pytest.mark.parametrize("options", [PLAIN, ISOLATED, ADOPTED, "async"])
def test_the_next_attempt_finds_the_details_of_the_last_heartbeat(house: House, options: str) -> None:
    """Fails when the details are not recorded with the end of the attempt."""
    words = ("", "async ") if options == "async" else (options, "")
    house.go(COUNTS % words)
    assert house.result() == [2, 3]
    assert bytes(house.the(ev.ActivityAttemptFailed).heartbeat) == b"2"
    assert files(house) == []
    house.check()


def test_a_command_finds_the_checkpoint_of_the_attempt_before(house: House) -> None:
    house.go(SHELL % "exit 1")
    assert house.notes() == ["nothing", '{"row":42}']
    assert json.loads(bytes(house.the(ev.ActivityAttemptFailed).heartbeat)) == {"row": 42}
    assert files(house) == []


@pytest.mark.parametrize("text", ["007", "1.10", "plain words\n", '"quoted"', "[1, 2]"])
def test_a_checkpoint_of_text_comes_back_as_it_was(house: House, text: str) -> None:
    house.go(
        """
        @dwf.workflow
        async def main(text: str):
            script = '''
            test "$DWF_ATTEMPT" -gt 1 && exec cat "$DWF_CHECKPOINT_FILE"
            printf %s "$1" > "$DWF_CHECKPOINT_FILE"
            exit 1
            '''
            return (await dwf.sh(text, script=script, retry=dwf.Retry(initial="1ms"))).out
        """,
        json_input={"text": text},
    )
    found = house.result()
    assert json.loads(found) == json.loads(text) if text.startswith("[") else found == text


@pytest.mark.parametrize("orphan", ["kill", "wait"])
def test_what_a_killed_tick_left_running_had_told_is_found_by_the_next_attempt(house: House, orphan: str) -> None:
    """Fails when the file of an attempt whose end nobody saw is not read."""
    house.start(house.script(SHELL % "sleep %s" % (1000 if orphan == "kill" else 1)), json_input={"adopt": orphan})
    process = begin_tick(house.store.layout.home)
    until(lambda: any(Path(house.store.layout.out).rglob("*.checkpoint")))
    kill(process)
    house.tick()
    assert house.notes() == ["nothing", '{"row":42}'] and house.status() is Status.COMPLETED
    assert files(house) == []
    house.check()


def test_a_function_whose_tick_was_killed_goes_on_from_its_last_heartbeat(house: House) -> None:
    house.start(
        house.script(
            """
            @dwf.activity(isolate=True)
            def work() -> int:
                found = dwf.activity_info().heartbeat_details
                if found is not None:
                    return found
                for n in range(1000):
                    dwf.heartbeat(n)
                time.sleep(0.6)
                note("beaten")
                time.sleep(1000)

            @dwf.workflow
            async def main():
                return await work()
            """
        )
    )
    process = begin_tick(house.store.layout.home)
    until(house.notes)
    kill(process)
    house.tick()
    assert house.result() == 999, "of a thousand in one go the last is the one that counts"


def test_a_kept_step_keeps_its_heartbeat_across_ticks(house: House) -> None:
    from dwf.engine.beats import beats

    house.start(house.script(SHELL % 'until test -e "$1.go"; do sleep 0.05; done'), json_input={"adopt": "adopt"})
    process = begin_tick(house.store.layout.home)
    until(lambda: any(Path(house.store.layout.out).rglob("*.checkpoint")))
    kill(process)
    ticking = in_thread(house.tick)
    seen = until(lambda: beats(house.store, house.state(), 1))
    assert seen[1].details is not None and json.loads(bytes(seen[1].details)) == {"row": 42}
    Path(f"{house.ledger}.go").touch()
    ticking.join()
    assert house.status() is Status.COMPLETED and house.notes() == ["nothing"]
    assert len(house.all(ev.ActivityStarted)) == 1 and files(house) == []


SILENT = """
@dwf.activity(heartbeat_timeout="1500ms", retry=dwf.Retry(max_attempts=2, initial="1ms"), grace="100ms"%s)
%sdef silent() -> None:
    note("attempt", os.getpid())
    for n in range(4):
        dwf.heartbeat(n)
        %s(0.15)
    %s(1000)

@dwf.workflow
async def main():
    try:
        await silent()
    except dwf.ActivityTimeout as error:
        return [error.timeout, error.reason, error.details["heartbeat"], error.attempts]
"""


@pytest.mark.parametrize("options", ["", ", orphan='adopt'", "async"])
def test_an_attempt_that_falls_silent_is_ended_and_tried_again(house: House, options: str) -> None:
    """Fails when silence is not noticed, or when a heartbeat does not count."""
    words = ("", "async ", "await asyncio.sleep", "await asyncio.sleep")
    house.go(SILENT % (words if options == "async" else (options, "", "time.sleep", "time.sleep")))
    assert house.result() == ["heartbeat", "no heartbeat for 1.5s", 3, 2]
    failed = house.the(ev.ActivityAttemptFailed)
    assert (failed.error.type, failed.error.message) == ("TimedOut", "no heartbeat for 1.5s")
    assert house.the(ev.ActivityTimedOut).timeout == 1_500_000
    if options != "async":
        assert not any(is_alive(int(line.split()[1])) for line in house.notes())
    assert files(house) == []
    house.check()


def test_a_command_is_heard_of_by_touching_its_file(house: House) -> None:
    house.go(
        """
        @dwf.workflow
        async def main():
            beats = 'for n in 1 2 3 4; do touch "$DWF_HEARTBEAT_FILE"; sleep 0.2; done; echo alive; %s'
            first = await dwf.sh(script=beats % "", heartbeat_timeout="800ms")
            try:
                await dwf.sh(script=beats % "sleep 100", heartbeat_timeout="800ms", grace="100ms")
            except dwf.ActivityTimeout as error:
                return [first.out, error.timeout]
        """
    )
    assert house.result() == ["alive\n", "heartbeat"]


def test_a_plain_function_that_is_asked_to_end_hears_so_by_its_heartbeat_and_from_whom(house: House) -> None:
    """Fails when only what has a process can be told."""
    house.start(
        house.script(
            """
            @dwf.activity
            def work() -> None:
                note("began")
                try:
                    while True:
                        dwf.heartbeat()
                        time.sleep(0.02)
                except dwf.ActivityCancelled as error:
                    note(error.reason)
                    raise

            @dwf.workflow
            async def main():
                await work()
            """
        )
    )
    ticking = in_thread(house.tick)
    until(house.notes)
    house.cancel()
    ticking.join(20)
    assert house.status() is Status.CANCELLED
    assert house.notes()[1].startswith("cancelled by ") and house.notes()[1].endswith(": enough")
    assert house.the(ev.ActivityCancelled).reason.endswith(": enough")


@pytest.mark.parametrize("options", ["", ", orphan='adopt'"])
def test_a_function_in_a_process_of_its_own_may_clean_up_when_it_is_asked_to_end(house: House, options: str) -> None:
    """Fails when TERM ends the process of a function that beats."""
    house.start(
        house.script(
            f"""
            @dwf.activity(isolate=True{options})
            def work() -> None:
                try:
                    while True:
                        dwf.heartbeat()
                        note("beaten")
                        time.sleep(0.02)
                except dwf.ActivityCancelled as error:
                    note("cleaned up:", error.reason)

            @dwf.workflow
            async def main():
                await work()
            """
        )
    )
    ticking = in_thread(house.tick)
    until(house.notes)
    house.cancel()
    ticking.join(20)
    assert house.status() is Status.CANCELLED
    assert house.notes()[-1].startswith("cleaned up: cancelled by ") and house.notes()[-1].endswith(": enough")


def test_a_function_whose_time_is_over_is_timed_out_and_not_cancelled(house: House) -> None:
    """Fails when what its heartbeat raises then is taken for its own failure."""
    house.go(
        """
        @dwf.activity(start_to_close="1500ms", retry=dwf.Retry(1))
        def work() -> None:
            while True:
                dwf.heartbeat("on")
                time.sleep(0.02)

        @dwf.workflow
        async def main():
            try:
                await work()
            except dwf.ActivityTimeout as error:
                return [error.timeout, error.details["heartbeat"]]
        """
    )
    assert house.result() == ["start-to-close", "on"]


def test_a_command_can_read_why_it_is_asked_to_end(house: House) -> None:
    house.start(
        house.script(
            """
            @dwf.workflow
            async def main():
                text = '''
                trap 'cat "$DWF_CANCEL_FILE" >> "$1"; exit 1' TERM
                echo on >> "$1"
                while :; do sleep 0.05; done
                '''
                await dwf.sh(LEDGER, script=text)
            """
        )
    )
    ticking = in_thread(house.tick)
    until(house.notes)
    house.cancel()
    ticking.join(20)
    _, word, why = house.notes()
    assert word == "cancelled" and why.endswith(": enough")
    assert files(house) == []


def attempt(tmp_path: Path, **more: Any) -> Attempt:
    return Attempt(run="r", command=1, name="beats", key="r:1", pulse=str(tmp_path / "1.1"), **more)


def call(function: Any, **more: Any) -> ActivityCall:
    return ActivityCall(name="beats", kind="function", perform=lambda _: function(), **more)


def test_a_thousand_heartbeats_write_a_few_files_and_the_last_of_them(tmp_path: Path, monkeypatch: Any) -> None:
    """Fails when each heartbeat is written."""
    renamed: list[str] = []
    rename = os.rename
    monkeypatch.setattr(os, "rename", lambda a, b: (renamed.append(b), rename(a, b)))

    def beats() -> None:
        for n in range(1000):
            dwf.heartbeat({"n": n})

    performance = prepare_function(call(beats), attempt(tmp_path))
    performance.go()
    outcome = performance.finish()
    assert outcome.kind is Kind.COMPLETED and outcome.heartbeat == b'{"n":999}'
    assert len(renamed) <= 4
    assert (tmp_path / "1.1.beat").read_bytes() == b'{"n":999}'
    assert [path.name for path in tmp_path.iterdir()] == ["1.1.beat"]


def test_a_heartbeat_that_cannot_be_written_does_not_fail_the_step(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the directory should be")
    performance = prepare_function(call(lambda: dwf.heartbeat(1)), attempt(tmp_path / "out"))
    performance.go()
    assert performance.finish().kind is Kind.COMPLETED


def test_details_that_are_no_json_or_too_much_are_refused_where_they_are_given(tmp_path: Path) -> None:
    token = CURRENT.set(ActivityInfo(attempt(tmp_path)))
    try:
        with pytest.raises(ValueRefused):
            dwf.heartbeat(object())
        with pytest.raises(ValueRefused, match="the limit is 65,536"):
            dwf.heartbeat("x" * 70_000)
    finally:
        CURRENT.reset(token)


def test_outside_of_dwf_an_activity_is_just_its_function_and_may_beat() -> None:
    dwf.heartbeat({"n": 1})


def test_a_coroutine_s_heartbeat_is_its_own(tmp_path: Path) -> None:
    async def beats() -> None:
        dwf.heartbeat("mine")

    performance = prepare_async(call(beats, is_async=True), attempt(tmp_path))
    performance.go()
    assert performance.finish().heartbeat == b'"mine"'


SECRET = """
@dwf.activity(OPTIONS retry=dwf.Retry(initial="1ms"))
def work(token: str) -> None:
    dwf.heartbeat({"with": token})
    info = dwf.activity_info()
    with open(f"{LEDGER[:-6]}home/out/{info.run}/1.{info.attempt}.beat") as file:
        note(file.read())
    raise dwf.RetryAfter(0) if dwf.activity_info().attempt == 1 else dwf.Expected("done")

@dwf.workflow
async def main():
    await work(dwf.secret("env:TOKEN"))
"""


@pytest.mark.parametrize("options", ["", "isolate=True,"])
def test_a_secret_is_masked_in_heartbeats_too(house: House, monkeypatch: Any, options: str) -> None:
    """Fails when the details are told, or written, as they are."""
    monkeypatch.setenv("TOKEN", "hunter2-and-more")
    house.go(SECRET.replace("OPTIONS", options))
    assert bytes(house.the(ev.ActivityAttemptFailed).heartbeat) == b'{"with":"***"}'
    assert house.notes()[0] == '{"with":"***"}'
