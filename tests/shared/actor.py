"""A process of root's that becomes other people: one fork for each thing that is to be done.

Python itself may be installed where other users cannot read, so whatever they need is imported here, before. Requests
are lines of JSON on stdin: uid, gid, groups, umask, environ, cwd, and `words` for dwf or a `program` with `argv`.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import sys
import tempfile
import warnings
from typing import Any

import dwf

_ALSO = """
    tomllib pwd grp ctypes sqlite3 difflib json syslog textwrap faulthandler tracemalloc asyncio
    encodings.ascii encodings.latin_1 encodings.utf_16_be encodings.idna
"""


def preload() -> None:
    """Everything that dwf could ever import."""
    # The standard library loads this one when it is first asked for.
    importlib.import_module("concurrent.futures.thread")
    for name in _ALSO.split():
        importlib.import_module(name)
    for module in pkgutil.walk_packages(dwf.__path__, "dwf."):
        if not module.name.endswith(("__main__", ".child")):
            importlib.import_module(module.name)
    for name in dwf.__all__:
        getattr(dwf, name)
    from dwf.cli.app import run
    from dwf.cli.session import Session

    with open(os.devnull, "w") as nowhere:
        before, sys.stdout, sys.stderr = (sys.stdout, sys.stderr), nowhere, nowhere
        for words in (["help"], ["help", "security"], ["start", "--help"], ["nonsense"]):
            run(words, Session({}))
        sys.stdout, sys.stderr = before


def play(asked: dict[str, Any]) -> None:
    """In the child, which never returns: become that user, do it, end."""
    code = 70
    try:
        os.chdir(asked["cwd"])
        os.setgroups(asked["groups"])
        os.setresgid(asked["gid"], asked["gid"], asked["gid"])
        os.setresuid(asked["uid"], asked["uid"], asked["uid"])
        os.umask(asked["umask"])
        os.environ.clear()
        os.environ.update(asked["environ"])
        signal.alarm(60)
        code = _dwf(asked["words"]) if "words" in asked else _program(asked["program"], asked["argv"])
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _dwf(words: list[str]) -> int:
    from dwf.__main__ import _answered_small
    from dwf.cli.app import run

    sys.argv = ["dwf", *words]
    small = _answered_small(words)
    return run(words) if small is None else small


def _program(text: str, argv: list[str]) -> int:
    sys.argv = ["program", *argv]
    exec(compile(text, "program", "exec"), {"__name__": "__main__"})
    return 0


def main() -> None:
    warnings.simplefilter("error")
    preload()
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            pid = os.fork()
            if pid == 0:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                play(asked)
            _, status = os.waitpid(pid, 0)
            told = []
            for file in (out, err):
                file.seek(0)
                told.append(file.read().decode("utf-8", "replace"))
        print(json.dumps([os.waitstatus_to_exitcode(status), *told]), flush=True)


if __name__ == "__main__":
    main()
