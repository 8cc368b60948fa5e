"""A shared state directory and the people around it: real users of the kernel, without names.

Needs root, who can become anybody. Everything is done by real processes; what a person does to a file is done by a
small Python program that runs as him (actor.py).
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.cli.terminal import ROOT, Said

ENGINE, ALICE, BOB, STRANGER, GROUP = 61001, 61002, 61003, 61004, 62000
MEMBERS = (ENGINE, ALICE, BOB)

BOOK = '''
"""Runbooks of the catalogue."""
import dwf

@dwf.activity
def double(n: int) -> int:
    return 2 * n

@dwf.workflow
async def asks(host: str = "web1") -> str:
    answer = await dwf.approve(f"Switch {host}?")
    return answer.comment

@dwf.workflow
async def two() -> str:
    answer = await dwf.approve("Really?", need=2)
    return ",".join(answer.by)

@dwf.workflow
async def waits() -> object:
    return await dwf.wait_signal("go")

@dwf.workflow
async def twice() -> object:
    return [await dwf.wait_signal("go"), await dwf.wait_signal("go")]

@dwf.activity
def hand_out(token: str, where: str) -> None:
    with open(where, "w") as file:
        file.write(token)

@dwf.workflow
async def listens(where: str) -> object:
    limit = [1]
    dwf.on_update("limit", lambda to: limit.append(to) or len(limit), check)
    dwf.on_query("limit", lambda: limit[-1])
    job = dwf.callback("job")
    await hand_out(job.token, where)
    return await job

def check(to: int) -> None:
    if to < 0:
        raise ValueError("must not be negative")

@dwf.workflow
async def quick(n: int = 1) -> int:
    return await double(n)

@dwf.activity(retry=dwf.Retry(initial="1h", max_interval="1h", jitter="none"))
def flaky() -> int:
    raise ValueError("not yet")

@dwf.workflow
async def rests() -> int:
    return await flaky()
'''


def new_actor() -> Any:
    """A process that becomes other people; see actor.py. Close its stdin to end it."""
    actor = subprocess.Popen(
        [sys.executable, "-m", "tests.shared.actor"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert actor.stdout is not None and actor.stdout.readline() == "ready\n"
    return actor


class Place:
    """One shared directory. `home` is its path; `do` runs a command as somebody, `tick` as the engine."""

    def __init__(self, actor: Any, umask: int = 0o022, engine: int = ENGINE) -> None:
        self._actor = actor
        # pytest's own directory is closed to others
        self.base = Path(tempfile.mkdtemp(prefix="dwf-shared-"))
        self.base.chmod(0o755)
        self.engine = engine
        self.parent = self.base / "srv"
        self.parent.mkdir()
        os.chown(self.parent, engine, GROUP)
        self.home = self.parent / "home"
        self.catalogue = self.base / "catalogue"
        self.catalogue.mkdir()
        (self.catalogue / "book.py").write_text(BOOK)
        self.umask = umask
        made = self.tick_("init", "--shared", "--group", str(GROUP), "--catalogue", str(self.catalogue))
        assert made.code == 0, made.err

    def remove(self) -> None:
        shutil.rmtree(self.base, ignore_errors=True)

    # -- doing --------------------------------------------------------------------------------------------------

    def do(self, uid: int, *words: str) -> Said:
        """`dwf` as somebody."""
        return self._ask(uid, words=["--home", str(self.home), *words])

    def tick_(self, *words: str) -> Said:
        return self.do(self.engine, *words)

    def tick(self) -> Said:
        said = self.do(self.engine, "tick")
        assert said.code == 0, said.err
        return said

    def start(self, workflow: str, run: str, uid: int = ALICE) -> str:
        """A run that a member has asked for, and that was begun."""
        said = self.do(uid, "start", f"book:{workflow}", "--id", run)
        assert said.code == 3 and said.out == f"requested {run}\n", said
        self.tick()
        return run

    def while_ticking(self, uid: int, *words: str) -> Said:
        """`dwf` as somebody, while the engine ticks and ticks."""
        ticking = self._actor
        with new_actor() as beside:
            self._actor = beside
            self._send(uid, words=["--home", str(self.home), *words])
            self._actor = ticking
            while not select.select([beside.stdout], [], [], 0.05)[0]:
                self.tick()
            beside.stdin.close()
            return Said(*json.loads(beside.stdout.readline()))

    def python(self, uid: int, program: str, *words: object) -> Said:
        """A program as somebody; `sys.argv[1:]` are the words. 0 if it raised nothing."""
        return self._ask(uid, program=program, argv=[str(word) for word in words])

    def _ask(self, uid: int, **what: Any) -> Said:
        self._send(uid, **what)
        return Said(*json.loads(self._actor.stdout.readline()))

    def _send(self, uid: int, **what: Any) -> None:
        groups = [GROUP] if uid in MEMBERS else []
        asked = {"uid": uid, "gid": uid, "groups": groups, "umask": self.umask, "environ": _ENVIRON}
        self._actor.stdin.write(json.dumps({**asked, "cwd": str(self.base), **what}) + "\n")
        self._actor.stdin.flush()

    # -- asking -------------------------------------------------------------------------------------------------

    def show(self, run: str, uid: int = ALICE) -> Any:
        said = self.do(uid, "show", run, "--json")
        assert said.code == 0, said.err
        return json.loads(said.out)

    def status(self, run: str) -> str:
        found: str = self.show(run)["status"]
        return found

    def events(self, run: str, kind: str) -> list[Any]:
        """The events of that type, as the engine's user reads them."""
        lines = (self.home / "runs" / f"{run}.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["type"] == kind]

    def new(self) -> list[str]:
        return sorted(path.name for path in (self.home / "mail" / "new").iterdir())

    def reasons(self) -> list[str]:
        """Why messages were refused."""
        return [json.loads(path.read_text())["reason"] for path in (self.home / "mail" / "bad").glob("*.reason")]


_ENVIRON = {"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nonexistent"}
