"""Queries: answered over a replay by whoever asks, at any time, and without a trace."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dwf.engine import asking
from dwf.errors import DwfError, Failure, NotFound, NotPermitted, ScriptBug, ScriptError, UsageError
from tests.engine.house import House

BOOK = """
    import dataclasses

    @dwf.activity
    def deploy(host):
        return host

    def spin():
        while True:
            pass

    @dwf.workflow
    async def main(hosts: list[str] = ("a", "b")):
        done = []
        print("said once")

        def left(upper: bool = False, first: int = 99) -> list[str]:
            '''Hosts that are not done.'''
            print("said by a query")
            found = [host for host in hosts if host not in done][:first]
            return [host.upper() for host in found] if upper else found

        dwf.on_query("left", left)
        dwf.on_query("fails", lambda: (_ for _ in ()).throw(dwf.Failure("cannot say")))
        dwf.on_query("typo", lambda: done[7])
        dwf.on_query("acts", lambda: dwf.status("changed"))
        dwf.on_query("steps", lambda: asyncio.ensure_future(deploy("x")))
        dwf.on_query("random", lambda: dwf.random().random())
        dwf.on_query("odd", lambda: object())
        dwf.on_query("spins", spin)
        dwf.on_query("changes", lambda: done.append("z") or len(done))
        dwf.on_signal("go", lambda: None)
        for host in hosts:
            await dwf.wait_signal("next")
            done.append(await deploy(host))
        return done
"""


def ask(house: House, name: str, uid: int | None = None, **words: str) -> Any:
    return json.loads(asking.query(house.store, "r1", name, os.getuid() if uid is None else uid, words))


def snapshot(house: House) -> dict[str, tuple[int, int]]:
    """Everything in the state directory, but for what SQLite does to its own files when it is read."""
    files = [p for p in Path(house.store.layout.home).rglob("*") if p.is_file() and "index" not in p.name]
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in files}


def test_a_query_sees_the_run_where_it_is_and_writes_nothing(house: House) -> None:
    house.go(BOOK)
    before = snapshot(house)
    assert ask(house, "left") == ["a", "b"]
    assert snapshot(house) == before
    house.signal("next")
    house.tick()
    assert ask(house, "left") == ["b"]


def test_a_query_of_a_run_that_is_over_sees_it_as_it_was_at_its_end(house: House) -> None:
    house.go(BOOK)
    house.signal("next")
    house.tick()
    house.terminate()
    house.tick()
    assert ask(house, "left") == ["b"]
    house.start(house.script(BOOK), "r2", json_input={"hosts": []})
    house.tick()
    assert house.result("r2") == []
    assert json.loads(asking.query(house.store, "r2", "left", os.getuid(), {})) == []


def test_what_a_query_would_change_is_seen_by_nobody(house: House) -> None:
    house.go(BOOK)
    assert ask(house, "changes") == 1
    assert ask(house, "changes") == 1
    assert ask(house, "left") == ["a", "b"]


def test_arguments_are_typed_by_the_signature(house: House) -> None:
    house.go(BOOK)
    assert ask(house, "left", upper="yes", first="1") == ["A"]
    with pytest.raises(UsageError, match="first='x' is not an int") as caught:
        ask(house, "left", first="x")
    assert "parameters: " in str(caught.value.hint)
    with pytest.raises(UsageError, match="query left has no parameter 'uper'") as caught:
        ask(house, "left", uper="yes")
    assert "did you mean upper=?" in str(caught.value.hint)


def test_a_query_that_nobody_answers_is_not_found_with_what_was_meant(house: House) -> None:
    house.go(BOOK)
    with pytest.raises(NotFound) as caught:
        ask(house, "lefd")
    assert caught.value.hint == "did you mean left?"
    house.go("@dwf.workflow\nasync def main(): await dwf.sleep(9)\n", "r2")
    with pytest.raises(NotFound) as caught:
        asking.query(house.store, "r2", "left", 0, {})
    assert "no dwf.on_query" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["acts", "steps", "random"])
def test_a_query_may_only_look(house: House, name: str) -> None:
    house.go(BOOK)
    before = snapshot(house)
    with pytest.raises(ScriptBug, match=f"ReadOnly: query {name} may only look"):
        ask(house, name)
    assert snapshot(house) == before


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("fails", Failure, "cannot say"),
        ("typo", ScriptBug, r"IndexError: list index out of range at book\.py:"),
        ("odd", ScriptError, "what the query odd returned: it cannot be stored as JSON"),
    ],
)
def test_what_goes_wrong_in_a_query_is_told(house: House, name: str, kind: type[DwfError], told: str) -> None:
    house.go(BOOK)
    with pytest.raises(kind, match=told):
        ask(house, name)
    house.tick()
    assert house.state().blocked is None


def test_a_query_that_computes_for_ever_is_cut(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dwf.engine.watchdog.LIMIT_SECONDS", 0.3)
    house.go(BOOK)
    with pytest.raises(ScriptError, match="computes for more than"):
        ask(house, "spins")


def test_nothing_that_the_script_prints_gets_into_the_answer(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    house.go(BOOK)
    capfd.readouterr()
    ask(house, "left")
    assert capfd.readouterr() == ("", "")


def test_the_code_of_strangers_is_not_run_for_a_query(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.go(BOOK)
    view = house.view()
    assert view.state is not None
    view.state.code_owner = os.getuid() + 4242
    monkeypatch.setattr(asking, "load", lambda *_: view)
    for look in (lambda: ask(house, "left"), lambda: asking.taken_by(house.store, "r1", os.getuid())):
        with pytest.raises(NotPermitted, match="will not be run as you") as caught:
            look()
        assert caught.value.exit_code == 77


def test_what_a_run_takes_is_listed_with_parameters_and_words(house: House) -> None:
    house.go(BOOK)
    found = asking.taken_by(house.store, "r1", os.getuid())
    assert [(one.kind, one.name) for one in found if one.name in ("left", "go")] == [
        ("query", "left"),
        ("signal", "go"),
    ]
    left = found[0]
    assert left.doc == "Hosts that are not done."
    assert [(p.name, p.type_name) for p in left.parameters] == [("upper", "bool"), ("first", "int")]


def test_a_run_whose_script_does_not_fit_any_more_answers_nothing(house: House) -> None:
    house.go("@dwf.workflow\nasync def main():\n    dwf.on_query('q', lambda: 1)\n    {}['typo']\n")
    with pytest.raises(ScriptBug, match="KeyError"):
        ask(house, "q")
