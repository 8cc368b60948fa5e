"""Scripts that are no scripts, cannot be read, do not load, or hold no workflow: refused at `start`, at once."""

from __future__ import annotations

import os
import textwrap
import time
from pathlib import Path

import pytest

from dwf.scripts import load
from tests.test_bad_inputs.terminal import PLAIN, Answer, Terminal, powerless

BROKEN = [
    ("syntax", "import dwf\n\ndef f(:\n    pass\n", 3, "syntax error"),
    ("unfinished", "import dwf\nx = (1,\n", 2, "syntax error"),
    ("indentation", "import dwf\nif True:\nx = 1\n", 3, "syntax error"),
    ("no such module", "import dwf\nimport no_such_module_anywhere\n", 2, "no_such_module_anywhere"),
    ("no such name", "import dwf\nfrom os import no_such_name\n", 2, "no_such_name"),
    ("bug", "import dwf\n\n1 / 0\n", 3, "ZeroDivisionError"),
    ("sys.exit", "import dwf, sys\nsys.exit()\n", 2, "sys.exit()"),
    ("sys.exit(0)", "import dwf, sys\nsys.exit(0)\n", 2, "sys.exit()"),
    ("exit with words", "import dwf\nraise SystemExit('bye')\n", 2, "sys.exit()"),
    ("Ctrl-C", "import dwf\nraise KeyboardInterrupt\n", 2, "KeyboardInterrupt"),
    ("of no known kind", "import dwf\nclass E(BaseException): pass\nraise E('so')\n", 3, "E: so"),
    ("recursion", "import dwf\ndef f(): f()\nf()\n", 2, "RecursionError"),
    ("broken words", "import dwf\nclass E(Exception):\n    __str__ = 1\nraise E\n", 4, "E"),
    ("ESC in words", "import dwf\nraise ValueError('a\\x1b[31mb')\n", 2, r"a\x1b[31mb"),
    ("names it twice", "import dwf\nfrom book import x\n", 2, "book"),
]


@pytest.mark.parametrize(("text", "line", "words"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_script_that_does_not_load_is_refused_with_file_and_line(
    dwf: Terminal, text: str, line: int, words: str
) -> None:
    script = dwf.script(text)
    answer = dwf.refuses(2, "start", script)
    assert str(script) in answer.error
    assert f"book.py:{line}" in answer.error
    assert words in answer.error
    assert not dwf.home.exists(), "a mistake in a script leaves an empty state directory behind"


STUBBORN = """
def work():
    while True:
        pass

while True:
    try:
        work()
    except BaseException:
        pass
"""


@pytest.mark.parametrize("loop", ["while True:\n    pass\n", STUBBORN], ids=["plain", "that catches everything"])
def test_a_script_whose_top_level_never_ends_is_refused_in_time(
    dwf: Terminal, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    monkeypatch.setattr(load, "IMPORT_LIMIT_SECONDS", 0.2)
    began = time.monotonic()
    answer = dwf.refuses(2, "start", dwf.script(f"import dwf\n{loop}"))
    assert "still runs after 0.2 s" in answer.error
    assert "book.py:" in answer.error
    assert time.monotonic() - began < 10


def test_a_script_that_sleeps_when_it_is_loaded_is_refused_in_time(
    dwf: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "IMPORT_LIMIT_SECONDS", 0.2)
    answer = dwf.refuses(2, "start", dwf.script("import dwf, time\nfor _ in range(100):\n    time.sleep(0.1)\n"))
    assert "book.py:3" in answer.error


def test_the_time_limit_of_one_import_does_not_hit_what_comes_after_it(
    dwf: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "IMPORT_LIMIT_SECONDS", 0.05)
    for i in range(20):
        dwf.refuses(2, "start", dwf.script(f"import dwf, time\ntime.sleep(0.0{i + 40})\n", f"s{i}.py"))


def test_a_module_beside_the_script_that_does_not_load_is_named(dwf: Terminal) -> None:
    dwf.script("x = 1\ny = x.no\n", "helper.py")
    script = dwf.script("import dwf\nimport helper\n")
    assert "helper.py:2" in dwf.refuses(2, "start", script).error
    dwf.script("x = = 1\n", "helper.py")
    assert "helper.py:1" in dwf.refuses(2, "start", script).error


def test_a_script_that_is_no_text_is_refused(dwf: Terminal) -> None:
    for i, data in enumerate([b"\0", b"import dwf\n\0\n", b"\xff\xfe", b"# caf\xe9\n", b"\x7fELF\x02\x01", b""]):
        path = dwf.scripts / f"binary{i}.py"
        path.write_bytes(data)
        assert str(path) in dwf.refuses(2, "start", path).error


def test_a_script_that_is_huge_is_refused(dwf: Terminal) -> None:
    script = dwf.scripts / "huge.py"
    with script.open("wb") as file:
        file.truncate(1 << 40)
    assert "larger than" in dwf.refuses(2, "start", script).error


def test_a_script_that_is_not_there_is_refused_and_the_nearest_name_told(dwf: Terminal) -> None:
    dwf.script(PLAIN, "rotate.py")
    assert "rotate.py" in dwf.refuses(4, "start", dwf.scripts / "rotat.py").hint
    dwf.refuses(4, "start", dwf.scripts / "no" / "rotate.py")
    dwf.refuses(4, "start", "no-such-script.py")
    dwf.refuses(2, "start")
    dwf.refuses(2, "start", "")
    dwf.typed("start", dwf.scripts / ("x" * 300 + ".py")).is_clean()


def test_what_is_no_regular_file_is_refused_at_once(dwf: Terminal) -> None:
    fifo, link = dwf.scripts / "fifo.py", dwf.scripts / "loop.py"
    os.mkfifo(fifo)
    link.symlink_to(link)
    began = time.monotonic()
    for path in [dwf.scripts, fifo, Path("/dev/zero"), Path("/dev/null"), Path("/dev/stdin")]:
        answer = dwf.refuses(2, "start", path)
        assert str(path) in answer.error
    assert dwf.typed("start", link).is_clean().code in (2, 4)
    assert dwf.typed("start", dwf.scripts / "book.py" / "x.py").is_clean().code in (2, 4)
    assert time.monotonic() - began < 5


def test_a_script_that_may_not_be_read_is_refused(dwf: Terminal) -> None:
    script = dwf.script(PLAIN)
    script.chmod(0)
    for verb in ("start", "run"):
        answer = dwf.refuses_process(77, verb, script, **powerless())
        assert str(script) in answer.error
    script.chmod(0o644)
    dwf.scripts.chmod(0o600)
    dwf.refuses_process(77, "start", script, **powerless())
    dwf.scripts.chmod(0o700)


# -- what is in it ----------------------------------------------------------------------------------------------

SHAPES = [
    ("nothing", "import dwf\n", "no workflow"),
    ("only a step", "import dwf\n@dwf.activity\ndef f() -> None: ...\n", "no workflow"),
    ("not async", "import dwf\n@dwf.workflow\ndef f() -> None: ...\n", "async def"),
    ("a generator", "import dwf\n@dwf.workflow\ndef f():\n    yield\n", "async def"),
    ("an async generator", "import dwf\n@dwf.workflow\nasync def f():\n    yield\n", "yield"),
    ("a class", "import dwf\n@dwf.workflow\nclass F: ...\n", "async def"),
    ("no function", "import dwf\nf = dwf.workflow(3)\n", "int"),
    ("*args", "import dwf\n@dwf.workflow\nasync def f(*hosts): ...\n", "hosts"),
    ("**kwargs", "import dwf\n@dwf.workflow\nasync def f(**more): ...\n", "more"),
    ("by position only", "import dwf\n@dwf.workflow\nasync def f(host, /): ...\n", "host"),
]


@pytest.mark.parametrize(("text", "words"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_what_cannot_be_a_workflow_is_refused_and_the_reason_told(dwf: Terminal, text: str, words: str) -> None:
    answer = dwf.refuses(2, "start", dwf.script(text))
    assert "book.py" in answer.error
    assert words in answer.error
    assert not dwf.home.exists()


TWO = """
    import dwf

    @dwf.workflow
    async def rotate(host: str, *, days: int = 3) -> None: ...

    @dwf.workflow
    async def restore() -> None: ...
"""


def test_of_several_workflows_one_must_be_named(dwf: Terminal) -> None:
    script = dwf.script(TWO)
    answer = dwf.refuses(2, "start", script, "host=web1")
    assert "rotate" in answer.error and "restore" in answer.error
    assert f"{script}:" in answer.hint
    assert dwf.typed("start", f"{script}:restore").code == 0


def test_of_its_own_and_imported_workflows_its_own_need_not_be_named(dwf: Terminal) -> None:
    """Fails when a runbook that calls another one as a child cannot be started by its name alone."""
    script = dwf.script(
        "import dwf\nfrom child import drain\n@dwf.workflow\nasync def top() -> int:\n"
        "    return await drain(2) + await drain(3)\n"
    )
    child = "import dwf\n@dwf.workflow\nasync def drain(n: int) -> int:\n    return n\n"
    Path(script).with_name("child.py").write_text(child)
    assert dwf.typed("run", script).out.strip() == "5"


def test_a_workflow_that_is_not_in_it_is_refused_and_the_nearest_told(dwf: Terminal) -> None:
    script = dwf.script(TWO)
    assert "rotate" in dwf.refuses(4, "start", f"{script}:rotat").hint
    assert "restore" in dwf.refuses(4, "start", f"{script}:zzz").hint
    assert dwf.typed("start", f"{script}:").is_clean().code in (2, 4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "host"),
        (["hosts=web1"], "hosts"),
        (["host=web1", "days=many"], "days"),
        (["host=web1", "days=1.5"], "days"),
        (["host=web1", "days="], "days"),
        (["host=web1", "host=web2"], "twice"),
        (["web1"], "web1"),
        (["=web1"], "web1"),
        (["host"], "host"),
        (["host =web1"], "host"),
        (["ho\x1bst=web1"], "st=web1"),
        (["host=web1", "self=1"], "self"),
        (["host=web1", "days=" + "9" * 5000], "days"),
        (["host=web1", "days=1e400"], "days"),
        (["host=web1", "days=nan"], "days"),
    ],
)
def test_words_that_do_not_fit_the_parameters_are_refused(dwf: Terminal, words: list[str], said: str) -> None:
    answer = dwf.refuses(2, "start", f"{dwf.script(TWO)}:rotate", *words)
    assert said in answer.error
    assert not dwf.home.exists(), "words that do not fit leave an empty state directory behind"


def test_what_a_script_prints_when_it_is_loaded_is_not_taken_for_the_id(dwf: Terminal) -> None:
    script = dwf.script(f"import sys\nprint('loaded')\nsys.stdout.write('here')\n{textwrap.dedent(PLAIN)}")
    answer = dwf.process("start", script, "--id", "one")
    assert (answer.code, answer.out) == (0, "one\n")
    assert dwf.process("tick") == Answer(0, "", "")
    assert dwf.process("result", "one").out == "42\n"
