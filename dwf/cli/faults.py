"""Errors as they are shown: one `error:` line and one `hint:` line, or one JSON object. The only place that maps them.

Every exception that reaches the door of the program becomes a Fault. What dwf raises itself brings its number and its
words; what the command line parser raises is a usage error; what the system raises is the disk's; everything else is a
fault of dwf.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dwf.cli.escape import one_line
from dwf.cli.exits import Exit, by_signal
from dwf.cli.screen import Screen
from dwf.errors import DwfError

_SIGINT = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """`code` for programs, `exit` for shells, a sentence and what to do for people."""

    code: str
    exit: int
    message: str
    hint: str

    def tell(self, screen: Screen, as_json: bool) -> None:
        """To stderr, whatever happens to stdout."""
        if as_json:
            import json

            body = {
                "schema": "dwf.error/1",
                "code": self.code,
                "exit": int(self.exit),
                "message": self.message,
                "hint": self.hint,
            }
            screen.tell(json.dumps(body, ensure_ascii=True))
            return
        screen.tell(("error: ", "red bold"), one_line(self.message))
        screen.tell(("hint: ", "cyan"), one_line(self.hint))


def fault_of(error: BaseException) -> Fault:
    """An exception in the words of the command line."""
    if isinstance(error, DwfError):
        hint = error.hint or _HINTS.get(error.exit_code, _REPORT)
        if isinstance(run := error.facts.get("run"), str):
            hint = re.sub(r"\bRUN\b", lambda _: run, hint)
        message = error.message if error.exit_code != Exit.INTERNAL else f"internal: {error.message}"
        return Fault(error.code, error.exit_code, message, hint)
    if isinstance(error, KeyboardInterrupt):
        return Fault("interrupted", by_signal(_SIGINT), "interrupted", "nothing is lost: dwf list shows where runs are")
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        number = f" (errno {error.errno})" if error.errno else ""
        said = (error.strerror or str(error) or type(error).__name__) + where + number
        if not error.filename:  # a stream of ours: what was asked for is done, and could not be told
            return Fault("output", Exit.DISK, f"the answer could not be written: {said}", _UNTOLD)
        return Fault("disk", Exit.DISK, said, _HINTS[Exit.DISK])
    if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_ROOM.get(type(error), ())):
        return Fault("memory", Exit.DISK, "out of memory", "raise the limit (ulimit -v), or do less at a time")
    return Fault("internal", Exit.INTERNAL, f"internal: {type(error).__name__}: {error}", _REPORT)


def usage_fault(message: str, hint: str) -> Fault:
    """What the parser says about a command line."""
    return Fault("usage", Exit.USAGE, message, hint)


_UNTOLD = "what you asked for may have been done: look first (dwf list), before you type it again"
# How Python says that memory ran out where it does not say MemoryError.
_NO_ROOM: dict[type[BaseException], tuple[str, ...]] = {
    ImportError: ("failed to map segment",),
    SystemError: ("error return without exception set", "returned NULL without setting an exception"),
}
_REPORT = "please report it, with what the same command says with --debug"
_HINTS: dict[int, str] = {
    Exit.FAILED: "dwf history RUN shows what led to it",
    Exit.USAGE: "dwf help lists the verbs; dwf VERB --help explains one",
    Exit.UNFINISHED: "dwf wait RUN waits for it",
    Exit.NOT_FOUND: "dwf list shows what there is",
    Exit.NEEDS_PERSON: "dwf inbox shows what needs a person",
    Exit.CANCELLED: "dwf history RUN shows who did it, and why",
    Exit.WRONG_STATE: "dwf show RUN says where it is",
    Exit.CONFLICT: "choose another id, or say what to do with --if-exists use|new|terminate",
    Exit.DAMAGED: "dwf help stuck says what can be done",
    Exit.CANNOT_CREATE: "name a directory that can be made with --home or DWF_HOME",
    Exit.DISK: "nothing was acknowledged; when the disk is well again, type the same once more",
    Exit.BUSY: "try again in a moment",
    Exit.NOT_PERMITTED: "dwf whoami says as whom dwf sees you",
    Exit.CONFIGURATION: "dwf help bounds says where dwf works",
    Exit.TIMEOUT: "dwf show RUN says what it waits for",
}
