"""What Python activities print, caught without a process: each print goes to the activity that made it.

The engine installs two dispatching streams once per process (`capturing`). A write looks up the activity that runs in
this context (a thread, or one of many async activities in a thread); there is no file until something is printed.
Text from threads that an activity starts by hand, or from its child processes, is not caught.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TextIO

from dwf.activities.output import Stream, summary
from dwf.core.events import Output


class Printed:
    """The prints of one attempt. Making one costs next to nothing; the first write makes the streams."""

    __slots__ = ("_lock", "_prefix", "_streams")

    def __init__(self, prefix: str | None) -> None:
        self._prefix = prefix
        self._streams: tuple[Stream, Stream] | None = None
        # A step may print from several threads (asyncio.to_thread).
        self._lock = threading.Lock()

    def write(self, which: int, data: bytes) -> None:
        """`which`: 0 is stdout, 1 is stderr."""
        with self._lock:
            if self._streams is None:
                self._streams = self._made()
            self._streams[which].write(data)

    def _made(self) -> tuple[Stream, Stream]:
        if self._prefix is None:
            return Stream(None), Stream(None)
        return Stream(f"{self._prefix}.out"), Stream(f"{self._prefix}.err")

    def output(self) -> Output | None:
        """Closes the streams; what a left-over thread prints later is dropped."""
        if self._streams is None:
            return None
        with self._lock:
            for stream in self._streams:
                stream.close()
            return summary(self._prefix, *self._streams)


PRINTED: ContextVar[Printed | None] = ContextVar("dwf_printed", default=None)


@contextmanager
def capturing() -> Iterator[None]:
    """Catch the prints of activities, in the whole process, until the block ends."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Text(sys.stdout, 0), _Text(sys.stderr, 1)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def unheard() -> Iterator[None]:
    """Drop what this thread prints until the block ends: what a script says when it is loaded, again at every tick."""
    token = PRINTED.set(Printed(None))
    try:
        with nullcontext() if isinstance(sys.stdout, _Text) else capturing():
            yield
    finally:
        PRINTED.reset(token)


class _Bytes(io.RawIOBase):
    """`sys.stdout.buffer` of an activity."""

    def __init__(self, original: Any, which: int) -> None:
        self._original, self._which = original, which

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        printed = PRINTED.get()
        if printed is None:
            return int(self._original.buffer.write(data))
        raw = bytes(data)
        printed.write(self._which, raw)
        return len(raw)

    def flush(self) -> None:
        if PRINTED.get() is None:
            self._original.flush()

    def close(self) -> None:
        """An activity that closes sys.stdout closes it for nobody."""


class _Text(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` while activities may run: theirs to their files, everything else as before."""

    def __init__(self, original: TextIO, which: int) -> None:
        self._original, self._which = original, which
        self._buffer = _Bytes(original, which)

    @property
    def buffer(self) -> _Bytes:
        return self._buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8" if PRINTED.get() is not None else self._original.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return "backslashreplace" if PRINTED.get() is not None else self._original.errors

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        printed = PRINTED.get()
        if printed is None:
            return self._original.write(text)
        printed.write(self._which, text.encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        if PRINTED.get() is None:
            self._original.flush()

    def isatty(self) -> bool:
        return PRINTED.get() is None and self._original.isatty()

    def fileno(self) -> int:
        return self._original.fileno()

    def close(self) -> None:
        """An activity that closes sys.stdout closes it for nobody."""
