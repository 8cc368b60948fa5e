"""Expressions over runs: what they may say, what they may not, and that the index and the files answer alike."""

from __future__ import annotations

import _sqlite3
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dwf.core.duration import SECOND
from dwf.errors import DwfError, UsageError
from dwf.store.choice import Choice
from dwf.store.files import Disk
from dwf.store.index import Index
from dwf.store.row import Row
from dwf.store.where import COLUMNS, FUNCTIONS, Expression, asked, column, condition
from tests.store.places import new_home

NOW = 1_000 * SECOND
TAGS = {
    "env": "prod",
    "n": 3,
    "load": 0.5,
    "canary": True,
    "off": False,
    "until": {"time": "2026-12-01T00:00:00.000000Z"},
}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index(Disk(), new_home(tmp_path), "boot")
    assert index.rebuild()
    yield index
    index.close()


def row(run: str = "web1", **fields: Any) -> Row:
    known: dict[str, Any] = {
        "workflow": "rotate",
        "status": "failed",
        "open": False,
        "due_at": None,
        "started_us": 900 * SECOND,
        "updated_us": 950 * SECOND,
        "tags": json.dumps(TAGS),
    }
    return Row(run, **{**known, **fields})


def when(text: str) -> int:
    """`-50` is fifty seconds ago."""
    try:
        return NOW + int(text) * SECOND
    except ValueError:
        raise UsageError(what=f"{text!r} is no time") from None


def meant(text: str) -> Expression:
    return condition(text, when)


HOLDS = [
    "status = 'failed'",
    "Status == 'failed' AND NOT open",
    "id LIKE 'WEB%' AND id GLOB 'web?'",
    "workflow IN ('rotate', 'drain') AND step = ''",
    "tag.env = 'prod' AND tags.n + 1 = 4 AND tag.load < 1",
    "tag.canary AND NOT tag.off AND tag.canary = true",
    "tag.\"a-b\" IS NULL AND tag.env IS NOT 'test'",
    "tag.until > '2026-11' AND tag.until > time('0')",
    "started < '-50' AND '-50' < updated AND closed = '-50'" + " OR closed > '-60'",
    "started BETWEEN '-200' AND '-50' AND updated NOT BETWEEN '-10' AND '0'",
    "started = time('-100')",
    "closed IS NOT NULL AND due IS NULL AND updated > started",
    "lower(upper(id)) = 'web1' AND length(id) = 4 AND substr(id, 1, 3) || 'x' = 'webx'",
    "coalesce(tag.none, 'x') = 'x' AND max(1, 2) = 2 AND iif(open, 0, 1)",
    "CASE WHEN needs THEN 0 ELSE 1 END",
    "id = 'it''s' OR instance = 1",
    "1 - -1 = 2",
]


@pytest.mark.parametrize("text", HOLDS)
def test_what_holds_for_a_row_is_found_in_the_index(text: str, index: Index) -> None:
    other = row("other", status="running", tags="{}", workflow="x", open=True, needs=True)
    index.insert_new(row(), other)
    choice = Choice(where=meant(text))
    assert choice.fits(row())
    assert index.rows(choice) == [other, row()][not choice.fits(other) :]


REFUSED = {
    "": "is empty",
    "(id": "a bracket",
    "1) OR (1": "a bracket",
    "id = 'a'; DROP TABLE run": "'; DROP",
    "id = 'a' -- x": "no column x",
    "id /* x */": "no column x",
    'id = "web1"': "is not understood",
    "id = 'web1": "is not understood",
    "SELECT 1": "no column SELECT",
    "id IN (SELECT run FROM run)": "no column SELECT",
    "EXISTS (1)": "no function EXISTS",
    "WITH": "no column WITH",
    "load_extension('x')": "no function load_extension",
    "randomblob(1000000000)": "no function",
    "replace(id, 'a', 'b')": "no function",
    "printf('%99999999d', 1)": "no function",
    "json_extract(id, '$')": "no function",
    "run.run = 'a'": "is not understood",
    "meta.boot = 1": "is not understood",
    "rowid = 1": "no column rowid",
    "started_us > 1": "no column started_us",
    "statsu = 'x'": "no column statsu",
    "?1": "is not understood",
    "id = '\udcff'": "half a character",
    ":a": "is not understood",
    "id ||": "it is not complete",
    "id = 1 2": "syntax error",
    "max(started) > 1": "misuse of aggregate",
    "lower(id, 1) = 'a'": "wrong number of arguments",
    "started LIKE '2026%'": "started is a time",
    "started NOT IN ('2026')": "started is a time",
    "started > 'never'": "'never' is no time",
    "time(id) > 1": "takes one time",
    "time('-1'": "a bracket",
    "id = 'a' " + "AND 1 " * 2000: "characters long",
    "NOT " * 990 + "1 = (" + "(" * 900 + "1" + ")" * 900 + ")": "too large|characters long|overflow",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_expression_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=REFUSED[text]) as caught:
        meant(text)
    assert caught.value.exit_code == 2 and "\n" not in caught.value.message


def test_what_is_refused_names_the_columns() -> None:
    with pytest.raises(UsageError) as caught:
        meant("statsu = 'x'")
    assert caught.value.hint.startswith("did you mean status? columns: id, workflow, ")


@given(st.text(alphabet=st.sampled_from("ab'\"()-/*;.,= \x00%é1"), max_size=30) | st.text(max_size=30))
@settings(max_examples=500)
def test_whatever_is_typed_is_taken_or_refused(text: str) -> None:
    try:
        assert isinstance(meant(text).holds(row()), bool)
    except DwfError as error:
        assert isinstance(error, UsageError)


WORDS = st.sampled_from(
    [
        *(*COLUMNS, *FUNCTIONS, "tag.env", "tag.n", "time"),
        *"( ) ( ) , = < AND OR NOT IS NULL IN LIKE ESCAPE BETWEEN CASE WHEN THEN ELSE END 'a' '1' 1 0.5 - || *".split(),
    ]
)


@given(st.lists(WORDS, max_size=12))
@settings(max_examples=1000)
def test_whatever_is_made_of_its_own_words_is_taken_or_refused(words: list[str]) -> None:
    try:
        meant(" ".join(words)).holds(row())
    except DwfError as error:
        assert isinstance(error, UsageError)


@pytest.mark.parametrize(
    "code",
    [
        "(SELECT count(*) FROM meta)",
        "(SELECT schema FROM meta)",
        "(SELECT sql FROM sqlite_master)",
        "load_extension('x')",
        "randomblob(10)",
        "(WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) SELECT max(n) FROM a)",
    ],
)
def test_even_what_got_past_the_words_would_not_be_compiled(code: str) -> None:
    """The second wall. Fails when the authorizer is left out."""
    with pytest.raises(UsageError, match=r"not authorized|prohibited|no such"):
        Expression(code, "x")


def test_a_question_that_takes_too_long_is_given_up_and_the_connection_is_whole() -> None:
    memory = _sqlite3.connect(":memory:")
    endless = "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) SELECT max(n) FROM a"
    with pytest.raises(UsageError, match=r"took longer than 0\.01 s"):
        asked(memory, lambda connection: connection.execute(endless).fetchall(), 0.01)
    assert memory.execute("SELECT 1").fetchall() == [(1,)]


def test_what_goes_wrong_on_the_way_does_not_count_as_damage(index: Index) -> None:
    index.insert_new(row())
    with pytest.raises(UsageError, match="integer overflow"):
        index.rows(Choice(where=meant("abs(-9223372036854775807 - 1 + 0 * instance) = 1")))
    assert index.trusted() and len(index.rows() or []) == 1


def test_damaged_tags_are_damage_and_no_mistake_of_his_who_asks(index: Index) -> None:
    index.insert_new(row(tags="{"))
    assert index.rows(Choice(where=meant("tag.env = 'prod'"))) is None


@pytest.mark.parametrize(
    ("name", "said", "fits"),
    [
        ("env", "prod", True),
        ("env", "Prod", False),
        ("n", "3", True),
        ("n", "3.0", True),
        ("n", "03", False),
        ("load", "0.5", True),
        ("canary", "true", True),
        ("canary", "1", False),
        ("off", "false", True),
        ("until", "2026-12-01T00:00:00.000000Z", True),
        ("until", "2026", False),
        ("none", "", False),
    ],
)
def test_a_tag_is_what_somebody_has_typed(name: str, said: str, fits: bool, index: Index) -> None:
    """Fails when the index and the files have different rules."""
    index.insert_new(row(), row("other", tags="{}"))
    choice = Choice(tags=((name, said),))
    assert choice.fits(row()) is fits
    found = index.rows(choice)
    assert found == ([row()] if fits else [])


def test_runs_are_counted_by_a_column_or_a_tag(index: Index) -> None:
    index.insert_new(row("a"), row("b"), row("c", tags="{}", open=True))
    assert sorted(index.groups(Choice(), column("tag.env")) or [], key=str) == [("prod", 2), (None, 1)]
    assert index.groups(Choice(where=meant("NOT open")), column("tag.canary")) == [("true", 2)]
    assert dict(index.groups(Choice(), column("open")) or []) == {"yes": 1, "no": 2}
    assert column("tag.canary").of(row()) == "true" and column("open").of(row()) == "no"
    for wrong in ("started", "id, status", "1", "nothing", "lower(id)", ""):
        with pytest.raises(UsageError):
            column(wrong)


def test_every_column_and_function_is_in_the_help() -> None:
    from dwf.cli.topics import text_of

    told = text_of("tags").split()
    assert not [name for name in (*COLUMNS, *FUNCTIONS - {"upper", "trim"}) if name not in told]
