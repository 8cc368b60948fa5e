"""What isolated functions are loaded from, in place of the scripts' room: `load` is the loader, the rest are steps."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dwf.activities.info import activity_info
from dwf.errors import Failure, RetryAfter

LOADER = f"{__name__}:load"


def load(source: Any, activity: str, given: bytes) -> Callable[[], Any]:
    if source == "broken":
        raise SyntaxError("cannot load this")
    return lambda: globals()[activity](*json.loads(given))


def add(a: int, b: int) -> int:
    return a + b


def touch(path: str) -> None:
    open(path, "w").close()


def talk() -> None:
    print("to out")
    print("to err", file=sys.stderr)
    os.write(1, b"raw\n")


def talk_and_go() -> None:
    print("last words")
    os._exit(3)


def kill_me() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash() -> None:
    ctypes.string_at(0)


def spin(path: str) -> None:
    """Runs for ever, and its child too; neither listens to TERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sh", "-c", 'trap "" TERM; while :; do sleep 1000; done'])
    with open(path, "w") as file:
        file.write(f"{child.pid}\n")
    while True:
        pass


def give(what: str) -> Any:
    return {"nan": float("nan"), "object": object(), "large": "x" * 50_000_000, "text": "\u00e9"}[what]


def fail(what: str) -> None:
    errors = {
        "exit": SystemExit(4),
        "failure": Failure("no", host="h"),
        "later": RetryAfter("30s"),
        "key": KeyError("k"),
    }
    raise errors[what]


def facts() -> list[Any]:
    info = activity_info()
    return [
        [info.run, info.step, info.attempt, info.idempotency_key("x")],
        [os.environ.get(name) for name in ("DWF_RUN_ID", "DWF_STEP", "DWF_ATTEMPT", "DWF_IDEMPOTENCY_KEY", "MINE")],
        sys.stdin.read(),
        sorted(int(entry.name) for entry in Path("/proc/self/fd").iterdir()),
        os.getsid(0) == os.getpid(),
        str(Path("/proc/self/fd/0").readlink()),
        subprocess.run(["ls", "/proc/self/fd"], close_fds=False, capture_output=True, text=True).stdout.split(),
    ]


def leave_a_thread() -> str:
    threading.Thread(target=time.sleep, args=(1000,)).start()
    return "done"


def leave_a_child(path: str) -> str:
    child = subprocess.Popen(["sleep", "1000"])
    with open(path, "w") as file:
        file.write(f"{child.pid}\n")
    return "done"


def close_everything() -> str:
    sys.stdout.close()
    os.close(1)
    os.close(2)
    return "done"


def scribble() -> None:
    """Writes into every descriptor it can find, the one of the answer too."""
    for fd in range(3, 50):
        try:
            os.write(fd, b"\0\0\0\0\0\0\0\2{}")
        except OSError:
            pass
    os._exit(0)


async def later(word: str) -> str:
    await asyncio.sleep(0.01)
    return word
