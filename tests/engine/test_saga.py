"""Sagas with real steps: on disk before they act, taken up again in the middle, and what was left is told."""

from __future__ import annotations

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.core.undos import Stand
from tests.engine.house import House

SAGA = """
@dwf.activity(retry=dwf.Retry(max_attempts=1))
def do(word: str) -> str:
    note("do", word)
    return word

@dwf.activity(retry=dwf.Retry(max_attempts=2, initial="1h", jitter="none"))
def undo(word: str) -> str:
    note("undo", word)
    if os.path.exists(LEDGER + "." + word):
        raise OSError("stuck")
    return word

@dwf.workflow
async def main():
    async with dwf.saga() as saga:
        for word in "abc":
            await saga.step(do.options(title="do " + word)(word), undo=undo(word))
        await dwf.wait_signal("go")
        raise dwf.Failure("not served")
"""


def test_a_failing_undo_is_retried_the_others_still_run_and_the_report_is_in_the_end(house: House) -> None:
    (house.path / "ledger.b").touch()
    house.go(SAGA)
    house.signal("go")
    house.tick()
    assert house.notes() == ["do a", "do b", "do c", "undo c", "undo b"]
    assert [entry.stand for entry in house.state().undos.compensated()] == [Stand.UNDONE, Stand.BEGUN, Stand.DUE]
    house.reopen()
    house.clock.advance("2h")
    house.tick()
    assert house.notes()[5:] == ["undo b", "undo a"], "its policy first, then the others"
    end = house.the(ev.WorkflowFailed)
    assert end.undone == ["do c", "do a"]
    assert end.not_undone == ["do b (undo failed after 2 attempts: OSError: stuck)"]
    assert house.status() is Status.FAILED and "NOT undone: do b" in end.error.message
    house.check()


def test_compensation_goes_on_where_it_was_in_another_process(house: House) -> None:
    (house.path / "ledger.b").touch()
    house.go(SAGA)
    house.signal("go")
    house.tick()
    (house.path / "ledger.b").unlink()
    house.reopen()
    house.clock.advance("2h")
    house.tick()
    assert house.notes() == ["do a", "do b", "do c", "undo c", "undo b", "undo b", "undo a"]
    assert house.the(ev.WorkflowFailed).not_undone == []
    house.check()


def test_cancelling_compensates_and_a_second_cancel_changes_nothing(house: House) -> None:
    (house.path / "ledger.c").touch()
    house.go(SAGA)
    house.cancel()
    house.tick()
    house.cancel()
    (house.path / "ledger.c").unlink()
    house.clock.advance("2h")
    house.tick()
    assert house.notes()[3:] == ["undo c", "undo c", "undo b", "undo a"]
    assert house.the(ev.CompensationStarted).why.endswith(": enough")
    assert house.status() is Status.CANCELLED and len(house.the(ev.WorkflowCancelled).undone) == 3


def test_terminating_undoes_nothing_and_says_what_stays(house: House) -> None:
    house.go(SAGA)
    house.terminate()
    house.tick()
    assert house.notes() == ["do a", "do b", "do c"]
    end = house.the(ev.WorkflowTerminated)
    assert end.undone == [] and end.not_undone == ["do c", "do b", "do a"]


def test_terminating_in_the_middle_of_it_says_what_was_undone_and_what_not(house: House) -> None:
    (house.path / "ledger.b").touch()
    house.go(SAGA)
    house.signal("go")
    house.tick()
    house.terminate()
    house.tick()
    end = house.the(ev.WorkflowTerminated)
    assert end.undone == ["do c"] and end.not_undone == ["do b", "do a"]


def test_a_bug_leaves_everything_as_it_is_and_the_mended_script_goes_on(house: House) -> None:
    house.go(SAGA.replace('raise dwf.Failure("not served")', "{}['typo']"))
    house.signal("go")
    house.tick()
    assert house.status() is Status.BLOCKED and house.notes() == ["do a", "do b", "do c"]
    assert house.all(ev.CompensationStarted) == []


def test_the_way_back_is_on_disk_before_the_step_acts(house: House) -> None:
    script = SAGA.replace('note("do", word)', 'note("do", word, HISTORY.read_text().count("UndoRecorded"))')
    path = house.path / "home" / "runs" / "r1.jsonl"
    house.go(
        script.replace("@dwf.activity", f"from pathlib import Path\nHISTORY = Path({str(path)!r})\n@dwf.activity", 1)
    )
    assert house.notes() == ["do a 1", "do b 2", "do c 3"]
