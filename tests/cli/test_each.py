"""dwf start --each: a run for each line, whole or not at all, acknowledged by its id."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_bad_inputs.conftest import dwf as dwf
from tests.test_bad_inputs.terminal import PLAIN, Terminal


def lines(dwf: Terminal, *values: object) -> Path:
    path = dwf.where / "each.jsonl"
    path.write_text("".join((value if isinstance(value, str) else json.dumps(value)) + "\n" for value in values))
    return path


def test_there_is_a_run_for_each_line_and_each_id_is_said(dwf: Terminal) -> None:
    path = lines(dwf, *({"n": n} for n in range(250)), "")
    done = dwf.typed("start", dwf.script(PLAIN), "--each", path, "--id", "double-{n}", "-m", "all of them")
    assert done.code == 0, done.err
    assert done.out.split() == [f"double-{n}" for n in range(250)]
    assert list((dwf.home / "runs" / ".tmp").iterdir()) == []
    dwf.tick()
    for n in (0, 99, 100, 249):
        assert dwf.typed("result", f"double-{n}").out == f"{2 * n}\n"
    assert dwf.typed("verify").code == 0


def test_an_id_that_is_in_use_is_told_and_the_others_are_made(dwf: Terminal) -> None:
    dwf.start(PLAIN, "d-1")
    done = dwf.typed("start", dwf.script(PLAIN), "--each", lines(dwf, {"n": 0}, {"n": 1}, {"n": 2}), "--id", "d-{n}")
    assert (done.code, done.out.split()) == (9, ["d-0", "d-2"])
    assert "d-1 is in use" in done.error


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{", "line 2: it is not valid JSON"),
        ("[1]", "line 2 is no JSON object"),
        ({"n": "x"}, "input 2: "),
        ({"n": 2, "m": 1}, "input 2: plain has no parameter 'm'"),
        ({"n": "../x"}, "input 2: "),
    ],
)
def test_one_bad_line_makes_no_run_at_all(dwf: Terminal, bad: object, said: str) -> None:
    path = lines(dwf, {"n": 1}, bad)
    assert said in dwf.refuses(2, "start", dwf.script(PLAIN), "--each", path, "--id", "d-{n}").error
    assert said.split(":")[0] in dwf.refuses(2, "start", dwf.script(PLAIN), "--each", path).error


def test_what_does_not_go_with_it_is_refused(dwf: Terminal) -> None:
    path = lines(dwf, {"n": 1})
    for more in (("--tick",), ("--wait",), ("--if-exists", "use")):
        dwf.refuses(2, "start", dwf.script(PLAIN), "--each", path, *more)
    dwf.refuses(4, "start", dwf.script(PLAIN), "--each", dwf.where / "none")
    assert "names {host}" in dwf.refuses(2, "start", dwf.script(PLAIN), "--each", path, "--id", "d-{host}").error


def test_from_a_pipe(dwf: Terminal) -> None:
    done = dwf.typed("start", dwf.script(PLAIN), "--each", "-", "--id", "p{n}", stdin=b'{"n": 7}\n{"n": 8}\n')
    assert (done.code, done.out.split()) == (0, ["p7", "p8"])


def test_an_id_that_would_be_given_twice_is_refused_before_anything_is_made(dwf: Terminal) -> None:
    path = lines(dwf, {"n": 8}, {"n": 8})
    assert "input 2: the id d-8" in dwf.refuses(2, "start", dwf.script(PLAIN), "--each", path, "--id", "d-{n}").error
