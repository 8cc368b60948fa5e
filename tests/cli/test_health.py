"""The verbs that say whether all is well: doctor."""

from __future__ import annotations

import pytest

from tests.cli.terminal import Terminal


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
