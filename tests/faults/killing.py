"""Real kills: a `dwf` command under strace, which ends it with SIGKILL at the entry of its n-th call of a kind.

Or the call fails, once or from there on; or everything dies with the command that it has started: the whole tree.

The call itself does not happen. Nothing that matters lies between two calls that change something, so dying before
each of them is also dying after each.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
# What changes files or names, what locks, and what makes processes and threads; openat as far as it makes a file.
CHANGING = (
    "write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,ftruncate,"
    "mkdir,mkdirat,rmdir,chmod,fchmod,fchmodat,flock,clone,clone3,vfork,openat"
)
_LINE = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)\(?(.*)")
_SECONDS = 60


class Point(NamedTuple):
    """The `number`th call named `call` of a thread."""

    call: str
    number: int


class Ended(NamedTuple):
    killed: bool
    code: int
    out: str
    err: str


def why_not() -> str:
    """Why there can be no real kills here; "" if there can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = ["strace", "-f", "--seccomp-bpf", "-o", os.devnull, "-e", "trace=write", "true"]
    found = subprocess.run(tried, capture_output=True, text=True, check=False)
    return "" if found.returncode == 0 else f"strace cannot trace here: {found.stderr.strip()[:200]}"


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "dwf", *words]


def points(words: list[str], home: str) -> list[Point]:
    """Every call that changes something, of an undisturbed run of the command."""
    log = Path(home).with_name("strace.log")
    ended = _run(["strace", "-f", "--seccomp-bpf", "-o", str(log), "-e", f"trace={CHANGING},execve", *words], home)
    assert ended.code == 0, ended
    found = _parsed(log.read_text(errors="replace"))
    log.unlink()
    return found


def killed_at(words: list[str], home: str, point: Point, *, tree: bool = False) -> Ended:
    """The command, killed at that point, unless it does not come by there. `tree`: and all that it has started."""
    # Not with --seccomp-bpf: there the signal is lost.
    inject = f"inject={point.call}:signal=SIGKILL:when={point.number}"
    argv = ["strace", "-f", "-o", os.devnull, "-e", f"trace={point.call}", "-e", inject, *words]
    return _run([sys.executable, "-c", _WITH_ITS_TREE, *argv] if tree else argv, home)


def failing_at(words: list[str], home: str, point: Point, code: str, *, forever: bool) -> Ended:
    """The command, whose call at that point fails with that errno; `forever`: and all calls of that kind after it."""
    inject = f"inject={point.call}:error={code}:when={point.number}{'+' if forever else ''}"
    return _run(["strace", "-f", "-o", os.devnull, "-e", f"trace={point.call}", "-e", inject, *words], home)


# Whatever loses its parent becomes a child of this process, wherever it has gone to; none of it is left alive.
_WITH_ITS_TREE = """
import ctypes, os, signal, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
code = subprocess.call(sys.argv[1:])
while True:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        left = file.read().split()
    if not left:
        break
    for pid in left:
        os.kill(int(pid), signal.SIGKILL)
        os.waitpid(int(pid), 0)
os.kill(os.getpid(), -code) if code < 0 else os._exit(code)
"""


def _run(argv: list[str], home: str) -> Ended:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "DWF_HOME": home}
    process = subprocess.Popen(
        argv, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    try:
        out, err = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it did not end: {argv}: {out!r} {err!r}") from None
    return Ended(process.returncode == -signal.SIGKILL, process.returncode, out, err)


def _parsed(log: str) -> list[Point]:
    """The points of a log. Processes that the command starts (the steps' own) are left out."""
    counts: Counter[tuple[str, str]] = Counter()
    own: dict[str, list[Point]] = {}
    first = ""
    foreign: set[str] = set()
    for line in log.splitlines():
        match = _LINE.match(line)
        if match is None or "resumed>" in line:
            continue
        thread, call, rest = match.groups()
        first = first or thread
        if call == "execve":
            if thread != first:
                foreign.add(thread)
            continue
        counts[thread, call] += 1
        if call != "openat" or "O_CREAT" in rest:
            own.setdefault(thread, []).append(Point(call, counts[thread, call]))
    return list(dict.fromkeys(point for thread, some in own.items() if thread not in foreign for point in some))
