"""A run with warnings, from the script to the list: it has completed, and its status is `degraded`."""

from __future__ import annotations

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine import lists
from dwf.store.choice import Choice
from tests.engine.house import House

WARNS = """
@dwf.activity(retry=dwf.Retry(max_attempts=2, initial=0), critical=False)
def notify(word: str) -> str:
    note(word)
    raise OSError("the mail server is away")

@dwf.workflow
async def main():
    await notify("mail")
    await dwf.sh("false", critical=False)
    return "done"
"""


def test_a_run_with_steps_that_may_fail_completes_and_is_degraded(house: House) -> None:
    house.go(WARNS)
    assert house.result() == "done" and house.status() is Status.DEGRADED
    assert house.notes() == ["mail", "mail"], "its policy still counts"
    assert house.the(ev.WorkflowCompleted).degraded == [
        "notify failed after 2 attempts: OSError: the mail server is away",
        "false failed: exit code 1",
    ]
    house.check()


def test_the_list_knows_it_with_and_without_an_index(house: House) -> None:
    house.go(WARNS)
    (found,) = lists.summaries(house.store, Choice(status=[Status.DEGRADED.value]))
    assert found.run == "r1" and found.status is Status.DEGRADED
    (house.path / "home" / "index.sqlite").unlink()
    house.reopen()
    (found,) = lists.summaries(house.store, Choice(status=[Status.DEGRADED.value]))
    house.tick()
    assert lists.summaries(house.store)[0].status is Status.DEGRADED


def test_a_tick_does_not_take_it_for_news(house: House) -> None:
    assert house.go(WARNS).news == []
