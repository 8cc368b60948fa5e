"""dwf init: a state directory made knowingly, and what makes it tick."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.terminal import ROOT, Terminal


def test_it_makes_a_directory_of_ones_own_and_says_where(dwf: Terminal) -> None:
    said = dwf("init")
    assert (said.code, said.out) == (0, f"{dwf.home}\n")
    assert stat.S_IMODE(dwf.home.stat().st_mode) == 0o700
    assert dwf.started("quick")
    again = dwf("init")
    assert (again.code, again.out) == (0, f"{dwf.home}\n")
    assert "there already" in again.err


def test_the_line_for_cron_has_whole_paths_and_works_with_an_empty_environment(dwf: Terminal) -> None:
    said = dwf("init", "--cron")
    assert not dwf.home.exists(), "it only prints"
    *times, command = said.out.rstrip("\n").split(" ", 5)
    assert times == ["*"] * 5
    run = dwf.started("quick")
    # `-m dwf` finds dwf where it is installed; here it is not
    done = subprocess.run(
        ["/bin/sh", "-c", command.replace("\\%", "%")], env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert dwf("result", run).out == "2\n"


def test_what_cron_would_take_for_a_newline_is_escaped(dwf: Terminal) -> None:
    said = dwf("init", "--cron", "--home", str(dwf.directory / "50% of it's"))
    assert "50\\% of it'\"'\"'s" in said.out


@pytest.mark.parametrize("name", ["home", "my home", 'a "b" $c %d'])
def test_the_units_for_systemd_are_found_to_be_in_order(dwf: Terminal, tmp_path: Path, name: str) -> None:
    said = dwf("init", "--systemd", "--home", str(tmp_path / name))
    assert said.code == 0
    service, timer = said.out.split("# dwf-tick.timer\n")
    assert service.startswith("# dwf-tick.service\n")
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    (tmp_path / "dwf-tick.service").write_text(service)
    (tmp_path / "dwf-tick.timer").write_text(timer)
    done = subprocess.run(
        [analyze, "verify", "--man=no", "./dwf-tick.service", "./dwf-tick.timer"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert sys.executable in service


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--shared"], 2),
        (["--group", "0"], 2),
        (["--catalogue", "/"], 2),
        (["--shared", "--group", "no-such-group"], 4),
        (["--shared", "--group", "0", "--catalogue", "/nowhere"], 4),
    ],
    ids=["no group", "group alone", "catalogue alone", "unknown group", "no catalogue"],
)
def test_what_it_cannot_make_leaves_nothing_behind(dwf: Terminal, words: list[str], code: int) -> None:
    said = dwf("init", *words)
    assert said.code == code and said.error
    assert not dwf.home.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has others to refuse")
def test_a_catalogue_that_others_can_write_is_refused_with_what_to_type(dwf: Terminal, tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    (loose / "flows").mkdir(parents=True)
    loose.chmod(0o777)
    said = dwf("init", "--shared", "--group", "0", "--catalogue", str(loose / "flows"))
    assert said.code == 77 and str(loose) in said.error
    assert said.hint.startswith("chmod go-w ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is behind sudo")
def test_under_sudo_the_callers_directory_is_not_roots(dwf: Terminal) -> None:
    """Fails when root takes the directory from the caller's environment."""
    run = dwf.started("quick")
    os.chown(dwf.home, 61009, 61009)
    said = dwf("list", SUDO_UID="61009")
    assert said.code == 77 and "user behind sudo (uid 61009)" in said.error
    assert said.hint.endswith(f"--home {dwf.home}")
    assert run in dwf("list", "--home", str(dwf.home), SUDO_UID="61009").out
    os.chown(dwf.home, 0, 0)
    assert dwf("list", SUDO_UID="61009").code == 0
