"""Which runs are meant: the filter for the index and the filter for files are one, and a million runs are no matter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dwf.core.state import Status
from dwf.store.choice import Choice
from dwf.store.files import Disk
from dwf.store.index import Index
from dwf.store.layout import open_home
from dwf.store.row import Row

WORDS = [status.value for status in Status]
CLOSED = {status.value for status in Status if status.closed}
NAMES = st.sampled_from(["deploy", "rotate", ""])


def row_of(run: str, status: str, workflow: str, started: int, by: str, more: tuple[bool, bool]) -> Row:
    due_at = None if status in CLOSED or more[0] else 0
    return Row(
        run, workflow=workflow, status=status, open=status not in CLOSED, due_at=due_at, started_us=started, by=by,
        needs=more[1],
    )  # fmt: skip


ROWS = st.lists(
    st.builds(
        row_of,
        st.text("ab-", min_size=1, max_size=4).map(lambda text: "r" + text),
        st.sampled_from(WORDS),
        NAMES,
        st.integers(0, 3),
        st.sampled_from(["anna", "bob"]),
        st.tuples(st.booleans(), st.booleans()),
    ),
    max_size=12,
    unique_by=lambda row: row.run,
)
CHOICES = st.builds(
    Choice,
    open_only=st.booleans(),
    workflow=st.none() | NAMES,
    status=st.lists(st.sampled_from(WORDS), max_size=2, unique=True).map(tuple),
    prefix=st.sampled_from(["", "r", "ra", "x"]),
    by=st.none() | st.sampled_from(["anna", "carl"]),
    needs=st.booleans(),
    due_now=st.booleans(),
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    path = tmp_path_factory.mktemp("choice") / "home"
    return Index(Disk(), open_home(Disk(), str(path), create=True, allow_network=True), boot="b1")


@given(ROWS, CHOICES)
@settings(max_examples=150, deadline=None)
def test_the_index_finds_what_fits_in_order_and_counts_it_and_pages_through_it(
    index: Index, rows: list[Row], choice: Choice
) -> None:
    index.rebuild(force=True)
    index.insert_new(*rows)
    wanted = sorted(filter(choice.fits, rows), key=lambda row: (-row.started_us, row.run))

    assert index.rows(choice) == wanted
    assert index.rows(choice, limit=2) == wanted[:2]
    assert sum(number for *_, number in index.counts(choice) or []) == len(wanted)

    paged: list[Row] = []
    while page := index.rows(choice, limit=3, after=(paged[-1].started_us, paged[-1].run) if paged else None):
        paged += page
    assert paged == wanted


@given(ROWS, st.text("rab-x", min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_ids_are_found_by_their_beginning_and_by_their_neighbours(index: Index, rows: list[Row], text: str) -> None:
    index.rebuild(force=True)
    index.insert_new(*rows)
    ids = sorted(row.run for row in rows)

    assert index.ids(text, 2) == [run for run in ids if run.startswith(text)][:2]
    before, behind = [run for run in ids if run < text], [run for run in ids if run >= text]
    assert set(index.ids_near(text, 2) or []) == {*before[-2:], *behind[:2]}


def test_no_question_of_a_list_walks_over_all_runs(index: Index) -> None:
    """By SQLite's own plan: each of them enters an index where the answer lies. The sum of counts alone walks."""
    from dwf.store import indexfile as sql

    index.rebuild(force=True)
    connection, _ = sql.open_index(index._path)
    few = {
        "newest": Choice(),
        "failed": Choice(status=("failed",)),
        "open": Choice(open_only=True),
        "needs": Choice(needs=True),
        "due": Choice(due_now=True),
        "prefix": Choice(prefix="web"),
    }
    for name, choice in few.items():
        where, values = choice.clause()
        question = f"{sql.SELECT} {sql.way_to(connection, choice)} {where} {sql.NEWEST_FIRST} LIMIT 10"
        plan = " ".join(row[3] for row in sql.answer(connection, f"EXPLAIN QUERY PLAN {question}", values))
        assert "SCAN" not in plan or "run_newest" in plan or "run_needs" in plan, (name, plan)
    connection.close()


def test_an_index_that_nobody_trusts_answers_nothing(tmp_path: Path) -> None:
    index = Index(Disk(), open_home(Disk(), str(tmp_path / "h"), create=True, allow_network=True), boot="b1")
    assert index.rows() is index.counts() is index.ids("", 5) is index.ids_near("a", 5) is None
