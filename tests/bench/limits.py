"""Limits of this machine: what nobody could do faster on it, taken beside what dwf does."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Union

import msgspec

from dwf.core.events import EVENT_TYPES

# The same limits on the machine for which the targets were set; they make a target in seconds a ratio.
APPENDS = 3_600.0
FILES = 1_300.0
DECODES = 1_200_000.0
PYTHON_SECONDS = 0.014
PYTHON_MS = 14.0


def appends_per_second(where: Path, size: int, count: int) -> float:
    """Records of `size` bytes appended to one new file, each on disk before the next is written."""
    path, record = where / "appends", b"x" * (size - 1) + b"\n"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
    try:
        began = time.perf_counter()
        for _ in range(count):
            os.write(fd, record)
            os.fdatasync(fd)
        return count / (time.perf_counter() - began)
    finally:
        os.close(fd)
        path.unlink()


def files_per_second(where: Path, size: int, count: int) -> float:
    """New files of `size` bytes, each on disk before the next is written, their names hundred by hundred."""
    directory = where / "files"
    directory.mkdir()
    names = [directory / str(n) for n in range(count)]
    above = os.open(directory, os.O_RDONLY)
    try:
        began = time.perf_counter()
        for number, path in enumerate(names, 1):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(fd, b"x" * size)
            os.fsync(fd)
            os.close(fd)
            if not number % 100:
                os.fsync(above)
        return count / (time.perf_counter() - began)
    finally:
        os.close(above)
        shutil.rmtree(directory)


def decodes_per_second(history: Path) -> float:
    """Lines of a history read and decoded as events, nothing checked, nothing done with them; per CPU second."""
    decode = msgspec.json.Decoder(Union[tuple(EVENT_TYPES.values())]).decode  # noqa: UP007 - made at run time
    began = time.thread_time()
    events = [decode(line) for line in history.read_bytes().splitlines()]
    return len(events) / (time.thread_time() - began)


def seconds_of(command: Sequence[str], environ: Mapping[str, str] | None = None) -> float:
    """A process from its start to its end. It must end with 0."""
    began = time.perf_counter()
    _run(command, environ)
    return time.perf_counter() - began


def cpu_seconds_of(command: Sequence[str]) -> float:
    """What a process used of a processor, the kernel's work for it included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(command, None)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _run(command: Sequence[str], environ: Mapping[str, str] | None) -> None:
    quiet = subprocess.DEVNULL
    env = None if environ is None else {**os.environ, **environ}
    subprocess.run(command, check=True, stdin=quiet, stdout=quiet, stderr=quiet, env=env)


def python_seconds() -> float:
    """`python -c pass`."""
    return seconds_of([sys.executable, "-c", "pass"])
