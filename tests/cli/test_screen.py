from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwf.cli.escape import block, cut, one_line, shown
from dwf.cli.screen import Screen, speaks_utf8, wants_color

NASTY = "a\x1b[31mred\x07\rb\x00\u202ec\u200bd\x9b31m\ud800"


def harmless(text: str) -> bool:
    return all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for c in text)


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_is_shown_can_move_a_cursor(text: str) -> None:
    """Fails when control characters are shown as they are."""
    assert harmless(shown(text))
    assert harmless(one_line(text))
    assert harmless(block(text).replace("\n", "").replace("\t", ""))


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert shown(text) == text


def test_letters_of_any_language_stay() -> None:
    assert shown("Größe 大 ñ é") == "Größe 大 ñ é"


def test_a_nasty_text_is_shown_escaped() -> None:
    assert shown(NASTY) == "a\\x1b[31mred\\x07\\rb\\x00\\u202ec\\u200bd\\x9b31m\\ud800"


def test_a_message_of_lines_becomes_one() -> None:
    assert one_line("first\n\n  second\x1b") == "first; second\\x1b"
    assert cut("abcdef", 5) == "ab..."
    assert cut("abcde", 5) == "abcde"


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_screen_escapes_every_piece_and_colours_around_it() -> None:
    out = Tty()
    screen = Screen(out, Tty(), {"TERM": "xterm"})

    screen.line((NASTY, "red"), " plain ")

    assert out.getvalue() == f"\x1b[31m{shown(NASTY)}\x1b[0m plain\n"


def test_colour_is_left_out_where_nobody_sees_it() -> None:
    out = io.StringIO()
    Screen(out, io.StringIO(), {"TERM": "xterm"}).line(("red", "red"))
    assert out.getvalue() == "red\n"


@pytest.mark.parametrize(
    ("choice", "environ", "terminal", "expected"),
    [
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1", "TERM": "xterm"}, True, False),
        ("auto", {"NO_COLOR": "", "TERM": "xterm"}, True, True),
        ("auto", {"FORCE_COLOR": "1"}, False, True),
        ("auto", {"FORCE_COLOR": "1", "TERM": "dumb"}, False, True),
        ("auto", {"FORCE_COLOR": "0"}, False, False),
        ("auto", {"TERM": "dumb"}, True, False),
        ("auto", {}, True, False),
        ("auto", {"TERM": "xterm"}, True, True),
        ("auto", {"TERM": "xterm"}, False, False),
    ],
)
def test_colour_follows_the_order_that_is_documented(
    choice: str, environ: dict[str, str], terminal: bool, expected: bool
) -> None:
    assert wants_color(choice, environ, terminal) is expected


@pytest.mark.parametrize(
    ("encoding", "environ", "expected"),
    [
        ("utf-8", {"LANG": "de_DE.UTF-8"}, True),
        ("UTF-8", {"LANG": "C.UTF-8"}, True),
        ("ascii", {"LANG": "de_DE.UTF-8"}, False),
        ("iso8859-1", {"LANG": "de_DE.ISO-8859-1"}, False),
        ("utf-8", {"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),
        ("utf-8", {"LC_ALL": "POSIX"}, False),
        ("utf-8", {}, False),
    ],
)
def test_marks_are_ascii_unless_the_terminal_speaks_utf8(
    encoding: str, environ: dict[str, str], expected: bool
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    assert speaks_utf8(stream, environ) is expected


@pytest.mark.parametrize("encoding", ["ascii", "iso8859-1", "utf-8"])
def test_no_text_is_too_strange_for_an_encoding(encoding: str) -> None:
    inner = io.BytesIO()
    screen = Screen(io.TextIOWrapper(inner, encoding=encoding), io.StringIO(), {})

    screen.line("Größe 大 " + NASTY)
    screen.flush()

    assert inner.getvalue().endswith(b"\n")


def test_closed_streams_swallow_what_is_said() -> None:
    screen = Screen(io.StringIO(), io.StringIO(), {})
    screen.out = screen.err = None

    screen.line("data")
    screen.say("words")
    screen.output(b"bytes")
    screen.document({})
    screen.flush()


def test_quiet_keeps_errors_and_leaves_out_words() -> None:
    err = io.StringIO()
    screen = Screen(io.StringIO(), err, {}, quiet=True)

    screen.say("words")
    screen.warn("careful")
    screen.tell("error")

    assert err.getvalue() == "error\n"


def test_the_width_is_that_of_the_terminal_and_nothing_in_a_pipe() -> None:
    assert Screen(io.StringIO(), io.StringIO(), {}).width == 0
    assert Screen(io.StringIO(), io.StringIO(), {"COLUMNS": "100"}).width == 100
    assert Screen(io.StringIO(), io.StringIO(), {"COLUMNS": "wide"}).width == 0
    assert Screen(Tty(), io.StringIO(), {}).width == 80


def test_output_of_steps_is_bytes_in_a_pipe_and_escaped_on_a_terminal() -> None:
    inner = io.BytesIO()
    pipe = Screen(io.TextIOWrapper(inner, encoding="utf-8"), io.StringIO(), {})
    pipe.line("before")
    pipe.output(b"\x1b[31m\xff\n")
    pipe.flush()
    assert inner.getvalue() == b"before\n\x1b[31m\xff\n"

    out = Tty()
    Screen(out, io.StringIO(), {}).output(b"\x1b[31m\xff\tx\n")
    assert out.getvalue() == "\\x1b[31m\\xff\tx\n"
