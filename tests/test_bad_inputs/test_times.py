"""Times that are none, or not what they were: in scripts, on the command line, and in the machine's clock."""

from __future__ import annotations

import time

import pytest

from dwf.engine.tick import tick
from dwf.store.room import Store
from tests.test_bad_inputs.terminal import PLAIN, Terminal

HOUR = 3_600_000_000
DAY = 24 * HOUR


def book(code: str) -> str:
    return (
        "import asyncio, datetime, math, zoneinfo, dwf\n\n@dwf.workflow\nasync def book() -> object:\n"
        f"    {code}\n    return 'over'\n"
    )


REFUSED = [
    "await dwf.sleep(float('nan'))",
    "await dwf.sleep(float('inf'))",
    "await dwf.sleep('-1s')",
    "await dwf.sleep('10')",
    "await dwf.sleep('')",
    "await dwf.sleep('soon')",
    "await dwf.sleep('1h 30')",
    "await dwf.sleep(None)",
    "await dwf.sleep(True)",
    "await dwf.sleep('9' * 5000 + 's')",
    "await dwf.sleep_until(datetime.datetime(2030, 1, 1))",
    "await dwf.sleep_until('2030-01-01')",
    "await dwf.sleep_until(None)",
    "await dwf.sleep_until(0)",
    "await dwf.wait_signal('go', timeout=float('nan'))",
    "await dwf.wait_signal('go', timeout=-1)",
    "await dwf.approve('yes?', timeout='soon')",
    "await dwf.approve('yes?', timeout=float('nan'))",
    "await asyncio.sleep(float('nan'))",
    "asyncio.get_running_loop().call_later(float('nan'), print)",
    "async with asyncio.timeout(float('nan')): await dwf.wait_signal('go')",
]


@pytest.mark.parametrize("code", REFUSED)
def test_a_duration_or_moment_that_is_none_blocks_the_run_before_it_is_recorded(dwf: Terminal, code: str) -> None:
    dwf.blocked(book(code), "one")
    (event,) = dwf.events("one", "RunBlocked")
    assert event["where"].startswith("one.py:5"), event
    assert "one.py:5" in dwf.typed("show", "one").out
    assert not dwf.events("one", "TimerStarted", "SignalWaitOpened", "ApprovalRequested")


PASSED = [
    "await dwf.sleep(datetime.timedelta(seconds=-1))",
    "await dwf.sleep(-1)",
    "await dwf.sleep(0)",
    "await dwf.sleep('0s')",
    "await asyncio.sleep(-5)",
    "await dwf.sleep_until(datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC))",
    "await dwf.sleep_until(datetime.datetime(1, 1, 1, tzinfo=datetime.UTC))",
    "await dwf.sleep_until(dwf.now() - datetime.timedelta(days=1))",
    "await dwf.wait_signal('go', timeout=0, default=1)",
    "await dwf.sleep_until(datetime.datetime(2021, 3, 28, 2, 30, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin')))",
    "await dwf.sleep_until(datetime.datetime(2021, 10, 31, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin')))",
    "await dwf.sleep(1e-9)",
]


@pytest.mark.parametrize("code", PASSED)
def test_a_moment_that_has_passed_does_not_wait(dwf: Terminal, code: str) -> None:
    dwf.driven(book(code), "one")
    time.sleep(0.002)
    dwf.tick()
    assert dwf.status("one") == "completed"


FAR = [
    "await dwf.sleep('100000w')",
    "await dwf.sleep(1e11)",
    "await dwf.sleep(1e308)",
    "await dwf.sleep(datetime.timedelta.max)",
    "await dwf.sleep_until(datetime.datetime.max.replace(tzinfo=datetime.UTC))",
    "await dwf.sleep_until(datetime.datetime.max.replace(tzinfo=datetime.timezone(-datetime.timedelta(hours=12))))",
    "await asyncio.sleep(1e12)",
    "await asyncio.sleep(float('inf'))",
    "await dwf.approve('yes?', timeout='500000d')",
    "async with asyncio.timeout(1e300): await dwf.wait_signal('go')",
]  # fmt: skip


@pytest.mark.parametrize("code", FAR)
def test_a_moment_beyond_all_calendars_waits_and_breaks_nothing_or_is_refused(dwf: Terminal, code: str) -> None:
    dwf.start(book(code), "one")
    answer = dwf.tick(code=None)
    assert dwf.status("one") in ("waiting", "blocked")
    assert (dwf.status("one") == "blocked") == (answer.code == 1)
    for words in [("show", "one"), ("list",), ("history", "one"), ("inbox",), ("list", "--json")]:
        assert dwf.typed(*words).is_clean().code == 0
    assert dwf.tick().err == ""


@pytest.mark.parametrize(
    "words",
    [
        ["--in", "-1h"], ["--in", "nan"], ["--in", "soon"], ["--in", ""], ["--in", "10"], ["--in", "9" * 5000 + "h"],
        ["--at", ""], ["--at", "soon"], ["--at", "2020-01-01"], ["--at", "2020-01-01T00:00:00Z"], ["--at", "25:00"],
        ["--at", "2030-02-30"], ["--at", "2030-13-01 00:00"], ["--at", "0000-01-01"], ["--at", "nan"],
        ["--at", "99999-01-01T00:00:00Z"], ["--at", "2030-01-01T00:00:00+99:00"], ["--at", "22:00", "--in", "1h"],
        ["--wait", "--timeout", "soon"], ["--wait", "--timeout", "-1s"], ["--timeout", "1s"],
    ],
)  # fmt: skip
def test_a_time_on_the_command_line_that_is_none_is_refused(dwf: Terminal, words: list[str]) -> None:
    dwf.refuses(2, "start", dwf.script(PLAIN), "--id", "one", *words)
    assert not dwf.home.exists()


def test_a_local_time_that_is_there_twice_or_never_is_refused_with_both_readings(dwf: Terminal) -> None:
    script = dwf.script(PLAIN)
    environ = dwf.process_environ(TZ="Europe/Berlin")
    twice = dwf.refuses_process(2, "start", script, "--at", "2099-10-25 02:30", env=environ)
    assert "+02:00" in twice.hint and "+01:00" in twice.hint
    never = dwf.refuses_process(2, "start", script, "--at", "2099-03-29 02:30", env=environ)
    assert "2099-03-29" in never.error
    assert not dwf.home.exists()


def test_a_start_far_ahead_is_kept_and_shown(dwf: Terminal) -> None:
    for number, words in enumerate([["--in", "500000w"], ["--at", "9999-12-31T23:59:59Z"], ["--in", "99999999999w"]]):
        answer = dwf.typed("start", dwf.script(PLAIN), "--id", f"run{number}", *words).is_clean()
        assert answer.code in (0, 2)
    dwf.tick()
    assert dwf.typed("list").is_clean().code == 0
    assert "completed" not in dwf.typed("list").out


# -- the machine's clock ----------------------------------------------------------------------------------------

CLOCKED = """
    import datetime, dwf

    @dwf.activity
    def look() -> int:
        return 1

    @dwf.workflow
    async def clocked() -> list[float]:
        times = [dwf.now().timestamp()]
        await look()
        times.append(dwf.now().timestamp())
        await dwf.sleep("1h")
        times.append(dwf.now().timestamp())
        await dwf.wait_signal("go")
        times.append(dwf.now().timestamp())
        return times
"""


def ticked(dwf: Terminal, now_us: int) -> None:
    """A tick at that time by the machine's clock."""
    report = tick(Store.open(str(dwf.home)), clock=lambda: now_us)
    assert not report.errors and not report.news


@pytest.mark.parametrize("back", [1, HOUR, 400 * DAY], ids=["a microsecond", "an hour", "a year"])
def test_a_clock_that_is_set_back_between_two_ticks_loses_nothing_and_time_never_goes_back(
    dwf: Terminal, back: int
) -> None:
    now = time.time_ns() // 1000 + DAY
    dwf.start(CLOCKED, "one")
    ticked(dwf, now)
    assert dwf.status("one") == "waiting"
    ticked(dwf, now - back)
    assert not dwf.events("one", "TimerFired"), "a timer fired by a clock that went back"
    ticked(dwf, now + HOUR - 1)
    assert not dwf.events("one", "TimerFired"), "a timer fired too early"
    ticked(dwf, now + HOUR + 1_000_000)
    assert len(dwf.events("one", "TimerFired")) == 1
    dwf.typed("signal", "one", "go")
    ticked(dwf, now - back)
    assert dwf.status("one") == "completed"
    times = dwf.show("one")["result"]
    assert times == sorted(times), "the script has seen time go back"
    stamps = [event["ts"] for event in dwf.events("one")]
    assert stamps == sorted(stamps)
    assert dwf.typed("verify", "one").code == 0
    assert len(dwf.events("one", "TimerStarted", "TimerFired")) == 2
    for words in [("show", "one"), ("list",), ("history", "one")]:
        assert dwf.typed(*words).is_clean().code == 0


@pytest.mark.parametrize("year", [0, 4_070_908_800_000_000], ids=["1970", "2099"])
def test_a_clock_that_is_wrong_from_the_start_breaks_nothing(dwf: Terminal, year: int) -> None:
    dwf.start(CLOCKED, "one")
    ticked(dwf, year + DAY)
    ticked(dwf, year + 2 * DAY)
    assert dwf.status("one") == "waiting"
    for words in [("show", "one"), ("list",), ("history", "one"), ("inbox",)]:
        assert dwf.typed(*words).is_clean().code == 0
    dwf.typed("signal", "one", "go")
    ticked(dwf, time.time_ns() // 1000 + 2 * HOUR)
    dwf.tick()
    assert len(dwf.events("one", "TimerFired")) <= 1
    assert dwf.typed("verify", "one").code == 0
