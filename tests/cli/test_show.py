from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from dwf.cli.pages.advice import commands, sides
from dwf.cli.pages.documents import run_document
from dwf.cli.pages.run import Facts, Posted, RunPage
from dwf.cli.screen import Marks
from dwf.cli.times import Clock
from dwf.core import events as ev
from dwf.core.duration import SECOND, stamp
from dwf.core.parts import Divergence
from dwf.core.state import Status
from dwf.engine.beats import Beat
from dwf.engine.summary import waits
from dwf.errors import HistoryCorrupt, NondeterminismError
from tests.cli.test_words import text
from tests.cli.told import ANNA, BEGAN, BELA, ENDS, ONE_OF_EACH, history, raw, rotation, started, state_of, step

NOW = BEGAN + 5 * 3600 * SECOND + 2 * 60 * SECOND
CLOCK = Clock(NOW, utc=True)


def facts(events: list[ev.Event], **changes: Any) -> Facts:
    state = state_of(events)
    open_now = waits(state) if state.ended is None else ()
    fields: dict[str, Any] = {"waits": open_now, "last_tick_us": NOW - 8 * SECOND}
    return Facts(**{"run": state.head.run, "status": state.status, "state": state, **fields, **changes})


def screen(found: Facts, width: int = 0) -> list[str]:
    return [text(line) for line in RunPage(found, CLOCK, Marks(False), width).lines()]


def assert_says(lines: Sequence[str], *wanted: str) -> None:
    whole = " ".join(" ".join(lines).split())
    for words in wanted:
        assert words in whole, "\n".join(lines)


def test_a_run_that_waits_says_for_what_since_when_until_when_who_and_what_to_type() -> None:
    lines = screen(facts(rotation()))

    assert lines[0] == "cert-rotation-7f3k9  waiting"
    assert_says(
        lines,
        'run rotate(host="web1", days=30)',
        "started 5h ago by anna via ssh 10.0.0.7, 2026-11-22 15:02:11 UTC",
        "code cert_rotation.py @ 4be1c09, pinned",
        'waiting approve "Switch web1 to serial 3A:91?"',
        "since 15:02 UTC (5h), until 21:02 UTC (in 58m), then reject",
        'may answer: @security (2 needed, 1 given: bela via ssh 10.0.0.9 18:02 UTC "checked the chain")',
        "done expiry 1s | sign 1s",
        'next dwf approve cert-rotation-7f3k9 -m "..." yes',
        'dwf reject cert-rotation-7f3k9 -m "..." no',
        "dwf stack cert-rotation-7f3k9",
    )


@pytest.mark.parametrize("events", [rotation(), ONE_OF_EACH, ONE_OF_EACH[:-1], ONE_OF_EACH[:5], ONE_OF_EACH[:19]])
def test_eighty_columns_are_enough(events: list[ev.Event]) -> None:
    for line in screen(facts(events), 80):
        assert len(line) <= 80


def test_commands_to_copy_are_never_wrapped() -> None:
    long = history(started(run="a" * 100), ev.SignalWaitOpened(command=1, name="go"))

    lines = screen(facts(long), 80)

    assert any(line.endswith(f"dwf signal {'a' * 100} go [K=V ...]") for line in lines)


def test_a_step_that_runs_says_when_it_was_last_heard_of_and_how_far_it_is() -> None:
    runs = history(
        started(),
        ev.ActivityScheduled(command=1, name="copy", kind="function", schedule_to_close=9 * 3600 * SECOND),
        ev.ActivityStarted(command=1, attempt=1),
    )
    lines = screen(facts(runs, beats={1: Beat(NOW - 3 * SECOND, raw({"row": 42}))}))

    assert_says(lines, "running copy attempt 1", "until 2026-11-23 00:02 UTC (in 3h", 'heartbeat 3s ago: {"row":42}')


def test_a_step_that_waits_for_its_next_attempt_says_when_it_times_out() -> None:
    waits_on = history(
        started(),
        ev.ActivityScheduled(command=1, name="copy", kind="function", schedule_to_close=9 * 3600 * SECOND),
        ev.ActivityStarted(command=1, attempt=1),
        ev.ActivityAttemptFailed(
            command=1,
            attempt=1,
            error=ev.ErrorInfo(type="ValueError", message="no"),
            retry_at=stamp(NOW + 60 * SECOND),
            heartbeat=raw({"row": 42}),
        ),
    )
    assert_says(screen(facts(waits_on)), "again 20:05 UTC", "times out 2026-11-23 00:02 UTC (in 3h")


def test_a_deadline_that_has_passed_is_overdue() -> None:
    late = history(started(), ev.TimerStarted(command=1, fire_at=stamp(NOW - 60 * SECOND), purpose="settle"))

    assert_says(screen(facts(late)), "waiting settle overdue since 20:03 UTC (1m)")


def test_a_run_whose_deadline_has_passed_cleans_up_but_not_while_it_is_blocked() -> None:
    due = stamp(NOW - 60 * SECOND)
    passed = [started(deadline=due), ev.SignalWaitOpened(command=1, name="go"), ev.DeadlinePassed(due=due)]
    assert_says(screen(facts(history(*passed))), "deadline passed 1m ago; it is cleaning up")
    blocked = history(*passed, ev.RunBlocked(code="script-bug", message="KeyError: 'x'"))
    assert_says(screen(facts(blocked)), "deadline passed 1m ago; it is blocked, and cleans up when it is mended")


def test_a_dead_cron_is_the_first_advice() -> None:
    lines = screen(facts(rotation(), last_tick_us=NOW - 4 * 60 * SECOND))
    assert_says(lines, "next dwf tick last tick 4m ago; dwf help cron")
    assert not any("dwf tick" in line for line in screen(facts(rotation())))
    assert_says(screen(facts(rotation(), last_tick_us=None)), "no tick seen here yet")


def test_a_divergence_shows_both_sides_in_columns() -> None:
    error = NondeterminismError(
        line=14,
        recorded='ActivityScheduled drain_node function {"args":["web1"]} (command 6)',
        where="deploy.py:31",
        asked='ActivityScheduled cordon_node function {"args":["web1"]} (command 6)',
        hint="put the script back",
    )
    blocked = ev.RunBlocked(code=error.code, message=error.message, hint=error.hint or "", where="deploy.py:31")

    lines = screen(facts(history(started(), blocked)))

    assert lines[0].endswith("blocked")
    sides_shown = [line.strip() for line in lines if "(command 6)" in line]
    assert sides_shown == [
        'history line 14  recorded  ActivityScheduled drain_node function {"args":["web1"]} (command 6)',
        'deploy.py:31     now asks  ActivityScheduled cordon_node function {"args":["web1"]} (command 6)',
    ]
    assert_says(lines, "put the script back", "dwf upgrade cert-rotation-7f3k9 --to /srv/books/cert_rotation.py")


def test_the_sides_of_an_older_history_are_read_from_the_sentence_that_the_error_makes() -> None:
    error = NondeterminismError(line=3, recorded="a b", where="x.py:1", asked="for nothing more")
    blocked = ev.RunBlocked(code=error.code, message=error.message, where="x.py:1")
    told = [("history line 3", "recorded", "a b"), ("x.py:1", "now asks", "for nothing more")]
    assert sides(blocked) == told
    assert sides(ev.RunBlocked(code="script-bug", message="KeyError: 'x' at x.py:1")) is None

    told[0] = ("history line 7", "recorded", "where it asks a line")
    diverged = Divergence(line=7, recorded="where it asks a line", asked="for nothing more")
    assert sides(msgspec.structs.replace(blocked, diverged=diverged)) == told


def test_a_bug_says_where_and_how_to_go_on() -> None:
    blocked = ev.RunBlocked(code="script-bug", message="KeyError: 'x' at book.py:3", hint="mend the script")
    lines = screen(facts(history(started(), blocked)))
    assert_says(lines, "blocked KeyError: 'x' at book.py:3", "mend the script", "when the script is mended")


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (ENDS[0], ["completed", 'result {"serial":"3A:91"}', "next dwf result cert-rotation-7f3k9"]),
        (ENDS[1], ["failed", "error Failure: not served book.py:3 in rotate: raise", "dwf history"]),
        (ENDS[2], ["terminated", 'by anna via ssh 10.0.0.7 "host is gone"', "dwf history"]),
        (ENDS[3], ["moved", "moved into /tmp/r1.dwf, from bastion1 (machine abababab)", '"web1 retires"']),
        (ENDS[4], ["imported", "imported on bastion2 (machine cdcdcdcd) by bela", "dwf history"]),
        (next(e for e in ENDS if isinstance(e, ev.WorkflowTimedOut)), ["timed-out", "its deadline has passed: 2026"]),
    ],
)
def test_an_end_says_how_and_after_what_time(end: ev.Event, words: list[str]) -> None:
    lines = screen(facts(history(started(), end, seconds=(0, 90))))
    assert_says(lines, *words, "after 1m30s")


def test_a_cancelled_run_says_by_whom_and_what_was_open() -> None:
    lines = screen(facts(ONE_OF_EACH))
    assert_says(lines, 'by anna via ssh 10.0.0.7 "wrong host"', "left without an outcome: command 4")


def test_posted_messages_are_shown_until_a_tick_takes_them() -> None:
    lines = screen(facts(rotation(), mail=[Posted('approve "ok"', "anna", NOW - 3 * SECOND)]))
    assert_says(lines, 'posted approve "ok", by anna 3s ago', "taken up by the next tick")


def test_signals_that_nobody_took_are_shown() -> None:
    events = history(started(), ev.SignalReceived(name="go"), ev.TimerStarted(command=1, fire_at=stamp(NOW + SECOND)))
    assert_says(screen(facts(events)), "signals not taken by the script yet: go (line 2)")


def test_an_incomplete_record_is_a_note() -> None:
    assert_says(screen(facts(rotation(), torn_bytes=17)), "1 incomplete record (17 bytes) at the end is left out")


def corrupt() -> Facts:
    problem = HistoryCorrupt(path="/s/x.jsonl", line=3, offset=120, why="a blank line", kind="corrupt")
    return Facts(run="x", status=Status.CORRUPT, state=None, problem=problem)


def test_a_damaged_run_says_where_and_what_to_type() -> None:
    assert_says(
        screen(corrupt()), "x corrupt", "problem /s/x.jsonl: line 3, byte 120: a blank line (corrupt)", "dwf verify x"
    )


def test_what_strangers_wrote_cannot_reach_the_terminal() -> None:
    """Fails when text is shown as it is."""
    nasty = "a\x1b]52;c;aGk=\x07b\r\u202ec"
    events = history(
        started(
            reason=nasty,
            tags={nasty: raw(nasty)},
            memo={nasty: raw(nasty)},
            by=ev.Identity(uid=1, login=nasty, ssh_client=nasty),
        ),
        ev.StatusChanged(command=1, text=nasty),
        step(2, nasty, nasty),
        ev.ActivityAttemptFailed(
            command=2, attempt=1, error=ev.ErrorInfo(type=nasty, message=nasty), retry_at=stamp(NOW + SECOND)
        ),
        ev.ApprovalRequested(command=3, prompt=nasty, fingerprint=nasty, by=[nasty]),
        ev.CancelRequested(reason=nasty, by=BELA),
        ev.RunBlocked(code="script-bug", message=nasty, hint=nasty, where=nasty),
    )
    import io

    from dwf.cli.screen import Screen

    out = io.StringIO()
    Screen(out, io.StringIO(), {}).lines(RunPage(facts(events), CLOCK, Marks(True)).lines())

    assert all(c.isprintable() or c == "\n" for c in out.getvalue())


# -- JSON -------------------------------------------------------------------------------------------------------

KEYS = {
    "schema", "run", "instance", "status", "problem", "torn_bytes", "last_tick", "stuck", "undriven",
    "nonce", "workflow", "script", "code", "code_refused", "python", "packages", "packages_changed",
    "code_mode", "code_from",
    "input", "tags", "memo", "headers", "reason", "by", "started", "start_at", "attempt", "priority",
    "deadline",
    "on_deadline", "deadline_passed",
    "updated", "ended", "events", "status_text", "degraded", "undos",
    "result", "error", "blocked", "cancel", "moved", "steps_done", "done", "signals", "approvals", "waits", "mail",
    "late", "refused", "refused_why", "next",
}  # fmt: skip


@pytest.mark.parametrize(
    "found", [facts(rotation()), facts(ONE_OF_EACH), facts(history(started(), ENDS[1])), corrupt()]
)
def test_the_document_has_the_same_keys_whatever_the_run(found: Facts) -> None:
    document = run_document(found)

    assert set(document) == KEYS
    assert document["schema"] == "dwf.run/1"
    assert json.loads(json.dumps(document)) == document


def test_the_document_says_what_the_screen_says() -> None:
    document = run_document(facts(rotation()))

    assert document["status"] == "waiting"
    assert document["input"] == {"host": "web1", "days": 30}
    assert document["by"]["login"] == "anna"
    assert document["waits"][0]["what"] == "Switch web1 to serial 3A:91?"
    assert document["waits"][0]["until"] == "2026-11-22T21:02:11.000000Z"
    assert document["approvals"][0]["answers"][0]["comment"] == "checked the chain"
    assert document["next"][0] == 'dwf approve cert-rotation-7f3k9 -m "..."'


def test_the_document_of_a_damaged_run_names_the_place() -> None:
    problem = run_document(corrupt())["problem"]
    assert (problem["code"], problem["line"], problem["offset"]) == ("history-corrupt", 3, 120)


# -- advice -----------------------------------------------------------------------------------------------------


def test_of_several_questions_each_is_named_by_its_number() -> None:
    events = history(
        started(),
        ev.ApprovalRequested(command=1, prompt="a?", fingerprint="1"),
        ev.ApprovalRequested(command=2, prompt="b?", fingerprint="2"),
    )
    state = state_of(events)

    lines = [line for line, _ in commands("r", state.status, state, waits(state))]

    assert 'dwf approve r 1 -m "..."' in lines and 'dwf reject r 2 -m "..."' in lines


def test_a_failed_step_is_named_as_a_shell_would_want_it() -> None:
    failed = ev.ActivityFailed(command=1, error=ev.ErrorInfo(type="E", message="m"))
    state = state_of(history(started(by=ANNA, input=raw({})), step(1, "verify chain"), failed, ENDS[1]))

    assert "dwf logs r 'verify chain'" in [line for line, _ in commands("r", state.status, state, [])]
