from __future__ import annotations

import pytest
from msgspec import structs

from dwf.cli.pages.history import HistoryPage
from dwf.cli.screen import Line, Marks
from dwf.cli.times import Clock
from dwf.cli.words import Thread, Told
from dwf.core import events as ev
from dwf.core.duration import SECOND, stamp
from tests.cli.told import BEGAN, ENDS, ONE_OF_EACH, history, raw, rotation, started, step

CLOCK = Clock(BEGAN + 3 * 3600 * SECOND, utc=True)


def told(events: list[ev.Event]) -> list[Told]:
    thread = Thread(CLOCK)
    return [thread.tell(event) for event in events]


def text(line: Line) -> str:
    return "".join(piece if isinstance(piece, str) else piece[0] for piece in line).rstrip()


def page(events: list[ev.Event], width: int = 0, detailed: bool = False) -> list[str]:
    pages = HistoryPage(CLOCK, Marks(False), width, detailed=detailed)
    return [text(line) for line in pages.lines(pages.tell(events))]


@pytest.mark.parametrize("kind", ev.EVENT_TYPES.values(), ids=lambda kind: kind.__name__)
def test_every_kind_of_event_has_its_words(kind: type[ev.Event]) -> None:
    """A new primitive adds one line to the table; without it this fails."""
    example = next(event for event in [*ONE_OF_EACH, *ENDS] if type(event) is kind)
    before = [event for event in ONE_OF_EACH if event.id < example.id] if example.id else ONE_OF_EACH
    thread = Thread(CLOCK)
    for event in before:
        thread.tell(event)

    words = thread.tell(example if example.id else history(started(), example)[1])

    assert "command " not in words.what
    assert "\n" not in words.what + words.beside


def test_a_step_is_named_wherever_it_is_spoken_of() -> None:
    words = told(rotation())

    assert [w.what for w in words[1:4]] == ["expiry()", "expiry  attempt 1", "expiry -> 28"]
    assert words[2].beside == "pid 3321"
    assert words[3].beside == "1.0s" or words[3].beside == "1s"


def test_a_start_says_with_what_and_who_from_where() -> None:
    assert told(rotation())[0] == Told('rotate(host="web1", days=30)', "anna via ssh 10.0.0.7")


def test_an_answer_says_the_uid_that_the_kernel_vouches_for() -> None:
    answer = told(rotation())[-1]

    assert answer.what == 'yes to "Switch web1 to serial 3A:91?"  "checked the chain"'
    assert answer.beside == "bela (uid 1004) via ssh 10.0.0.9"


def test_a_shell_step_is_its_exit_code_and_the_first_line_it_printed() -> None:
    shell = ev.ActivityScheduled(command=1, name="uptime", kind="shell", input=raw({"argv": ["uptime"]}))
    done = ev.ActivityCompleted(command=1, result=raw({"code": 0, "out": "up 3 days\nmore\n", "err": ""}))

    words = told(history(started(), shell, done))

    assert words[1].what == "uptime"
    assert words[2].what == "uptime -> exit 0  up 3 days"


def test_a_step_that_ended_before_it_was_recorded_says_when() -> None:
    begun = ev.ActivityStarted(command=1, attempt=1, pid=7)
    done = ev.ActivityCompleted(command=1, ended=stamp(BEGAN + 10 * SECOND))

    words = told(history(started(), step(1, "restore"), begun, done, seconds=[0, 1, 2, 7200]))

    assert words[3].beside == "8s, ended 15:02:21"


def test_a_value_in_a_file_of_its_own_is_its_size_and_beginning() -> None:
    from dwf.core.values import blob_ref

    done = ev.ActivityCompleted(command=1, result=blob_ref("ab" * 32, 300_000, '["aaaa'))

    assert told(history(started(), step(1, "read"), done))[2].what == 'read -> (300,000 bytes) ["aaaa'


def test_a_history_is_grouped_by_local_day_with_its_offset(berlin: None) -> None:
    events = history(started(), step(1, "drain"), seconds=(0, 9 * 3600))
    pages = HistoryPage(Clock(BEGAN), Marks(False))

    lines = [text(line) for line in pages.lines(pages.tell(events))]

    assert lines[0] == "2026-11-22 +01:00"
    assert lines[1].startswith("   1  16:02:11  WorkflowStarted")
    assert lines[2] == "2026-11-23 +01:00"
    assert lines[3].startswith("   2  01:02:11  ActivityScheduled")


def test_a_change_of_the_clocks_begins_a_new_heading(berlin: None) -> None:
    hours = 24 * 3600 * 154  # in April
    pages = HistoryPage(Clock(BEGAN), Marks(False))

    lines = [text(line) for line in pages.lines(pages.tell(history(started(), step(1, "a"), seconds=(0, hours))))]

    assert [line for line in lines if line.startswith("20")] == ["2026-11-22 +01:00", "2027-04-25 +02:00"]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_line_of_a_history_is_wider_than_the_terminal(width: int) -> None:
    wide = ev.SignalReceived(name="go", payload=raw({"text": "x" * 500}), reason="r" * 300)
    for line in page([*ONE_OF_EACH, *history(started(), wide)], width):
        assert len(line) <= width


def test_nothing_is_cut_in_a_pipe() -> None:
    long = ev.StatusChanged(command=1, text="x" * 500)
    assert page(history(started(), long))[-1].endswith("x" * 500)


def test_detailed_shows_every_recorded_field() -> None:
    lines = page(history(started(reason="expires")), detailed=True)

    assert any('reason: "expires"' in line for line in lines)
    assert any('input: {"host": "web1", "days": 30}' in line for line in lines)


@pytest.mark.parametrize(
    ("length_us", "words"), [(999_800, "1s"), (86_399_990_000, "1d"), (1_500_000, "1.5s"), (20_000, "20ms")]
)
def test_a_sleep_is_as_long_as_the_script_has_said(length_us: int, words: str) -> None:
    """Fails when what passed until it was written down is taken off: 999ms of a second."""
    timer = ev.TimerStarted(command=1, fire_at=stamp(BEGAN + length_us), purpose="sleep")
    (_, line) = told([started(), structs.replace(timer, id=2, ts=stamp(BEGAN))])
    assert line.beside.startswith(f"{words}, until")
