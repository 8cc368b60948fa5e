"""What must hold whatever has gone wrong, as checks over a world of the simulation."""

# ruff: noqa: PTH110, PTH208

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from dwf.core import events as ev
from dwf.store.layout import run_of
from dwf.store.verify import examine
from tests.faults.plans import word_of
from tests.faults.world import World

Key = tuple[str, int]
_ONCE_PER_COMMAND = (ev.TimerFired, ev.ApprovalResolved)
_ENDS_OF_STEPS = (ev.ActivityCompleted, ev.ActivityFailed, ev.ActivityTimedOut, ev.ActivityCancelled)
_AFTER_THE_END = (ev.HistoryRepaired,)


@dataclass
class Known:
    """What somebody was told, and so what no crash may take back."""

    events: dict[Key, dict[int, ev.Event]] = field(default_factory=dict)
    """instance -> number -> event that a watcher was shown"""
    started: dict[Key, str] = field(default_factory=dict)
    """instance -> nonce"""
    messages: dict[str, tuple[str, str]] = field(default_factory=dict)
    """message -> run it was accepted for, and its key if it has one"""
    recorded: dict[str, int] = field(default_factory=dict)
    """word of a step whose completion is recorded -> how often it had begun by then"""
    seen: dict[str, int] = field(default_factory=dict)
    """the same, not told to anybody: it counts as long as no power cut takes the record away"""
    solid: dict[Key, bytes] = field(default_factory=dict)
    """instance -> its history as far as it was told"""


class Invariants:
    """Asked after every command of a simulation."""

    def __init__(self, world: World) -> None:
        self.world, self.known = world, Known()

    # -- what is promised at once -------------------------------------------------------------------------------

    def told(self, run: str, event: ev.Event) -> None:
        """A watcher is shown an event: it is on disk."""
        key = run, self._latest(run)
        assert self._holds(key, event), f"{type(event).__name__} {event.id} of {run} was told and is not on disk"
        self.known.events.setdefault(key, {})[event.id] = event

    def accepted(self, message: str, run: str, key: str = "") -> None:
        """Somebody was told that a message is accepted: it cannot be lost from here on."""
        self.known.messages[message] = run, key
        if self._boxed(message):
            return
        events = [e for link in range(1, self._latest(run) + 1) for e in self._durable_events((run, link))]
        found = [event for event in events if message_of(event) == message]
        assert found, f"{message} was accepted and is not on disk"

    def created(self, run: str, nonce: str) -> None:
        """Somebody was told that a run is there."""
        key = run, self._latest(run)
        self.known.started[key] = nonce
        events = self._durable_events(key)
        assert events and nonce_of(events) == nonce, f"{key} was acknowledged and is not on disk"

    def begins(self, run: str, idempotency_key: str, attempt: int) -> None:
        """A step acts: that it was started is on disk."""
        command = int(idempotency_key.rpartition(":")[2])
        started = [
            event
            for event in self._durable_events((run, self._latest(run)))
            if isinstance(event, ev.ActivityStarted) and (event.command, event.attempt) == (command, attempt)
        ]
        assert started, f"attempt {attempt} of {idempotency_key} acts, and its start is not on disk"

    def _boxed(self, message: str) -> bool:
        """Whether it lies on disk outside of any history."""
        layout = self.world.layout
        boxes = (layout.mail_new, layout.mail_late, layout.mail_bad)
        return any(self.world.power.durable(f"{box}/{message}") for box in boxes)

    def _kept(self, key: Key, events: list[ev.Event], data: bytes) -> list[ev.Event]:
        """The events of a history that no power cut could take."""
        return (
            events
            if self.world.power.durable(self.world.layout.history_path(*key)) == data
            else self._durable_events(key)
        )

    def _holds(self, key: Key, event: ev.Event) -> bool:
        events = self._durable_events(key)
        return len(events) >= event.id and events[event.id - 1] == event

    def _durable_events(self, key: Key) -> list[ev.Event]:
        path = self.world.layout.history_path(*key)
        return examine(self.world.power.durable(path) or b"", path).events

    def _latest(self, run: str) -> int:
        link = 1
        while os.path.exists(self.world.layout.history_path(run, link + 1)):
            link += 1
        return link

    # -- what holds at any moment -------------------------------------------------------------------------------

    def histories(self) -> Iterator[tuple[Key, list[ev.Event], bytes, object]]:
        for name in sorted(os.listdir(self.world.layout.runs)):
            key = run_of(name)
            if key is not None:
                path = f"{self.world.layout.runs}/{name}"
                data = Path(path).read_bytes()
                found = examine(data, path)
                yield key, found.events, data[: found.size], found.finding or (found.tail or None)

    def check(self, *, whole: bool) -> None:
        """After a command. `whole`: nothing has gone wrong since the last tick, so histories have no torn tails."""
        there = set()
        counted: Counter[str] = Counter()
        keys: set[tuple[str, str]] = set()
        surely: set[str] = set()
        for key, events, data, problem in self.histories():
            there.add(key)
            kept = self._kept(key, events, data)
            assert key not in self.known.started or kept, f"{key} was acknowledged and a power cut could take it"
            surely.update(filter(None, map(message_of, kept)))
            assert not (whole and problem), f"{key}: {problem}"
            self._check_told(key, events, data)
            check_events(key, events)
            counted.update(filter(None, map(message_of, events)))
            self._check_steps(key, events)
            keys.update((key[0], e.key) for e in events if isinstance(e, ev.SignalReceived) and e.key)
        assert set(self.known.started) <= there, f"lost: {set(self.known.started) - there}"
        assert max(counted.values(), default=1) == 1, f"counted twice: {counted.most_common(3)}"
        self._check_messages(counted, keys)
        for message, (run, key) in self.known.messages.items():
            boxed = self._boxed(message)
            assert message in surely or boxed or (run, key) in keys, (
                f"a power cut could take {message}, accepted for {run}"
            )

    def _check_told(self, key: Key, events: list[ev.Event], data: bytes) -> None:
        nonce = self.known.started.get(key)
        assert nonce is None or nonce_of(events) == nonce, f"{key} is another run now"
        told = self.known.events.get(key, {})
        for number, event in told.items():
            assert number <= len(events), f"{key}: line {number} is gone: {event}"
            assert events[number - 1] == event, f"{key}: line {number} has changed: {event}, {events[number - 1]}"
        solid = self.known.solid.get(key, b"")
        assert data.startswith(solid), f"{key}: what was told is no prefix of what is there"
        last = max(told, default=0)
        self.known.solid[key] = b"".join(line + b"\n" for line in data.split(b"\n")[:last])

    def _check_steps(self, key: Key, events: list[ev.Event]) -> None:
        word = {e.command: word_of(e) for e in events if isinstance(e, ev.ActivityScheduled)}
        told = self.known.events.get(key, {})
        begun = self.world.outside.begun
        for event in events:
            if not isinstance(event, ev.ActivityCompleted) or event.decided is not None:
                continue
            what = word[event.command]
            assert self.world.outside.done[what] >= 1, f"{what} is recorded as done, and was not"
            memory = self.known.recorded if event.id in told else self.known.seen
            before = memory.setdefault(what, begun[what])
            assert begun[what] == before, f"{what} was recorded, and ran again"
        started = Counter(word[e.command] for e in events if isinstance(e, ev.ActivityStarted))
        for what in word.values():
            assert begun[what] <= started[what], f"{what} began {begun[what]} times, recorded are {started[what]}"
            keys = self.world.outside.keys.get(what, set())
            assert len(keys) <= 1, f"{what} was known by several keys: {keys}"

    def _check_messages(self, counted: Counter[str], keys: set[tuple[str, str]]) -> None:
        layout = self.world.layout
        for message, (run, key) in self.known.messages.items():
            if counted[message] or (run, key) in keys:
                continue
            boxes = [box for box in (layout.mail_new, layout.mail_late) if os.path.lexists(f"{box}/{message}")]
            refused = any(name.startswith(message) for name in os.listdir(layout.mail_bad))
            assert boxes or refused, f"{message}, accepted for {run}, is gone"

    def power_was_cut(self) -> None:
        """What nobody was told may be gone."""
        self.known.seen.clear()


def check_events(key: Key, events: list[ev.Event]) -> None:
    """What holds of every history by itself."""
    assert [event.id for event in events] == list(range(1, len(events) + 1)), key
    assert all(one.ts <= two.ts for one, two in pairwise(events)), f"{key}: time went back"
    ends = [n for n, event in enumerate(events) if isinstance(event, ev.TERMINAL)]
    assert not ends or all(isinstance(e, _AFTER_THE_END) for e in events[ends[0] + 1 :]), (
        f"{key} went on: {events[-3:]}"
    )
    assert not any(isinstance(event, ev.RunBlocked) for event in events), f"{key} was blocked: {events[-1]}"
    once = Counter((type(e), e.command) for e in events if isinstance(e, _ONCE_PER_COMMAND))
    once.update(("end", e.command) for e in events if isinstance(e, _ENDS_OF_STEPS))  # type: ignore[misc]
    assert max(once.values(), default=1) == 1, f"{key}: twice: {once.most_common(3)}"
    fire_at = {e.command: e.fire_at for e in events if isinstance(e, ev.TimerStarted)}
    for event in events:
        if isinstance(event, ev.TimerFired):
            assert event.ts >= fire_at[event.command], f"{key}: a timer fired early: {event}"
    _check_unsafe_steps(key, events)


def _check_unsafe_steps(key: Key, events: list[ev.Event]) -> None:
    """A step that may not be repeated unasked: no attempt after one whose end nobody saw, but by a person's word."""
    for scheduled in events:
        if not isinstance(scheduled, ev.ActivityScheduled) or scheduled.on_crash != "ask":
            continue
        mine: list[Any] = [e for e in events if getattr(e, "command", 0) == scheduled.command]
        for one, two in pairwise(mine):
            unseen = isinstance(one, ev.ActivityStarted | ev.ActivityUnknown)
            assert not (unseen and isinstance(two, ev.ActivityStarted)), f"{key}: {one} and then {two}"


def message_of(event: ev.Event) -> str:
    decided = getattr(event, "decided", None)
    found = decided.message if decided is not None else getattr(event, "message", "")
    return found if isinstance(found, str) and not isinstance(event, ev.RunBlocked) else ""


def nonce_of(events: list[ev.Event]) -> str:
    return events[0].nonce if events and isinstance(events[0], ev.WorkflowStarted) else ""
