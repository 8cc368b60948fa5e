"""The verbs end to end: typed, driven by the real engine on a real directory, and read back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dwf.store.files import Disk
from dwf.store.layout import Layout
from dwf.store.locks import RunLocks
from tests.cli.terminal import Terminal

DAY = 86_400


def test_a_start_prints_the_id_and_nothing_else(dwf: Terminal) -> None:
    said = dwf("start", f"{dwf.script}:quick", "n=4", "--id", "q-1")

    assert (said.code, said.out) == (0, "q-1\n")
    assert "book.py @ " in said.err
    assert "no tick seen here yet" in said.err and "dwf help cron" in said.err
    assert "next: dwf show q-1" in said.err


def test_what_is_started_is_run_by_the_next_tick_and_its_result_can_be_read(dwf: Terminal) -> None:
    run = dwf.started("quick", "n=4")
    assert dwf("result", run).code == 3

    assert dwf("tick").code == 0

    said = dwf("result", run)
    assert (said.code, said.out) == (0, "8\n")


def test_after_a_tick_nobody_is_warned(dwf: Terminal) -> None:
    dwf("start", f"{dwf.script}:quick")
    dwf("tick")

    said = dwf("start", f"{dwf.script}:quick")

    assert "last tick 0s ago" in said.err and "warning" not in said.err


def test_tick_drives_that_run_at_once(dwf: Terminal) -> None:
    said = dwf("start", f"{dwf.script}:quick", "n=4", "--id", "q", "--tick")

    assert said.out == "q\n"
    assert "double -> 8" in said.err
    assert dwf("result", "q").out == "8\n"


def test_wait_gives_the_outcome_as_exit_code(dwf: Terminal) -> None:
    assert dwf("start", f"{dwf.script}:quick", "--tick", "--wait").code == 0
    assert dwf("start", f"{dwf.script}:fails", "--tick", "--wait").code == 1
    assert dwf("start", f"{dwf.script}:sleeps", "--tick", "--wait", "--timeout", "1ms").code == 124


def test_a_start_can_be_put_off(dwf: Terminal) -> None:
    said = dwf("start", f"{dwf.script}:quick", "--id", "later", "--in", "2h", "--json")
    assert said.json["start_at"] is not None
    dwf("tick")

    assert dwf("show", "later", "--json").json["status"] == "waiting"
    assert dwf("list").out.split("\n")[1].split()[2] == "waiting"


def test_parameters_come_from_words_and_from_json(dwf: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"n": 3, "canary": false}')

    dwf("start", f"{dwf.script}:quick", f"--input=@{file}", "--id", "a")
    dwf("start", f"{dwf.script}:quick", "--input", "-", "--id", "b", stdin=b'{"n": 5}')
    dwf("start", f"{dwf.script}:quick", "--input", '{"n": 5}', "n=6", "--id", "c")

    inputs = [dwf("show", run, "--json").json["input"] for run in "abc"]
    assert inputs == [{"n": 3, "canary": False}, {"n": 5}, {"n": 6}]


def test_tags_and_the_reason_are_kept(dwf: Terminal) -> None:
    dwf("start", f"{dwf.script}:quick", "--id", "a", "--tag", "env=prod", "--tag", "team=web", "-m", "INC-1")

    document = dwf("show", "a", "--json").json
    assert document["tags"] == {"env": "prod", "team": "web"}
    assert document["reason"] == "INC-1"


def test_the_help_of_a_script_shows_its_typed_parameters(dwf: Terminal) -> None:
    said = dwf("start", f"{dwf.script}:quick", "--help")

    assert said.code == 0
    words = said.out.split()
    assert "Doubles N." in said.out
    assert " ".join(words).find("n int default 1 canary bool default yes") > 0
    assert f"dwf start {dwf.script}:quick" in said.out
    assert not dwf.home.exists()


def test_an_id_in_use_is_a_conflict_or_what_was_asked_for(dwf: Terminal) -> None:
    start = ("start", f"{dwf.script}:quick", "--id", "q")
    assert dwf(*start, "n=1").code == 0
    assert dwf(*start, "n=1").code == 9
    assert dwf(*start, "n=1", "--if-exists", "use").code == 0
    assert dwf(*start, "n=2", "--if-exists", "use").code == 9
    dwf("tick")
    said = dwf(*start, "n=2", "--if-exists", "new")
    assert (said.code, said.out) == (0, "q\n")
    assert dwf("show", "q", "--json").json["instance"] == 2


# -- answering --------------------------------------------------------------------------------------------------


def test_an_approval_says_what_was_approved_and_when_it_will_be_acted_on(dwf: Terminal) -> None:
    run = dwf.driven("asks")
    assert dwf("show", run, "--exit-status").code == 5

    said = dwf("approve", run, "-m", "checked")

    assert (said.code, said.out) == (0, 'yes to "Switch web1?"\n')
    assert "acted on by the next tick; last tick 0s ago" in said.err
    assert "posted" in dwf("show", run).out
    dwf("tick")
    assert dwf("result", run).out == '"checked"\n'


def test_a_no_ends_the_run_as_failed(dwf: Terminal) -> None:
    run = dwf.driven("asks")

    assert dwf("reject", run, "-m", "wrong serial", "--tick").code == 0

    said = dwf("result", run)
    assert said.code == 1
    assert "wrong serial" in said.error
    assert dwf("approve", run).code == 7


def test_of_two_questions_one_must_be_named(dwf: Terminal) -> None:
    run = dwf.driven("asks_two")

    said = dwf("approve", run)
    assert said.code == 2
    assert "Drain web1?" in said.hint and "Drain web2?" in said.hint
    assert dwf("approve", run, "web2").code == 0
    assert dwf("approve", run, "1", "--tick").code == 0
    assert dwf("wait", run).code == 0


def test_an_answer_can_be_bound_to_what_was_shown(dwf: Terminal) -> None:
    run = dwf.driven("asks")
    shown = dwf("show", run, "--json").json["approvals"][0]["fingerprint"]

    assert dwf("approve", run, "--if-hash", "0000").code == 7
    assert dwf("approve", run, "--if-hash", shown[:12]).code == 0


def test_the_inbox_says_what_needs_a_person_and_what_to_type(dwf: Terminal) -> None:
    assert dwf("inbox").err == "nothing needs you\n"
    asks = dwf.driven("asks")
    stumbles = dwf.driven("stumbles")

    said = dwf("inbox")

    assert [line.split()[:2] for line in said.out.splitlines()[1:]] == [["FIX", stumbles], ["APPROVE", asks]] or [
        line.split()[:2] for line in said.out.splitlines()[1:]
    ] == [["APPROVE", asks], ["FIX", stumbles]]
    assert f'next: dwf approve {asks} -m "..."' in said.err
    assert f"next: dwf show {stumbles}" in said.err
    assert {need["run"] for need in dwf("inbox", "--json").json["needs"]} == {asks, stumbles}
    assert set(dwf("inbox", "-o", "name").out.split()) == {asks, stumbles}


@pytest.mark.parametrize(
    ("words", "stdin", "payload"),
    [
        ((), b"", None),
        (("serial=3A:91", "days=30", "dry=true"), b"", {"serial": "3A:91", "days": 30, "dry": True}),
        (("serial=3A:91",), b"", {"serial": "3A:91"}),
        (('{"a": "b=c"}',), b"", {"a": "b=c"}),
        (("[1,2]",), b"", [1, 2]),
        (("42",), b"", 42),
        (("-",), b'{"plan": "x=y"}', {"plan": "x=y"}),
    ],
)
def test_a_signal_carries_words_or_json(dwf: Terminal, words: tuple[str, ...], stdin: bytes, payload: object) -> None:
    run = dwf.driven("waits")

    assert dwf("signal", run, "go", *words, "--tick", stdin=stdin).code == 0

    assert json.loads(dwf("result", run).out) == payload


def test_a_signal_that_nobody_waits_for_is_kept_and_the_nearest_name_is_suggested(dwf: Terminal) -> None:
    run = dwf.driven("waits")

    said = dwf("signal", run, "goo", "--tick")

    assert said.code == 0
    assert "does not wait for goo now; it is kept. did you mean go?" in said.err
    assert "signals  not taken by the script yet: goo" in dwf("show", run).out


# -- ending and mending -----------------------------------------------------------------------------------------


def test_a_cancelled_run_is_not_an_error_of_the_canceller(dwf: Terminal) -> None:
    run = dwf.driven("sleeps")

    assert dwf("cancel", run, "-m", "wrong host", "--tick").code == 0

    assert dwf("wait", run).code == 6
    assert "wrong host" in dwf("show", run).out
    assert dwf("cancel", run, "-m", "why").code == 7


def test_it_is_said_how_a_run_is_going_to_end(dwf: Terminal) -> None:
    run = dwf.driven("sleeps")

    assert dwf("cancel", run, "-m", "why").out == f"{run} is asked to end, and cleans up first\n"
    assert dwf("terminate", run, "-m", "lost", "-y").out == f"{run} is to end without cleanup\n"


OPEN = """
import asyncio, dwf

@dwf.workflow
async def main():
    waits = [dwf.sleep("1h", "settle"), dwf.wait_signal("go"), dwf.approve("Switch web1?")]
    await asyncio.gather(*waits, dwf.sh("false", title="drain", retry=dwf.Retry(max_attempts=2, initial="1h")))
"""


def test_what_a_terminated_run_leaves_open_is_named(dwf: Terminal) -> None:
    dwf.script.write_text(OPEN)
    run = dwf.driven("main")
    assert dwf("terminate", run, "-m", "lost", "-y", "--tick").code == 0

    shown = " ".join(dwf("show", run).out.split())

    left = 'timer settle, signal go, approval "Switch web1?", step drain'
    assert f"note left without an outcome: {left} next" in shown


def test_terminating_needs_a_reason_and_somebody_who_says_yes(dwf: Terminal) -> None:
    run = dwf.driven("sleeps")

    assert "needs a reason" in dwf("terminate", run).error
    assert "nobody to ask" in dwf("terminate", run, "-m", "lost").error
    assert dwf("terminate", run, "-m", "lost", "-y", "--tick").code == 0
    assert dwf("show", run, "--exit-status").code == 6


def test_a_blocked_run_goes_on_with_a_mended_script(dwf: Terminal) -> None:
    run = dwf.driven("stumbles")
    said = dwf("show", run, "--exit-status")
    assert said.code == 5
    assert f"dwf upgrade {run} --to {dwf.script}" in said.out
    dwf.script.write_text(dwf.script.read_text().replace('{}["host"]', "return None"))

    assert "it goes on" in dwf("upgrade", run, "--to", str(dwf.script), "-m", "typo").out

    dwf("tick")
    assert dwf("wait", run).code == 0


def test_a_script_that_does_not_fit_is_refused_and_nothing_is_changed(dwf: Terminal) -> None:
    run = dwf.driven("asks")
    before = dwf.history(run).read_bytes()
    dwf.script.write_text(dwf.script.read_text().replace("Switch {host}?", "Drain {host}?"))

    assert dwf("upgrade", run, "--to", str(dwf.script)).code == 65

    assert dwf.history(run).read_bytes() == before


def test_verbs_that_change_something_take_no_prefix_from_a_script(dwf: Terminal) -> None:
    dwf.driven("asks", "--id", "rotate-web1")

    assert dwf("show", "rotate").code == 0
    said = dwf("approve", "rotate")
    assert said.code == 2
    assert "rotate-web1" in said.hint


# -- watching ---------------------------------------------------------------------------------------------------


def test_a_list_says_where_all_runs_are(dwf: Terminal) -> None:
    ids = [dwf.driven(w) for w in ("quick", "asks", "fails", "stumbles", "sleeps")]

    said = dwf("list")

    rows = {line.split()[0]: line.split()[2] for line in said.out.splitlines()[1:]}
    assert [rows[run] for run in ids] == ["completed", "waiting", "failed", "blocked", "waiting"]
    assert dwf("list", "-o", "name", "--status", "failed").out.split() == [ids[2]]
    assert dwf("list", "--open", "-o", "name").out.split() == [ids[4], ids[3], ids[1]]
    assert dwf("ls", "--workflow", "asks", "-o", "name").out.split() == [ids[1]]
    assert len(dwf("list", "-n", "2", "-o", "jsonl").out.splitlines()) == 2


def test_an_empty_place_is_no_error(dwf: Terminal) -> None:
    said = dwf("list")
    assert (said.code, said.out) == (0, "")
    assert "dwf start SCRIPT" in said.err
    assert dwf("list", "--json").json == {"schema": "dwf.list/1", "runs": []}
    assert dwf("verify").code == 0
    assert dwf("show", "x").code == 4
    assert not dwf.home.exists()


def test_a_history_is_told_and_can_be_read_as_stored(dwf: Terminal) -> None:
    run = dwf.driven("quick")
    stored = dwf.history(run).read_text()

    assert dwf("history", run, "-o", "jsonl").out == stored
    assert dwf("history", run, "--json").json["events"] == [json.loads(line) for line in stored.splitlines()]
    assert "WorkflowCompleted" in dwf("history", run).out


def test_a_history_can_be_cut_turned_and_filtered(dwf: Terminal) -> None:
    run = dwf.driven("quick")
    whole = dwf("history", run).out.splitlines()[1:]

    assert dwf("history", run, "-n", "2").out.splitlines()[1:] == whole[-2:]
    assert [x.split()[0] for x in dwf("history", run, "-r").out.splitlines()[1:]] == [x.split()[0] for x in whole][::-1]
    chosen = dwf("history", run, "--type", "activitycompleted", "-o", "jsonl").out.splitlines()
    assert [json.loads(line)["type"] for line in chosen] == ["ActivityCompleted"]
    said = dwf("history", run, "--type", "ActivityComplete")
    assert (said.code, said.hint) == (2, "did you mean ActivityCompleted?")


def test_following_ends_with_the_run(dwf: Terminal) -> None:
    run = dwf.driven("quick")

    assert dwf("history", run, "-f").out == dwf("history", run).out


def test_logs_are_the_bytes_of_the_steps(dwf: Terminal) -> None:
    run = dwf.driven("shell")

    said = dwf("logs", run)

    assert said.out == "to stdout\nto stderr\n"
    assert "== say something (step 1), attempt 1\n" in said.err
    assert dwf("logs", run, "say", "--tail", "0").out == ""
    assert dwf("logs", run, "1", "--attempt", "2").out == ""
    assert dwf("logs", run, "sing").code == 4


def test_the_logs_of_a_step_say_where_it_failed_also_if_it_printed_nothing(dwf: Terminal) -> None:
    run = dwf.driven("fails")
    line = f"dwf logs {run} broken"
    assert f"{line}  " in dwf("show", run).out and "where it failed" in dwf("show", run).out

    said = dwf(*line.split()[1:])

    assert (said.code, said.out) == (0, "")
    assert said.err.splitlines() == [
        "that step broken printed nothing",
        "it failed: ValueError: no such host",
        '  book.py:12 in broken: raise ValueError("no such host")',
    ]
    assert "failed" not in dwf("logs", run, "broken", "--attempt", "2").err
    assert "failed" not in dwf("logs", dwf.driven("shell"), "say").err


def test_a_step_that_came_through_in_the_end_did_not_fail(dwf: Terminal) -> None:
    dwf.script.write_text(
        "import dwf\n@dwf.activity(retry=dwf.Retry(max_attempts=2, initial='0s'))\ndef once_more():\n"
        "    assert dwf.activity_info().attempt == 2, 'not yet'\n"
        "@dwf.workflow\nasync def main():\n    await once_more()\n"
    )
    run = dwf.driven("main")

    assert dwf("logs", run, "once_more").err == "that step once_more printed nothing\n"
    assert "it failed: AssertionError: not yet\n  book.py:4 in once_more" in dwf("logs", run, "1", "--attempt", "1").err


def test_the_stack_names_file_line_and_source(dwf: Terminal) -> None:
    run = dwf.driven("asks")

    said = dwf("stack", run)

    assert "book.py:" in said.out and "await dwf.approve" in said.out
    assert dwf("stack", run, "--json").json["tasks"]


def test_waiting_for_a_step_or_a_rest(dwf: Terminal) -> None:
    run = dwf.driven("asks")
    assert dwf("wait", run, "--until", "waiting").code == 0
    assert dwf("wait", run, "--timeout", "1ms").code == 124
    done = dwf.driven("quick")
    assert dwf("wait", done, "--until", "step:double").code == 0
    assert dwf("wait", done, dwf.driven("fails")).code == 1


# -- damage -----------------------------------------------------------------------------------------------------


def test_one_damaged_run_does_not_hide_the_others(dwf: Terminal) -> None:
    good, bad = dwf.driven("quick"), dwf.driven("asks")
    dwf.damage(bad)
    (dwf.home / "index.sqlite").unlink()

    said = dwf("list")
    assert said.code == 1
    assert {line.split()[0] for line in said.out.splitlines()[1:]} == {good, bad}
    listed = {run["run"]: run["status"] for run in dwf("list", "--json").json["runs"]}
    assert listed == {good: "completed", bad: "corrupt"}

    assert dwf("show", good).code == 0
    shown = dwf("show", bad, "--json")
    assert (shown.code, shown.json["status"], shown.json["problem"]["line"]) == (65, "corrupt", 2)
    assert "dwf verify" in dwf("show", bad).out


def test_verify_names_file_line_and_byte(dwf: Terminal) -> None:
    run = dwf.driven("quick")
    assert dwf("verify", run).code == 0
    dwf.damage(run)

    said = dwf("verify", "--json")

    assert said.code == 65
    (finding,) = said.json["findings"][:1]
    first = len(dwf.history(run).read_bytes().split(b"\n")[0]) + 1
    assert (finding["file"], finding["line"], finding["offset"]) == (str(dwf.history(run)), 2, first)
    assert finding["class"] == "corrupt"
    assert f"{dwf.history(run)}: line 2, byte {first}: corrupt: " in dwf("verify").out


def test_a_torn_tail_is_a_note(dwf: Terminal) -> None:
    run = dwf.driven("asks")
    with dwf.history(run).open("ab") as file:
        file.write(b'{"id":')

    assert "1 incomplete record" in dwf("show", run).out
    assert dwf("history", run).code == 0
    said = dwf("verify", run)
    assert (said.code, "torn" in said.out) == (0, True)


def test_a_run_that_somebody_works_on_is_busy(dwf: Terminal) -> None:
    run = dwf.driven("asks")
    lock = RunLocks(Disk(), Layout(str(dwf.home))).take(run)
    assert lock is not None
    with lock:
        said = dwf("upgrade", run, "--to", str(dwf.script))
    assert said.code == 75
    assert str(os.getpid()) in said.error


def test_a_directory_of_another_machine_is_refused_by_what_writes(dwf: Terminal) -> None:
    run = dwf.driven("asks")
    (dwf.home / "machine").write_text("0" * 32 + "\n")

    assert dwf("approve", run).code == 78
    assert dwf("tick").code == 78
    assert dwf("show", run).code == 0


# -- tick -------------------------------------------------------------------------------------------------------


def test_a_tick_says_once_what_newly_went_wrong(dwf: Terminal) -> None:
    run = dwf.started("stumbles")

    said = dwf("tick")
    assert said.code == 1
    assert run in said.err and "blocked" in said.err and len(said.err.splitlines()) == 1
    assert dwf("tick") == dwf("tick", "-q")
    assert dwf("tick").code == 0


def test_a_run_gives_its_result_and_its_outcome(dwf: Terminal) -> None:
    said = dwf("run", f"{dwf.script}:quick", "n=4")
    assert (said.code, said.out) == (0, "8\n")
    assert said.err.count("double -> 8") == 1

    said = dwf("run", f"{dwf.script}:fails")
    assert (said.code, said.out) == (1, "")
    assert "no such host" in said.err and "next: dwf history" in said.err

    said = dwf("run", f"{dwf.script}:stumbles")
    assert (said.code, said.out) == (5, "")
    assert "next: dwf upgrade" in said.err


@pytest.mark.parametrize("verb", ["start", "run"])
def test_live_and_pinned_code_exclude_each_other(dwf: Terminal, verb: str) -> None:
    said = dwf(verb, f"{dwf.script}:quick", "--live", "--code", "pinned")
    assert said.code == 2 and "--live and --code pinned" in said.error
    assert not dwf.home.exists()


@pytest.mark.parametrize(
    ("words", "mode"),
    [((), "pinned"), (("--code", "pinned"), "pinned"), (("--live",), "live"), (("--live", "--code", "live"), "live")],
    ids=["neither", "pinned", "live", "twice live"],
)
def test_code_is_pinned_unless_it_is_asked_to_be_live(dwf: Terminal, words: tuple[str, ...], mode: str) -> None:
    run = dwf.started("quick", *words)
    assert dwf("show", run, "--json").json["code_mode"] == mode


def test_a_directory_of_another_machine_is_used_again_when_it_is_adopted(dwf: Terminal) -> None:
    run = dwf.started("quick")
    (dwf.home / "machine").write_text("0123456789abcdef0123456789abcdef\n")
    refused = dwf("start", f"{dwf.script}:quick")
    assert refused.code == 78 and refused.hint.endswith("dwf adopt")

    asked = dwf("adopt")
    assert asked.code == 2 and "nobody to ask" in asked.error
    assert dwf("tick").code == 78

    assert dwf("adopt", "-y").code == 0
    assert dwf("tick").code == 0
    assert dwf("result", run).code == 0


def test_what_is_no_state_directory_is_not_adopted(dwf: Terminal) -> None:
    assert dwf("adopt", "-y").code == 73
    dwf.home.mkdir()
    assert dwf("adopt", "-y").code == 73
    assert list(dwf.home.iterdir()) == []


def test_after_an_upgrade_the_next_tick_is_what_it_waits_for(dwf: Terminal) -> None:
    run = dwf.driven("stumbles")
    dwf.script.write_text(dwf.script.read_text().replace('{}["host"]', "pass"))
    assert "when the script is mended" in dwf("show", run).out
    dwf("upgrade", run, "--to", str(dwf.script))

    said = dwf("show", run).out
    assert "moved to other code since" in said and "dwf tick" in said and "goes on with the new code" in said
    assert "dwf upgrade" not in said and dwf("show", run, "--json").json["next"][0] == "dwf tick"
    assert "it was upgraded" in dwf("list", "-o", "wide").out
    assert dwf("inbox", "--json").json["needs"] == []

    dwf("tick")
    assert dwf("show", run, "--exit-status").code == 0


def test_the_two_sides_of_a_divergence_are_fields_for_programs(dwf: Terminal) -> None:
    run = dwf.driven("waits")
    other = dwf.script.read_text().replace('dwf.wait_signal("go")', 'dwf.wait_signal("stop")')
    dwf.script.write_text(other)
    live = dwf.started("waits", "--live", "--tick")
    dwf.script.write_text(other.replace('"stop"', '"other"'))
    dwf("signal", live, "x", "--tick")

    blocked = dwf("show", live, "--json").json["blocked"]
    sides = blocked["diverged"]
    assert (blocked["code"], sides["line"]) == ("nondeterminism", 2)
    assert "stop" in sides["recorded"] and "other" in sides["asked"]
    screen = dwf("show", live).out
    assert sides["recorded"] in screen and sides["asked"] in screen
    assert dwf("show", run, "--json").json["blocked"] is None


def test_while_a_tick_is_at_work_nobody_is_told_that_there_is_none(dwf: Terminal) -> None:
    """A tick notes that it was here when it ends; until then its locks say so."""
    run = dwf.started("asks")
    assert "no tick seen here yet" in dwf("show", run).out
    lock = RunLocks(Disk(), Layout(str(dwf.home))).take(run)
    assert lock is not None
    with lock:
        said = dwf("start", f"{dwf.script}:quick")
        assert "a tick is at work" in said.err and "no tick" not in said.err
        assert "no tick" not in dwf("show", run).out
        assert "no tick" not in dwf("inbox").err
    assert "no tick seen here yet" in dwf("inbox").err
