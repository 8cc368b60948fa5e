"""Telling one hook: what it is given, how it is run, and why it did not work. Of what, and when, is for hooks.py."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any

import msgspec

from dwf.activities.environment import inherited
from dwf.core.events import Event
from dwf.store.hooks import Hook

SCHEMA = "dwf.hook/1"
TIME_LIMIT_SECONDS = 30.0
TOO_LONG = "it took longer than"
_SAID = 4096


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a hook reads on its stdin. `id` is the same each time this is told; `event` is the line as it is stored."""

    schema: str = SCHEMA
    what: str
    id: str = ""
    run: str = ""
    link: int = 1
    workflow: str = ""
    time: str = ""
    text: str = ""
    next: str = ""
    event: Event | None = None

    def variables(self) -> dict[str, str]:
        """The most of it as variables, for a script of three lines."""
        names = {"DWF_HOOK": self.what, "DWF_HOOK_ID": self.id, "DWF_HOOK_TEXT": self.text}
        return {**names, "DWF_RUN_ID": self.run, "DWF_WORKFLOW": self.workflow}


class Caller:
    """Runs the hooks of one state directory, one at a time."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._child: Any = None

    def stop(self) -> None:
        """End the one that runs, if any."""
        if self._child is not None:
            _kill(self._child)

    def call(self, hook: Hook, told: Told) -> str:
        """Run a hook with that on its stdin; why it did not work, "" if it did."""
        import subprocess

        with suppress(OSError), _Memory(msgspec.json.encode(told)) as given, _Memory(b"") as heard:
            try:
                child = subprocess.Popen(
                    [hook.path],
                    stdin=given,
                    stdout=heard,
                    stderr=heard,
                    cwd="/",
                    env={**inherited(os.environ), **told.variables(), "DWF_HOME": self._home},
                    start_new_session=True,
                )
            except OSError as error:
                return os.strerror(error.errno or 0)
            self._child = child
            try:
                code = child.wait(TIME_LIMIT_SECONDS)
            except subprocess.TimeoutExpired:
                _kill(child)
                return f"{TOO_LONG} {TIME_LIMIT_SECONDS:g} s"
            finally:
                self._child = None
            return "" if code == 0 else _ended_with(code, heard)
        return "there is no memory for it"


class _Memory:
    """A file in memory, with something in it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __enter__(self) -> int:
        self._fd = os.memfd_create("hook")
        view = memoryview(self._data)
        while view:
            view = view[os.write(self._fd, view) :]
        os.lseek(self._fd, 0, os.SEEK_SET)
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _ended_with(code: int, heard: int) -> str:
    size = os.fstat(heard).st_size
    lines = os.pread(heard, _SAID, max(size - _SAID, 0)).decode("utf-8", "backslashreplace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    how = f"exit code {code}" if code > 0 else f"signal {-code}"
    return f"{how}: {last[:200]}" if last else how


def _kill(child: Any) -> None:
    with suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)
    with suppress(Exception):
        child.wait(1)
