"""`dwf query` and `dwf update` as they are typed: what is printed where, and with which exit code."""

from __future__ import annotations

import pytest

from tests.cli.terminal import Terminal

BOOK = """
import dwf

@dwf.workflow
async def main():
    limit = [1]

    def check(to: int) -> None:
        if to < 0:
            raise ValueError("must not be negative")

    async def put(to: int, slowly: bool = False) -> dict[str, int]:
        '''Change the limit.'''
        if slowly:
            await dwf.wait_signal("now")
        if to == 13:
            raise dwf.Failure("not that one")
        old, limit[0] = limit[0], to
        return {"old": old, "new": to}

    dwf.on_update("put", put, lambda to, slowly=False: check(to))
    dwf.on_query("limit", lambda: {"limit": limit[0]})
    await dwf.wait_signal("stop")
    return limit[0]
"""


@pytest.fixture
def started(dwf: Terminal) -> Terminal:
    dwf.script.write_text(BOOK)
    assert dwf("start", str(dwf.script), "--id", "r", "--tick").code == 0
    return dwf


def test_an_update_prints_what_it_returned_and_a_query_what_it_found(started: Terminal) -> None:
    told = started("update", "r", "put", "to=5", "--tick")
    assert (told.code, told.json) == (0, {"old": 1, "new": 5})
    assert started("query", "r", "limit").json == {"limit": 5}
    started("signal", "r", "stop", "--tick")
    assert started("query", "r", "limit").json == {"limit": 5}


def test_the_exit_codes_of_an_update(started: Terminal) -> None:
    for words, code, said in (
        (["put", "to=13"], 1, "update put failed: Failure: not that one"),
        (["put", "to=-1"], 7, "r did not take it: must not be negative"),
        (["put", "to=x"], 7, "to='x' is not an int"),
        (["putt", "to=1"], 7, "takes no update 'putt'"),
        (["put", "to"], 2, "'to' is not an argument"),
        (["put", "to=1", "--until", "done"], 2, "neither accepted nor completed"),
        (["put", "--input", "[1]"], 2, "--input is not a JSON object"),
        (["put", "to=1", "--timeout", "soon"], 2, "soon"),
    ):
        answer = started("update", "r", *words, "--tick")
        assert answer.code == code, (words, answer)
        assert said in answer.err, (words, answer)
        assert answer.out == ""
    assert started("update", "nope", "put").code == 4


def test_an_update_that_is_not_finished_in_time_ends_with_3_and_goes_on(started: Terminal) -> None:
    answer = started("update", "r", "put", "to=4", "slowly=yes", "--key", "k", "--timeout", "0s", "--tick")
    assert answer.code == 3
    assert "accepted, and not yet completed" in answer.err
    assert started("update", "r", "put", "to=4", "slowly=yes", "--key", "k", "--until", "accepted").out == "accepted\n"
    started("signal", "r", "now", "--tick")
    again = started("update", "r", "put", "to=4", "slowly=yes", "--key", "k")
    assert (again.code, again.json) == (0, {"old": 1, "new": 4})


def test_without_a_tick_an_update_is_posted_and_waits_for_one(started: Terminal) -> None:
    answer = started("update", "r", "put", "to=4", "--timeout", "0s")
    assert answer.code == 3
    assert "posted, and not yet completed" in answer.err
    started("tick")
    assert started("query", "r", "limit").json == {"limit": 4}


def test_a_program_is_told_the_stage(started: Terminal) -> None:
    document = started("update", "r", "put", "to=5", "--tick", "--json").json
    assert document["stage"] == "completed" and document["result"] == {"old": 1, "new": 5}
    document = started("update", "r", "put", "to=13", "--tick", "--json").json
    assert document["stage"] == "failed" and document["error"] == "Failure: not that one"


def test_what_a_run_takes_is_listed_as_it_is_typed(started: Terminal) -> None:
    lines = started("query", "r").out.splitlines()
    assert lines == ["dwf query r limit", "dwf update r put to=int [slowly=...]", "    Change the limit."]
    assert [one["kind"] for one in started("query", "r", "--json").json["takes"]] == ["query", "update"]
    assert "update put" in started("show", "r").out


def test_the_exit_codes_of_a_query(started: Terminal) -> None:
    for words, code, said in (
        (["r", "limt"], 4, "did you mean limit?"),
        (["r", "limit", "to=1"], 2, "query limit has no parameter 'to'"),
        (["nope", "limit"], 4, "there is no run nope"),
    ):
        answer = started("query", *words)
        assert (answer.code, answer.out) == (code, ""), words
        assert said in answer.err, words
