"""The contract of the store: what the engine counts on, told through the public faces only.

Each test gets a `Place`, made by one of IMPLEMENTATIONS. Another store (in memory, say) is put into that list and must
pass the same tests; nothing in here looks into files, except to say that a process died or the machine lost power.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dwf.core.messages import Message
from dwf.errors import Conflict
from dwf.store import creation
from dwf.store.files import Disk
from dwf.store.index import Index
from dwf.store.layout import Layout
from dwf.store.letters import Letter
from dwf.store.locks import RunLocks
from dwf.store.mailbox import Mailbox
from dwf.store.row import Row
from tests.store.histories import lines
from tests.store.places import new_home


class Locks(Protocol):
    def take(self, run: str) -> Lock | None: ...


class Lock(Protocol):
    def release(self) -> None: ...
    def intact(self) -> bool: ...


class Mail(Protocol):
    def post(self, message: Message) -> str: ...
    def names(self) -> list[str]: ...
    def run_of(self, name: str) -> str | None: ...
    def read(self, name: str) -> Letter | None: ...
    def pending(self, run: str) -> list[Letter]: ...
    def discard(self, names: list[str]) -> None: ...
    def to_late(self, name: str) -> None: ...
    def late(self, run: str) -> list[Letter]: ...
    def fate(self, name: str) -> str: ...


class Rows(Protocol):
    def trusted(self) -> bool: ...
    def rebuild(self) -> bool: ...
    def anything_due(self, now_us: int) -> bool: ...
    def due(self, now_us: int, limit: int) -> list[str] | None: ...
    def next_due_us(self) -> int | None: ...
    def mark_due(self, run: str) -> None: ...
    def wake(self, run: str) -> bool: ...
    def wakes_seen(self, run: str) -> int: ...
    def settle(self, run: str, wakes_seen: int, row: Row) -> bool: ...
    def row(self, run: str) -> Row | None: ...
    def rows(self) -> list[Row] | None: ...


class Place(Protocol):
    """One store, as one process sees it."""

    locks: Locks
    mail: Mail
    index: Rows

    def create(self, row: Row) -> None: ...
    def recover(self) -> None: ...
    def another(self) -> Place:
        """The same store, seen by another process."""

    def reboot(self) -> Place:
        """The same store after the machine was switched off properly."""

    def lose_index(self) -> None: ...


class OnFiles:
    """The store of dwf."""

    def __init__(self, layout: Layout, boot: int = 1) -> None:
        self._layout, self._boot = layout, boot
        self.locks: Locks = RunLocks(Disk(), layout)
        self.mail: Mail = Mailbox(Disk(), layout)
        self._index = Index(Disk(), layout, f"boot-{boot}")
        self.index: Rows = self._index

    def create(self, row: Row) -> None:
        creation.create_run(Disk(), self._layout, self._index, row, b"".join(lines(0, row.run)))

    def recover(self) -> None:
        creation.recover_intents(Disk(), self._layout, self._index)

    def another(self) -> Place:
        return OnFiles(self._layout, self._boot)

    def reboot(self) -> Place:
        return OnFiles(self._layout, self._boot + 1)

    def lose_index(self) -> None:
        Path(self._layout.index).unlink(missing_ok=True)


IMPLEMENTATIONS: dict[str, Callable[[Path], Place]] = {"files": lambda path: OnFiles(new_home(path))}


@pytest.fixture(params=IMPLEMENTATIONS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    place = IMPLEMENTATIONS[request.param](tmp_path)
    assert place.index.rebuild()
    yield place


def signal(run: str = "r1", key: str = "") -> Message:
    return Message(id="", run=run, kind="signal", name="go", key=key, payload=msgspec.Raw(b"[1]"))


def asleep(run: str = "r1", at: int | None = None) -> Row:
    return Row(run, status="waiting", due_at=at)


def drive(place: Place, run: str = "r1", at: int | None = None) -> list[str]:
    """What an engine does with a run that is due: take the lock, look, record, settle, take the mail. What it took."""
    lock = place.locks.take(run)
    if lock is None:
        return []
    place.index.mark_due(run)
    taken: list[str] = []
    while True:
        seen = place.index.wakes_seen(run)
        found = [letter.name for letter in place.mail.pending(run)]
        taken += found
        settled = place.index.settle(run, seen, asleep(run, at))
        place.mail.discard(found)
        if settled and not found:
            break
        place.index.mark_due(run)
    lock.release()
    return taken


# -- creation ---------------------------------------------------------------------------------------------------


def test_what_was_created_is_due_and_known_to_everybody(place: Place) -> None:
    place.create(Row("r1", workflow="deploy"))
    other = place.another()
    assert other.index.due(0, 10) == ["r1"]
    row = other.index.row("r1")
    assert row is not None
    assert row.workflow == "deploy"


def test_an_id_is_given_once(place: Place) -> None:
    place.create(Row("r1"))
    with pytest.raises(Conflict):
        place.another().create(Row("r1"))
    place.create(Row("r2"))


def test_a_run_is_known_after_its_index_was_lost_and_after_a_reboot(place: Place) -> None:
    place.create(Row("r1"))
    drive(place)
    for after in (place, place.reboot()):
        if after is place:
            place.lose_index()
        assert not after.index.trusted()
        assert after.index.anything_due(0)
        assert after.index.rows() is None
        assert after.index.rebuild()
        assert after.index.trusted()
        assert after.index.due(0, 10) == ["r1"]


def test_recovering_when_nothing_died_changes_nothing(place: Place) -> None:
    place.create(Row("r1"))
    drive(place)
    place.recover()
    assert place.index.due(0, 10) == []


# -- locks ------------------------------------------------------------------------------------------------------


def test_a_run_is_worked_on_by_one_at_a_time_and_runs_do_not_hinder_each_other(place: Place) -> None:
    lock = place.locks.take("r1")
    assert lock is not None
    assert lock.intact()
    assert place.locks.take("r1") is None
    assert place.another().locks.take("r1") is None
    other = place.another().locks.take("r2")
    assert other is not None
    lock.release()
    lock.release()
    assert not lock.intact()
    again = place.another().locks.take("r1")
    assert again is not None
    again.release()
    other.release()


# -- mail -------------------------------------------------------------------------------------------------------


def test_a_message_is_there_for_everybody_until_it_is_taken(place: Place) -> None:
    name = place.mail.post(signal(key="k"))
    other = place.another()
    assert other.mail.names() == [name]
    assert other.mail.run_of(name) == "r1"
    (letter,) = other.mail.pending("r1")
    assert (letter.name, letter.message.id, letter.message.key) == (name, name, "k")
    assert bytes(letter.message.payload) == b"[1]"
    assert place.mail.read(name) == letter
    other.mail.discard([name, name])
    assert place.mail.names() == []
    assert place.mail.read(name) is None
    assert place.mail.fate(name) == "taken"


def test_mail_keeps_its_order_and_its_run(place: Place) -> None:
    sent = [place.mail.post(signal(run)) for run in ("a", "b", "a", "a.b", "b")]
    assert [letter.name for letter in place.mail.pending("a")] == [sent[0], sent[2]]
    assert [letter.name for letter in place.mail.pending("b")] == [sent[1], sent[4]]
    assert [letter.name for letter in place.mail.pending("a.b")] == [sent[3]]
    posted = [letter.posted_us for letter in place.mail.pending("a")]
    assert posted == sorted(posted)


def test_mail_survives_a_reboot(place: Place) -> None:
    name = place.mail.post(signal())
    assert place.reboot().mail.names() == [name]


def test_mail_may_come_before_its_run_and_late_mail_is_kept(place: Place) -> None:
    name = place.mail.post(signal())
    assert not place.index.wake("r1")
    place.create(Row("r1"))
    assert drive(place) == [name]
    late = place.mail.post(signal())
    place.mail.to_late(late)
    place.mail.to_late(late)
    assert place.mail.names() == []
    assert [letter.name for letter in place.reboot().mail.late("r1")] == [late]
    assert place.mail.late("r2") == []
    assert place.mail.fate(late) == "late"


# -- index ------------------------------------------------------------------------------------------------------


def test_due_is_what_was_marked_and_what_time_has_come_for(place: Place) -> None:
    for run, at in (("soon", 100), ("later", 200), ("never", None)):
        place.create(Row(run))
        drive(place, run, at)
    assert place.index.due(99, 10) == []
    assert not place.index.anything_due(99)
    assert place.index.next_due_us() == 100
    assert place.index.due(100, 10) == ["soon"]
    assert place.index.due(10**15, 10) == ["soon", "later"]
    assert place.index.due(10**15, 1) == ["soon"]
    assert place.another().index.wake("never")
    assert place.index.due(0, 10) == ["never"]


def test_a_run_that_is_being_worked_on_stays_due_until_it_is_settled(place: Place) -> None:
    place.create(Row("r1"))
    drive(place, at=500)
    place.index.mark_due("r1")
    # its holder dies here
    assert place.another().index.due(0, 10) == ["r1"]


def test_what_comes_between_the_last_look_and_going_to_sleep_is_seen(place: Place) -> None:
    """Fails when a wake is not counted."""
    place.create(Row("r1"))
    place.index.mark_due("r1")
    seen = place.index.wakes_seen("r1")
    assert place.mail.pending("r1") == []
    other = place.another()
    other.mail.post(signal())
    other.index.wake("r1")
    assert not place.index.settle("r1", seen, asleep())
    assert len(drive(place)) == 1


def test_what_was_seen_in_a_lost_index_is_not_settled_in_the_next(place: Place) -> None:
    place.create(Row("r1"))
    place.index.mark_due("r1")
    seen = place.index.wakes_seen("r1")
    place.lose_index()
    assert place.another().index.rebuild()
    assert not place.index.settle("r1", seen, asleep())
    assert place.index.due(0, 10) == ["r1"]
    drive(place)
    assert place.index.due(0, 10) == []


def test_a_row_is_what_was_settled_last(place: Place) -> None:
    place.create(Row("r1"))
    place.index.mark_due("r1")
    row = Row("r1", "n", 1, "deploy", "completed", False, None, "last", "-", 1, 2, 3, "anna")
    assert place.index.settle("r1", place.index.wakes_seen("r1"), row)
    assert place.another().index.row("r1") == row
    assert place.index.rows() == [row]


# -- anything in any order --------------------------------------------------------------------------------------


class Everything(RuleBasedStateMachine):
    """Senders, drivers, deaths, reboots and lost indexes in any order: no message and no run is ever forgotten."""

    implementation: Callable[[Path], Place]
    directory: Path

    def __init__(self) -> None:
        super().__init__()
        self.place = self.implementation(Path(tempfile.mkdtemp(dir=self.directory)))
        self.place.index.rebuild()
        self.created: set[str] = set()
        self.posted: set[str] = set()
        self.taken: list[str] = []
        self.asleep_since: dict[str, int | None] = {}

    runs = st.sampled_from(["a", "b", "a.b"])

    @rule(run=runs)
    def start(self, run: str) -> None:
        try:
            self.place.create(Row(run))
            assert run not in self.created
        except Conflict:
            assert run in self.created
        self.created.add(run)

    @rule(run=runs, rings=st.booleans())
    def post(self, run: str, rings: bool) -> None:
        self.posted.add(self.place.mail.post(signal(run)))
        if rings:
            self.place.index.wake(run)

    @rule(run=runs, at=st.none() | st.integers(1, 100))
    def work(self, run: str, at: int | None) -> None:
        if run in self.created:
            self.taken += drive(self.place, run, at)
            self.asleep_since[run] = at

    @rule(run=runs)
    def die_at_work(self, run: str) -> None:
        if run in self.created:
            self.place.index.mark_due(run)
            self.asleep_since.pop(run, None)

    @rule()
    def other_process(self) -> None:
        self.place = self.place.another()

    @rule()
    def reboot(self) -> None:
        self.place = self.place.reboot()
        self.asleep_since.clear()

    @rule()
    def lose_index(self) -> None:
        self.place.lose_index()
        self.asleep_since.clear()

    @precondition(lambda self: not self.place.index.trusted())
    @rule()
    def rebuild(self) -> None:
        assert self.place.index.rebuild()
        assert self.place.index.trusted()

    @invariant()
    def nothing_is_forgotten(self) -> None:
        waiting = set(self.place.mail.names())
        assert waiting | set(self.taken) == self.posted
        assert len(self.taken) == len(set(self.taken))
        if not self.place.index.trusted():
            return
        due = set(self.place.index.due(0, 100) or [])
        known = {row.run for row in self.place.index.rows() or []}
        assert self.created == known
        assert self.created - set(self.asleep_since) <= due
        times = {run for run, at in self.asleep_since.items() if at is not None}
        assert times <= set(self.place.index.due(100, 100) or [])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_nothing_is_forgotten_whatever_happens_in_which_order(implementation: str, tmp_path: Path) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    machine = type("Machine", (Everything,), {"directory": tmp_path})
    machine.implementation = staticmethod(IMPLEMENTATIONS[implementation])  # type: ignore[attr-defined]
    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=25, deadline=None))
