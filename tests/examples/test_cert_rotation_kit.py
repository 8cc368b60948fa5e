"""The certificate rotation in the test kit, as a newcomer writes it: no openssl, no nginx, and hours in a moment."""

from __future__ import annotations

import time
from typing import Any

import pytest

import dwf
from dwf.testing import Env
from dwf.testing.run import Run
from tests.examples.command import EXAMPLES

KEY = "ab" * 32


def facts(serial: str) -> str:
    return f"serial={serial}\nnotAfter=Jan  9 00:00:00 2026 GMT\nkey={KEY} *stdin\n"


@pytest.fixture
def run(dwf_env: Env) -> Run:
    signed: list[str] = []
    dwf_env.stub("expiry", facts("AA"))
    dwf_env.stub("key and csr", f"{KEY} *stdin\n")
    dwf_env.stub("sign", call=lambda *words: signed.append(words[1]) or "")
    dwf_env.stub("read the new certificate", call=lambda *_: facts(signed[0]))
    dwf_env.stub("live_directory", "old")
    dwf_env.stub("switch", None)
    for step in ("verify chain and key", "nginx -t", "reload", "served"):
        dwf_env.stub(step, "")
    return dwf_env.start(EXAMPLES / "cert_rotation.py", host="www.example.org", soak="10m")


def test_the_four_ways_it_may_go_take_less_than_a_second(dwf_env: Env, run: Run) -> None:
    """Approval, timeout, failure and compensation: see the tests below; here only that it is quick."""
    began = time.process_time()
    dwf_env.at("3h", lambda: run.approve("checked the fingerprint"))
    dwf_env.skip()
    assert run.status == "completed" and time.process_time() - began < 1


def test_a_yes_rotates(dwf_env: Env, run: Run) -> None:
    dwf_env.at("3h", lambda: run.approve("checked the fingerprint"))
    dwf_env.skip()
    assert run.result["rotated"] and run.steps[-2:] == ["handshake", "handshake"]
    assert run.elapsed.total_seconds() >= 3 * 3600 + 600


def test_no_answer_is_a_no(dwf_env: Env, run: Run) -> None:
    dwf_env.skip()
    assert run.status == "failed" and "switch" not in run.steps


def test_a_failure_before_the_switch_changes_nothing(dwf_env: Env, run: Run) -> None:
    dwf_env.stub("sign", raises=dwf.Failure("the CA is locked"))
    dwf_env.at("1h", lambda: run.approve("fine"))
    dwf_env.skip()
    assert run.status == "failed" and "switch" not in run.steps


def test_a_certificate_that_is_not_served_is_taken_back(dwf_env: Env, run: Run) -> None:
    seen: list[Any] = [dwf.Failure("it serves AA"), "TLSv1.3"]
    dwf_env.stub("served", sequence=seen)
    dwf_env.at("1h", lambda: run.approve("fine"))
    dwf_env.skip()
    assert run.status == "failed" and run.steps[-4:] == ["switch back", "nginx -t", "reload", "handshake"]
