"""Every promise has its tests, every test was seen to fail without the rule that it holds, and that can be repeated."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.faults.conftest import tally as tally
from tests.faults.tally import Tally
from tests.promises.absent import ABSENT
from tests.promises.bad_inputs import BAD_INPUTS, Bad
from tests.promises.invariants import INVARIANTS
from tests.promises.mutant import ROOT, Copy, has_failed, run_tests
from tests.promises.protocol import PROTOCOL
from tests.promises.rows import Absent, Held, Promise
from tests.promises.syncs import MISSED_BY
from tests.promises.threats import THREATS

PROMISES = (*INVARIANTS, *PROTOCOL, *THREATS)
HELD = [(promise, held) for promise in PROMISES for held in promise.held]
_NAMES = {
    *(f"INV-{number}" for number in range(1, 33)),
    *(f"P{number}" for number in range(1, 15) if number != 12),  # there is no twelfth
    *(f"THR-{number}" for number in range(1, 25)),
    *(f"BAD-{number}" for number in range(1, 65)),
}
_REFUSALS = (".refuses(", ".refuses_process(", ".is_refusal(")


def named(value: object) -> str | None:
    if isinstance(value, Promise | Absent):
        return value.name
    if isinstance(value, Bad):
        return f"BAD-{value.number}"
    return value.function.removeprefix("test_")[:60] if isinstance(value, Held) else None


@cache
def functions_of(path: Path) -> dict[str, ast.FunctionDef]:
    """The tests of a file, by name."""
    found = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name: node for node in found if isinstance(node, ast.FunctionDef)}


def test_no_promise_is_without_a_test_and_none_is_forgotten() -> None:
    names = [promise.name for promise in PROMISES] + [f"BAD-{row.number}" for row in BAD_INPUTS]
    assert len(names) == len(set(names))
    assert set(names) | {promise.name for promise in ABSENT} >= _NAMES
    assert all(promise.held and promise.says.endswith(".") for promise in PROMISES)


@pytest.mark.parametrize(("promise", "held"), HELD, ids=named)
def test_what_holds_it_is_there_and_says_when_it_fails(promise: Promise, held: Held) -> None:
    test = functions_of(ROOT / held.path).get(held.function)
    assert test is not None, f"{promise.name}: there is no {held.function} in {held.path}"
    assert "Fails when " in (ast.get_docstring(test) or ""), f"{held.function} does not say without what it fails"


@pytest.mark.parametrize(("promise", "held"), HELD, ids=named)
def test_the_rule_behind_it_stands_where_it_is_said_to(promise: Promise, held: Held) -> None:
    text = (ROOT / held.file).read_text(encoding="utf-8")
    assert text.count(held.rule) == 1, (
        f"{promise.name}: its rule is not in {held.file} any more: write down in tests/promises how it is taken out"
        f" now, and see it missed: pytest -m long tests/promises -k '{promise.name}'"
    )
    assert held.instead != held.rule


@pytest.mark.parametrize("row", BAD_INPUTS, ids=named)
def test_what_is_said_of_a_bad_input_is_shown_by_a_test(row: Bad) -> None:
    """A refusal is held against all that refusals promise: number, one line, nothing on stdout, nothing changed."""
    sources = []
    for path, name in row.paths:
        test = functions_of(ROOT / path).get(name)
        assert test is not None, f"BAD-{row.number}: there is no {name} in {path}"
        sources.append(ast.unparse(test))
    assert not row.refused or any(way in source for source in sources for way in _REFUSALS), row.tests


@pytest.mark.parametrize("absent", ABSENT, ids=named)
def test_what_is_said_to_be_absent_is(absent: Absent) -> None:
    path = ROOT / absent.file
    there = path.exists() if not absent.sign else absent.sign in path.read_text(encoding="utf-8")
    assert not there, f"{absent.name} has come: it needs a row with a test, as the others have"


@pytest.mark.parametrize("site", MISSED_BY)
def test_who_misses_a_sync_is_there(site: str) -> None:
    where, name = MISSED_BY[site].split("::")
    assert name in functions_of(ROOT / "tests" / where), f"{site}: there is no {name} in {where}"


@pytest.mark.long
@pytest.mark.parametrize("site", MISSED_BY)
def test_without_its_sync_it_fails(site: str, tally: Tally) -> None:
    with tally.trying("promises: syncs left out, and missed by a test"):
        code, said = run_tests(
            ROOT, f"tests/{MISSED_BY[site]}", more=("-p", "tests.promises.unsynced"), DWF_LEFT_OUT=site
        )
        assert has_failed(code), f"nobody misses it: {said[-1500:]}"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("copy"))


@pytest.mark.long
def test_in_a_copy_in_which_nothing_is_taken_out_all_of_them_pass(copy: Copy) -> None:
    code, said = copy.test(*sorted({held.test for _, held in HELD}))
    assert code == 0, said[-3000:]


@pytest.mark.long
@pytest.mark.parametrize(("promise", "held"), HELD, ids=named)
def test_without_its_rule_it_fails(copy: Copy, promise: Promise, held: Held, tally: Tally) -> None:
    with tally.trying("promises: rules taken out, and missed by a test"), copy.without(held):
        code, said = copy.test(held.test)
        assert has_failed(code), f"nobody misses it: {said[-1500:]}"
        assert "NameError" not in said and "ImportError" not in said, said[-1500:]
