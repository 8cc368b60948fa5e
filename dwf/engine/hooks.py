"""Hooks: programs of the owner's that are told what becomes of runs, beside the runs and never in their way.

What is to be told is found where a history is written (a `Herald` per run that is driven), noted on disk before the
history is synced, and told by one thread of this process after it is. A hook that fails, hangs or is missing keeps no
run from anything: it is tried again by later ticks, and given up in the end. Each is told at least once, in the order
of the lines of a run, with an id that stays the same.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from dwf.activities.plan import Attempt, Performance
from dwf.activities.waited import Waited
from dwf.core.duration import SECOND
from dwf.core.events import Event, WorkflowStarted
from dwf.core.moments import moment_of, text_of
from dwf.core.outcome import said
from dwf.core.runtime import ActivityCall
from dwf.engine.around import Around, Surrounded, loaded, step_of, why_not_loaded
from dwf.engine.telling import TOO_LONG, Caller, Told
from dwf.errors import DwfError
from dwf.host import start_thread
from dwf.store.history import read_history
from dwf.store.hooks import Hook, Note, Notes, Progress, Unfit, hooks_of, parsed
from dwf.store.room import Store

# After the first, second ... failure; then it is given up.
_PAUSES_US = tuple(minutes * 60 * SECOND for minutes in (1, 5, 25, 120))
_FINISH_SECONDS = 60.0
_STOP_SECONDS = 5.0
# Notes that a process holds at a time, each an open file. What is beyond that is told when those are.
_MOST_HELD = 200


@dataclass(frozen=True)
class Standing:
    """What there is. owed: by hook, how many runs it is still to be told of, what failed last, and when it is tried
    again (microseconds). lost: what was given up: hook, run, line, why.
    """

    hooks: list[Hook]
    unfit: list[Unfit]
    owed: dict[str, tuple[int, str, int]]
    lost: list[tuple[str, str, int, str]]


def standing(store: Store) -> Standing:
    """How it stands with the hooks of a directory; changes nothing. Raises DiskError, NotPermitted."""
    hooks, unfit = hooks_of(store.layout)
    notes = Notes(store.disk, store.layout)
    owed: dict[str, tuple[int, str, int]] = {}
    for progress in notes.waiting():
        for name, p in progress.items():
            if p.not_before:
                count, _, _ = owed.get(name, (0, "", 0))
                owed[name] = (count + 1, p.why, p.not_before)
    lost = []
    for note, progress in notes.given_up().items():
        run = (parsed(note) or ("", 1, 0))[0]
        lost += [(name, run, int(line), why) for name, p in progress.items() for line, why in p.given_up.items()]
    return Standing(hooks, unfit, owed, lost)


@dataclass(frozen=True, slots=True)
class _Task:
    """What a note is about. `over`: nothing will be added to it here."""

    note: Note
    head: WorkflowStarted | None = None
    events: Sequence[Event] = ()
    over: bool = False


class Hooks:
    """The hooks of one state directory, and the thread that tells them."""

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store, self._clock = store, clock
        self.notes = Notes(store.disk, store.layout)
        self._hooks: list[Hook] = []
        self._around: list[tuple[str, Around]] = []
        self._moments: frozenset[str] = frozenset()
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._waiting: set[str] = set()
        self._failing: set[str] = set()
        self._hanging: dict[str, int] = {}
        self._changed = threading.Condition()
        self._open = 0
        self.left = False
        self._stopping = threading.Event()
        self.caller = Caller(store.layout.home)
        self.remarks: list[str] = []
        if not store.is_operator:
            self.look()

    def look(self) -> None:
        """See which hooks there are now. What is wrong with one is the doctor's matter."""
        try:
            found, _ = hooks_of(self._store.layout)
        except DwfError as error:
            self.remarks.append(f"hooks are not called: {error.message}")
            found = []
        self._hooks = [hook for hook in found if not hook.is_around]
        self._around = self._loaded([hook for hook in found if hook.is_around])
        self._moments = frozenset[str]().union(*(hook.moments for hook in self._hooks))

    def _loaded(self, hooks: list[Hook]) -> list[tuple[str, Around]]:
        found = []
        for hook in hooks:
            try:
                found.append((hook.name, loaded(hook)))
            except Exception as error:
                self._remark(hook.name, f"hook {hook.name} is not used: {why_not_loaded(error)}")
        return found

    def around(self, performance: Performance, call: ActivityCall, attempt: Attempt) -> Performance:
        """The same attempt with what goes around it, if anything does."""
        if not self._around or isinstance(performance, Waited):
            return performance
        return Surrounded(performance, self._around, step_of(call, attempt), self._remark)

    def herald(self, run: str, link: int, events: Sequence[Event]) -> Herald | None:
        """Who looks at what is recorded of a run, of which these are on disk; None if nobody wants to know."""
        return Herald(self, run, link, events) if self._moments else None

    def wants(self, event: Event) -> bool:
        """Whether a hook is to be told of it."""
        return moment_of(event) in self._moments

    def take_up(self) -> None:
        """Let be told what killed processes have left, and what has failed and may be tried again now."""
        self.left = False
        if not os.path.lexists(self._store.layout.untold):
            return
        self.look()
        for name in self.notes.left_behind():
            if self.is_full:
                self.left = True
                return
            note = None if name in self._waiting else self.notes.take(name)
            if note is None:
                continue
            try:
                events = read_history(self._store.history(note.run, note.link)).events
            except DwfError:
                events = []  # what was noted has never reached the disk, or nobody can read it
            head = events[0] if events and isinstance(events[0], WorkflowStarted) else None
            wanted = [event for event in events if event.id >= note.line and self.wants(event)]
            self.put(_Task(note, head, wanted, over=True))

    @property
    def is_full(self) -> bool:
        """Whether so much is to be told that no more notes should be held."""
        return len(self._waiting) >= _MOST_HELD

    def put(self, task: _Task) -> None:
        """Let the thread do it."""
        with self._changed:
            self._waiting.add(task.note.name)
            self._open += 1
            self._tasks.put(task)
            if self._thread is None:
                self._thread = start_thread("dwf-hooks", self._work)

    def finish(self, *, stop: bool) -> None:
        """Wait until all is told, for a bounded time. stop: this process is to end soon."""
        until = time.monotonic() + (_STOP_SECONDS if stop else _FINISH_SECONDS)
        while self._told_by(until) and self.left and not stop:
            self.take_up()

    def _told_by(self, until: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, max(until - time.monotonic(), 0))

    def take_remarks(self) -> list[str]:
        """What people should know, once."""
        told, self.remarks = self.remarks, []
        return told

    def close(self) -> None:
        """End the thread, and what it waits for; what was not told is left to the next tick."""
        self._stopping.set()
        self.caller.stop()
        if self._thread is not None:
            self._tasks.put(None)
            self._thread.join(timeout=1)

    # -- the thread ---------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                self._do(task)
            except Exception as error:
                task.note.broken = True
                self._remark(task.note.run, f"hooks could not be told of {task.note.run}: {said(error)}")
            with self._changed:
                self._open -= 1
                self._changed.notify_all()

    def _do(self, task: _Task) -> None:
        note = task.note
        if task.head is not None:
            for hook in self._hooks:
                self._tell_all(hook, note, task.head, task.events)
        if not task.over:
            return
        self._waiting.discard(note.name)
        progress = [note.progress[hook.name] for hook in self._hooks if hook.name in note.progress]
        if self._stopping.is_set() or note.broken or any(p.not_before for p in progress):
            note.leave()
        elif any(p.given_up for p in progress):
            note.give_up()
            self.notes.bound()
        else:
            note.drop()

    def _tell_all(self, hook: Hook, note: Note, head: WorkflowStarted, events: Sequence[Event]) -> None:
        """In order, as far as it goes: who did not hear the first is not told the second."""
        progress = note.progress.setdefault(hook.name, Progress())
        wanted = [event for event in events if event.id > progress.told and moment_of(event) in hook.moments]
        if wanted and self._hanging.get(hook.name, 0) > self._clock():
            # Half a minute of one that hangs is enough: all others would wait for it, run after run.
            progress.not_before = max(progress.not_before, self._hanging[hook.name])
            progress.why = progress.why or "it took too long a moment ago"
            note.save()
            return
        for event in wanted:
            if self._stopping.is_set() or progress.not_before > self._clock():
                return
            why = self._call(hook, note, head, event)
            if self._stopping.is_set() and why:
                return
            if why.startswith(TOO_LONG):
                self._hanging[hook.name] = self._clock() + _PAUSES_US[0]
            self._note(hook, note, progress, event, why)
            note.save()

    def _note(self, hook: Hook, note: Note, progress: Progress, event: Event, why: str) -> None:
        if not why:
            progress.came_to(event.id)
            return
        about = f"hook {hook.name} failed ({note.run}, line {event.id}, {moment_of(event)}): {why}"
        if progress.tries < len(_PAUSES_US):
            pause = _PAUSES_US[progress.tries]
            progress.tries, progress.why = progress.tries + 1, why
            progress.not_before = self._clock() + pause
            self._remark(hook.name, f"{about}; it is tried again in {pause // SECOND // 60} min")
            return
        progress.given_up[str(event.id)] = why
        progress.came_to(event.id)
        self._remark("", f"{about}; given up: dwf hooks")

    def _remark(self, once: str, line: str) -> None:
        """A line for people; of a hook that fails again and again the first is enough for one process."""
        if once and once in self._failing:
            return
        self._failing.add(once)
        self.remarks.append(line)

    def _call(self, hook: Hook, note: Note, head: WorkflowStarted, event: Event) -> str:
        """Tell one hook of one moment; why it did not work, "" if it did."""
        told = Told(
            what=moment_of(event),
            id=f"{note.run}:{head.nonce}:{event.id}",
            run=note.run,
            link=note.link,
            workflow=head.workflow,
            time=event.ts,
            text=text_of(event),
            next=f"dwf show {note.run}",
            event=event,
        )
        return self.caller.call(hook, told)


class Herald:
    """Looks at what is recorded of one run while it is driven. `events`: of the history, as it was found."""

    def __init__(self, hooks: Hooks, run: str, link: int, events: Sequence[Event]) -> None:
        self._hooks, self._run, self._link = hooks, run, link
        head = events[0]
        assert isinstance(head, WorkflowStarted)
        self._head = head
        # It was made by somebody who tells nobody: the first who drives it does.
        self._first = [head] if len(events) == 1 and hooks.wants(head) else []
        self._next: list[Event] = []
        self._note: Note | None = None
        self._given = self._kept_back = False

    def before(self, staged: Iterable[Event]) -> None:
        """These will be written: note it, if somebody is to be told. Raises DiskError, NotPermitted."""
        self._next = [event for event in staged if self._hooks.wants(event)]
        if self._first:
            self._next[:0] = self._first
        if self._next and self._note is None:
            self._note = self._hooks.notes.make(self._run, self._link, self._next[0].id)

    def after(self) -> None:
        """They are on disk."""
        if self._note is None or not self._next:
            return
        if self._kept_back or self._hooks.is_full:
            self._kept_back = True  # and all that follows, for it is told in order
        else:
            self._given = True
            self._hooks.put(_Task(self._note, self._head, self._next))
        self._first, self._next = [], []

    def over(self) -> None:
        """The run is left."""
        note, self._note = self._note, None
        if note is None:
            return
        if self._kept_back:
            note.broken = self._hooks.left = True
        if self._kept_back and not self._given:
            note.leave()
        else:
            self._hooks.put(_Task(note, over=True))
        self._given = self._kept_back = False
