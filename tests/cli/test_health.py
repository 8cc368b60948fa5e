"""The verbs that say whether all is well: doctor, verify."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from dwf.cli.counting import Counting
from dwf.cli.screen import Screen
from dwf.cli.session import Session
from tests.cli.terminal import Terminal, outside


def torn(dwf: Terminal, run: str) -> None:
    with dwf.history(run).open("ab") as file:
        file.write(b'{"id":')


def test_a_doctor_says_what_is_wrong_and_what_to_type(dwf: Terminal) -> None:
    run = dwf.driven("waits")
    dwf("tick")
    torn(dwf, run)
    dwf.home.chmod(0o770)

    said = dwf("doctor", COLUMNS="80")

    assert said.code == 1
    lines = said.out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("BAD    directory"))
    assert any(line.strip() == f"type: chmod go-rwx {dwf.home}" for line in lines[at : at + 4])
    assert any(line.startswith("WARN   histories") for line in lines)
    assert "1 bad" in said.err
    assert all(len(line) <= 80 or "type: " in line or str(dwf.home) in line for line in lines)


def test_a_doctor_that_only_warns_ends_well(dwf: Terminal) -> None:
    run = dwf.driven("waits")
    dwf("tick")
    torn(dwf, run)

    said = dwf("doctor")

    assert said.code == 0
    assert "WARN" in said.out and "BAD" not in said.out


def test_a_doctor_tells_programs_the_same(dwf: Terminal) -> None:
    run = dwf.driven("waits")
    dwf("tick")
    torn(dwf, run)

    document = dwf("doctor", "--json").json

    assert document["schema"] == "dwf.doctor/1" and document["fixed"] == []
    (found,) = [f for f in document["findings"] if f["check"] == "histories"]
    assert (found["grade"], found["type"]) == ("warn", "dwf doctor --fix")
    assert "histories" in dwf("doctor", "-o", "name").out.split()
    assert len(dwf("doctor", "-o", "jsonl").out.splitlines()) == len(document["findings"])


@pytest.mark.parametrize("option", ["--fix", "--rebuild-index"])
def test_a_doctor_mends_and_tells_what_it_did(dwf: Terminal, option: str) -> None:
    run = dwf.driven("waits")
    torn(dwf, run)

    said = dwf("doctor", option)

    assert "FIXED" in said.out
    assert dwf("verify", run).out.startswith("1 history checked, nothing is wrong")
    assert "HistoryRepaired" in dwf("history", run).out


def test_a_doctor_without_a_state_directory_makes_none(dwf: Terminal) -> None:
    assert dwf("doctor", "--fix").code == 0
    assert not dwf.home.exists()


def test_a_doctor_refuses_to_mend_what_belongs_elsewhere(dwf: Terminal) -> None:
    dwf.driven("waits")
    (dwf.home / "machine").write_text("0" * 32 + "\n")

    assert dwf("doctor").code == 1
    assert dwf("doctor", "--fix").code == 78


# -- verify and its witness -------------------------------------------------------------------------------------


def shorten(dwf: Terminal, run: str) -> None:
    path = dwf.history(run)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def test_a_history_that_the_witness_saw_otherwise_is_damaged(dwf: Terminal, tmp_path: Path) -> None:
    run, witness = dwf.started("waits"), str(tmp_path / "w")
    assert dwf("tick", "--witness", witness).code == 0
    assert dwf("verify", "--witness", witness).code == 0
    shorten(dwf, run)
    assert dwf("verify").code == 0  # the chain alone proves nothing

    said = dwf("verify", "--witness", witness)

    assert said.code == 65
    assert "truncated" in said.out and "1 of 1 histories is damaged" in said.err
    document = dwf("verify", "--witness", witness, "--json").json
    assert [f["class"] for f in document["findings"]] == ["truncated"] and document["witnessed"] == 1


@pytest.mark.parametrize("words", [(), ("gone",)], ids=["all", "one"])
def test_a_history_that_is_gone_is_missed(dwf: Terminal, tmp_path: Path, words: tuple[str, ...]) -> None:
    dwf.started("waits", "--id", "gone")
    dwf("tick", "--witness", str(tmp_path / "w"))
    dwf.history("gone").unlink()

    said = dwf("verify", *words, "--witness", str(tmp_path / "w"))

    assert (said.code, "missing" in said.out) == (65, True)


def test_a_witness_that_has_seen_nothing_does_not_pass_for_one(dwf: Terminal, tmp_path: Path) -> None:
    """Fails when an emptied witness, or a file that is none, is taken for a clean bill."""
    dwf.driven("quick")
    empty = tmp_path / "empty"
    empty.write_text("")
    other = tmp_path / "other"
    other.write_text("no heads in here")

    for path in (empty, other):
        said = dwf("verify", "--witness", str(path))
        assert said.code == 2
        assert "proves nothing about 1 histor" in said.err and "hint: give the file" in said.err


def test_a_witness_may_come_from_a_pipe(dwf: Terminal, tmp_path: Path) -> None:
    run = dwf.started("waits")
    dwf("tick", "--witness", f"|cat > {tmp_path}/w")
    shorten(dwf, run)

    said = dwf("verify", "--witness", "-", stdin=b"Nov 23 bastion dwf[3]: " + (tmp_path / "w").read_bytes())

    assert said.code == 65


def test_a_witness_that_cannot_be_told_is_an_error_of_the_tick_and_not_of_the_run(dwf: Terminal) -> None:
    run = dwf.started("quick")

    said = dwf("tick", "--witness", "|exit 7")

    assert said.code == 74
    assert "tell the witness" in said.error
    assert dwf("result", run).code == 0


def test_an_idle_tick_tells_the_witness_nothing_but_a_new_file_all_there_is(dwf: Terminal, tmp_path: Path) -> None:
    dwf.driven("waits")
    dwf("tick")
    told = []
    for _ in range(2):
        said = outside("tick", "--witness", str(tmp_path / "w"), environ=dwf.environ)
        assert (said.code, said.out, said.err) == (0, "", "")
        told.append((tmp_path / "w").read_bytes())
    assert told[0] == told[1] and told[0].count(b"\n") == 1


# -- long work --------------------------------------------------------------------------------------------------


def counted(terminal: bool, seconds: float) -> str:
    err = io.StringIO()
    session = Session({})
    session.__dict__["screen"] = Screen(out=io.StringIO(), err=err, environ={})
    session.screen.err_is_terminal = terminal
    now = iter(number * seconds for number in range(1000))
    counting = Counting(session, "checked", lambda: next(now))
    for done in range(100):
        counting(done, 100)
    counting(100, 100)
    return err.getvalue()


def test_long_work_says_how_far_it_is() -> None:
    assert counted(terminal=False, seconds=0.01) == counted(terminal=True, seconds=0.001) == ""
    lines = counted(terminal=False, seconds=1.0).splitlines()
    assert 5 < len(lines) < 15 and lines[0].endswith("of 100")
    live = counted(terminal=True, seconds=0.5)
    assert "checked" in live and live.endswith("\r\x1b[K")
