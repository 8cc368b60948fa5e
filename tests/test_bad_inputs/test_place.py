"""A state directory that is not as it must be: of others, of another kind, of a newer version, on a disk that fails."""

from __future__ import annotations

import errno
import json
import os

import pytest

from dwf.store import record
from tests.test_bad_inputs.terminal import PLAIN, WAITS, Terminal

CHANGES = [
    ("signal", "one", "go"),
    ("cancel", "one", "-m", "why"),
    ("terminate", "one", "-y", "-m", "why"),
    ("approve", "one"),
    ("tick",),
]


def all_changes(dwf: Terminal) -> list[tuple[object, ...]]:
    return [("start", dwf.script(PLAIN)), ("run", dwf.script(PLAIN)), *CHANGES]


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722])
def test_a_directory_that_others_may_write_is_refused_with_what_to_type(dwf: Terminal, mode: int) -> None:
    dwf.driven(WAITS, "one")
    dwf.home.chmod(mode)
    for words in [*all_changes(dwf), ("list",), ("show", "one")]:
        assert f"chmod go-w {dwf.home}" in dwf.refuses(77, *words).hint
    dwf.home.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused_by_whatever_changes_it(dwf: Terminal) -> None:
    dwf.driven(WAITS, "one")
    os.chown(dwf.home, 4711, -1)
    for words in all_changes(dwf):
        assert "uid 4711" in dwf.refuses(77, *words).error
    os.chown(dwf.home, 0, -1)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_network_file_system_is_refused_by_whatever_changes_it(
    dwf: Terminal, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    dwf.driven(WAITS, "one")
    with monkeypatch.context() as patch:
        patch.setattr("dwf.store.layout.file_system", lambda path, mounts: kind)
        for words in all_changes(dwf):
            if words != ("tick",):  # nothing is due: it does not come so far as to ask
                assert kind in dwf.refuses(78, *words).error


@pytest.mark.skipif(os.geteuid() != 0, reason="it is root who is refused")
def test_root_is_refused_a_script_that_others_can_write(dwf: Terminal) -> None:
    script = dwf.script(PLAIN)
    script.chmod(0o666)
    for verb in ("start", "run"):
        assert "chmod go-w" in dwf.refuses(77, verb, script).hint
    script.chmod(0o600)
    dwf.scripts.chmod(0o777)
    assert str(dwf.scripts) in dwf.refuses(77, "start", script).error
    dwf.scripts.chmod(0o700)


def test_a_key_used_again_is_a_duplicate_or_a_conflict(dwf: Terminal) -> None:
    dwf.driven(WAITS.replace('"go"', '"other"'), "one")
    same = ("signal", "one", "go", "n=1", "--key", "k")
    first, again = (json.loads(dwf.typed(*same, "--json").out) for _ in range(2))
    assert again["message"] == first["message"] and (first["duplicate"], again["duplicate"]) == (False, True)
    answer = dwf.typed(*same).is_clean()
    assert answer.code == 0 and "duplicate" in answer.out
    assert len(list((dwf.home / "mail" / "new").iterdir())) == 1
    for words in [("go", "n=2"), ("stop", "n=1")]:
        assert '"k"' in dwf.refuses(9, "signal", "one", *words, "--key", "k").error
    dwf.tick()
    assert '"k"' in dwf.refuses(9, "signal", "one", "go", "n=2", "--key", "k").error


def test_a_run_of_a_newer_dwf_is_shown_with_a_note_and_changed_by_nothing(dwf: Terminal) -> None:
    dwf.driven(WAITS, "one")
    path = dwf.history("one")
    path.write_bytes(of_a_newer_version(path.read_bytes()))
    for words in CHANGES[:4]:
        assert "newer" in dwf.refuses(65, *words).error
    for words in [("show", "one"), ("history", "one")]:
        answer = dwf.typed(*words).is_clean()
        assert "newer" in answer.out + answer.err and "one" in answer.out + answer.err
    (dwf.home / "index.sqlite").unlink()
    assert "newer" in dwf.tick(code=1).err
    dwf.driven(PLAIN, "two")
    assert dwf.typed("result", "two").out == "42\n"


def of_a_newer_version(data: bytes) -> bytes:
    """The same records, but for the last, which is of a type that this version does not know; the chain fits."""
    *before, last = data.splitlines(keepends=True)
    seen = record.glance(before[-1].rstrip())
    assert seen is not None
    body = last[: -record.SUFFIX_LENGTH - 1].replace(b'"SignalWaitOpened"', b'"SomethingNewer"')
    return b"".join([*before, body, b',"hash":"', record.hash_line(seen.hash.encode(), body), b'"}\n'])


def test_a_disk_that_cannot_be_read_is_told_with_file_and_byte(dwf: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    dwf.driven(WAITS, "one")

    def rotten(fd: int, size: int, offset: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for words in [("show", "one"), ("history", "one"), ("signal", "one", "go")]:
        with monkeypatch.context() as patch:
            patch.setattr(os, "pread", rotten)
            answer = dwf.typed(*words).is_refusal(74)
        assert str(dwf.history("one")) in answer.error and "byte 0" in answer.error
