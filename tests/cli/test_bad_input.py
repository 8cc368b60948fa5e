"""What is typed wrong: one error line, one hint line, nothing on stdout, the right number, and nothing changed."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from dwf.cli import app
from dwf.cli.faults import fault_of
from dwf.cli.session import Session
from dwf.errors import DiskError
from tests.cli.terminal import Said, Terminal

BAD_IDS = [
    "",
    ".",
    "..",
    "a/b",
    "../x",
    "/etc/passwd",
    "a\\b",
    "a\nb",
    "a\tb",
    "a\x1b[31mb",
    "a\u202eb",
    "a\u200bb",
    "x" * 129,
    "x" * 10_000,
    ".hidden",
    "a~2",
    "Größe",
    "\udcff",
]


def name_of(value: object) -> str:
    return ascii(value)[:60]


@pytest.mark.parametrize("bad", BAD_IDS, ids=name_of)
@pytest.mark.parametrize("verb", ["show", "history", "logs", "cancel", "approve", "result", "wait", "stack", "start"])
def test_an_id_that_is_none_is_refused_before_any_path_is_made(dwf: Terminal, verb: str, bad: str) -> None:
    words = ("start", f"{dwf.script}:quick", "--id", bad) if verb == "start" else (verb, bad)

    said = dwf(*words)

    assert said.code == 2
    assert said.error.isprintable()
    assert len(said.error) < 400
    assert not dwf.home.exists()


def test_an_id_that_looks_like_an_option_is_a_usage_error(dwf: Terminal) -> None:
    assert dwf("show", "-x").code == 2
    assert dwf("show", "--", "-x").code == 2


def test_an_id_of_128_characters_works(dwf: Terminal) -> None:
    assert dwf("start", f"{dwf.script}:quick", "--id", "x" * 128).code == 0
    assert dwf("show", "x" * 128).code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("strat",), 2, "start"),
        (("shwo", "x"), 2, "show"),
        (("list", "--opne"), 2, "--open"),
        (("list", "--status", "runing"), 2, "running"),
        (("list", "-o", "jsn"), 2, "json"),
        (("list", "--color", "allways"), 2, "always"),
        (("help", "stcuk"), 4, "stuck"),
        (("help", "nonsense-of-no-kind"), 4, "topics"),
        (("completion", "bahs"), 2, "bash"),
        (("show",), 2, "dwf show [OPTIONS] {RUN}"),
        (("show", "a", "b"), 2, "--help"),
        (("tick", "--jobs", "0"), 2, "--help"),
        (("tick", "--jobs", "many"), 2, "--help"),
        (("start",), 2, "SCRIPT"),
        (("--home", "", "list"), 2, "directory"),
        (("wait", "x", "--until", "dnoe"), 2, "step:"),
        (("wait", "x", "--timeout", "5"), 2, "30s"),
        (("history", "x", "-f", "-r"), 2, "one of them"),
    ],
)
def test_what_is_mistyped_gets_a_suggestion(dwf: Terminal, words: tuple[str, ...], code: int, said: str) -> None:
    answer = dwf(*words)

    assert answer.code == code
    assert answer.error
    assert said in answer.hint
    assert not dwf.home.exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("n=x",), 2),
        (("m=1",), 2),
        (("n=1", "n=2"), 2),
        (("n",), 2),
        (("=1",), 2),
        (("canary=maybe",), 2),
        (("--input", "{"), 2),
        (("--input", ""), 2),
        (("--input", "[1]"), 2),
        (("--input", '{"n": NaN}'), 2),
        (("--input", '{"n": 1, "n": 2}'), 2),
        (("--input", "\ufeff{}"), 2),
        (("--input", '{"n": "\\ud800"}'), 2),
        (("--input", "[" * 100_000), 2),
        (("--input", '{"n": ' + "9" * 5000 + "}"), 2),
        (("--input", '{"n": "' + "x" * 2_200_000 + '"}'), 2),
        (("--input", "-"), 2),
        (("--input", "@/nowhere/at/all"), 4),
        (("--input", "@/dev/zero"), 2),
        (("--tag", "env"), 2),
        (("--at", "soon"), 2),
        (("--at", "2h ago"), 2),
        (("--at", "1h", "--in", "1h"), 2),
        (("--in", "-1h"), 2),
        (("--if-exists", "usee"), 2),
        (("--timeout", "1s"), 2),
    ],
    ids=name_of,
)
def test_a_start_that_makes_no_sense_changes_nothing(dwf: Terminal, words: tuple[str, ...], code: int) -> None:
    said = dwf("start", f"{dwf.script}:quick", *words)

    assert said.code == code, said.err
    assert said.error.isprintable()
    assert not list(dwf.home.glob("runs/*.jsonl"))


def test_a_script_that_cannot_be_used_is_refused_at_once(dwf: Terminal, tmp_path: Path) -> None:
    def start(text: str | None) -> Said:
        path = tmp_path / "bad.py"
        if text is not None:
            path.write_text(text, encoding="utf-8")
        return dwf("start", str(path))

    assert start(None).code == 4
    for text in ("def (", "import nothing_of_that_name", "raise SystemExit(0)", "x = 1", "1/0"):
        said = start(text)
        assert (said.code, bool(said.error)) == (2, True), text
    os.mkfifo(tmp_path / "pipe.py")
    assert dwf("start", str(tmp_path / "pipe.py")).code == 2
    assert dwf("start", str(tmp_path)).code == 2
    assert dwf("start", f"{dwf.script}:nothing").code == 4
    assert not dwf.home.exists()


@pytest.mark.parametrize("name", ["", "x" * 10_000, "__init__", "a b", "a\nb", "1st", "../x", "a/b"], ids=name_of)
def test_a_signal_needs_a_decent_name(dwf: Terminal, name: str) -> None:
    run = dwf.driven("waits")

    said = dwf("signal", run, name)

    assert (said.code, said.error.isprintable()) == (2, True)
    assert not list((dwf.home / "mail" / "new").iterdir())


@pytest.mark.parametrize(
    ("words", "code"),
    [(("x=1", "y"), 2), (("{",), 2), (("@/nowhere",), 4), (("-",), 2), (("a=1", "a=2"), 2), (("text",), 2)],
)
def test_a_payload_that_is_none_is_refused(dwf: Terminal, words: tuple[str, ...], code: int) -> None:
    run = dwf.driven("waits")
    assert dwf("signal", run, "go", *words).code == code


def test_nothing_reaches_a_run_that_is_closed_or_not_there(dwf: Terminal) -> None:
    run = dwf.driven("quick")
    for verb in (("signal", run, "go"), ("cancel", run), ("approve", run), ("terminate", run, "-m", "x", "-y")):
        assert dwf(*verb).code == 7, verb
    for verb in (
        ("signal", "nobody", "go"),
        ("cancel", "nobody"),
        ("approve", "nobody"),
        ("upgrade", "nobody", "--to", "x"),
    ):
        assert dwf(*verb).code == 4, verb


def test_the_nearest_run_is_suggested(dwf: Terminal) -> None:
    dwf.started("quick", "--id", "rotate-web1")
    assert dwf("show", "rotate-wbe1").hint == "did you mean rotate-web1?"


# -- as JSON ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [("show", "nobody", "--json"), ("--json", "show", "nobody"), ("show", "-o", "jsonl", "nobody")]
)
def test_an_error_for_programs_is_json_on_stderr(dwf: Terminal, words: tuple[str, ...]) -> None:
    said = dwf(*words)

    assert said.out == ""
    error = json.loads(said.err)
    assert (error["schema"], error["code"], error["exit"], said.code) == ("dwf.error/1", "not-found", 4, 4)
    assert error["message"] and error["hint"]


@pytest.mark.parametrize("words", [("list", "--json", "--bad"), ("lst", "-ojson"), ("list", "--bad", "--output=json")])
def test_an_error_of_the_parser_is_json_too(dwf: Terminal, words: tuple[str, ...]) -> None:
    assert json.loads(dwf(*words).err)["code"] == "usage"


# -- the door ---------------------------------------------------------------------------------------------------


def test_a_traceback_is_only_for_those_who_ask(dwf: Terminal) -> None:
    assert "Traceback" not in dwf("show", "nobody").err
    assert "Traceback" in dwf("show", "nobody", "--debug").err


def broken(error: BaseException) -> Any:
    class Broken(Session):
        def store_to_read(self) -> Any:
            raise error

    return Broken


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (RuntimeError("a\nb\x1b"), 70, "internal: RuntimeError: a; b\\x1b"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 74, "out of memory"),
        (OSError(errno.EMFILE, "Too many open files", "/x"), 74, "Too many open files: /x (errno 24)"),
        (DiskError(operation="write", path="/x", why="No space left on device", errno=28), 74, "No space left"),
    ],
)
def test_whatever_happens_comes_out_of_one_door(
    error: BaseException, code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["list"], broken(error)({"DWF_HOME": str(tmp_path)})) == code

    said = Said(code, *capsys.readouterr())
    assert words in said.error
    assert said.hint


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            DiskError(operation="create", path="/x", why="near CREATE: syntax error", errno=0),
            "near CREATE: syntax error",
        ),
        (DiskError(operation="copy", path="/x", why="it was changed"), "copy /x: it was changed"),
        (OSError("the file is odd"), "the file is odd"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_what_the_system_did_not_number_is_told_without_a_number(error: Exception, words: str) -> None:
    fault = fault_of(error)
    assert fault.exit == 74 and fault.message.endswith(words) and "errno" not in fault.message


def test_a_fault_of_dwf_asks_to_be_reported() -> None:
    assert "report" in fault_of(RuntimeError("x")).hint


class ClosedPipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_a_reader_that_went_away_is_no_error(
    dwf: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dwf.started("quick")
    session = Session(dwf.environ)
    monkeypatch.setattr(session.screen, "out", ClosedPipe())
    monkeypatch.setattr(app, "_hush", lambda: None)

    assert app.run(["list"], session) == 141
    assert capsys.readouterr() == ("", "")


def test_other_peoples_directories_are_refused(dwf: Terminal) -> None:
    run = dwf.started("quick")
    dwf.home.chmod(0o777)

    said = dwf("signal", run, "go")

    assert (said.code, "chmod go-w" in said.hint) == (77, True)
    assert dwf("list").code == 77


def test_a_file_where_the_directory_should_be_is_told(dwf: Terminal) -> None:
    dwf.home.write_text("")
    assert dwf("start", f"{dwf.script}:quick").code == 73
    assert dwf("tick").code == 73
    dwf.home.unlink()
    dwf.home.symlink_to(dwf.directory / "nowhere")
    assert dwf("start", f"{dwf.script}:quick").code == 73


def test_version_and_help_never_touch_the_state(dwf: Terminal) -> None:
    dwf.home.write_text("this is no directory")
    for words in (("version",), ("--version",), ("--help",), ("help",), ("show", "--help"), ("help", "stuck")):
        assert dwf(*words).code == 0, words
    assert dwf.home.read_text() == "this is no directory"


def test_without_home_and_passwd_entry_a_place_must_be_named(dwf: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def nobody(uid: int) -> Any:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert "DWF_HOME" in dwf("list", DWF_HOME="").hint
    assert dwf("version", "--json", DWF_HOME="").json["home"] is None
