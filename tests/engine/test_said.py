"""What a script says, it says once: after it has become true, and never in a replay."""

from __future__ import annotations

from pathlib import Path

from dwf.core.state import Status
from dwf.engine.upgrade import upgrade
from dwf.errors import DiskError
from tests.engine.house import ME, House

TALKS = """
import logging

log = logging.getLogger("book")

@dwf.activity
def work() -> None:
    print("from the step")
    log.warning("logged by the step")

@dwf.workflow
async def main():
    print("hello", 1, sep="-")
    print("to stderr", file=sys.stderr)
    log.warning("careful with %s", "web1")
    dwf.log.info("begun")
    await work()
    print("after the step")
    await dwf.wait_signal("go")
    logging.warning("by the root")
    print("the end")
"""


class Listener:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.kinds: list[str] = []

    def event(self, run: str, event: object) -> None:
        self.kinds.append(type(event).__name__)

    def said(self, run: str, level: int, text: str) -> None:
        self.lines.append(text)


def test_prints_and_logs_are_said_once_over_ticks_and_replays(house: House, capfd: object) -> None:
    house.start(house.script(TALKS))
    listener = Listener()
    house.tick(watch=listener)
    first = ["hello-1", "to stderr", "careful with web1", "begun", "after the step"]
    assert listener.lines == first
    for _ in range(3):
        house.reopen()
        house.store.index.wake("r1")
        house.tick(watch=listener)
    assert listener.lines == first
    house.signal("go")
    house.reopen()
    house.tick(watch=listener)
    assert listener.lines == [*first, "by the root", "the end"]
    assert [line.partition(": ")[2] for line in house.log().splitlines()] == listener.lines
    out, err = capfd.readouterr()  # type: ignore[attr-defined]
    assert "hello" not in out and "stderr" not in err and "by the root" not in err


def test_lines_carry_time_level_and_source(house: House) -> None:
    house.go(TALKS)
    lines = house.log().splitlines()
    assert " INFO print: hello-1" in lines[0]
    assert " WARNING print: to stderr" in lines[1] and " WARNING book: careful with web1" in lines[2]


def test_whoever_watches_is_told_after_it_is_on_disk(house: House) -> None:
    house.start(house.script(TALKS))

    class Checks(Listener):
        def event(self, run: str, event: object) -> None:
            super().event(run, event)
            assert f'"id":{event.id},' in Path(house.view().path).read_text()  # type: ignore[attr-defined]

        def said(self, run: str, level: int, text: str) -> None:
            super().said(run, level, text)
            if text == "after the step":
                assert '"ActivityCompleted"' in Path(house.view().path).read_text()

    watch = Checks()
    house.tick(watch=watch)
    assert watch.kinds == house.kinds()[1:] and "after the step" in watch.lines


def test_a_void_activation_is_heard_once(house: House) -> None:
    text = """
@dwf.workflow
async def main():
    print("here")
    await dwf.wait_signal("go")
    print("there")
    {}
"""
    house.go(text.format("{}['k']"))
    house.signal("go")
    house.tick()
    assert house.status() is Status.BLOCKED and "there" in house.log()
    for _ in range(2):
        house.reopen()
        house.store.index.wake("r1")
        house.tick()
    assert house.log().count("there") == 1 and house.log().count("here") == 2  # "there" holds it, too
    upgrade(house.store, "r1", house.script(text.format("print('mended')")), ME)
    house.tick()
    assert house.status() is Status.COMPLETED


def test_what_is_said_about_facts_recorded_while_blocked_is_heard(house: House) -> None:
    text = """
@dwf.workflow
async def main():
    await dwf.wait_signal("go")
    {}
    print("got", await dwf.wait_signal("more"))
"""
    house.go(text.format("{}['k']"))
    house.signal("go")
    house.tick()
    house.signal("more", 5)
    house.tick()
    upgrade(house.store, "r1", house.script(text.format("pass")), ME)
    house.tick()
    assert "got 5" in house.log()


def test_a_log_that_cannot_be_written_stops_nothing(house: House) -> None:
    house.start(house.script(TALKS))

    def full(*args: object) -> None:
        raise DiskError(operation="write", path="script.log", why="No space left on device", errno=28)

    house.store.outputs.log = full  # type: ignore[method-assign]
    house.signal("go")
    house.tick()
    assert house.status() is Status.COMPLETED


def test_what_is_printed_by_other_ways_is_said_once_too(house: House, capsys: object) -> None:
    house.go(
        """
        import pprint

        @dwf.workflow
        async def main():
            pprint.pprint({"a": 1})
            sys.stdout.write("half a li")
            sys.stdout.write("ne\\n")
            try:
                await dwf.wait_signal("go")
            finally:
                pprint.pprint("closing")
        """
    )
    house.store.index.wake("r1")
    house.reopen()
    house.tick()
    assert [line.partition(": ")[2] for line in house.log().splitlines()] == ["{'a': 1}", "half a line"]
    assert capsys.readouterr().out == ""  # type: ignore[attr-defined]


def test_what_is_printed_while_a_script_is_loaded_is_dropped(house: House, capsys: object) -> None:
    """It would stand before the id that a start prints, and in the mail of every tick."""
    house.go("print('loading')\n@dwf.workflow\nasync def main():\n    return 1\n")
    assert capsys.readouterr().out == "" and house.log() == ""  # type: ignore[attr-defined]


def test_news_is_told_when_it_happens_and_not_at_the_end_of_the_tick(house: House) -> None:
    """The next run may end the process, and nobody would ever hear of it."""
    house.start(house.script("@dwf.workflow\nasync def main():\n    raise dwf.Failure('no')\n"), "a")
    house.start(house.script("@dwf.workflow\nasync def main():\n    await dwf.sh('sleep', '1')\n", "slow.py"), "b")
    told: list[tuple[str, str]] = []
    house.tick(tell=lambda line: told.append((line, house.status("b").value)))
    ((line, other),) = told
    assert line.startswith("a failed") and other == "running"
