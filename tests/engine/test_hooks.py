"""Hooks: told what is on disk, at least once, in order, and never in a run's way."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from dwf.core.status import Status
from dwf.engine import hooks as engine_hooks
from dwf.engine import telling
from dwf.engine.hooks import standing
from dwf.store.files import Disk
from tests.engine.house import House
from tests.engine.processes import begin_tick, finish

BOOK = """
    @dwf.activity(retry=dwf.Retry(max_attempts=1))
    def step(n):
        note("step", n)
        if n == 3:
            raise dwf.Failure("no three")
        return n
    @dwf.workflow
    async def w(n=1):
        await step(n)
        if n == 2:
            await dwf.approve("Go on?")
        return n
"""


class Hooks:
    """Programs in hooks.d that keep what they are told, and what they have kept."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.place = Path(house.store.layout.hooks)
        self.place.mkdir(mode=0o700)
        self.log = house.path / "told"

    def add(self, name: str, then: str = "", mode: int = 0o700) -> Path:
        path = self.place / name
        path.write_text(f"#!/bin/sh\n(cat; echo) >> {self.log}\n{then}\n")
        path.chmod(mode)
        return path

    @property
    def told(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def words(self) -> list[str]:
        return [f"{told['run']} {told['what']}" for told in self.told]

    @property
    def notes(self) -> list[str]:
        untold = Path(self.house.store.layout.untold)
        return sorted(path.name for path in untold.iterdir()) if untold.exists() else []


@pytest.fixture
def hooks(house: House) -> Hooks:
    return Hooks(house)


def begin(house: House, n: int = 1, run: str = "r1") -> None:
    house.start(house.script(BOOK), run, json_input={"n": n})


def test_a_hook_is_told_in_order_what_its_name_says(house: House, hooks: Hooks) -> None:
    """Fails when a moment that a name does not mention is told, or one is told twice."""
    hooks.add("all.log")
    begin(house, 2)
    house.tick()

    assert hooks.words == ["r1 started", "r1 step-started", "r1 step-completed", "r1 asks"]
    house.answer()
    house.tick()
    assert hooks.words[4:] == ["r1 completed"]
    assert hooks.notes == []


def test_what_a_hook_reads_names_the_run_the_line_and_what_to_type(house: House, hooks: Hooks) -> None:
    hooks.add("failed.page", 'echo "$DWF_HOOK|$DWF_HOOK_ID|$DWF_HOOK_TEXT|$DWF_RUN_ID|$DWF_WORKFLOW" > $DWF_HOME/env')
    begin(house, 3)
    house.tick()

    (told,) = hooks.told
    head = house.events()[0]
    known = f"r1:{head.nonce}:{told['event']['id']}"  # type: ignore[attr-defined]
    assert told | {"event": None} == {
        "schema": "dwf.hook/1", "what": "failed", "id": known, "run": "r1", "link": 1, "workflow": "w",
        "time": told["event"]["ts"], "text": told["event"]["error"]["message"], "next": "dwf show r1", "event": None,
    }  # fmt: skip
    assert told["event"]["type"] == "WorkflowFailed"
    said = Path(house.store.layout.home, "env").read_text().strip()
    assert said == f"failed|{known}|{told['text']}|r1|w"


def test_groups_of_moments_can_be_named(house: House, hooks: Hooks) -> None:
    hooks.add("ended,asks.x")
    begin(house, 2)
    house.tick()
    house.answer(yes=False)
    house.tick()

    assert hooks.words == ["r1 asks", "r1 failed"]


def test_what_is_to_be_told_is_noted_on_disk_before_the_lines_are(house: House, hooks: Hooks) -> None:
    """Fails when a history is synced before the note of what is to be told of it: a crash would lose it."""
    hooks.add("step.x")
    seen: list[str] = []

    class Seeing(Disk):
        def fsync_dir(self, path: str) -> None:
            super().fsync_dir(path)
            seen.append(f"dir {Path(path).name} {hooks.notes}")

        def fdatasync(self, fd: int, path: str) -> None:
            super().fdatasync(fd, path)
            seen.append(f"sync {Path(path).name}")

    begin(house)
    house.reopen(Seeing())
    house.tick()

    noted = seen.index("dir untold ['r1~1.3']")
    assert noted < seen.index("sync r1.jsonl")
    assert sum(line.startswith("dir untold") for line in seen) == 1, "one note a drive, however much there is to tell"


def test_a_tick_that_is_killed_while_it_tells_leaves_it_to_the_next(house: House, hooks: Hooks) -> None:
    """Fails when a note is removed, or taken over, before all of it was told."""
    hooks.add("step-completed,ended.x", 'test -e "$DWF_HOME/killed" || { touch "$DWF_HOME/killed"; kill -9 $PPID; }')
    begin(house)
    killed = begin_tick(house.store.layout.home)
    finish(killed)

    assert killed.returncode == -9
    assert len(hooks.notes) == 1
    house.tick()
    ids = [told["id"] for told in hooks.told]
    assert hooks.words == ["r1 step-completed", "r1 step-completed", "r1 completed"]
    assert ids[0] == ids[1], "who must not act twice can tell by the id"
    assert hooks.notes == []


def test_a_note_of_lines_that_never_reached_the_disk_tells_nothing(house: House, hooks: Hooks) -> None:
    hooks.add("all.x")
    begin(house, 2)
    house.tick()
    before = hooks.words
    untold = Path(house.store.layout.untold)
    (untold / "r1~1.99").touch(mode=0o600)
    (untold / "gone~1.1").touch(mode=0o600)
    house.tick()

    assert hooks.words == before
    assert hooks.notes == []


def test_a_note_that_is_held_is_left_alone(house: House, hooks: Hooks) -> None:
    """Fails when a tick takes what another process is telling just now."""
    hooks.add("all.x")
    begin(house)
    notes = engine_hooks.Hooks(house.store, house.clock).notes
    note = notes.make("r1", 1, 2)
    house.tick()

    once = ["r1 started", "r1 step-started", "r1 step-completed", "r1 completed"]
    assert (hooks.words, hooks.notes) == (once, ["r1~1.2"])
    note.leave()
    house.tick()
    assert (hooks.words, hooks.notes) == (once + once[1:], [])


def test_a_hook_that_fails_is_tried_again_later_and_holds_up_nobody(house: House, hooks: Hooks) -> None:
    hooks.add("step-completed,ended.bad", 'test -e "$DWF_HOME/well" || { echo no line >&2; exit 3; }')
    hooks.add("timed-out,completed.good")
    begin(house)
    report = house.tick()

    assert house.status() is Status.COMPLETED
    assert hooks.words == ["r1 step-completed", "r1 completed"], "the bad one stops at its first, the good one is told"
    (line,) = report.remarks
    assert "hook step-completed,ended.bad failed" in line and "exit code 3: no line" in line
    assert "tried again in 1 min" in line
    house.tick()
    assert len(hooks.told) == 2, "not before its time"
    Path(house.store.layout.home, "well").touch()
    house.clock.advance("61s")
    assert house.tick().remarks == []
    assert hooks.words[2:] == ["r1 step-completed", "r1 completed"]
    assert hooks.notes == []


def test_a_hook_that_never_works_is_given_up_and_told_of(house: House, hooks: Hooks) -> None:
    hooks.add("failed.bad", "exit 1")
    begin(house, 3)
    lines: list[str] = []
    for _ in range(8):
        lines += house.tick().remarks
        house.clock.advance("3h")

    assert len(hooks.told) == 5
    assert "given up: dwf hooks" in lines[-1]
    (lost,) = standing(house.store).lost
    assert lost[:2] == ("failed.bad", "r1") and lost[3] == "exit code 1"
    hooks.add("failed.bad")
    assert engine_hooks.Hooks(house.store, house.clock).notes.try_again() == 1
    house.tick()
    assert len(hooks.told) == 6
    assert hooks.notes == []


def test_a_hook_that_hangs_is_ended_with_what_it_has_started(
    house: House, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when only the hook itself is ended after its time."""
    monkeypatch.setattr(telling, "TIME_LIMIT_SECONDS", 0.3)
    hooks.add("completed.slow", 'sleep 1000 & echo $! > "$DWF_HOME/child"; wait')
    begin(house)
    (line,) = house.tick().remarks

    assert "took longer than 0.3 s" in line
    child = int(Path(house.store.layout.home, "child").read_text())
    until = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < until


def test_without_a_hook_that_wants_it_nothing_is_noted(house: House, hooks: Hooks) -> None:
    """Fails when a run that concerns no hook pays for one."""
    hooks.add("failed.page")
    begin(house)
    house.tick()

    assert not Path(house.store.layout.untold).exists()


def test_what_others_could_change_is_not_called(house: House, hooks: Hooks) -> None:
    """Fails when a hook that others may write is called."""
    hooks.add("all.weak", mode=0o777)
    hooks.add("nonsense.x")
    hooks.add("all.plain", mode=0o600)
    begin(house)
    house.tick()

    assert hooks.told == []
    found = {Path(unfit.path).name: unfit.why for unfit in standing(house.store).unfit}
    assert found["all.weak"] == "others may write to it (mode 0777)"
    assert found["all.plain"] == "it may not be executed"
    assert "does not begin with what it is to be told" in found["nonsense.x"]


def test_what_goes_around_a_step_is_entered_before_it_and_left_after_it(house: House, hooks: Hooks) -> None:
    """Fails when a step begins before what is around it, or its outcome is not told."""
    seen = house.path / "seen"
    (hooks.place / "around.trace.py").write_text(f"""
from contextlib import contextmanager
@contextmanager
def around(step):
    with open({str(seen)!r}, "a") as log:
        log.write(f"enter {{step.run}} {{step.name}} {{step.kind}} {{step.attempt}} {{step.key}}\\n")
    yield
    with open({str(seen)!r}, "a") as log:
        log.write(f"leave {{step.outcome}} {{step.error}}\\n")
""")
    house.go("""
        @dwf.activity(retry=dwf.Retry(max_attempts=1))
        def bad():
            raise dwf.Failure("no")
        @dwf.workflow
        async def w():
            await dwf.sh("true")
            await bad()
    """)

    assert seen.read_text().splitlines() == [
        "enter r1 true shell 1 r1:1", "leave completed ",
        "enter r1 bad function 1 r1:2", "leave failed no",
    ]  # fmt: skip


def test_an_error_around_a_step_is_told_and_changes_nothing(house: House, hooks: Hooks) -> None:
    (hooks.place / "around.bad.py").write_text("def around(step):\n    raise KeyError('span')\n")
    (hooks.place / "around.worse.py").write_text("import no_such_module\n")
    (hooks.place / "around.empty.py").write_text("")
    begin(house)
    report = house.tick()

    assert house.status() is Status.COMPLETED
    assert len(report.remarks) == 3
    assert any("around.bad.py failed: KeyError: 'span' (" in line and ":2)" in line for line in report.remarks)
    assert any("around.worse.py is not used: ModuleNotFoundError" in line for line in report.remarks)
    assert any("it defines no function around" in line for line in report.remarks)


def test_many_runs_that_end_at_once_are_all_told_and_few_files_are_held(
    house: House, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when each run that ends holds a file open until a slow hook has heard of it."""
    monkeypatch.setattr(engine_hooks, "_MOST_HELD", 3)
    hooks.add("ended.slow", "sleep 0.02")
    held: list[int] = []
    put = engine_hooks.Hooks.put

    def counted(self: engine_hooks.Hooks, task: Any) -> None:
        put(self, task)
        held.append(len(self._waiting))

    monkeypatch.setattr(engine_hooks.Hooks, "put", counted)
    script = house.script(BOOK)
    for n in range(30):
        house.start(script, f"r{n}", json_input={"n": 1})
    house.tick()

    assert sorted(hooks.words) == sorted(f"r{n} completed" for n in range(30))
    assert hooks.notes == []
    assert max(held) < 3 + 12, "as many as there are drivers may come by at once"


def test_a_hook_that_hangs_keeps_no_other_from_hearing(
    house: House, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when a hook that hangs is waited for once for each run that ends."""
    monkeypatch.setattr(telling, "TIME_LIMIT_SECONDS", 0.3)
    hooks.add("completed.hang", "sleep 1000")
    hooks.add("ended.page")
    script = house.script(BOOK)
    for n in range(6):
        house.start(script, f"r{n}", json_input={"n": 1})
    house.tick()

    calls = hooks.words
    assert sorted(set(calls)) == sorted(f"r{n} completed" for n in range(6))
    assert len(calls) == 6 + 1, "the hanging one was called once"
    assert standing(house.store).owed["completed.hang"][0] == 6
    house.clock.advance("2m")
    (hooks.place / "completed.hang").write_text("#!/bin/sh\n")
    house.tick()
    assert hooks.notes == [] and standing(house.store).owed == {}
