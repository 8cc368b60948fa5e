"""A run over which every process dies is set aside and told of; it keeps nobody else from his turn."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine import stepping
from dwf.engine.tick import Rounds
from dwf.engine.upgrade import upgrade
from tests.engine.house import ME, House, in_thread, until
from tests.engine.processes import begin_tick

ROOT = Path(__file__).parents[2]
POISON = """
@dwf.workflow
async def main(sick: bool = True):
    system = __import__("posix")  # what is not guarded: this is a death by no fault of the script
    if not os.path.exists(LEDGER + ".cured"):
        system._exit(139)
    return "well"
"""
GOOD = """
@dwf.workflow
async def good():
    return await dwf.step("one", lambda: 1)
"""


DIES = """
import os, sys
from dwf.store.room import Store
store = Store.open(sys.argv[1])
held = [store.locks.take(run) for run in sys.argv[2:]]
os._exit(9)
"""


def dying_tick(house: House) -> int:
    process = begin_tick(house.store.layout.home)
    process.communicate(timeout=30)
    return process.returncode


def poisoned(house: House) -> None:
    house.start(house.script(POISON.replace("os.path.exists", "__import__('posix').access").replace(
        '+ ".cured")', '+ ".cured", 0)')))  # fmt: skip
    for _ in range(5):
        assert dying_tick(house) == 139


def test_a_run_that_kills_its_tick_five_times_is_set_aside_and_said_once(house: House) -> None:
    """Fails when deaths are not counted."""
    poisoned(house)
    report = house.tick()
    assert house.status() is Status.BLOCKED and len(report.news) == 1
    blocked = house.the(ev.RunBlocked)
    assert blocked.code == "poison" and "5 times" in blocked.message and "unblock r1" in blocked.hint
    assert house.tick().news == [] and not house.store.index.anything_due(house.clock())
    house.check()


def test_of_several_runs_over_which_a_process_died_one_is_driven_at_a_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when several runs over which a process died are driven at once."""
    script, runs = house.script(GOOD, "good.py"), ["r1", "r2", "r3"]
    for run in runs:
        house.start(script, run)
    subprocess.run([sys.executable, "-c", DIES, house.store.layout.home, *runs], cwd=ROOT, check=False, timeout=30)
    assert house.store.locks.left_by_dead() == set(runs)
    beside: list[int] = []
    drive = Rounds._drive

    def seen(rounds: Rounds, run: str) -> str:
        beside.append(len(rounds._active & rounds._suspects.runs))
        return drive(rounds, run)

    monkeypatch.setattr(Rounds, "_drive", seen)
    house.tick()
    assert beside == [0, 0, 0] and all(house.status(run) is Status.COMPLETED for run in runs)


def test_a_long_step_of_one_of_them_keeps_the_others_from_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when runs over which a process died wait until the one that is tried has come to rest."""
    monkeypatch.setattr("dwf.engine.suspects.PROOF_SECONDS", 0.2)
    long = house.script(
        """
        @dwf.workflow
        async def w():
            await dwf.sh("sh", "-c", 'while ! [ -e "$0.over" ]; do sleep 0.05; done', LEDGER)
    """,
        "long.py",
    )
    for run, script in (("r1", long), ("r2", house.script(GOOD, "good.py"))):
        house.start(script, run)
    subprocess.run([sys.executable, "-c", DIES, house.store.layout.home, "r1", "r2"], cwd=ROOT, check=False, timeout=30)
    assert house.store.locks.left_by_dead() == {"r1", "r2"}
    house.store.index.wake("r1")
    tick = in_thread(house.tick)
    until(lambda: house.status("r2") is Status.COMPLETED)
    assert house.status("r1") is not Status.COMPLETED
    Path(f"{house.ledger}.over").touch()
    tick.join(20)
    assert house.status("r1") is Status.COMPLETED


def test_others_have_their_turn_beside_it(house: House) -> None:
    house.start(house.script(GOOD, "good.py"), "a-good")
    house.start(house.script(GOOD, "good.py"), "z-good")
    poisoned(house)
    house.tick()
    assert house.status("a-good") is house.status("z-good") is Status.COMPLETED
    assert house.status() is Status.BLOCKED


def test_a_person_lets_it_go_on_and_it_is_set_aside_again_if_nothing_was_mended(house: House) -> None:
    poisoned(house)
    house.tick()
    stepping.unblock(house.store, "r1", ME, "try again")
    for _ in range(5):
        assert dying_tick(house) == 139
    assert len(house.tick().news) == 1 and house.status() is Status.BLOCKED
    house.ledger.with_name(house.ledger.name + ".cured").touch()
    stepping.unblock(house.store, "r1", ME, "cured")
    house.tick()
    assert house.result() == "well"
    decided = house.all(ev.RunUnblocked)[-1].decided
    assert decided is not None and (decided.by, decided.reason) == (ME, "cured")


def test_a_run_that_comes_to_rest_in_between_is_no_poison(house: House) -> None:
    house.start(house.script(POISON.replace("os.path.exists", "__import__('posix').access").replace(
        '+ ".cured")', '+ ".cured", 0)')))  # fmt: skip
    for _ in range(4):
        assert dying_tick(house) == 139
    cured = house.ledger.with_name(house.ledger.name + ".cured")
    cured.touch()
    house.tick()
    assert house.result() == "well"


def test_a_run_that_is_blocked_for_another_reason_is_looked_at_anew_when_it_is_let_go_on(house: House) -> None:
    house.go("@dwf.workflow\nasync def main():\n    {}['k']\n")
    assert house.status() is Status.BLOCKED
    stepping.unblock(house.store, "r1", ME, "I think it is well")
    assert len(house.tick().news) == 1 and house.status() is Status.BLOCKED
    assert house.kinds().count("RunBlocked") == 2


def test_dying_again_and_again_but_further_on_each_time_is_no_poison(house: House) -> None:
    """A machine that kills every tick after a step: each gets the run on, and that is all that is asked."""
    house.start(
        house.script(
            """
            @dwf.activity(retry=dwf.Retry(max_attempts=None, initial=0))
            def work(n: int):
                note(n)
                if dwf.activity_info().attempt == 1:
                    os._exit(137)

            @dwf.workflow
            async def main():
                for n in range(8):
                    await work(n)
                return "through"
            """
        )
    )
    for _ in range(8):
        assert dying_tick(house) == 137
    house.tick()
    assert house.result() == "through"


def test_mended_code_lets_it_go_on_without_another_word(house: House) -> None:
    """Fails when the upgrade says that it goes on, and it is set aside again for what the old code did."""
    poisoned(house)
    house.tick()
    assert upgrade(house.store, "r1", house.script(GOOD.replace("good", "main"), "mended.py"), ME).unblocked
    assert house.tick().news == []
    assert house.result() == 1


HANGS = {
    "a sum that takes for ever": "sum(range(10**12))",
    "a pattern that takes for ever": "__import__('re').match('(a+)+$', 'a' * 40 + 'b')",
    "a wait that is not seen": "__import__('queue').SimpleQueue().get()",
}
SOON = (
    "import dwf.engine.lastresort as last, dwf.engine.watchdog as dog\n"
    "last.CPU_SECONDS = dog.PATIENCE_SECONDS = 1.0\ndog.LIMIT_SECONDS = 0.3\n"
)


@pytest.mark.parametrize("text", HANGS.values(), ids=HANGS)
def test_a_tick_that_hangs_in_workflow_code_ends_and_says_at_which_line(house: House, text: str) -> None:
    """Fails when what holds up all of Python holds up what is to end it, or when such a death is not counted."""
    house.start(house.script(f"@dwf.workflow\nasync def main():\n    return {text}\n"))
    process = begin_tick(house.store.layout.home, before=SOON)
    _, said = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGVTALRM
    assert re.search(r'File "book.py@\w+", line \d+ in main', said)
    assert house.store.locks.left_by_dead() == {"r1"}


def test_a_step_that_holds_everything_up_is_let_be_while_no_workflow_code_runs(house: House) -> None:
    """Fails when the timer that ends a process is left running behind workflow code."""
    body = "    return await dwf.step('long', lambda: sum(range(150_000_000)))\n"
    house.start(house.script(f"@dwf.workflow\nasync def main():\n{body}"))
    process = begin_tick(house.store.layout.home, before=SOON)
    process.communicate(timeout=60)
    assert process.returncode == 0 and house.status() is Status.COMPLETED
