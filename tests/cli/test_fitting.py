"""A result that a person gives is held against the step's annotation before anything is posted or made."""

from __future__ import annotations

import pytest

from tests.cli.terminal import Terminal

BOOK = """
import dwf

@dwf.activity(retry=dwf.Retry(initial="1h", jitter="none"))
def sizes(there: bool) -> dict[str, int]:
    if not there:
        raise ValueError("not yet")
    return {"a": 1}

@dwf.workflow
async def main(there: bool = False) -> dict[str, int]:
    return await sizes(there)
"""


@pytest.fixture
def book(dwf: Terminal) -> Terminal:
    dwf.script.write_text(BOOK)
    return dwf


@pytest.mark.parametrize("act", ["complete", "skip"])
@pytest.mark.parametrize("result", ["[1]", "null", '{"a": "b"}'])
def test_a_result_that_the_step_cannot_have_is_refused_at_once(book: Terminal, act: str, result: str) -> None:
    book("start", str(book.script), "--id", "r1", "--tick")
    said = book("step", act, "r1", "sizes", "--result", result, "-m", "by hand")
    assert said.code == 2 and 'no result of "sizes"' in said.error and "annotation" in said.hint
    assert book("step", act, "r1", "sizes", "--result", '{"a": 2}', "-m", "by hand", "--tick").code == 0
    assert book("result", "r1").out == '{"a": 2}\n'


def test_of_a_run_whose_script_cannot_be_asked_it_is_taken_as_before(book: Terminal) -> None:
    book("start", str(book.script), "--id", "r1", "--tick")
    for file in (book.home / "code").iterdir():
        file.unlink()
    assert book("step", "complete", "r1", "sizes", "--result", "[1]", "-m", "by hand").code == 0


def test_a_fork_says_which_result_does_not_fit(book: Terminal) -> None:
    book("start", str(book.script), "there=true", "--id", "r1", "--tick")
    said = book("fork", "r1", "--id", "r2", "--set", "sizes=3", "-m", "as if")
    assert said.code == 2 and 'no result of "sizes"' in said.error and "keep less" not in said.hint
    assert book("show", "r2").code == 4, "nothing was made"
    assert book("fork", "r1", "--id", "r2", "--set", 'sizes={"b": 2}', "-m", "as if", "--tick").code == 0
    assert book("result", "r2").out == '{"b": 2}\n'
