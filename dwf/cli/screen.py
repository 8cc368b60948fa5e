"""What is written to stdout and stderr, and how: the only thing in dwf that prints.

Data goes to stdout, words to stderr. A line is a list of pieces, text or (text, style); the screen escapes every piece
itself and adds colour around it, so nothing foreign reaches a terminal unescaped and nobody can forget it. Streams may
be closed, broken, or in an encoding without our characters: then less is written, and nothing is raised but
BrokenPipeError, which ends the program quietly.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from dwf.cli.escape import block, shown

Piece = str | tuple[str, str]
Line = Sequence[Piece]

DEFAULT_WIDTH = 80
_STYLES = {
    "": "",
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "cyan": "36",
    "red bold": "1;31",
}
# The word is what counts; the colour only helps to find it.
STATUS_STYLES = {
    "running": "cyan",
    "waiting": "yellow",
    "blocked": "red bold",
    "paused": "yellow",
    "completed": "green",
    "degraded": "yellow",
    "failed": "red",
    "cancelled": "dim",
    "terminated": "dim",
    "timed-out": "red",
    "moved": "dim",
    "imported": "dim",
    "corrupt": "red bold",
    "newer": "red bold",
}


class Marks:
    """Signs that are not letters, and what stands for them where the encoding has none."""

    __slots__ = ("arrow", "cut", "done", "failed", "open", "running")

    def __init__(self, unicode: bool) -> None:
        self.cut = "…" if unicode else "..."
        self.arrow = "→" if unicode else "->"
        self.done = "✓" if unicode else "[x]"
        self.failed = "✗" if unicode else "[!]"
        self.running = "▸" if unicode else "[>]"
        self.open = "·" if unicode else "[ ]"


class Screen:
    """The two streams of this process. `color` is auto, always or never."""

    def __init__(
        self,
        out: TextIO | None = None,
        err: TextIO | None = None,
        environ: Mapping[str, str] | None = None,
        *,
        color: str = "auto",
        quiet: bool = False,
    ) -> None:
        self.out = out if out is not None else sys.stdout
        self.err = err if err is not None else sys.stderr
        self.environ = os.environ if environ is None else environ
        self.quiet = quiet
        for stream in (self.out, self.err):
            _never_fail_to_encode(stream)
        self.out_is_terminal = _is_terminal(self.out)
        self.err_is_terminal = _is_terminal(self.err)
        self._out_color = wants_color(color, self.environ, self.out_is_terminal)
        self._err_color = wants_color(color, self.environ, self.err_is_terminal)
        self.marks = Marks(speaks_utf8(self.out, self.environ))
        self.width = self._width()
        """Columns of the terminal that stdout is; 0 if it is none: then nothing is cut."""

    # -- writing -----------------------------------------------------------------------------------------------

    def line(self, *pieces: Piece) -> None:
        """One line of data, to stdout."""
        _write(self.out, _rendered(pieces, self._out_color) + "\n")

    def lines(self, lines: Iterable[Line]) -> None:
        """Lines of data, to stdout."""
        color = self._out_color
        for pieces in lines:
            _write(self.out, _rendered(pieces, color) + "\n")

    def say(self, *pieces: Piece) -> None:
        """One line of words, to stderr; not with -q."""
        if not self.quiet:
            self.tell(*pieces)

    def tell(self, *pieces: Piece) -> None:
        """One line of words, to stderr, also with -q: errors, questions, news."""
        _write(self.err, _rendered(pieces, self._err_color) + "\n")
        _flush(self.err)

    def warn(self, text: str) -> None:
        """A line that begins with `warning:`."""
        self.say(("warning: ", "yellow"), text)

    def document(self, value: Any, *, one_line: bool = False) -> None:
        """One JSON value, to stdout: pure ASCII, indented on a terminal unless it must be one line."""
        import json

        indent = 2 if self.out_is_terminal and not one_line else None
        _write(self.out, json.dumps(value, ensure_ascii=True, indent=indent) + "\n")

    def documents(self, values: Iterable[Any]) -> None:
        """JSON values, one a line, to stdout."""
        for value in values:
            self.document(value, one_line=True)

    def text(self, text: str) -> None:
        """Text of our own, or ASCII lines as they are stored, to stdout."""
        _write(self.out, text)

    def overwrite(self, text: str) -> None:
        """A line on stderr that the next one takes the place of. Only to be called on a terminal."""
        _write(self.err, "\r\x1b[K" + shown(text))
        _flush(self.err)

    def output(self, data: bytes) -> None:
        """What a step printed: its bytes as they are in a pipe, escaped line by line on a terminal."""
        if self.out is None:
            return
        if self.out_is_terminal or not hasattr(self.out, "buffer"):
            _write(self.out, block(data.decode("utf-8", "backslashreplace")))
            return
        self.out.flush()
        self.out.buffer.write(data)

    def flush(self) -> None:
        """Everything out of our buffers. Raises BrokenPipeError if nobody reads any more."""
        _flush(self.out)
        _flush(self.err)

    # -- asking ------------------------------------------------------------------------------------------------

    def prompt(self, question: str) -> None:
        """A question to a person, who types behind it."""
        _write(self.err, shown(question))
        _flush(self.err)

    def ask(self, question: str) -> str:
        """A line typed by a person, without its end; "" at the end of input. Only to be called on a terminal."""
        self.prompt(question)
        stdin = sys.stdin
        return stdin.readline().strip() if stdin is not None else ""

    def confirm(self, question: str) -> bool:
        """Whether a person says yes; anything else is no."""
        return self.ask(f"{question} [y/N] ").lower() in ("y", "yes")

    def _width(self) -> int:
        columns = self.environ.get("COLUMNS", "")
        if columns.isascii() and columns.isdecimal() and int(columns) > 0:
            return int(columns)
        if not self.out_is_terminal or self.out is None:
            return 0
        try:
            return os.get_terminal_size(self.out.fileno()).columns or DEFAULT_WIDTH
        except (OSError, ValueError):
            return DEFAULT_WIDTH


def wants_color(choice: str, environ: Mapping[str, str], is_terminal: bool) -> bool:
    """--color, then NO_COLOR, then FORCE_COLOR, then TERM=dumb, then whether it is a terminal."""
    if choice != "auto":
        return choice == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return is_terminal and environ.get("TERM", "dumb") != "dumb"


def speaks_utf8(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Whether signs outside ASCII may be used. Python turns the C locale into UTF-8; the terminal behind it may not."""
    encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "")
    if encoding != "utf8":
        return False
    named = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or "C"
    return named not in ("C", "POSIX") and not (named == "C.UTF-8" and environ.get("LANG", "C") in ("", "C", "POSIX"))


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def _never_fail_to_encode(stream: TextIO | None) -> None:
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _rendered(pieces: Iterable[Piece], color: bool) -> str:
    parts = []
    for piece in pieces:
        text, style = (piece, "") if isinstance(piece, str) else piece
        text = shown(text)
        code = _STYLES[style] if color else ""
        parts.append(f"\x1b[{code}m{text}\x1b[0m" if code and text else text)
    return "".join(parts).rstrip(" ")


def _write(stream: TextIO | None, text: str) -> None:
    if stream is not None:
        stream.write(text)


def _flush(stream: TextIO | None) -> None:
    if stream is not None:
        stream.flush()
