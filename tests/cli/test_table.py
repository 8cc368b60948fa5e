from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dwf.cli.screen import Piece
from dwf.cli.table import Column, cells_of, fitting, table, wrapped

COLUMNS = (Column("ID"), Column("STATUS"), Column("AGE", right=True), Column("WAITING FOR", 8))


def text_of(line: list[Piece]) -> str:
    return "".join(piece if isinstance(piece, str) else piece[0] for piece in line).rstrip()


def test_columns_are_aligned() -> None:
    lines = [text_of(line) for line in table(COLUMNS, [["a", "waiting", "5h", "x"], ["longer", "ok", "41m", "y"]])]

    assert lines == [
        "ID      STATUS   AGE  WAITING FOR",
        "a       waiting   5h  x",
        "longer  ok       41m  y",
    ]


def test_only_the_columns_that_may_be_are_cut() -> None:
    row = ["cert-rotation-7f3k9", "waiting", "5h", "@security, until 22:00 (then reject)"]

    line = text_of(table(COLUMNS, [row], width=50)[1])

    assert line == "cert-rotation-7f3k9  waiting   5h  @security, u..."
    assert len(line) == 50


def test_the_widest_column_gives_way_first() -> None:
    columns = (Column("WHAT", 6), Column("WHO", 6))

    head, row = (text_of(line) for line in table(columns, [["x" * 60, "anyone"]], width=30))

    assert row == "x" * 19 + "...  anyone"
    assert len(head) <= 30


def test_an_id_is_never_cut_however_narrow_the_terminal() -> None:
    row = ["x" * 128, "waiting", "5h", "@security, until 22:00"]

    line = text_of(table(COLUMNS, [row], width=40)[1])

    assert "x" * 128 in line and "waiting" in line


@given(st.text(), st.integers(min_value=0, max_value=40))
def test_what_is_cut_fits(text: str, width: int) -> None:
    assert cells_of(fitting(text, width, "...")) <= max(width, 0) or cells_of(text) <= width


def test_east_asian_letters_take_two_columns() -> None:
    assert cells_of("大小") == 4
    assert cells_of("e\u0301") == 1
    assert fitting("大小大小", 7, "…") == "大小大…"


@given(st.lists(st.text("abc", min_size=1, max_size=12), min_size=1), st.integers(min_value=12, max_value=40))
def test_wrapping_splits_no_word_and_loses_none(words: list[str], width: int) -> None:
    lines = wrapped(" ".join(words), width)

    assert " ".join(lines).split() == words
    assert all(len(line) <= width for line in lines)
