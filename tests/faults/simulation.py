"""The simulation: from a seed, random commands on random runs, each of which may go wrong in a random way.

    Simulation(path, seed).play()

Every command is a process of its own: nothing but the disk and the world outside is kept from one to the next. In its
middle it may be killed, find the disk failing, lose power, or have other commands come and go. After each command, and
at the end, when nothing goes wrong any more, the invariants are asked.
"""

# ruff: noqa: PTH208

from __future__ import annotations

import errno
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from dwf.core import events as ev
from dwf.core.duration import SECOND, micros
from dwf.core.state import RunState
from dwf.core.values import as_blob
from dwf.engine import post, stepping
from dwf.engine.identity import sender
from dwf.engine.runs import load
from dwf.engine.start import IfExists, StartRequest, start
from dwf.engine.tick import TickReport, tick
from dwf.errors import Conflict, DiskError, NotFound, NotPermitted, UsageError, WrongState
from dwf.store.room import Store
from tests.faults.disk import Crash
from tests.faults.invariants import Invariants
from tests.faults.plans import SCRIPT, misfits, plan, words
from tests.faults.world import SimDisk, World

ME = sender(os.environ)
Command = Callable[[Store], None]
CODES = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE, errno.EACCES, errno.EDQUOT)
# What a command may answer when nothing is wrong with the disk.
_ANSWERS = (Conflict, NotFound, UsageError, WrongState)
_IN_A_ROW = 3
# What may become of a command. What comes twice is twice as likely.
FATES = ("kill", "kill", "power", "power", "tear", "errno", "slow", "meet", "meet", "step")


class Simulation:
    """One world and what is done in it. `counts`: what went wrong, by kind."""

    def __init__(
        self, path: Path, seed: int, *, length: int = 25, without: str = "", fates: Sequence[str] = FATES
    ) -> None:
        self.world = World(path, seed, without)
        self.chance = self.world.chance
        self.invariants = Invariants(self.world)
        self.counts: Counter[str] = Counter()
        self.story: list[str] = []
        self._length, self._fates = length, fates
        self._script = str(path / "book.py")
        Path(self._script).write_text(SCRIPT)
        self._runs: dict[str, list[list[object]]] = {}
        self._crashes = 0
        self._inside = 0
        self._sound = True
        self._furthest_us = 0
        self._wrong: AssertionError | None = None
        self._until_step = 0
        self._then: Callable[[], None] = lambda: None
        self._keys: list[tuple[str, str, str, int]] = []
        self._kept_index: bytes = b""

    def play(self) -> None:
        """All of it. Raises AssertionError with the story so far, if an invariant does not hold."""
        with self.world.entered():
            self.world.outside.during = self._during
            try:
                for _ in range(self._length):
                    self._step()
                self._come_to_an_end()
            except BaseException as error:
                error.add_note("\n".join(["what happened:", *self.story]))
                raise

    # -- commands -----------------------------------------------------------------------------------------------

    def _step(self) -> None:
        if self._crashes >= _IN_A_ROW:
            self._do("tick", self._tick, faulty=False)
            return
        kind, weight = zip(*self._kinds().items(), strict=True)
        chosen = self.chance.choices(kind, weight)[0]
        if chosen in ("jump", "index", "power"):
            self.story.append(f"{chosen} {getattr(self, '_' + chosen)()}")
            return
        self._do(chosen, self._command(chosen), faulty=self.chance.random() < 0.6)

    def _kinds(self) -> dict[str, int]:
        begin = 40 if not self._runs else 4
        return {
            "start": begin, "start_again": 2, "start_next": 2, "tick": 18, "tick_one": 3, "signal": 8, "answer": 5,
            "cancel": 1, "terminate": 1, "decide": 4, "jump": 7, "index": 3, "power": 2,
        }  # fmt: skip

    def _command(self, kind: str) -> Command:
        """What a command does; everything random about it is decided here."""
        run = self.chance.choice(list(self._runs)) if self._runs else "r0"
        if kind == "start":
            run = f"r{len(self._runs)}"
            return self._start(run, plan(self.chance, run), "fail")
        if kind in ("start_again", "start_next") and run in self._runs:
            if kind == "start_again":
                return self._start(run, self._runs[run], self.chance.choice(["use", "fail"]))
            if not self._inside:
                return self._start(run, self._runs[run], "new")
        if kind == "signal":
            return self._signal(run)
        if kind == "answer":
            return partial(self._answer, run, self.chance.random() < 0.8)
        if kind == "decide":
            return partial(self._decide, run, self.chance.choice(stepping.DECISIONS))
        if kind in ("cancel", "terminate"):
            return partial(self._end, run, kind)
        return partial(self._tick, only={run}) if kind == "tick_one" else self._tick

    def _start(self, run: str, parts: list[list[object]], if_exists: IfExists) -> Command:
        later = self.world.now_us + 40 * SECOND if self.chance.random() < 0.1 else None
        ballast = "x" * 300_000 if self.chance.random() < 0.05 else ""
        words_of_it = parts if if_exists != "new" else self._fresh(parts)
        given = {"plan": words_of_it} | ({"ballast": ballast} if ballast else {})
        self._runs.setdefault(run, parts)

        def command(store: Store) -> None:
            wish = StartRequest(self._script, ME, json_input=given, run=run, start_at_us=later, if_exists=if_exists)
            started = start(store, wish, self.world.clock)
            self.invariants.created(run, started.nonce)

        return command

    def _fresh(self, parts: list[list[object]]) -> list[list[object]]:
        """The same plan for another instance, whose steps go by other words."""
        suffix = f"-{self.chance.getrandbits(32):x}"
        text = json.dumps(parts)
        for word in words(parts):
            text = text.replace(f'"{word}"', f'"{word}{suffix}"')
        found: list[list[object]] = json.loads(text)
        return found

    def _tick(self, store: Store, only: set[str] | None = None) -> None:
        report = tick(store, clock=self.world.clock, watch=self, only=only)
        self._judge(report)

    def _judge(self, report: TickReport) -> None:
        for error in report.errors:
            raise error

    def event(self, run: str, event: ev.Event) -> None:
        """As a watcher of the tick."""
        self.invariants.told(run, event)

    def said(self, run: str, level: int, text: str) -> None:
        """As a watcher of the tick."""

    def _signal(self, run: str) -> Command:
        if self._keys and self.chance.random() < 0.3:
            run, key, name, value = self.chance.choice(self._keys)
        else:
            name, value = self.chance.choice("ab"), self.chance.randrange(1000)
            key = f"k{len(self._keys)}" if self.chance.random() < 0.4 else ""
            if key:
                self._keys.append((run, key, name, value))

        def command(store: Store) -> None:
            posted = post.signal(store, run, name, json.dumps(value).encode(), ME, key=key)
            self.invariants.accepted(posted.message, run, key)

        return command

    def _answer(self, run: str, yes: bool, store: Store) -> None:
        self.invariants.accepted(post.answer(store, run, yes, ME, "fine").message, run)

    def _end(self, run: str, how: str, store: Store) -> None:
        end = post.cancel if how == "cancel" else post.terminate
        self.invariants.accepted(end(store, run, ME, "enough").message, run)

    def _decide(self, run: str, act: str, store: Store) -> None:
        posted = stepping.decide(store, run, act, ME, "seen to", result=b'"by hand"')
        self.invariants.accepted(posted.message, run)

    # -- a process and its fate ---------------------------------------------------------------------------------

    def _do(self, what: str, command: Command, *, faulty: bool) -> None:
        disk = SimDisk(self.world)
        fate = self._fate(disk) if faulty else "undisturbed"
        self.counts["simulation: commands"] += 1
        self.counts["simulation: ticks"] += what.startswith("tick")
        if fate != "undisturbed":
            kind = "errno, once or for ever" if fate.startswith("E") else fate.rstrip(" 0123456789")
            self.counts[f"simulation: {kind}"] += 1
        in_step = self.chance.randint(1, 3)
        self._until_step = in_step if fate.endswith("in a step") else 0
        self._then = self._meeting() if fate.startswith("meets") else partial(setattr, disk, "dead", True)
        ended = self._process(command, disk, allowed=fate.startswith("E"))
        self.story.append(f"{what}: {fate}: {ended} after {len(disk.calls)} calls")
        self._crashes = self._crashes + 1 if ended == "killed" else 0
        if self._wrong is not None:
            raise self._wrong
        if fate.startswith("power"):
            self._power()
        if what == "tick" and ended == "done":
            self._sound = True
        elif ended == "killed" or fate != "undisturbed":
            self._sound = False
        self.invariants.check(whole=self._sound)

    def _process(self, command: Command, disk: SimDisk, *, allowed: bool) -> str:
        store = self.world.store(disk)
        try:
            command(store)
            return "done"
        except Crash:
            return "killed"
        except _ANSWERS as error:
            return f"answered {error.message}"
        except (DiskError, NotPermitted) as error:
            if not allowed:
                raise
            return f"failed: {error.message}"
        finally:
            store.index.close()

    def _fate(self, disk: SimDisk) -> str:
        number = self.chance.randint(1, self.chance.choice([6, 20, 20, 60, 150]))
        kind = self.chance.choice(self._fates)
        if kind in ("kill", "power"):
            after = self.chance.random() < 0.5
            disk.crash_at(number, after=after)
            return f"{'kill' if kind == 'kill' else 'power lost'} {'after' if after else 'before'} call {number}"
        if kind == "tear":
            disk.tear_from(number, self.chance)
            return self.chance.choice(["torn write from call", "power lost in a torn write from call"]) + f" {number}"
        if kind == "errno":
            code, forever = self.chance.choice(CODES), self.chance.random() < 0.5
            disk.fail_at(number, code, forever=forever)
            return f"{errno.errorcode[code]} {'from' if forever else 'at'} call {number}"
        if kind == "slow":
            disk.write_at_most(self.chance.choice([1, 7, 100]))
            return "short writes"
        if kind == "step":
            return self.chance.choice(["dies in a step", "meets others in a step"])
        for _ in range(self.chance.randint(1, 3)):
            disk.at(self.chance.randint(1, number), self._meeting())
        return f"meets others until call {number}"

    def _meeting(self) -> Callable[[], None]:
        """Another command, from its begin to its end, while this one stands still."""
        what = self.chance.choice(["tick", "tick", "tick_one", "signal", "signal", "answer", "start_again", "decide"])
        number = self.chance.randint(1, 40) if self.chance.random() < 0.3 else 0

        def meet() -> None:
            self._inside += 1
            disk = SimDisk(self.world)
            if number:
                disk.crash_at(number)
            beside = Beside(partial(self._process, self._command(what), disk, allowed=False))
            self.story.append(f"    meanwhile {what}: {beside.answer()}")
            self._inside -= 1

        return meet

    def _during(self, run: str, key: str, attempt: int) -> None:
        """In the middle of a step."""
        try:
            self.invariants.begins(run, key, attempt)
        except AssertionError as error:
            self._wrong = error  # raised here, it would be the step's own failure
        if self._until_step and not self._inside:
            self._until_step -= 1
            if not self._until_step:
                self._then()

    # -- the machine --------------------------------------------------------------------------------------------

    def _power(self) -> str:
        self.counts["simulation: power cuts"] += 1
        # Of what was not synced nothing is left, or any part of it.
        self.world.power.cut(self.chance if self.chance.random() < 0.6 else None)
        self.world.reboot()
        self.invariants.power_was_cut()
        self._sound = False
        self.invariants.check(whole=False)
        return self.world.boot

    def _jump(self) -> str:
        how = self.chance.choice(["5s", "1m", "2h", "2d", "-1h", "-30d"])
        back = how.startswith("-")
        self._furthest_us = max(self._furthest_us, self.world.now_us)
        self.world.now_us += -micros(how[1:]) if back else micros(how)
        return how

    def _index(self) -> str:
        """The index is deleted, damaged, or an old copy of it comes back."""
        self.counts["simulation: indexes damaged or deleted"] += 1
        index = Path(self.world.layout.index)
        how = self.chance.choice(["deleted", "garbage", "short", "old", "flipped", "a directory"])
        data = index.read_bytes() if index.is_file() else b""
        if how == "old":
            self._kept_index, data = data, self._kept_index
        elif how == "garbage":
            data = self.chance.randbytes(self.chance.choice([0, 100, 5000]))
        elif how == "short":
            data = data[: self.chance.randrange(len(data) + 1)]
        elif how == "flipped" and data:
            at = self.chance.randrange(len(data))
            data = data[:at] + bytes([data[at] ^ 1 << self.chance.randrange(8)]) + data[at + 1 :]
        if index.is_dir():
            index.rmdir()
        if how in ("deleted", "a directory"):
            index.unlink(missing_ok=True)
        if how == "a directory":
            index.mkdir()
        elif how != "deleted":
            # Not in place: who has it open goes on with the old file.
            fresh = index.with_name("fresh")
            fresh.write_bytes(data)
            fresh.chmod(0o600)
            fresh.rename(index)
        return how

    # -- the end ------------------------------------------------------------------------------------------------

    def _come_to_an_end(self) -> None:
        # Somebody has set the clock right: an answer that looks older than its question would not count.
        self.world.now_us = max(self.world.now_us, self._furthest_us)
        for _ in range(300):
            self._do("tick", self._tick, faulty=False)
            self._check_at_rest()
            waiting = self._open_runs()
            if not waiting:
                break
            for run, state in waiting.items():
                self._help(run, state)
            self.world.now_us += 50_000 * SECOND
        else:
            raise AssertionError(f"it does not come to an end: {waiting}")
        self._check_all_done()

    def _help(self, run: str, state: RunState) -> None:
        """What people would do for a run that waits."""
        for wait in state.signal_waits.values():
            value = json.dumps(self.chance.randrange(1000)).encode()
            self._do("signal", partial(self._post_signal, run, wait.opened.name, value), faulty=False)
        for approval in state.approvals.values():
            step = str(approval.requested.command)
            self._do("answer", partial(self._answer_one, run, step), faulty=False)
        for step in state.steps.values():
            if step.asks:
                number = str(step.command)
                self._do("decide", partial(self._retry, run, number), faulty=False)

    def _post_signal(self, run: str, name: str, value: bytes, store: Store) -> None:
        self.invariants.accepted(post.signal(store, run, name, value, ME).message, run)

    def _answer_one(self, run: str, step: str, store: Store) -> None:
        self.invariants.accepted(post.answer(store, run, True, ME, "fine", step=step).message, run)

    def _retry(self, run: str, step: str, store: Store) -> None:
        self.invariants.accepted(stepping.decide(store, run, "retry", ME, "again", step=step).message, run)

    def _check_at_rest(self) -> None:
        """Right after a tick there is nothing to do, nothing in the mailbox, and the index fits the histories."""
        reports: list[TickReport] = []
        now_us = self.world.now_us
        self._do("tick", lambda store: reports.append(tick(store, clock=lambda: now_us, watch=self)), faulty=False)
        (report,) = reports
        assert not report.errors, report.errors
        store = self.world.store(SimDisk(self.world))
        names = store.mailbox.names()
        # Mail for a run whose start lies ahead is kept, and looked at by each tick.
        kept = {store.mailbox.run_of(name) for name in names}
        assert kept <= {run for run, state in self._open_runs().items() if state.starts_later}, f"left: {names}"
        assert report.driven == len(kept), "a second tick found something to do"
        rows = store.index.rows()
        store.index.close()
        assert rows is not None, "the index is not trusted after a tick"
        for row in rows:
            state = load(store, row.run).state
            assert state is not None
            found = (row.status, row.open, row.nonce)
            assert found == (state.status.value, state.ended is None, state.head.nonce), f"{row} {state.status}"
        assert {row.run for row in rows} == {key[0] for key, *_ in self.invariants.histories()}

    def _open_runs(self) -> dict[str, RunState]:
        store = self.world.store(SimDisk(self.world))
        states = {run: load(store, run).state for run in sorted({key[0] for key, *_ in self.invariants.histories()})}
        return {run: state for run, state in states.items() if state is not None and state.ended is None}

    def _check_all_done(self) -> None:
        layout = self.world.layout
        for key, events, _, problem in self.invariants.histories():
            assert problem is None
            first, last = events[0], events[-1]
            if isinstance(last, ev.WorkflowCompleted):
                assert isinstance(first, ev.WorkflowStarted)
                parts = json.loads(bytes(self._input(first)))["plan"]
                wrong = misfits(parts, json.loads(bytes(last.result)), events)
                assert not wrong, f"{key}: {wrong}"
            assert not isinstance(last, ev.WorkflowFailed), f"{key}: {last}"
        # What dead senders have left is tidied away after a day.
        self.world.now_us = 2 * 10**15
        self._do("tick", self._tick, faulty=False)
        for directory in (layout.intents, layout.locks, layout.mail_tmp, layout.mail_new):
            assert os.listdir(directory) == [], f"left behind in {directory}"

    def _input(self, started: ev.WorkflowStarted) -> bytes:
        given = started.input
        blob = as_blob(given)
        return bytes(given) if blob is None else self.world.store(SimDisk(self.world)).blobs.fetch(blob.sha256)


class Beside(threading.Thread):
    """Something done in a second thread, while the first waits for it."""

    def __init__(self, work: Callable[[], str]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._answer = ""
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._answer = self._work()
        except BaseException as error:
            self._error = error

    def answer(self) -> str:
        self.join(60)
        assert not self.is_alive(), "it hangs"
        if self._error is not None:
            raise self._error
        return self._answer
