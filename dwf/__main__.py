"""The door: `dwf` and `python -m dwf`.

Small on purpose. An idle `dwf tick` (cron calls it every minute) and a TAB in a shell are answered from here, before
the command line parser, rich, msgspec or asyncio are imported; everything else goes to dwf/cli/app.py.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run one command line and end the process with its exit code."""
    _hold_standard_streams()
    words = sys.argv[1:]
    code = _answered_small(words)
    if code is None:
        try:
            from dwf.cli.app import run
        except (MemoryError, OSError, SystemError) as error:
            # SystemError: what Python's own importer raises when it runs out of memory.
            code = _no_room(error)
        else:
            code = run(words)
    # Not sys.exit: what is still alive (a script's coroutines, a thread in a step that cannot be ended) must not run on
    # or hold up the end. Everything that matters is on disk, and the streams are flushed.
    os._exit(code)


def _answered_small(words: list[str]) -> int | None:
    """The exit code, if the small entry can answer; None: the whole program must."""
    if not words:
        return None
    if words[0] == "__complete":
        from dwf.cli.complete import answer

        return answer(words[1:])
    if "tick" in words:
        from dwf.cli.idle import nothing_to_do

        return 0 if nothing_to_do(words) else None
    return None


def _no_room(error: BaseException) -> int:
    """The program does not even load. Said without anything that would have to be loaded for it."""
    why = os.strerror(error.errno or 0) if isinstance(error, OSError) else "out of memory"
    os.write(2, f"error: dwf cannot be loaded: {why}\nhint: look at ulimit -n and ulimit -v\n".encode())
    return 74


def _hold_standard_streams() -> None:
    """If stdin, stdout or stderr is closed, a file of ours would get its number, and a stray print would go there."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    main()
