"""One run with a bit of everything, told as acts that can be broken off anywhere and taken up again.

    story = Story(path); story.play()                      from start to end, undisturbed
    story = Story(path, disk); story.play(on_break=...)    ... and what to do when an act breaks off

What must hold however it was broken off is checked at the end: nothing acknowledged is lost, nothing recorded is done
again, the outcome is the same, every history is in order, nothing is left lying about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from dwf.core import events as ev
from dwf.errors import DwfError, WrongState
from dwf.store.files import Disk
from tests.engine.house import House

SCRIPT = """
from pathlib import Path

@dwf.activity(retry=dwf.Retry(max_attempts=9, initial=0, jitter="none"))
def work(word: str) -> str:
    note(word)
    return word.upper()

@dwf.activity(retry=dwf.Retry(max_attempts=9, initial=0, jitter="none"))
async def later(word: str) -> str:
    note(word)
    await asyncio.sleep(0)
    return word.upper()

@dwf.activity(retry=dwf.Retry(max_attempts=9, initial=0, jitter="none"))
def fails_once(word: str) -> str:
    if word not in Path(LEDGER).read_text().split():
        note(word)
        raise OSError("not yet")
    note(word + "-again")
    return word.upper()

@dwf.workflow
async def main(text: str):
    print("hello")
    done = [await work("a"), await fails_once("b")]
    # Twice, for a call that is made to fail once fails once in each process: in the script's own as well.
    sh = await dwf.sh(LEDGER, script='c() { echo c >> "$1"; }; c "$1" || c "$1"; echo C || echo C',
                      retry=dwf.Retry(max_attempts=9, initial=0))
    done.append(sh.out.strip())
    done += await asyncio.gather(work("d"), later("e"), work("f"))
    done.append(await dwf.wait_signal("go"))
    dwf.status("asking")
    yes = await dwf.approve("Go on?", timeout="5h")
    done += [yes.comment, await work("g"), len(text), dwf.once(lambda: "h", name="once")]
    await dwf.sleep("{nap}")
    return [*done, await work("i")]
"""
OUTCOME = ["A", "B", "C", "D", "E", "F", {"n": 1}, "fine", "G", 300_000, "h", "I"]
# What the ledger is called by, and the step that writes it.
STEPS = ("a", "b-again", "c", "d", "e", "f", "g", "i")
Broken = Exception | BaseException


class Story:
    """The acts in order. Each can be played again if nobody was told that it had succeeded."""

    def __init__(self, path: Path, disk: Disk | None = None, *, real_clock: bool = False) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.house = House(path)
        self._script = self.house.script(SCRIPT.replace("{nap}", "10ms" if real_clock else "1h"))
        if disk is not None:
            self.house.reopen(disk)
        self.acts: list[Callable[[], object]] = [
            self.start, self.tick, self.signal, self.tick, self.answer, self.tick,
        ]  # fmt: skip
        if not real_clock:
            self.house.clock.back("3h")
            self.acts += [self.wait, self.tick]
        self._recorded: Counter[str] = Counter()
        self._told: set[str] = set()

    # -- acts ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.house.start(self._script, json_input={"text": "x" * 300_000}, if_exists="use")
        self._told.add("WorkflowStarted")

    def tick(self) -> None:
        report = self.house.try_tick()
        if report.errors:
            raise report.errors[0]

    def signal(self) -> None:
        self.house.signal("go", {"n": 1}, key="once")
        self._told.add("SignalReceived")

    def answer(self) -> None:
        try:
            self.house.answer(True, comment="fine")
        except WrongState:
            pass  # it was there already; whether it counted is seen at the end
        self._told.add("ApprovalAnswered")

    def wait(self) -> None:
        self.house.clock.advance("2h")

    # -- playing ------------------------------------------------------------------------------------------------

    def play(self, on_break: Callable[[], None] | None = None) -> int:
        """All acts; how often one broke off. `on_break` mends the world; then what nobody was told of is done again."""
        breaks = 0
        for act in self.acts:
            while True:
                try:
                    act()
                    break
                except BaseException as error:
                    if on_break is None or not (isinstance(error, DwfError) or type(error).__name__ == "Crash"):
                        raise
                    breaks += 1
                    assert breaks < 50
                    on_break()
                    self.note_recorded()
                    # What stands between two acts: ticks, as cron would bring them.
                    self._tick_along(on_break)
        self.check()
        return breaks

    def _tick_along(self, on_break: Callable[[], None]) -> None:
        for _ in range(50):
            try:
                return self.tick()
            except BaseException as error:
                if not (isinstance(error, DwfError) or type(error).__name__ == "Crash"):
                    raise
                on_break()
        raise AssertionError("it does not recover")

    def note_recorded(self) -> None:
        """How often each step had run that is recorded as completed: it must not run again."""
        try:
            completed = {e.command for e in self.house.all(ev.ActivityCompleted)}
            words = {e.command: _word(e) for e in self.house.all(ev.ActivityScheduled)}
        except DwfError:
            return
        ran = self.house.counted()
        for command in completed:
            word = words[command]
            self._recorded.setdefault(word, ran[word])
            assert ran[word] == self._recorded[word], f"{word} was recorded, and ran again"

    def check(self) -> None:
        house = self.house
        assert house.result() == OUTCOME
        self.note_recorded()
        assert set(STEPS) <= set(house.notes())
        kinds = Counter(house.kinds())
        for told in self._told:
            assert kinds[told] == 1, f"{told}: {kinds[told]}"
        assert kinds["WorkflowCompleted"] == 1 and kinds["ActivityCompleted"] == len(STEPS)
        assert kinds["TimerFired"] == 1 and kinds["ApprovalResolved"] == 1 and kinds["RunBlocked"] == 0
        assert house.kinds()[-1] == "WorkflowCompleted"
        house.clock.advance("2d")  # drafts of dead senders are tidied away after a day
        house.tick()
        assert house.mail() == [] and house.late() == []
        house.check()


def _word(scheduled: ev.ActivityScheduled) -> str:
    if scheduled.kind == "shell":
        return "c"
    word = bytes(scheduled.input).decode().split('"')[3]
    return "b-again" if word == "b" else word
