"""A run that moves to another state directory: it goes on in one place, where it was, and its chain is whole."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine import moving
from dwf.errors import BundleRefused, Busy, CannotCreate, Conflict, DiskError, DwfError, NotAtRest, NotFound, WrongState
from dwf.store.history import verify_history
from tests.engine.house import ME, House
from tests.faults import Crash, FaultyDisk

STORY = """
    @dwf.activity
    def act(name: str) -> str:
        note(name, dwf.activity_info().idempotency_key())
        return name

    @dwf.workflow
    async def story(text: str = ""):
        await act("first")
        answer = await dwf.approve("On?")
        await act("second")
        n = await dwf.wait_signal("go")
        return [answer.comment, n, len(text)]
"""


@pytest.fixture
def here(tmp_path: Path) -> House:
    return placed(tmp_path, "here")


@pytest.fixture
def there(tmp_path: Path) -> House:
    return placed(tmp_path, "there")


def placed(tmp_path: Path, name: str) -> House:
    (tmp_path / name).mkdir()
    return House(tmp_path / name)


def bundle(house: House, name: str = "r1.dwf") -> str:
    return str(house.path.parent / name)


def move(house: House, run: str = "r1", name: str = "r1.dwf") -> moving.Exported:
    return moving.move(house.store, run, bundle(house, name), ME, "web1 retires", house.clock)


def copy(house: House, run: str = "r1", name: str = "r1.dwf") -> moving.Exported:
    return moving.copy(house.store, run, bundle(house, name), None, ME)


def take(house: House, *, resume: bool = False, name: str = "r1.dwf") -> moving.Imported:
    return moving.take_in(house.store, moving.examined(bundle(house, name)), ME, "", resume=resume, clock=house.clock)


def files(house: House) -> set[str]:
    """What a bundle could leave behind."""
    layout = house.store.layout
    where = [Path(path) for path in (layout.runs, layout.out, layout.blobs, layout.code, layout.locks)]
    return {str(path) for root in where for path in root.rglob("*")}


# -- moving -----------------------------------------------------------------------------------------------------


def test_a_moved_run_goes_on_where_it_was_with_the_same_idempotency_keys(here: House, there: House) -> None:
    large = "x" * 300_000
    here.go(STORY, json_input={"text": large})

    moved = move(here)
    taken = take(there, resume=True)

    assert taken.head == moved.head and taken.resumed
    assert there.status() is Status.WAITING
    there.answer(comment="fine")
    there.tick()
    there.signal("go", 7)
    there.tick()
    assert there.result() == ["fine", 7, 300_000]
    assert here.notes() == ["first r1:1", "second r1:3"]
    assert there.kinds().count("RunMoved") == there.kinds().count("RunAdopted") == 1
    there.check()
    here.check()


def test_the_run_is_closed_where_it_was(here: House, there: House) -> None:
    """Fails when a run that was moved away is open where it was."""
    here.go(STORY)
    move(here)

    assert here.status() is Status.MOVED
    row = here.store.index.row("r1")
    assert row is not None and not row.open and row.due_at is None and row.status == "moved"
    assert here.tick().driven == 0
    for act in (here.answer, here.cancel, here.terminate, lambda: here.signal("go", 1)):
        with pytest.raises(WrongState) as caught:
            act()
        assert bundle(here) in (caught.value.hint or "")
    assert here.events()[-1].__class__ is ev.RunMoved


def test_what_is_posted_in_the_moment_of_the_move_is_kept_as_late(here: House) -> None:
    here.go(STORY)
    post = here.store.mailbox.post
    from dwf.core.messages import SIGNAL, Message

    move(here)
    post(Message(id="", run="r1", kind=SIGNAL, name="go", by=ME))
    here.store.index.wake("r1")
    here.tick()

    assert here.late() == ["go"] and here.mail() == []


@pytest.mark.parametrize("times", [1, 3])
def test_a_run_can_be_moved_on_and_its_chain_is_unbroken(tmp_path: Path, times: int) -> None:
    houses = [placed(tmp_path, f"h{n}") for n in range(times + 1)]
    houses[0].go(STORY)
    for n in range(times):
        move(houses[n], name=f"{n}.dwf")
        take(houses[n + 1], resume=True, name=f"{n}.dwf")
        houses[n + 1].tick()
    last = houses[-1]
    last.answer()
    last.tick()
    last.signal("go")
    last.tick()

    assert last.status() is Status.COMPLETED
    assert verify_history(last.store.layout.history_path("r1")) == []
    assert houses[0].counted().total() == 2


def test_a_timer_and_what_it_has_not_taken_yet_move_with_it(here: House, there: House) -> None:
    here.go(
        """
        @dwf.workflow
        async def story():
            await dwf.sleep("1h")
            return [await dwf.wait_signal("go") for _ in range(2)]
        """
    )
    here.signal("go", 1)
    here.signal("go", 2)
    here.tick()
    move(here)
    take(there, resume=True)

    there.clock.advance("2h")
    there.tick()

    assert there.result() == [1, 2]


def test_a_run_that_has_not_begun_and_one_that_is_blocked_can_be_moved(here: House, there: House) -> None:
    here.start(here.script(STORY), "new")
    here.go("@dwf.workflow\nasync def story():\n    {}['host']\n", "stuck")
    for run in ("new", "stuck"):
        move(here, run, f"{run}.dwf")
        take(there, resume=True, name=f"{run}.dwf")

    assert there.status("stuck") is Status.BLOCKED
    there.tick()
    assert there.status("new") is Status.WAITING


def test_all_instances_go_and_what_they_printed(here: House, there: House) -> None:
    script = here.script('@dwf.workflow\nasync def story(n: int):\n    print("instance", n)\n    return n\n')
    for n in (1, 2):
        here.start(script, json_input={"n": n}, if_exists="new")
        here.tick()
    here.start(script, json_input={"n": 3}, if_exists="new", start_at_us=here.clock() + 10**12)

    assert move(here).instances == 3
    assert take(there, resume=True).instances == 3

    assert there.store.latest_link("r1") == 3 and there.view().link == 3
    assert "instance 1" in there.log() and "instance 2" in there.log(link=2)
    there.check()


# -- refused ----------------------------------------------------------------------------------------------------


def test_a_run_with_a_step_under_way_is_not_moved(here: House, there: House) -> None:
    from dwf.store.history import History

    here.go(STORY)
    with History.open(here.store.disk, here.store.layout.history_path("r1")) as history:
        history.stage(ev.ActivityScheduled(command=9, name="act", kind="function"), here.clock())
        history.stage(ev.ActivityStarted(command=9, attempt=1, pid=1), here.clock())
        history.commit()

    with pytest.raises(NotAtRest) as caught:
        move(here)

    assert caught.value.exit_code == 75 and "act has begun" in caught.value.message
    assert here.kinds()[-1] == "ActivityStarted" and not Path(bundle(here)).exists()


def test_a_run_is_not_moved_away_from_its_mail_nor_from_under_its_driver(here: House) -> None:
    here.go(STORY)
    with here.store.locks.take("r1"), pytest.raises(Busy):  # type: ignore[union-attr]
        move(here)
    here.signal("go")
    with pytest.raises(NotAtRest):
        move(here)
    here.tick()

    assert move(here).moved


def test_a_run_that_has_ended_is_copied_and_not_moved(here: House, there: House) -> None:
    here.go("@dwf.workflow\nasync def story():\n    return 7\n")
    with pytest.raises(WrongState):
        move(here)
    copy(here)
    with pytest.raises(WrongState):
        take(there, resume=True)

    take(there)

    assert there.status() is Status.COMPLETED and there.result() == 7
    assert there.state().moved is not None


def test_what_was_copied_and_not_moved_is_not_taken_up(here: House, there: House) -> None:
    here.go(STORY)
    copy(here)
    with pytest.raises(WrongState) as caught:
        take(there, resume=True)
    assert "export r1 FILE --move" in (caught.value.hint or "")
    assert files(there) == files(placed(here.path, "empty")) or not [f for f in files(there) if "r1" in f]

    take(there)

    assert there.status() is Status.IMPORTED
    there.tick()
    assert there.status() is Status.IMPORTED and there.store.index.anything_due(there.clock()) is False
    for act in (there.answer, there.cancel, lambda: there.signal("go")):
        with pytest.raises(WrongState):
            act()
    with pytest.raises(WrongState):
        move(there, name="again.dwf")
    assert here.status() is Status.WAITING


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_the_same_bundle_twice_is_a_conflict(here: House, there: House, first: bool, second: bool) -> None:
    here.go(STORY)
    move(here)
    take(there, resume=first)
    before = Path(there.store.layout.history_path("r1")).read_bytes()

    with pytest.raises(Conflict):
        take(there, resume=second)

    assert Path(there.store.layout.history_path("r1")).read_bytes() == before


def test_two_machines_that_took_up_one_bundle_say_so(
    tmp_path: Path, here: House, there: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be prevented; but each history names its machine."""
    here.go(STORY)
    move(here)
    take(there, resume=True)
    other = placed(tmp_path, "other")
    monkeypatch.setattr("dwf.host.machine_id", lambda: "another")
    take(other, resume=True)

    marks = {house.the(ev.RunAdopted).machine for house in (there, other)}
    assert len(marks) == 2 and all(len(mark) == 16 for mark in marks)


def test_a_moved_or_imported_run_keeps_its_id(here: House, there: House) -> None:
    here.go(STORY)
    move(here)
    take(there)
    for house in (here, there):
        with pytest.raises(Conflict):
            house.start(here.script(STORY), if_exists="new")


def test_what_is_lost_or_there_already_is_told_before_the_run_is_marked(here: House) -> None:
    here.go(STORY, json_input={"text": "x" * 300_000})
    Path(bundle(here, "taken")).touch()
    with pytest.raises(Conflict):
        move(here, name="taken")
    with pytest.raises(CannotCreate):
        move(here, name="nowhere/r1.dwf")
    with pytest.raises(NotFound):
        move(here, "nobody")
    (blob,) = Path(here.store.layout.blobs).iterdir()
    blob.chmod(0o600)
    blob.write_bytes(b"rotten")
    with pytest.raises(DwfError):
        move(here)

    assert here.status() is Status.WAITING
    assert {path.name for path in here.path.parent.iterdir()} == {"here", "taken"}


def test_a_bundle_is_the_same_each_time_but_for_who_and_when(here: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "wall_clock_us", lambda: 1_790_000_000_000_000)
    here.go(STORY)
    for name in ("a", "b"):
        copy(here, name=name)

    assert Path(bundle(here, "a")).read_bytes() == Path(bundle(here, "b")).read_bytes()
    assert Path(bundle(here, "a")).stat().st_mode & 0o777 == 0o600


# -- killed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True])
def test_a_move_killed_at_any_call_can_be_typed_again(tmp_path: Path, after: bool) -> None:
    number, done, fates = 0, False, set()
    while not done:
        number += 1
        here = placed(tmp_path, f"{number}")
        here.go(STORY)
        here.store.index.close()
        disk = FaultyDisk()
        disk.crash_at(number, after=after)
        here.reopen(disk)
        try:
            move(here, name=f"{number}.dwf")
            done = True
        except Crash:
            pass
        here.store.index.close()
        here.reopen()
        fates.add(here.status())
        if not Path(bundle(here, f"{number}.dwf")).exists():
            here.tick()
            move(here, name=f"{number}.dwf")
        assert here.kinds().count("RunMoved") == 1
        there = placed(tmp_path, f"{number}-there")
        take(there, resume=True, name=f"{number}.dwf")
        assert there.status() is Status.WAITING
        for house in (here, there):
            house.tick()
            house.store.index.close()
    assert fates == {Status.WAITING, Status.MOVED} and number > 10


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.long)], ids=["some", "all"])
def test_an_import_killed_at_any_call_is_whole_or_not_there(tmp_path: Path, after: bool, step: int) -> None:
    here = placed(tmp_path, "here")
    script = here.script(STORY)
    here.start(here.script('@dwf.workflow\nasync def story():\n    print("hello")\n', "one.py"))
    here.tick()
    here.start(script, json_input={"text": "x" * 300_000}, if_exists="new")
    here.tick()
    move(here)
    place = placed(tmp_path, "undisturbed")
    place.store.index.rebuild()
    place.reopen(whole := FaultyDisk())
    take(place, resume=True)
    assert len(whole.calls) > 20
    fates = {killed_import(placed(tmp_path, f"{n}"), n, after) for n in range(1, len(whole.calls) + 1, step)}
    assert fates == {"whole", "not there"}


def killed_import(there: House, number: int, after: bool) -> str:
    """An import that dies at that call, then a tick, then the same import: what was there before that."""
    there.store.index.rebuild()
    there.store.index.close()
    disk = FaultyDisk()
    disk.crash_at(number, after=after)
    there.reopen(disk)
    with pytest.raises(Crash):
        take(there, resume=True)
    there.store.index.close()
    there.reopen()
    there.tick()
    try:
        take(there, resume=True)
        fate = "not there"
    except Conflict:
        fate = "whole"
    there.tick()
    there.check()
    assert there.store.latest_link("r1") == 2 and there.kinds().count("RunAdopted") == 1
    assert there.status() is Status.WAITING and "hello" in there.log()
    there.store.index.close()
    return fate


@pytest.mark.parametrize("operation", ["create", "write", "fsync", "link"])
def test_a_full_disk_leaves_no_run_and_it_can_be_typed_again(here: House, there: House, operation: str) -> None:
    here.go(STORY)
    move(here)
    disk = FaultyDisk()
    disk.fail_on(operation, errno.ENOSPC, forever=True)
    there.reopen(disk)
    with pytest.raises(DiskError):
        take(there, resume=True)
    with pytest.raises(NotFound):
        there.view()

    there.reopen()
    take(there, resume=True)

    assert there.status() is Status.WAITING
    there.check()


def test_a_bundle_that_is_changed_between_the_look_and_the_taking_is_refused(here: House, there: House) -> None:
    here.go(STORY)
    here.start(here.script(STORY), "r2")
    move(here)
    move(here, "r2", "r2.dwf")
    found = moving.examined(bundle(here))
    Path(bundle(here)).write_bytes(Path(bundle(here, "r2.dwf")).read_bytes())

    with pytest.raises(BundleRefused):
        moving.take_in(there.store, found, ME, resume=True)

    assert not list(Path(there.store.layout.runs).glob("*.jsonl"))
    there.check()
