"""`dwf complete` as it is typed: where the token comes from, and with which exit code it ends."""

from __future__ import annotations

import pytest

from tests.cli.terminal import Terminal

BOOK = """
import dwf
from pathlib import Path

@dwf.activity
def hand_out(token: str, where: str) -> None:
    Path(where).write_text(token + "\\n")

@dwf.workflow
async def main(where: str):
    job = dwf.callback("restore", type=int)
    await hand_out(job.token, where)
    return await job
"""


@pytest.fixture
def token(dwf: Terminal) -> bytes:
    dwf.script.write_text(BOOK)
    path = dwf.directory / "token"
    assert dwf("start", str(dwf.script), f"where={path}", "--id", "r", "--tick").code == 0
    return path.read_bytes()


def test_a_token_from_stdin_completes_a_callback(dwf: Terminal, token: bytes) -> None:
    assert "callback restore" in dwf("show", "r").out
    assert dwf("complete", "-", "--heartbeat", "--tick", stdin=token).code == 0
    assert dwf("complete", "-", "--result", "5", "--tick", stdin=token).code == 0
    assert dwf("result", "r").out == "5\n"
    again = dwf("complete", "-", "--result", "6", stdin=token)
    assert again.code == 7
    assert "was completed by" in again.err and len(again.err.splitlines()) == 2


def test_a_token_from_the_environment_or_as_a_word(dwf: Terminal, token: bytes) -> None:
    assert dwf("complete", "--heartbeat", DWF_TOKEN=token.decode().strip()).code == 0
    assert dwf("complete", token.decode().strip(), "--fail", "disk full", "--tick").code == 0
    assert "restore failed: Failed: disk full" in dwf("show", "r").out


def test_what_cannot_be_meant_is_refused_in_one_line(dwf: Terminal, token: bytes) -> None:
    for words, stdin, code in (
        (["nonsense"], b"", 4),
        (["-"], b"r.0123456789abcdef.1.ffff\n", 4),
        (["-"], b"\xff\x00" * 9000, 4),
        (["-"], b"", 4),
        ([], b"", 2),
        (["-", "--result", "1", "--heartbeat"], token, 2),
        (["-", "--result", "-"], token, 2),
        (["-", "--result", "{"], token, 2),
        (["-", "--result", '"five"', "--tick"], token, 7),
    ):
        answer = dwf("complete", *words, stdin=stdin)
        assert answer.code == code, (words, answer)
        assert len([line for line in answer.err.splitlines() if line.startswith("error: ")]) == 1
    assert dwf("complete", "-", "--result", "5", "--tick", stdin=token).code == 0
