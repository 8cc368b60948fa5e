"""Rules of dwf that can be taken out, one at a time, to see whether anybody notices."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dwf.engine.drive
import dwf.engine.incoming
import dwf.engine.tick
from dwf.engine import arrivals
from dwf.engine.context import Engine
from dwf.engine.drive import _Drive
from dwf.engine.ending import Driven, Rest, missing
from dwf.engine.incoming import Incoming
from dwf.engine.lanes import Ended, played
from dwf.engine.steps import Steps
from dwf.store import indexfile
from dwf.store.history import History
from dwf.store.mailbox import Mailbox
from dwf.store.verify import Examined


@contextmanager
def instead(owner: Any, name: str, stand_in: object) -> Iterator[None]:
    """Until the block ends, the other thing stands there."""
    before = getattr(owner, name)
    setattr(owner, name, stand_in)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def torn_tails_stay() -> Iterator[None]:
    """A writer appends behind a torn tail."""
    believe = History._believe

    def believing(self: History, found: Examined, now_us: int) -> None:
        self.size = os.fstat(self._fd).st_size
        believe(self, replace(found, tail=b""), now_us)

    with instead(History, "_believe", believing):
        yield


@contextmanager
def messages_count_each_time() -> Iterator[None]:
    """A message is taken up although the history has it."""
    known = arrivals.from_letter

    def from_letter(letter: Any) -> arrivals.Arrival:
        make = arrivals._MAKE.get(letter.message.kind, arrivals._nothing)
        return replace(known(letter), make=lambda state: make(letter, state))

    with instead(dwf.engine.incoming, "from_letter", from_letter):
        yield


@contextmanager
def steps_act_before_it_is_recorded() -> Iterator[None]:
    """A step begins before it is on disk that it does."""
    plan = Steps.plan

    def planning(self: Steps) -> bool:
        planned = plan(self)
        self.launch()
        return planned

    def play_alone(self: _Drive, command: int) -> None:
        performance = self.steps.begin_lone(self.journal.state.steps[command])
        self.steps.reports.put(Ended(command, played(performance)))
        self._commit()

    with instead(Steps, "plan", planning), instead(_Drive, "_play_alone", play_alone):
        yield


def work_without_a_due_mark() -> Any:
    """A run is worked on while the index says that it rests."""

    def drive(engine: Engine, run: str) -> Driven:
        lock = engine.store.locks.take(run)
        if lock is None:
            return Driven(Rest.BUSY)
        with lock:
            link = engine.store.latest_link(run)
            if not Path(engine.store.layout.history_path(run, link)).exists():
                return missing(engine.store, run)
            return _Drive(engine, run, link, lock).to_rest()

    return instead(dwf.engine.tick, "drive", drive)


@contextmanager
def letters_go_first() -> Iterator[None]:
    """A message leaves the mailbox as soon as it is taken up, before the history that holds it is on disk."""
    taking = Incoming._taking

    def hasty(self: Incoming, letter: Any, make: Any) -> Any:
        take = taking(self, letter, make)

        def taken(state: Any) -> Any:
            self._mailbox.discard([letter.name])
            return take(state)

        return taken

    with instead(Incoming, "_taking", hasty):
        yield


def no_last_look() -> Any:
    """That a run waits is written although it was woken since the last look."""
    statement = indexfile.SETTLE.replace("wake = ?", "? IS NOT NULL")
    assert statement != indexfile.SETTLE
    return instead(indexfile, "SETTLE", statement)


def late_letters_vanish() -> Any:
    """What came after the end is removed."""
    return instead(Mailbox, "to_late", lambda self, name: self.discard([name]))


RULES: dict[str, Callable[[], Any]] = {
    "a torn tail is cut off before anything is appended": torn_tails_stay,
    "a message that the history has is not taken up again": messages_count_each_time,
    "that a step begins is on disk before it acts": steps_act_before_it_is_recorded,
    "a message stays in the mailbox until the history has it": letters_go_first,
    "who was woken meanwhile looks again": no_last_look,
    "what came after the end is kept": late_letters_vanish,
    "a run is marked as due before it is worked on": work_without_a_due_mark,
}
