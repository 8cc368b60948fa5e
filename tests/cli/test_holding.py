"""`dwf locks`: who holds a lock and who waits for it, for people and for programs."""

from __future__ import annotations

from tests.cli.terminal import Terminal

BOOK = """
import dwf

@dwf.workflow
async def main():
    async with dwf.lock("db-prod"):
        await dwf.wait_signal("go")
"""


def test_holder_and_queue_are_told(dwf: Terminal) -> None:
    path = dwf.directory / "locks.py"
    path.write_text(BOOK)
    assert dwf("locks").err.strip() == "no locks"
    for run in ("a", "b"):
        dwf("start", str(path), "--id", run)
        dwf("tick")
    said = dwf("locks")
    assert [line.split()[:3] for line in said.out.splitlines()[1:]] == [
        ["db-prod", "holds", "a"],
        ["db-prod", "waits", "1"],
    ]
    (lock,) = dwf("locks", "--json").json["locks"]
    assert [place["run"] for place in lock["holders"] + lock["queue"]] == ["a", "b"]
    assert dwf("locks", "-o", "name").out == "db-prod\n"
    assert "lock db-prod" in dwf("show", "b").out and "dwf locks" in dwf("show", "b").out
    assert "lock db-prod" in dwf("list").out
