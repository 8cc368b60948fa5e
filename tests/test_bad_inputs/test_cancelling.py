"""Cancel and terminate: twice, too early, with a cleanup that fails or never ends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.test_bad_inputs.terminal import PLAIN, WAITS, Terminal, until


def book(cleanup: str) -> str:
    return f"""
        import asyncio, dwf

        @dwf.activity(retry=dwf.Retry(max_attempts=1))
        def undo() -> int:
            raise ValueError("cannot undo")

        @dwf.workflow
        async def book() -> object:
            try:
                await dwf.wait_signal("go")
            finally:
                {cleanup}
    """


def test_a_cancel_asked_for_twice_is_one(dwf: Terminal) -> None:
    dwf.driven(WAITS, "one")
    assert dwf.typed("cancel", "one", "-m", "first").code == 0
    assert dwf.typed("cancel", "one", "-m", "second").code == 0
    dwf.tick()
    assert dwf.status("one") == "cancelled"
    assert dwf.events("one", "WorkflowCancelled")[0]["reason"] == "first"


def test_a_second_cancel_does_not_end_the_cleanup_of_the_first(dwf: Terminal) -> None:
    dwf.driven(book('await dwf.wait_signal("cleaned")'), "one")
    dwf.typed("cancel", "one", "-m", "first")
    dwf.tick()
    assert dwf.status("one") == "waiting"
    assert dwf.typed("cancel", "one", "-m", "second").code == 0
    dwf.tick()
    assert dwf.status("one") == "waiting"
    assert "first" in dwf.typed("show", "one").out
    dwf.typed("signal", "one", "cleaned")
    dwf.tick()
    assert dwf.status("one") == "cancelled"


def test_a_cancel_of_a_closed_run_is_refused(dwf: Terminal) -> None:
    dwf.driven(PLAIN, "one")
    assert "completed" in dwf.refuses(7, "cancel", "one").error


@pytest.mark.parametrize(
    "verb", [("cancel", "-m", "why"), ("terminate", "-y", "-m", "why")], ids=["cancel", "terminate"]
)
@pytest.mark.parametrize("ahead", [(), ("--in", "2h")], ids=["not ticked yet", "begins in 2 h"])
def test_a_run_that_has_not_begun_is_ended_and_never_begins(
    dwf: Terminal, verb: tuple[str, ...], ahead: tuple[str, ...]
) -> None:
    touched = dwf.where / "touched"
    dwf.start(f"""
        import dwf

        @dwf.workflow
        async def book() -> None:
            await dwf.sh("touch", "{touched}")
            await dwf.wait_signal("go")
    """, "one", *ahead)  # fmt: skip
    assert dwf.typed(verb[0], "one", *verb[1:]).code == 0
    dwf.tick()
    assert dwf.status("one") in ("cancelled", "terminated")
    assert not dwf.events("one", "ActivityScheduled")
    assert not touched.exists()


CLEANUPS = [
    ("fails", 'raise dwf.Failure("cannot clean up")', "failed", 1),
    ("has a step that fails", "await undo()", "failed", 1),
    ("has a bug", "{}['typo']", "blocked", 1),
    ("returns", "return 'cleaned'", "completed", 0),
    ("takes no time", "pass", "cancelled", 0),
    ("reaches out", "open('/etc/hostname')", "blocked", 1),
]


@pytest.mark.parametrize(
    ("cleanup", "status", "code"), [case[1:] for case in CLEANUPS], ids=[case[0] for case in CLEANUPS]
)
def test_a_cleanup_ends_as_it_says_and_that_is_recorded(dwf: Terminal, cleanup: str, status: str, code: int) -> None:
    dwf.driven(book(cleanup), "one")
    dwf.typed("cancel", "one", "-m", "why")
    dwf.tick(code=code)
    assert dwf.status("one") == status
    assert len(dwf.events("one", "CancelRequested")) == 1
    page = dwf.typed("show", "one").is_clean().out
    if status == "failed":
        assert "cannot" in page
    if status == "blocked":
        assert dwf.typed("terminate", "one", "-y", "-m", "by hand").code == 0
        dwf.tick()
        assert dwf.status("one") == "terminated"


def test_a_cleanup_that_waits_for_ever_is_shown_and_can_be_ended(dwf: Terminal) -> None:
    dwf.driven(book('await dwf.wait_signal("never")'), "one")
    dwf.typed("cancel", "one", "-m", "wrong host")
    dwf.tick()
    assert dwf.status("one") == "waiting"
    page = dwf.typed("show", "one").is_clean().out
    assert "wrong host" in page and "never" in page
    dwf.tick()
    dwf.refuses(2, "terminate", "one")
    assert "-y" in dwf.refuses(2, "terminate", "one", "-m", "why").hint
    assert dwf.typed("terminate", "one", "-y", "-m", "enough").code == 0
    dwf.tick()
    assert dwf.status("one") == "terminated"


def test_a_cleanup_with_a_time_limit_keeps_it(dwf: Terminal) -> None:
    cleanup = """
                async with asyncio.timeout(0.05):
                    await dwf.wait_signal("never")
    """.strip()
    dwf.driven(book(cleanup), "one")
    dwf.typed("cancel", "one", "-m", "why")

    def over() -> bool:
        dwf.tick(code=None)
        return dwf.status("one") != "waiting"

    until(over)
    assert dwf.status("one") == "failed"


@pytest.mark.parametrize(
    "verb", [("cancel", "-m", "why"), ("terminate", "-y", "-m", "why")], ids=["cancel", "terminate"]
)
def test_a_step_that_runs_is_ended_with_its_run(dwf: Terminal, verb: tuple[str, ...]) -> None:
    dwf.start("""
        import dwf

        @dwf.workflow
        async def book(where: str) -> None:
            await dwf.sh(where, script='echo $$ > "$1/pid"; sleep 600; sleep 600', grace="0.2s")
    """, "one", f"where={dwf.where}")  # fmt: skip
    tick = dwf.spawn("tick")
    pid = int(until(lambda: (dwf.where / "pid").exists() and (dwf.where / "pid").read_text().strip()))
    assert dwf.typed(verb[0], "one", *verb[1:]).code == 0
    began = time.monotonic()
    tick.communicate(timeout=30)
    assert tick.returncode == 0
    assert time.monotonic() - began < 10
    assert dwf.status("one") in ("cancelled", "terminated")
    assert not Path(f"/proc/{pid}").exists()


def test_a_blocked_run_can_be_terminated(dwf: Terminal) -> None:
    dwf.blocked("import dwf\n@dwf.workflow\nasync def book():\n    {}['typo']\n", "one")
    assert dwf.typed("cancel", "one", "-m", "why").code == 0
    dwf.tick(code=None)
    assert dwf.typed("terminate", "one", "-y", "-m", "why").code == 0
    dwf.tick()
    assert dwf.status("one") == "terminated"
