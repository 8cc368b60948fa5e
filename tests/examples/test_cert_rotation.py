"""examples/cert_rotation.py on a real nginx, typed as people type it and ticked as cron ticks it.

Every command is a process of its own, so the machine could be switched off between any two of them.
"""

from __future__ import annotations

import getpass
import json
import re
import stat
from pathlib import Path
from typing import Any

from tests.examples.command import EXAMPLES, Dwf
from tests.examples.webserver import HOST, OLD_SERIAL, WebServer

ROTATION = EXAMPLES / "cert_rotation.py"


def asked(dwf: Dwf, web: WebServer, *, script: Path = ROTATION, **parameters: object) -> str:
    """A run that has made its key and waits for the yes."""
    run = dwf.start(script, *web.parameters(**parameters))
    assert dwf.tick() == ""
    return run


def new_serial(web: WebServer) -> str:
    """The serial of the only certificate that is not the old one."""
    (name,) = {path.name for path in web.certs.iterdir() if not path.name.startswith(("live", "."))} - {OLD_SERIAL}
    return name


def colons(serial: str) -> str:
    even = serial.zfill(len(serial) + len(serial) % 2)
    return ":".join(re.findall("..", even))


def steps(shown: dict[str, Any]) -> list[tuple[str, str]]:
    """Title and outcome of every step, in the order in which they ended."""
    return [(step["title"], step["outcome"]) for step in shown["done"]]


# -- the way it should go ---------------------------------------------------------------------------------------


def test_start_tick_inbox_approve_tick_soak_and_the_history_tells_the_whole_story(dwf: Dwf, web: WebServer) -> None:
    run = asked(dwf, web, by=getpass.getuser(), soak="1s")
    serial = new_serial(web)

    inbox = dwf("inbox")
    assert run in inbox and colons(serial)[:5] in inbox and HOST in inbox
    shown = dwf.shown(run)["approvals"][0]
    assert colons(OLD_SERIAL) in json.dumps(shown) and re.search(r'"[0-9a-f]{64}"', json.dumps(shown))
    assert not (web.certs / serial / "cert.pem").exists()  # nothing is signed before the yes
    assert web.serial() == OLD_SERIAL

    assert colons(serial) in dwf("approve", run, "-m", "compared the fingerprint")
    dwf.tick()
    assert "soak" in dwf("list")
    assert web.serial() == serial and web.live() == serial
    dwf.tick_until(run, "completed")

    assert json.loads(dwf("result", run)) == {
        "serial": serial,
        "replaced": OLD_SERIAL,
        "rotated": True,
        "days_left": 59,
    }
    titles = "expiry, key and csr, sign, verify chain and key, read the new certificate, what is live, switch, nginx -t"
    expected = [*titles.split(", "), "reload", "handshake", "handshake"]
    assert steps(dwf.shown(run)) == [(title, "completed") for title in expected]
    history = dwf("history", run)
    for word in ("compared the fingerprint", getpass.getuser(), "soak", "TimerFired", "handshake", "WorkflowCompleted"):
        assert word in history
    dwf("verify", run)


def test_keys_are_files_for_their_owner_only_and_nowhere_in_the_state(dwf: Dwf, web: WebServer) -> None:
    run = asked(dwf, web)
    dwf("approve", run)
    dwf.tick_until(run, "completed")
    key = web.certs / new_serial(web) / "key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    secret = key.read_text().splitlines()[1].encode()
    stored = b"".join(path.read_bytes() for path in dwf.home.rglob("*") if path.is_file())
    assert b"WorkflowCompleted" in stored
    assert secret not in stored and b"PRIVATE KEY" not in stored


def test_a_certificate_that_lasts_is_left_alone(dwf: Dwf, web: WebServer) -> None:
    run = dwf.start(ROTATION, *web.parameters(renew_before=2))
    dwf.tick()
    assert json.loads(dwf("result", run))["rotated"] is False
    assert web.live() == OLD_SERIAL


def test_the_parameters_are_explained_and_checked_before_anything_is_made(dwf: Dwf) -> None:
    shown = dwf("start", ROTATION, "--help")
    for word in ("host", "days", "90", "answer_within", "soak"):
        assert word in shown
    refused = dwf.typed("start", ROTATION, "host=web1", "days=soon")
    assert refused.returncode == 2 and "days" in refused.stderr
    dwf("list", code=4)


# -- a no, and nobody -------------------------------------------------------------------------------------------


def test_a_no_ends_the_run_and_nothing_was_signed(dwf: Dwf, web: WebServer) -> None:
    run = asked(dwf, web)
    dwf("reject", run, "-m", "not on a Friday")
    assert "not on a Friday" in dwf.tick(code=1)
    assert dwf.shown(run)["status"] == "failed"
    assert not (web.certs / new_serial(web) / "cert.pem").exists()
    assert web.live() == OLD_SERIAL and web.serial() == OLD_SERIAL


def test_no_answer_in_time_is_a_no(dwf: Dwf, web: WebServer) -> None:
    run = asked(dwf, web, answer_within="1s")
    dwf.tick_until(run, "failed")
    assert "no answer before the deadline" in dwf("history", run)
    assert "TimerFired" not in dwf("history", run) or web.live() == OLD_SERIAL
    assert dwf("approve", run, code=7) == ""  # too late, and said so


def test_only_those_named_may_say_yes(dwf: Dwf, web: WebServer) -> None:
    run = asked(dwf, web, by="someone-else")
    assert "someone-else" in dwf.typed("approve", run).stderr
    dwf("approve", run, code=77)
    dwf.tick()
    assert web.live() == OLD_SERIAL


# -- drills -----------------------------------------------------------------------------------------------------


NGINX_AND_HANDSHAKE = ["nginx -t", "reload", "handshake"]


def taken_back(dwf: Dwf, web: WebServer, run: str) -> tuple[str, list[tuple[str, str]], list[tuple[str, str]]]:
    """The old certificate is served again and the run failed: why, and the steps before and after the switch back."""
    assert web.live() == OLD_SERIAL and web.serial() == OLD_SERIAL
    shown = dwf.shown(run)
    assert shown["status"] == "failed"
    reason, done = json.dumps(shown["error"]), steps(shown)
    assert "the old certificate is served again" in reason
    undone = done.index(("switch back", "completed"))
    assert ("switch", "completed") in done[:undone]
    dwf("verify", run)
    return reason, done[:undone], done[undone + 1 :]


def test_a_failed_check_after_the_switch_brings_the_old_certificate_back(dwf: Dwf, web: WebServer) -> None:
    run = asked(dwf, web, address=f"127.0.0.1:{web.stuck_port}", patience=0.3)
    dwf("approve", run)
    news = dwf.tick(code=1)
    assert run in news and "the old certificate is served again" in news
    reason, before, after = taken_back(dwf, web, run)
    assert f"serves serial {colons(OLD_SERIAL)}, not {colons(new_serial(web))}" in reason
    assert before[-1] == ("handshake", "failed")
    assert after == [(title, "completed") for title in NGINX_AND_HANDSHAKE]
    assert "switch back" in dwf("history", run)


def test_a_check_that_fails_after_the_soak_brings_the_old_certificate_back(dwf: Dwf, web: WebServer) -> None:
    run = asked(dwf, web, soak="1s", patience=0.3)
    dwf("approve", run)
    dwf.tick()
    assert web.serial() == new_serial(web)
    web.configure(OLD_SERIAL)
    web.reload(OLD_SERIAL)
    dwf.tick_until(run, "failed")
    _, before, after = taken_back(dwf, web, run)
    assert [outcome for title, outcome in before if title == "handshake"] == ["completed", "failed"]
    assert after == [(title, "completed") for title in NGINX_AND_HANDSHAKE]


def test_a_configuration_that_nginx_refuses_is_never_loaded(dwf: Dwf, web: WebServer) -> None:
    run = asked(dwf, web)
    web.conf.write_text(web.conf.read_text().replace("access_log off;", "acess_log off;"))
    dwf("approve", run)
    assert "acess_log" in dwf.tick(code=1)  # what cron mails names the cause
    reason, before, after = taken_back(dwf, web, run)
    assert "acess_log" in reason
    assert before[-1] == ("nginx -t", "failed")
    assert after == [("nginx -t", "failed"), ("handshake", "completed")]


# -- a machine that dies, a script that changes -----------------------------------------------------------------


def test_ticks_killed_after_every_step_lose_nothing_and_repeat_nothing_that_is_recorded(
    dwf: Dwf, web: WebServer
) -> None:
    run = dwf.start(ROTATION, *web.parameters())
    history = dwf.home / "runs" / f"{run}.jsonl"
    kills = drive_with_kills(dwf, history, "ApprovalRequested")
    dwf("approve", run)
    kills += drive_with_kills(dwf, history, "WorkflowCompleted")
    assert kills >= 8  # eleven steps; the last ones may be over before they are seen

    assert web.serial() == new_serial(web) == web.live()
    completed: list[int] = []
    for line in history.read_text().splitlines():
        event = json.loads(line)
        if event["type"] == "ActivityStarted":
            assert event["command"] not in completed, "a step ran again after its result was recorded"
        if event["type"] == "ActivityCompleted":
            completed.append(event["command"])
    assert len(completed) == len(set(completed)) == 11
    dwf("verify", run)


def drive_with_kills(dwf: Dwf, history: Path, until: str) -> int:
    """Tick, and kill each tick as soon as one more step is recorded, until the history has `until`; how many died."""
    kills = 0
    for _ in range(60):
        if until in history.read_text():
            return kills
        done = steps_done(history)
        kills += dwf.tick_killed_when(lambda done=done: steps_done(history) > done)  # type: ignore[misc]
    raise AssertionError(history.read_text())


def steps_done(history: Path) -> int:
    return history.read_text().count('"ActivityCompleted"')


def test_editing_the_script_while_the_run_waits_does_not_touch_it(dwf: Dwf, web: WebServer, tmp_path: Path) -> None:
    script = tmp_path / "rotation.py"
    script.write_text(ROTATION.read_text())
    run = asked(dwf, web, script=script)
    script.write_text(
        ROTATION.read_text().replace("async def rotate(", 'raise SystemExit("edited")\nasync def rotate(')
    )
    dwf("approve", run)
    dwf.tick_until(run, "completed")
    assert web.serial() == new_serial(web)
    assert dwf("start", script, "host=web1", code=2) == ""  # the edit is a real one
