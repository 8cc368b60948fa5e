"""Children: runs that another run makes, waits for, signals, cancels and leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine.tick import TickReport
from dwf.store.files import Disk
from tests.engine.dying import each_death
from tests.engine.house import House

FAMILY = """
@dwf.activity
def square(n: int) -> int:
    note("square", n)
    return n * n

@dwf.workflow
async def child(n: int) -> int:
    if n < 0:
        raise dwf.Failure("too small", n=n)
    return await square(n)

@dwf.workflow
async def waits() -> str:
    try:
        return await dwf.wait_signal("go")
    finally:
        await square(100)

@dwf.workflow
async def stubborn() -> str:
    return await dwf.wait_signal("go")
"""


def parent(body: str) -> str:
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    return f"{FAMILY}\n@dwf.workflow\nasync def parent():\n{lines}\n"


def begin(house: House, body: str) -> TickReport:
    house.start(house.script(parent(body)) + ":parent")
    return house.tick()


def test_a_child_is_a_run_of_its_own_and_its_result_is_awaited(house: House) -> None:
    begin(house, "return await child(3)")
    assert house.result() == 9
    assert house.status("r1.1") is Status.COMPLETED
    origin = house.state("r1.1").head.parent
    assert origin is not None and (origin.run, origin.command) == ("r1", 1)
    assert house.notes() == ["square 3"]
    house.check()


def test_children_run_side_by_side_and_results_come_in_the_order_that_was_asked_for(house: House) -> None:
    begin(house, "return await asyncio.gather(*(child(n) for n in range(20)))")
    assert house.result() == [n * n for n in range(20)]
    assert len(house.all(ev.ChildWorkflowCompleted)) == 20


def test_a_handle_goes_on_with_the_script_and_gives_the_result_later(house: House) -> None:
    begin(house, "c = dwf.start_child(child, 4)\nother = await square(2)\nreturn [c.run, other, await c]")
    assert house.result() == ["r1.1", 4, 16]


def test_a_child_may_be_given_an_id_of_its_own(house: House) -> None:
    begin(house, 'return await child.options(id="the-child")(2)')
    assert house.result() == 4
    assert house.status("the-child") is Status.COMPLETED


def test_a_child_that_fails_is_a_child_error_with_its_cause_and_no_news_of_its_own(house: House) -> None:
    report = begin(
        house,
        "try:\n    await child(-1)\n"
        "except dwf.ChildError as e:\n    return [e.run, e.outcome, e.type, e.reason, e.details]",
    )
    assert house.result() == ["r1.1", "failed", "Failure", "too small", {"n": -1}]
    assert report.news == []


def test_a_child_error_that_escapes_fails_the_parent(house: House) -> None:
    report = begin(house, "await child(-1)")
    assert house.status() is Status.FAILED
    assert report.news == ["r1 failed: child run r1.1 failed: Failure: too small"]


def test_a_child_that_is_abandoned_and_fails_is_news(house: House) -> None:
    report = begin(house, 'dwf.start_child(child.options(on_close="abandon"), -1)\nreturn 1')
    assert report.news == ["r1.1 failed: too small"]


def test_an_id_that_is_in_use_is_told_to_the_parent_and_no_child_is_made(house: House) -> None:
    """Fails when whatever has the id is taken for the child."""
    house.start(house.script(FAMILY, "other.py") + ":stubborn", run="taken")
    begin(house, 'try:\n    await child.options(id="taken")(1)\nexcept dwf.ChildError as e:\n    return e.outcome')
    assert house.result() == "refused"
    assert house.state("taken").head.workflow == "stubborn"


def test_an_id_that_cannot_be_one_blocks_the_run_and_names_the_reason(house: House) -> None:
    report = begin(house, 'await child.options(id="a/b")(1)')
    assert house.status() is Status.BLOCKED
    assert '"a/b" is not a run id' in report.news[0]


def test_a_child_that_is_terminated_is_told_as_that(house: House) -> None:
    begin(house, "try:\n    await stubborn()\nexcept dwf.ChildError as e:\n    return e.outcome")
    house.terminate("r1.1")
    house.tick()
    assert house.result() == "terminated"


def test_a_child_that_a_person_cancels_is_told_as_that(house: House) -> None:
    begin(house, "try:\n    await waits()\nexcept dwf.ChildError as e:\n    return [e.outcome, e.reason]")
    house.cancel("r1.1")
    house.tick()
    assert house.result() == ["cancelled", "enough"]


def test_a_signal_reaches_a_child(house: House) -> None:
    begin(house, 'c = dwf.start_child(stubborn)\nawait c.signal("go", "now")\nreturn await c')
    assert house.result() == "now"
    assert house.the(ev.SignalReceived, "r1.1").reason == "from run r1"


# -- cancelling: four ways ----------------------------------------------------------------------------------------

CANCELS = """
c = dwf.start_child(waits.options(cancel="{how}"))
await dwf.wait_signal("now")
c.cancel("enough")
try:
    await c
except asyncio.CancelledError:
    return "cancelled"
"""


def cancelled(house: House, how: str) -> list[str]:
    begin(house, CANCELS.format(how=how))
    house.signal("now")
    house.tick()
    assert house.result() == "cancelled"
    return house.kinds()


def test_wait_asks_the_child_to_end_and_waits_for_its_cleanup(house: House) -> None:
    kinds = cancelled(house, "wait")
    assert kinds.index("ChildWorkflowCancelled") < kinds.index("WorkflowCompleted")
    assert house.notes() == ["square 100"]
    assert house.the(ev.CancelRequested, "r1.1").reason == "enough"


def test_requested_waits_only_until_the_child_was_asked(house: House) -> None:
    kinds = cancelled(house, "requested")
    assert kinds.index("MessageSent") < kinds.index("WorkflowCompleted")
    assert "ChildWorkflowCancelled" not in kinds
    assert house.status("r1.1") in (Status.CANCELLED, Status.TERMINATED)


def test_try_asks_and_does_not_wait(house: House) -> None:
    kinds = cancelled(house, "try")
    assert "MessageRequested" in kinds and "MessageSent" not in kinds


def test_abandon_leaves_the_child_alone(house: House) -> None:
    begin(house, CANCELS.format(how="abandon").replace('cancel="abandon"', 'cancel="abandon", on_close="abandon"'))
    house.signal("now")
    house.tick()
    assert "MessageRequested" not in house.kinds()
    assert house.status("r1.1") is Status.WAITING


def test_a_child_is_made_before_it_is_cancelled_in_the_same_breath(house: House) -> None:
    begin(
        house, "c = dwf.start_child(waits)\nc.cancel()\ntry:\n    await c\nexcept asyncio.CancelledError:\n    return 1"
    )
    assert house.result() == 1
    assert house.status("r1.1") is Status.CANCELLED


def test_cancelling_the_parent_cancels_the_child_that_it_awaits(house: House) -> None:
    begin(house, "return await waits()")
    house.cancel()
    house.tick()
    assert (house.status(), house.status("r1.1")) == (Status.CANCELLED, Status.CANCELLED)
    assert house.notes() == ["square 100"]


# -- when the parent ends first -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "status", "cleaned"),
    [
        ("terminate", Status.TERMINATED, []),
        ("cancel", Status.CANCELLED, ["square 100"]),
        ("abandon", Status.WAITING, []),
    ],
)
def test_a_child_meets_its_policy_when_the_parent_ends(
    house: House, policy: str, status: Status, cleaned: list[str]
) -> None:
    begin(house, f'dwf.start_child(waits.options(on_close="{policy}"))\nawait dwf.wait_signal("end")')
    assert house.status("r1.1") is Status.WAITING
    house.signal("end")
    house.tick()
    assert house.status() is Status.COMPLETED
    assert house.status("r1.1") is status
    assert house.notes() == cleaned
    assert house.mail() == [] and house.late("r1.1") == []


def test_terminating_the_parent_takes_its_children_along(house: House) -> None:
    begin(house, "await waits()")
    house.terminate()
    house.tick()
    assert (house.status(), house.status("r1.1")) == (Status.TERMINATED, Status.TERMINATED)
    assert "which had started it, is terminated" in house.the(ev.WorkflowTerminated, "r1.1").reason


def test_a_child_that_is_abandoned_in_the_last_breath_is_made_all_the_same(house: House) -> None:
    begin(house, 'dwf.start_child(child.options(on_close="abandon"), 5)\nreturn "left"')
    assert house.result() == "left"
    assert house.result("r1.1") == 25


# -- from run to run ------------------------------------------------------------------------------------------------


def test_a_run_signals_another(house: House) -> None:
    house.start(house.script(FAMILY, "other.py") + ":stubborn", run="other")
    begin(house, 'await dwf.send_signal("other", "go", {"a": 1})')
    assert house.result("other") == {"a": 1}
    assert house.the(ev.MessageSent).message == house.the(ev.SignalReceived, "other").message


def test_a_signal_to_nobody_or_to_a_run_that_is_over_is_told(house: House) -> None:
    house.start(house.script(parent("return 1")) + ":parent", run="over")
    house.tick()
    begin(
        house,
        'said = []\nfor run in ("nobody", "over"):\n    try:\n        await dwf.send_signal(run, "go")\n'
        "    except dwf.NotDelivered as e:\n        said.append(e.why)\nreturn said",
    )
    assert house.result() == ["there is no run nobody", "run over is completed"]


def test_a_run_asks_another_to_end(house: House) -> None:
    house.start(house.script(FAMILY, "other.py") + ":waits", run="other")
    house.tick()
    begin(house, 'await dwf.cancel_run("other", "not needed")')
    house.tick()
    assert house.status("other") is Status.CANCELLED
    assert house.the(ev.CancelRequested, "other").reason == "not needed"


def test_what_is_sent_in_the_last_breath_goes_out(house: House) -> None:
    house.start(house.script(FAMILY, "other.py") + ":stubborn", run="other")
    begin(house, 't = asyncio.create_task(dwf.send_signal("other", "go", 1))\nawait asyncio.sleep(0)\nreturn "over"')
    assert (house.result(), house.result("other")) == ("over", 1)


# -- crashes --------------------------------------------------------------------------------------------------------


DRAMA = parent(
    """
mine = dwf.start_child(stubborn)
await mine.signal("go", "five")
left = dwf.start_child(stubborn.options(on_close="cancel"))
return [await mine, await child(2)]
"""
)


@pytest.mark.parametrize("index_survives", [True, False])
def test_a_family_survives_a_death_at_every_call_that_changes_the_disk(ram: Path, index_survives: bool) -> None:
    """Fails when what was sent before a crash is sent again under another name."""

    def check(house: House) -> None:
        assert house.result() == ["five", 4]
        assert len(house.all(ev.SignalReceived, "r1.1")) == 1
        assert house.status("r1.3") is Status.CANCELLED
        assert house.mail() == [] and set(house.notes()) == {"square 2"}

    def begin(house: House) -> None:
        house.start(house.script(DRAMA) + ":parent")

    assert each_death(ram, begin, check, index_survives=index_survives) > 20


# -- cost -----------------------------------------------------------------------------------------------------------


class Counting(Disk):
    def __init__(self) -> None:
        self.syncs = 0

    def fsync(self, fd: int, path: str) -> None:
        self.syncs += 1
        super().fsync(fd, path)

    def fdatasync(self, fd: int, path: str) -> None:
        self.syncs += 1
        super().fdatasync(fd, path)

    def fsync_dir(self, path: str) -> None:
        self.syncs += 1
        super().fsync_dir(path)


def syncs_of(house: House, body: str, run: str) -> int:
    disk = Counting()
    house.start(house.script(parent(body)) + ":parent", run)
    house.reopen(disk)
    house.tick(jobs=1)
    assert house.status(run) is Status.COMPLETED
    return disk.syncs


def test_a_child_costs_four_syncs_beyond_its_own_steps_and_what_any_step_costs_its_parent(house: House) -> None:
    """Its own: one when it begins, and one a step. Its parent's: one for the result, as for any step.

    The four: its file and its name when it is made; its name once more when it begins, for its maker might have died
    before; and what the parent finds on disk, when it is taken up again.
    """
    syncs_of(house, "await child(1)", "w")  # what is made once in a directory is made now
    steps = syncs_of(house, "for n in range(6):\n    await square(n)", "s")
    more_steps = syncs_of(house, "for n in range(9):\n    await square(n)", "t")
    a_step = (more_steps - steps) / 3
    assert a_step == 1

    children = syncs_of(house, "for n in range(6):\n    await child(n)", "c")
    more_children = syncs_of(house, "for n in range(9):\n    await child(n)", "d")
    a_child = (more_children - children) / 3
    own = 2  # its first batch, and its one step together with its end
    assert a_child - own - a_step <= 4, (a_child, a_step)


RETRIED = """
@dwf.activity(retry=dwf.Retry(max_attempts=1))
def fragile(word: str) -> str:
    note("fragile", word)
    if os.path.getsize(LEDGER) < 3 * len("fragile a "):
        raise ValueError("not yet")
    return word

@dwf.workflow
async def child(word: str) -> str:
    return await fragile(word)

@dwf.workflow
async def main() -> str:
    policy = dwf.Retry(max_attempts={attempts}, initial="1m", backoff=1, jitter="none", non_retryable={never})
    return await child.options(retry=policy)("a")
"""


def test_a_child_is_tried_again_as_its_caller_says(house: House) -> None:
    """Fails when the policy is lost between two attempts."""
    house.start(f"{house.script(RETRIED.format(attempts=3, never=()))}:main")
    for _ in range(3):
        house.tick()
        house.clock.advance("61s")
    assert house.result() == "a" and house.notes() == ["fragile a"] * 3
    assert house.state("r1.1").head.attempt == 3
    house.check()


@pytest.mark.parametrize(
    ("attempts", "never", "tried"), [(2, "()", 2), (5, "(ValueError,)", 1), (5, "'ValueError'", 1)]
)
def test_its_policy_says_when_it_is_given_up(house: House, attempts: int, never: str, tried: int) -> None:
    house.start(f"{house.script(RETRIED.format(attempts=attempts, never=never))}:main")
    for _ in range(3):
        house.tick()
        house.clock.advance("61s")
    assert house.status() is Status.FAILED and len(house.notes()) == tried


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ("dwf.Retry(retry_if=lambda error: True)", "a retry_if is code"),
        ("dwf.Retry(retry_codes=(1,))", "a run has none"),
        ("3", "it must be a dwf.Retry, not int"),
    ],
)
def test_a_policy_that_no_history_can_hold_is_refused(house: House, policy: str, why: str) -> None:
    begin(house, f"await child.options(retry={policy})(1)")
    blocked = house.state().blocked
    assert blocked is not None and why in blocked.message
