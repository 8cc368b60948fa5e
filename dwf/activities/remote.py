"""A command on another host, by the system's own ssh.

To dwf it is a command as any other: a small program here (near.py) stands in for it. It has the far side (remote.sh)
begin it there, in a session and a directory of its own, follows it, makes a lost connection anew, prints what it
prints, and ends as it ends. Asked to end, it ends it there.

Which step is meant is the same for every attempt. So what an earlier attempt left running there, for this machine died
or the host could not be reached, is taken up and never begun beside itself.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from dwf.activities.environment import own
from dwf.activities.plan import Attempt, ShellSpec

_HERE = Path(__file__).parent
_NEAR = str(_HERE / "near.py")
# A command line that cannot ask anybody anything, and notices within a minute that the other side is gone. It uses a
# connection that is shared already, and shares none itself: the shared one would be a process of the step.
_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "15",
    "ControlMaster": "no",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "3",
}
# Of the time between TERM and KILL on this side, so much is kept for the far side's KILL to be seen.
_CONFIRMING_US = 10_000_000


def through_ssh(spec: ShellSpec, attempt: Attempt) -> ShellSpec:
    """What is run here in place of a command of another host."""
    assert spec.remote is not None
    argv = [sys.executable, "-I", "-u", _NEAR]
    request = json.dumps(_request(spec, attempt))
    return replace(spec, remote=None, argv=tuple(argv), script="", cwd="/", env={}, stdin=request)


def _request(spec: ShellSpec, attempt: Attempt) -> dict[str, Any]:
    remote = spec.remote
    assert remote is not None
    config = ["-F", remote.config] if remote.config else []
    options = [word for name, value in _OPTIONS.items() for word in ("-o", f"{name}={value}")]
    return {
        "host": remote.host,
        "ssh": ["ssh", "-T", *config, *options, "--", remote.host],
        "far": (_HERE / "remote.sh").read_text(encoding="utf-8"),
        "values": {
            "name": _name(spec, attempt),
            "text": _text(spec),
            "exports": _exports(spec, attempt),
            "given": spec.stdin or "",
            "grace": str(max(attempt.grace_us - _CONFIRMING_US, 1_000_000) // 1_000_000),
        },
        "lost_seconds": remote.lost_us / 1_000_000,
        "end_seconds": attempt.grace_us / 1_000_000,
    }


def _name(spec: ShellSpec, attempt: Attempt) -> str:
    """Of the step's directory there: of this step of this run instance, and of nothing else that was ever run."""
    said = json.dumps([attempt.nonce, attempt.key, spec.script, spec.argv])
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _exports(spec: ShellSpec, attempt: Attempt) -> str:
    """The environment of the step there, beside what its sshd gives it."""
    variables = {**attempt.env, **spec.env, **own(attempt)}
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def _text(spec: ShellSpec) -> str:
    """What the far shell runs: the directory, the mask, the command; every value quoted."""
    lines = [f"cd -- {shlex.quote(spec.cwd)} || exit 126"] if spec.cwd else []
    lines += [f"umask {spec.umask:03o}"]
    words = ["/bin/sh", "-c", spec.script, "dwf", *spec.argv] if spec.script else list(spec.argv)
    return "\n".join([*lines, f"exec {shlex.join(words)}"]) + "\n"
