"""The small entry: an idle tick and a TAB, before the parser is loaded; and what a process is at its edges."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer._click.exceptions import ClickException

from dwf.cli.app import program
from dwf.cli.idle import plain_tick
from dwf.cli.session import Session
from dwf.core.messages import Message
from dwf.errors import DwfError
from dwf.store.files import Disk
from dwf.store.index import Index
from dwf.store.layout import Layout
from dwf.store.room import Store
from tests.cli.terminal import ROOT, Terminal, outside

# -- the small parse agrees with the whole one ------------------------------------------------------------------

# Mostly what could be a plain tick, so that most of what is made up is one; and what is close to it and is not.
GROUPS = st.sampled_from(
    [
        *(["-q"], ["--quiet"], ["--utc"], ["--no-input"], ["--jobs", "4"], ["--jobs=2"], ["--jobs", "007"]),
        *(
            ["--home", "/x"],
            ["--home=/y"],
            ["--home", "-q"],
            ["--home", "tick"],
            ["--home", "--"],
            ["--home="],
            ["--home"],
        ),
        *(["--witness", "/w"], ["--witness=syslog:"], ["--witness", "|tick"], ["--witness", "-q"], ["--witness"]),
        *(["--jobs"], ["--jobs", "0"], ["--jobs", "-4"], ["--jobs", "x"], ["--jobs", "\u0664"], ["--jobs", "1_0"]),
        *(["--json"], ["-v"], ["--debug"], ["-o", "name"], ["-qv"], ["--max-seconds", "5"], ["--color", "never"]),
        *(["--"], ["-h"], ["--help"], ["--version"], ["tick"], ["x"], [""]),
    ]
)
WORDS = st.tuples(st.lists(GROUPS, max_size=2), st.lists(GROUPS, max_size=3)).map(
    lambda both: [
        *(word for group in both[0] for word in group),
        "tick",
        *(word for group in both[1] for word in group),
    ]
)


def as_typer_reads(words: list[str]) -> tuple[str, Session, dict[str, Any]] | None:
    """The verb, the options of every verb, and its own parameters; None for an error, or help."""
    session = Session({})
    group = program()
    try:
        with group.make_context("dwf", words, obj=session) as context:
            name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
            with command.make_context(name, rest, parent=context) as inner:
                return str(name), session, inner.params
    except (ClickException, DwfError, SystemExit, IndexError, RuntimeError):
        return None


@given(WORDS)
@settings(max_examples=400)
@example(["tick"])
@example(["--home", "/x", "tick", "--jobs", "4", "-q"])
@example(["--jobs", "4", "tick"])
@example(["tick", "--home", "/x", "--home=/y"])
@example(["tick", "--home", "-q"])
@example(["--home", "tick"])
@example(["tick", "--", "tick"])
@example(["--witness", "/w", "tick"])
@example(["tick", "--witness", "tick", "-q"])
def test_whatever_the_small_parse_takes_typer_reads_as_the_same_tick(words: list[str]) -> None:
    plain = plain_tick(words)
    if plain is None:
        return

    read = as_typer_reads(words)

    assert read is not None, words
    name, session, own = read
    assert name == "tick"
    assert session.options.get("home") == plain.home
    assert own["jobs"] >= 1
    assert own["max_seconds"] is None
    assert not session.is_json and not session.verbose and not session.debug


def test_the_ticks_that_cron_calls_are_plain() -> None:
    for line in (
        "tick",
        "tick --witness syslog:",
        "tick --witness /etc/passwd",
        "tick --witness |x",
        "tick -q",
        "-q tick",
        "tick --jobs 4",
        "--home /x tick -q --jobs=2",
    ):
        assert plain_tick(line.split()), line
    assert plain_tick("--home /srv/dwf tick".split()).home == "/srv/dwf"  # type: ignore[union-attr]


# -- what is imported -------------------------------------------------------------------------------------------

SHOW_MODULES = """
import os, sys
sys.argv = ["dwf", *{words!r}]
leave = os._exit
def tell(code):
    sys.stderr.write("exit %d\\n" % code + "\\n".join(sys.modules))
    sys.stderr.flush()
    leave(code)
os._exit = tell
from dwf.__main__ import main
main()
"""
HEAVY = set("typing re typer asyncio rich pydantic click msgspec json dataclasses logging inspect".split())


def imported(home: Path, *words: str) -> tuple[str, set[str]]:
    """How it ended and which modules were loaded, top names only."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW_MODULES.format(words=words)],
        env={"PYTHONPATH": str(ROOT), "DWF_HOME": str(home), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    end, *modules = done.stderr[done.stderr.index("exit ") :].splitlines()
    return end, {name.partition(".")[0] for name in modules}


@pytest.fixture
def idle(dwf: Terminal) -> Path:
    """A state directory in which a run waits, and nothing is due."""
    dwf.driven("waits")
    dwf("tick")
    return dwf.home


def test_an_idle_tick_imports_nothing_that_costs(idle: Path) -> None:
    """Fails when an idle tick imports filelock."""
    end, modules = imported(idle, "tick")
    assert end == "exit 0"
    assert not HEAVY & modules
    assert imported(idle, "tick", "--witness", "syslog:") == (end, modules)


def test_a_tick_before_anything_was_started_imports_nothing_that_costs(tmp_path: Path) -> None:
    end, modules = imported(tmp_path / "nothing", "tick", "--jobs", "2")
    assert end == "exit 0"
    assert not HEAVY & modules


def test_a_tab_imports_nothing_that_costs(idle: Path) -> None:
    end, modules = imported(idle, "__complete", "runs", "w")
    assert end == "exit 0"
    assert not HEAVY & modules


@pytest.mark.parametrize("verb", ["list", "version", "inbox"])
def test_what_is_only_shown_needs_no_asyncio_and_no_rich(idle: Path, verb: str) -> None:
    end, modules = imported(idle, verb)
    assert end == "exit 0"
    assert not {"asyncio", "rich", "pydantic", "click", "filelock"} & modules


def test_a_version_needs_no_events(tmp_path: Path) -> None:
    assert "msgspec" not in imported(tmp_path, "version")[1]


# -- an idle tick -----------------------------------------------------------------------------------------------


def test_an_idle_tick_is_silent_and_leaves_its_time(idle: Path) -> None:
    index = Index(Disk(), Layout(str(idle)))
    before = index.last_tick_us()

    said = outside("tick", environ={"DWF_HOME": str(idle)})

    assert (said.code, said.out, said.err) == (0, "", "")
    assert before is not None and (index.last_tick_us() or 0) > before


@pytest.mark.parametrize(
    "words", [("tick",), ("tick", "-q", "--jobs", "2"), ("tick", "--max-seconds", "5"), ("tick", "-v")]
)
def test_no_state_yet_is_no_reason_to_speak(tmp_path: Path, words: tuple[str, ...]) -> None:
    said = outside(*words, environ={"DWF_HOME": str(tmp_path / "nothing")})

    assert (said.code, said.out, said.err) == (0, "", "")
    assert not (tmp_path / "nothing").exists()


def test_a_tick_with_something_to_do_is_not_taken_for_idle(dwf: Terminal, idle: Path) -> None:
    dwf("signal", dwf("list", "-o", "name").out.strip(), "go")

    assert outside("tick", environ={"DWF_HOME": str(idle)}).code == 0

    assert dwf("list", "--open", "-o", "name").out == ""


def test_a_run_that_is_due_is_not_taken_for_idle(dwf: Terminal, idle: Path) -> None:
    run = dwf.started("quick")

    assert outside("tick", environ={"DWF_HOME": str(idle)}).code == 0

    assert dwf("result", run).code == 0


def test_mail_alone_is_something_to_do(dwf: Terminal, idle: Path) -> None:
    """The sender may have died between posting and waking the index."""
    run = dwf("list", "-o", "name").out.strip()
    store = Store.open(str(idle))
    store.mailbox.post(Message(id="", run=run, kind="signal", name="go"))

    assert outside("tick", environ={"DWF_HOME": str(idle)}).code == 0

    assert dwf("list", "--open", "-o", "name").out == ""


def test_what_a_killed_start_left_is_something_to_do(idle: Path) -> None:
    left = idle / "runs" / ".tmp" / "00aa00aa00aa00aa.lost.jsonl"
    left.write_bytes(b"")
    left.chmod(0o600)

    assert outside("tick", environ={"DWF_HOME": str(idle)}).code == 0

    assert not left.exists()


def test_trouble_is_left_to_the_whole_program(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    said = outside("tick", environ={"DWF_HOME": str(tmp_path / "home")})
    assert said.code == 73
    assert said.error


# -- the edges of a process -------------------------------------------------------------------------------------


def test_cron_without_any_environment_works(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/usr/bin/env", "-i", sys.executable, "-m", "dwf", "--home", str(tmp_path / "h"), "tick"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"")


@pytest.mark.parametrize("closing", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_closed_stream_is_no_reason_to_fail(dwf: Terminal, closing: str) -> None:
    line = f'exec "$0" -m dwf start "$1:quick" --id q {closing}'
    done = subprocess.run(
        ["/bin/sh", "-c", line, sys.executable, str(dwf.script)],
        env={**dwf.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
    )

    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    # Nothing of ours went into a file that happened to get the number of a closed stream.
    assert outside("verify", environ=dwf.environ).code == 0


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    told = tmp_path / "told"
    code = f"""
import os, sys
sys.argv = ["dwf", "version"]
def tell(code):
    with open({str(told)!r}, "w") as file:
        file.write(" ".join(os.readlink(f"/proc/self/fd/{{number}}") for number in (0, 1, 2)))
os._exit = tell
from dwf.__main__ import main
main()
"""
    subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code], env={"PYTHONPATH": str(ROOT)}
    )
    assert told.read_text() == "/dev/null /dev/null /dev/null"


def test_a_reader_that_goes_away_ends_it_quietly(dwf: Terminal) -> None:
    run = dwf.driven("quick")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "dwf", "history", run],
        env={**dwf.environ, "PYTHONPATH": str(ROOT)},
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_full_disk_behind_stdout_is_an_error_of_the_disk(dwf: Terminal) -> None:
    dwf.started("quick")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "dwf", "list"],
            env={**dwf.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 74
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("language", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"LANG": "xx_XX"}])
def test_no_language_of_the_terminal_is_too_poor(dwf: Terminal, language: dict[str, str]) -> None:
    run = dwf.started("asks", "host=Größe 大", "-m", "wär's gut?", "--tick")
    for verb in ("list", "show", "history", "inbox"):
        words = (verb,) if verb in ("list", "inbox") else (verb, run)
        said = outside(*words, environ={**dwf.environ, **language})
        assert (said.code, "Traceback" in said.err) == (0, False), (verb, said.err)


def test_a_deleted_directory_is_no_reason_to_fail(dwf: Terminal, tmp_path: Path) -> None:
    run = dwf.driven("quick")
    gone = tmp_path / "gone"
    gone.mkdir()
    line = 'rmdir "$PWD" && exec "$0" -m dwf show "$1"'
    done = subprocess.run(
        ["/bin/sh", "-c", line, sys.executable, run],
        cwd=gone,
        env={**dwf.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("name", ["with blank", "quo\"te's", "new\nline", "\udcff\udcfe"], ids=ascii)
def test_a_place_may_have_any_name(dwf: Terminal, tmp_path: Path, name: str) -> None:
    environ = {**dwf.environ, "DWF_HOME": str(tmp_path / name)}
    assert outside("start", f"{dwf.script}:quick", "--id", "q", "--tick", environ=environ).code == 0
    said = outside("result", "q", environ=environ)
    assert (said.code, said.out) == (0, "2\n")
