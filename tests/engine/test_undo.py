"""Undoing a closed run: by a run of its own, in reverse, once, and what was left is tried again."""

from __future__ import annotations

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine.undo import plan, undo, undo_of
from dwf.errors import CannotReplay, Conflict, UsageError, WrongState
from dwf.store.files import Disk
from tests.engine.house import ME, House

SCRIPT = """
@dwf.activity
def do(word: str) -> str:
    note("do", word)
    return word

@dwf.activity(retry=dwf.Retry(max_attempts=1))
def undo(word: str) -> str:
    note("undo", word)
    if os.path.exists(LEDGER + "." + word):
        raise OSError("stuck")
    return word

@dwf.workflow
async def main():
    async with dwf.saga() as saga:
        await saga.step(do.options(title="do a")("a"), undo=undo("a"))
        await saga.step(do.options(title="do b")("b"), undo=dwf.sh(LEDGER, script='echo undo b >> "$1"'))
        await saga.step(do.options(title="do c")("c"), undo=undo("c"))
        {more}
    return "done"
"""
DONE = ["do a", "do b", "do c"]


def done(house: House, more: str = "pass") -> None:
    house.go(SCRIPT.replace("{more}", more))


def take_back(house: House, **more: object) -> str:
    return undo(house.store, "r1", ME, "wrong version", clock=house.clock, **more).run  # type: ignore[arg-type]


def test_what_a_successful_run_did_is_taken_back_in_reverse_by_a_run_of_its_own(house: House) -> None:
    done(house)
    before = house.events()
    assert take_back(house) == "r1.undo"
    house.tick()
    assert house.notes() == [*DONE, "undo c", "undo b", "undo a"]
    assert house.events() == before, "what is closed stays as it is"
    assert house.result("r1.undo") == ["do c", "do b", "do a"]
    head = house.state("r1.undo").head
    assert head.reason == "wrong version" and head.by == ME and head.follows is not None
    assert (head.follows.run, head.follows.how) == ("r1", "undo")
    found = undo_of(house.store, house.view())
    assert found is not None and found.run == "r1.undo"
    house.check()


def test_what_has_been_undone_is_refused(house: House) -> None:
    done(house)
    take_back(house)
    with pytest.raises(Conflict, match="is being undone"):
        take_back(house)
    house.tick()
    with pytest.raises(WrongState, match="undone already"):
        take_back(house)
    assert house.counted()["undo a"] == 1


def test_what_could_not_be_undone_is_told_and_tried_again_by_the_next_undo_alone(house: House) -> None:
    done(house)
    (house.path / "ledger.c").touch()
    take_back(house)
    house.tick()
    end = house.the(ev.WorkflowFailed, "r1.undo")
    assert end.undone == ["do b", "do a"] and end.not_undone == ["do c (undo failed: OSError: stuck)"]
    (house.path / "ledger.c").unlink()
    assert plan(house.store, "r1").of == ["do c"]
    take_back(house)
    house.tick()
    assert house.notes()[3:] == ["undo c", "undo b", "undo a", "undo c"]
    assert house.status("r1.undo") is Status.COMPLETED and house.view("r1.undo").link == 2
    with pytest.raises(WrongState):
        take_back(house)
    house.check()


def test_a_saga_that_has_taken_back_only_a_part_can_be_taken_up_again(house: House) -> None:
    (house.path / "ledger.a").touch()
    done(house, 'raise dwf.Failure("no")')
    assert house.state().undos.left()[0].of == "do a"
    (house.path / "ledger.a").unlink()
    take_back(house)
    house.tick()
    assert house.notes()[3:] == ["undo c", "undo b", "undo a", "undo a"]


def test_an_undo_goes_on_after_a_crash_in_the_middle(house: House) -> None:
    house.go(SCRIPT.replace("{more}", "pass").replace("(retry=dwf.Retry(max_attempts=1))", ""))
    take_back(house)

    class Crash(BaseException):
        pass

    class Dies(Disk):
        left = 3

        def fdatasync(self, *args: object, **more: object) -> None:  # type: ignore[override]
            self.left -= 1
            if not self.left:
                raise Crash
            super().fdatasync(*args, **more)  # type: ignore[arg-type]

    house.reopen(Dies())
    with pytest.raises(Crash):
        house.try_tick()
    house.reopen()
    house.tick()
    assert house.status("r1.undo") is Status.COMPLETED
    assert house.notes()[-1] == "undo a" and set(house.notes()[3:]) == {"undo a", "undo b", "undo c"}


def test_cancelling_an_undo_does_not_stop_it_half_way(house: House) -> None:
    done(house)
    take_back(house)
    house.tick(only=set())
    house.cancel("r1.undo")
    house.tick()
    assert house.status("r1.undo") in (Status.COMPLETED, Status.CANCELLED)
    assert house.counted()["undo a"] == house.counted()["undo c"]


def test_steps_without_an_outcome_are_left_out_unless_they_are_asked_for(house: House) -> None:
    script = SCRIPT.replace("{more}", "await saga.step(dwf.wait_signal('never'), undo=undo('d'))")
    house.go(script)
    house.terminate()
    house.tick()
    assert plan(house.store, "r1").left_out == ["wait_signal"]
    assert plan(house.store, "r1").of == ["do c", "do b", "do a"]
    assert plan(house.store, "r1", unknown=True).of == ["wait_signal", "do c", "do b", "do a"]
    take_back(house, unknown=True)
    house.tick()
    assert house.notes()[3:] == ["undo d", "undo c", "undo b", "undo a"]


def test_what_is_left_out_can_be_undone_later(house: House) -> None:
    house.go(SCRIPT.replace("{more}", "await saga.step(dwf.wait_signal('never'), undo=undo('d'))"))
    house.terminate()
    house.tick()
    take_back(house)
    house.tick()
    with pytest.raises(WrongState, match="only not known") as refused:
        take_back(house)
    assert "--unknown" in (refused.value.hint or "")
    take_back(house, unknown=True)
    house.tick()
    assert house.notes()[3:] == ["undo c", "undo b", "undo a", "undo d"]


def test_an_open_run_is_refused_and_so_is_one_without_a_ledger(house: House) -> None:
    house.go(SCRIPT.replace("{more}", "await dwf.wait_signal('go')"))
    with pytest.raises(WrongState, match="only what has ended") as refused:
        take_back(house)
    assert "dwf cancel r1" in (refused.value.hint or "")
    house.cancel()
    house.tick()
    with pytest.raises(WrongState, match="what could be, is undone"):
        take_back(house)
    house.go("@dwf.workflow\nasync def main():\n    pass\n", run="r2")
    with pytest.raises(WrongState, match="nothing that could be undone"):
        plan(house.store, "r2")


def test_without_a_reason_nothing_is_undone(house: House) -> None:
    done(house)
    with pytest.raises(UsageError, match="reason"):
        undo(house.store, "r1", ME, " ")


def test_an_activity_that_cannot_be_found_is_told_before_anything_begins(house: House) -> None:
    inner = SCRIPT.replace("{more}", "pass").replace(
        'await saga.step(do.options(title="do c")("c"), undo=undo("c"))',
        "hidden = dwf.activity(name='hidden')(lambda word: word)\n"
        '        await saga.step(do.options(title="do c")("c"), undo=hidden("c"))',
    )
    house.go(inner)
    with pytest.raises(CannotReplay, match="no activity hidden, which is to undo do c"):
        take_back(house)
    assert house.notes() == DONE


def test_an_id_that_is_another_runs_is_not_taken_for_an_undo(house: House) -> None:
    done(house)
    house.go("@dwf.workflow\nasync def main():\n    pass\n", run="r1.undo")
    with pytest.raises(Conflict, match="in use, by another run"):
        take_back(house)


def test_an_id_too_long_for_an_undo_is_told(house: House) -> None:
    run = "r" * 126
    house.go(SCRIPT.replace("{more}", "pass"), run=run)
    with pytest.raises(UsageError, match="too long"):
        undo(house.store, run, ME, "why")


CHAIN = """
@dwf.activity
def do(n: int) -> None:
    note("did", n)

@dwf.activity
def undo(n: int) -> None:
    note("undid", n)

@dwf.workflow
async def main(n: int = 0):
    async with dwf.saga() as saga:
        await saga.step(do(n), undo=undo(n))
    if n < 2:
        return dwf.continue_as_new(n=n + 1)
"""


def test_of_a_chain_each_instance_can_be_taken_back_and_it_is_said_which_have_more(house: House) -> None:
    house.go(CHAIN)
    assert house.store.latest_link("r1") == 3
    assert undo(house.store, "r1", ME, "why").older == [1, 2]
    house.tick()
    for instance in (1, 2):
        assert undo(house.store, "r1", ME, "why", instance=instance).older == []
        house.tick()
    assert house.notes() == [f"did {n}" for n in range(3)] + ["undid 2", "undid 0", "undid 1"]
    with pytest.raises(WrongState, match="has been undone already"):
        take_back(house)


def test_where_only_an_older_instance_has_something_to_take_back_it_is_named(house: House) -> None:
    house.go(CHAIN.replace("        await saga", "        if n < 2:\n            await saga"))
    with pytest.raises(WrongState, match="the newest instance of r1 has nothing") as told:
        take_back(house)
    assert told.value.hint == "an earlier one has: dwf undo r1 --instance 2"
