"""The state directory: where it is made, where it is not, and with which modes."""

from __future__ import annotations

import os
import stat
from itertools import pairwise
from pathlib import Path

import pytest

from tests.test_bad_inputs.terminal import PLAIN, WAITS, Terminal, tree

READERS = [("list",), ("show", "one"), ("history", "one"), ("inbox",), ("verify",), ("result", "one"), ("wait", "one")]
POSTERS = [
    ("signal", "one", "go"),
    ("cancel", "one", "-m", "why"),
    ("approve", "one"),
    ("terminate", "one", "-y", "-m", "why"),
]


def test_the_first_start_makes_the_directory_for_its_owner_alone(dwf: Terminal) -> None:
    dwf.start(PLAIN, "one")
    assert stat.S_IMODE(dwf.home.stat().st_mode) == 0o700


def test_only_a_start_makes_the_directory(dwf: Terminal) -> None:
    for words in [("tick",), *READERS, *POSTERS, ("whoami",), ("version",), ("help", "cron")]:
        dwf.typed(*words).is_clean()
        assert not dwf.home.exists(), words
    for words in [*READERS[1:3], *POSTERS]:
        dwf.refuses(4, *words)


def test_a_directory_whose_parent_is_missing_is_not_made(dwf: Terminal) -> None:
    script = dwf.script(PLAIN)
    dwf.environ["DWF_HOME"] = str(dwf.where / "no" / "home")
    answer = dwf.refuses(73, "start", script)
    assert str(dwf.where / "no") in answer.error
    assert "mkdir" in answer.hint
    assert not (dwf.where / "no").exists()
    assert dwf.typed("tick").code == 0
    dwf.environ["DWF_HOME"] = str(dwf.home)


def test_the_default_place_is_made_with_its_parents(dwf: Terminal) -> None:
    del dwf.environ["DWF_HOME"]
    home = dwf.where / "user"
    home.mkdir()
    from dwf.store.files import Disk
    from dwf.store.layout import home_path, is_default_place, open_home

    environ = {"HOME": str(home)}
    place = home_path(environ, 1000)
    assert is_default_place(environ)
    open_home(Disk(), place, create=True, parents=True)
    assert stat.S_IMODE(Path(place).stat().st_mode) == 0o700
    dwf.environ["DWF_HOME"] = str(dwf.home)


@pytest.mark.parametrize("kind", ["file", "dangling", "fifo", "below a file", "loop"])
def test_what_is_no_directory_is_refused_by_every_verb_that_needs_one(dwf: Terminal, kind: str) -> None:
    script, odd = dwf.script(PLAIN), dwf.where / "odd"
    if kind == "file":
        odd.write_text("mine")
    elif kind == "dangling":
        odd.symlink_to(dwf.where / "nowhere")
    elif kind == "fifo":
        os.mkfifo(odd)
    elif kind == "loop":
        odd.symlink_to(odd)
    else:
        odd.write_text("mine")
        odd = odd / "home"
    dwf.environ["DWF_HOME"] = str(odd)
    before = tree(dwf.where)
    allowed = (73, 74, 77) if kind == "loop" else (73,)
    for words in [
        ("start", script),
        ("run", script),
        *([("tick",), *READERS, *POSTERS] if kind != "below a file" else []),
    ]:
        answer = dwf.typed(*words)
        assert answer.code in allowed, (words, answer)
        assert str(odd) in answer.is_refusal(answer.code).error
        assert tree(dwf.where) == before
    dwf.environ["DWF_HOME"] = str(dwf.home)


def test_a_directory_with_other_things_in_it_is_not_taken_over(dwf: Terminal) -> None:
    script = dwf.script(PLAIN)
    dwf.home.mkdir(0o700)
    (dwf.home / "letter.txt").write_text("dear mother")
    before = tree(dwf.home)
    assert dwf.refuses(78, "start", script).error.count("letter.txt") == 1
    for words in [("tick",), ("list",), ("show", "one")]:
        dwf.refuses(73, *words)
    assert tree(dwf.home) == before
    (dwf.home / "letter.txt").unlink()


def test_what_an_error_advises_can_be_typed(dwf: Terminal) -> None:
    from dwf.cli.catalog import BY_NAME

    dwf.home.mkdir(0o700)
    hints = [dwf.typed("tick").hint, dwf.typed("list").hint, dwf.typed("tick", "--home", "").hint]
    for hint in hints:
        words = hint.replace(":", " ").replace(",", " ").split()
        verbs = [after for word, after in pairwise(words) if word == "dwf"]
        assert all(verb in BY_NAME for verb in verbs), hint


@pytest.mark.parametrize("umask", ["000", "777"])
def test_files_are_for_their_owner_alone_whatever_the_umask(dwf: Terminal, umask: str) -> None:
    script = dwf.script("""
        import dwf

        @dwf.activity
        def say() -> str:
            print("said")
            return "x" * 300_000

        @dwf.workflow
        async def talk() -> None:
            dwf.log.info("hello")
            await say()
            await dwf.sh("echo", "hi")
            await dwf.wait_signal("go")
    """)
    words = " && ".join(
        f"{' '.join(dwf.line(*line))}"  # type: ignore[arg-type]
        for line in [("start", script, "--id", "one", "--tick"), ("signal", "one", "go")]
    )
    through = ["/bin/sh", "-c", f'umask {umask}; {words}; exec "$@"', "sh"]
    answer = dwf.process("signal", "one", "more", through=through)
    assert answer.code == 0, answer
    found = {path: stat.S_IMODE(path.lstat().st_mode) for path in [dwf.home, *dwf.home.rglob("*")]}
    wrong = {path: oct(mode) for path, mode in found.items() if mode != (0o700 if path.is_dir() else 0o600)}
    assert not wrong
    kinds = {path.relative_to(dwf.home).parts[0] for path in found if path != dwf.home}
    assert {"runs", "mail", "out", "blobs", "code", "index.sqlite", "machine"} <= kinds
    dwf.tick()
    assert dwf.status("one") == "completed"


def test_a_command_run_by_a_step_has_a_sane_umask(dwf: Terminal) -> None:
    dwf.start(
        'import dwf\n@dwf.workflow\nasync def u() -> str:\n    return (await dwf.sh(script="umask")).out\n', "one"
    )
    process = dwf.process("tick", through=["/bin/sh", "-c", 'umask 027; exec "$@"', "sh"])
    assert process.code == 0
    assert dwf.typed("result", "one").out.strip() in ('"0027\\n"', '"0077\\n"')


def test_readers_leave_a_state_directory_as_it_is(dwf: Terminal) -> None:
    dwf.start(WAITS, "one")
    dwf.tick()
    before = tree(dwf.home)
    for words in [*READERS, ("stack", "one"), ("logs", "one")]:
        if words[0] != "wait":
            dwf.typed(*words).is_clean()
            assert tree(dwf.home) == before, words
