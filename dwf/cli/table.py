"""Aligned columns of text, without a library: what `list`, `inbox` and `history` are made of.

Ids and status words are never cut; the columns that may be are cut only as far as the terminal demands, and not at all
in a pipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dwf.cli.escape import shown
from dwf.cli.screen import Piece

GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """`least`: how narrow it may be made to fit the terminal; 0 means that it is never cut."""

    title: str
    least: int = 0
    right: bool = False


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[Piece]], width: int = 0, cut_mark: str = "...", head: bool = True
) -> list[list[Piece]]:
    """Lines of cells, one style each. `width` 0 is without limit."""
    heads = [[_cell((column.title, "dim")) for column in columns]] if head else []
    cells = [*heads, *([_cell(cell) for cell in row] for row in rows)]
    wanted = [max((row[i][2] for row in cells), default=0) for i in range(len(columns))]
    widths = _fitted(columns, wanted, width)
    return [_line(columns, row, widths, cut_mark) for row in cells]


# Text, style, and how many columns of the terminal the text takes.
_Cell = tuple[str, str, int]


def _cell(piece: Piece) -> _Cell:
    text, style = (piece, "") if isinstance(piece, str) else piece
    text = shown(text)
    return text, style, cells_of(text)


def _fitted(columns: Sequence[Column], wanted: list[int], width: int) -> list[int]:
    """Take from whichever column is the widest, the last of equals first, until the line fits."""
    widths = list(wanted)
    excess = sum(widths) + len(GAP) * (len(columns) - 1) - width if width else 0
    while excess > 0:
        able = [i for i, column in enumerate(columns) if column.least and widths[i] > column.least]
        if not able:
            break
        widest = max(able, key=lambda i: (widths[i], i))
        widths[widest] -= 1
        excess -= 1
    return widths


def _line(columns: Sequence[Column], row: list[_Cell], widths: list[int], cut_mark: str) -> list[Piece]:
    pieces: list[Piece] = []
    before = ""
    for column, (text, style, size), width in zip(columns, row, widths, strict=True):
        if size > width:
            text = fitting(text, width, cut_mark)
            size = cells_of(text)
        pad = " " * (width - size)
        if column.right:
            before, pad = before + pad, ""
        if style:
            pieces += (before, (text, style))
        else:
            pieces.append(before + text)
        before = pad + GAP
    return pieces


def fitting(text: str, width: int, mark: str) -> str:
    """The text, cut to a number of terminal cells; the mark says that something is missing."""
    if cells_of(text) <= width:
        return text
    kept = []
    room = max(width - len(mark), 0)
    for char in text:
        room -= cells_of(char)
        if room < 0:
            break
        kept.append(char)
    return "".join(kept) + mark[:width]


def cells_of(text: str) -> int:
    """How many columns a terminal gives it: East Asian characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, width: int) -> list[str]:
    """Words in lines of at most `width` cells; a word is never split. `width` 0 is one line."""
    if not width or cells_of(text) <= width:
        return [text]
    lines, line = [], ""
    for word in text.split(" "):
        if line and cells_of(line) + 1 + cells_of(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]
