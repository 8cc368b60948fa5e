"""Where the state directory is, and whether it may be used."""

from __future__ import annotations

import errno
import os
import pwd
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dwf import host
from dwf.errors import BadConfiguration, CannotCreate, DiskError, DwfError, NotPermitted
from dwf.store.files import Disk
from dwf.store.layout import (
    Layout,
    adopt_home,
    file_system,
    home_path,
    is_default_place,
    open_home,
    refuse_network,
    run_of,
)
from tests.faults import Crash, FaultyDisk, PowerCut, points

USER = 4242


def tree(home: Path) -> list[str]:
    return sorted(str(p.relative_to(home)) for p in home.rglob("*"))


# -- paths ------------------------------------------------------------------------------------------------------


def test_an_id_has_a_file_per_instance() -> None:
    layout = Layout("/s")
    assert layout.history_path("a") == layout.history_path("a", 1) == "/s/runs/a.jsonl"
    assert layout.history_path("a", 2) == "/s/runs/a~2.jsonl"


def test_a_history_name_tells_its_run_and_instance() -> None:
    for run, link in (("a", 1), ("a.jsonl", 1), ("a-b_c.2", 17), ("9", 2)):
        assert run_of(Layout("/s").history_path(run, link).rsplit("/", 1)[-1]) == (run, link)


@pytest.mark.parametrize(
    "name",
    [".tmp", "a", "a.json", "a.jsonl.torn", "a.jsonl.broken-4", "a~.jsonl", "a~x.jsonl", "a~1.jsonl", "a~\u0663.jsonl"],
)
def test_what_is_no_history_has_no_run(name: str) -> None:
    assert run_of(name) is None


def test_all_directories_lie_under_home_parents_first() -> None:
    seen = {"/s"}
    for path in Layout("/s").directories():
        assert path.rpartition("/")[0] in seen
        seen.add(path)


# -- where it is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "uid", "expected"),
    [
        ({"DWF_HOME": "/d", "STATE_DIRECTORY": "/s", "XDG_STATE_HOME": "/x", "HOME": "/h"}, USER, "/d"),
        ({"DWF_HOME": "", "STATE_DIRECTORY": "/s", "XDG_STATE_HOME": "/x", "HOME": "/h"}, USER, "/s"),
        ({"STATE_DIRECTORY": "/s:/t"}, USER, "/s"),
        ({"STATE_DIRECTORY": "", "XDG_STATE_HOME": "/x", "HOME": "/h"}, USER, "/x/dwf"),
        ({"XDG_STATE_HOME": "", "HOME": "/h"}, USER, "/h/.local/state/dwf"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, USER, "/h/.local/state/dwf"),
        ({"HOME": "/h", "XDG_STATE_HOME": "/x"}, 0, "/var/lib/dwf"),
        ({"DWF_HOME": "/d"}, 0, "/d"),
        ({"DWF_HOME": "/with space/'quote'\n/\udcff"}, USER, "/with space/'quote'\n/\udcff"),
    ],
)
def test_the_first_of_the_places_that_is_set_wins(environ: dict[str, str], uid: int, expected: str) -> None:
    assert home_path(environ, uid) == expected


def test_a_relative_place_is_made_absolute_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert home_path({"DWF_HOME": "a/../state"}, USER) == str(tmp_path / "state")


def test_a_relative_place_in_a_directory_that_is_gone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(BadConfiguration, match="current directory is gone"):
        home_path({"DWF_HOME": "state"}, USER)
    assert home_path({"DWF_HOME": "/d"}, USER) == "/d"


def test_without_home_the_passwd_entry_is_asked() -> None:
    user = next(entry for entry in pwd.getpwall() if entry.pw_uid != 0)
    assert home_path({}, user.pw_uid) == f"{user.pw_dir}/.local/state/dwf".replace("//", "/")


def test_without_home_and_passwd_entry_there_is_no_place() -> None:
    with pytest.raises(BadConfiguration, match="no passwd entry") as refused:
        home_path({"HOME": ""}, 3_999_999)
    assert "DWF_HOME" in str(refused.value.hint)


def test_only_a_place_that_nobody_named_is_the_default() -> None:
    assert is_default_place({"XDG_STATE_HOME": "/x"})
    assert is_default_place({"DWF_HOME": ""})
    assert not is_default_place({"DWF_HOME": "/d"})
    assert not is_default_place({"STATE_DIRECTORY": "/d"})


# -- making it --------------------------------------------------------------------------------------------------


@pytest.fixture(params=[0o000, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_it_is_made_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    home = tmp_path / "a" / "b"
    layout = open_home(Disk(), str(home), create=True, parents=True)
    for path in (home.parent, home, *map(Path, layout.directories())):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    assert stat.S_IMODE(Path(layout.machine).stat().st_mode) == 0o600


def test_it_is_not_made_unless_asked(tmp_path: Path) -> None:
    with pytest.raises(CannotCreate, match="it is not there") as refused:
        open_home(Disk(), str(tmp_path / "home"))
    assert refused.value.exit_code == 73
    assert tree(tmp_path) == []


def test_a_missing_parent_is_made_only_for_the_default_place(tmp_path: Path) -> None:
    with pytest.raises(CannotCreate, match="there is no directory"):
        open_home(Disk(), str(tmp_path / "a" / "b"), create=True)
    assert tree(tmp_path) == []
    open_home(Disk(), str(tmp_path / "a" / "b"), create=True, parents=True)


def test_a_file_or_a_link_to_nowhere_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path / "file", tmp_path / "link", tmp_path / "file" / "below"):
        for create in (False, True):
            with pytest.raises(CannotCreate):
                open_home(Disk(), str(path), create=create)
    assert tree(tmp_path) == ["file", "link"]


def test_a_link_to_a_directory_is_a_place(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert open_home(Disk(), str(tmp_path / "link"), create=True).home == str(tmp_path / "link")


def test_a_directory_with_other_things_in_it_is_not_furnished(tmp_path: Path) -> None:
    """DWF_HOME=~ is a slip, not a wish to find mail/ and runs/ at home."""
    (tmp_path / "notes.txt").write_bytes(b"x")
    tmp_path.chmod(0o700)
    with pytest.raises(BadConfiguration, match=r"notes\.txt"):
        open_home(Disk(), str(tmp_path), create=True)
    assert tree(tmp_path) == ["notes.txt"]
    with pytest.raises(CannotCreate, match="not a dwf state directory"):
        open_home(Disk(), str(tmp_path))


def test_whoever_is_killed_while_making_it_the_next_completes_it(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    calls = points(lambda disk: open_home(disk, str(whole), create=True))
    for number in range(1, calls + 1):
        home = tmp_path / str(number)
        disk = FaultyDisk()
        disk.crash_at(number)
        with pytest.raises(Crash):
            open_home(disk, str(home), create=True)
        open_home(Disk(), str(home), create=True)
        assert tree(home) == tree(whole), number


def test_made_is_made_for_good(tmp_path: Path) -> None:
    power = PowerCut(tmp_path)
    open_home(FaultyDisk(power), str(tmp_path / "home"), create=True)
    before = tree(tmp_path)
    power.cut()
    power.close()
    assert tree(tmp_path) == before
    open_home(Disk(), str(tmp_path / "home"))


def test_no_room_to_make_it_is_said_and_mended_later(tmp_path: Path) -> None:
    calls = points(lambda disk: open_home(disk, str(tmp_path / "count"), create=True))
    for number in range(1, calls + 1):
        disk = FaultyDisk()
        disk.fail_at(number, errno.ENOSPC)
        home = tmp_path / str(number)
        with pytest.raises(DwfError) as failed:
            open_home(disk, str(home), create=True)
        assert failed.value.exit_code == 74, number
        open_home(Disk(), str(home), create=True)


def test_two_that_make_it_at_once_both_succeed(tmp_path: Path) -> None:
    class Racing(Disk):
        def mkdir(self, path: str, mode: int = 0o700) -> None:
            Disk().mkdir(path, mode)  # the other one, a moment earlier
            super().mkdir(path, mode)

    open_home(Racing(), str(tmp_path / "home"), create=True)


def test_of_two_makers_at_once_neither_takes_the_others_draft_away(tmp_path: Path) -> None:
    """One is about to put its draft in place; the other, beginning now, finds that draft."""
    others: list[threading.Thread] = []
    failed: list[BaseException] = []

    def other() -> None:
        try:
            open_home(Disk(), str(tmp_path / "home"), create=True)
        except BaseException as error:
            failed.append(error)

    class Overtaken(Disk):
        def rename(self, source: str, target: str) -> None:
            others.append(threading.Thread(target=other))
            others[0].start()
            others[0].join(0.2)  # time enough to take the draft away, were it allowed
            super().rename(source, target)

    open_home(Overtaken(), str(tmp_path / "home"), create=True)
    others[0].join(20)
    assert failed == []
    open_home(Disk(), str(tmp_path / "home"))
    assert "machine.new" not in tree(tmp_path / "home")


# -- whether it may be used -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777])
def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Fails when it is not asked who can write the directory."""
    home = tmp_path / "home"
    open_home(Disk(), str(home), create=True)
    home.chmod(mode)
    for write in (True, False):
        with pytest.raises(NotPermitted, match="others may write") as refused:
            open_home(Disk(), str(home), write=write)
        assert refused.value.hint == f"chmod go-w {home}"


def test_somebody_elses_directory_is_for_reading_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    open_home(Disk(), str(home), create=True)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(NotPermitted, match="belongs to uid"):
        open_home(Disk(), str(home))
    open_home(Disk(), str(home), write=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become two users")
def test_without_permission_the_kernel_says_no(tmp_path: Path) -> None:
    """Not a traceback, and not "it is not there"."""
    home = tmp_path / "home"
    open_home(Disk(), str(home), create=True)
    tmp_path.chmod(0o700)
    code = (
        "import os\nfrom dwf.errors import DwfError\nfrom dwf.store.files import Disk\n"
        "from dwf.store.layout import open_home\nos.setuid(65534)\n"
        f"try: open_home(Disk(), {str(home)!r})\nexcept DwfError as e: print(type(e).__name__, e.exit_code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "NotPermitted 77\n"


def test_a_directory_of_another_machine_is_refused_until_adopted(tmp_path: Path) -> None:
    """Fails when it is not asked of which machine a directory is."""
    layout = open_home(Disk(), str(tmp_path / "home"), create=True)
    Path(layout.machine).write_text("0123456789abcdef0123456789abcdef\n")
    with pytest.raises(BadConfiguration, match="another machine") as refused:
        open_home(Disk(), layout.home)
    assert refused.value.exit_code == 78
    open_home(Disk(), layout.home, write=False)
    adopt_home(Disk(), layout)
    open_home(Disk(), layout.home)
    assert "machine.new" not in tree(Path(layout.home))


def test_adopting_can_be_killed_anywhere(tmp_path: Path) -> None:
    layout = open_home(Disk(), str(tmp_path / "home"), create=True)
    calls = points(lambda disk: adopt_home(disk, layout))
    for number in range(1, calls + 1):
        disk = FaultyDisk()
        disk.crash_at(number, after=True)
        with pytest.raises(Crash):
            adopt_home(disk, layout)
        adopt_home(Disk(), layout)
        open_home(Disk(), layout.home)
        assert "machine.new" not in tree(Path(layout.home))


def test_a_machine_without_an_id_is_not_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(host, "machine_id", lambda: "")
        layout = open_home(Disk(), str(tmp_path / "home"), create=True)
        open_home(Disk(), layout.home)
    open_home(Disk(), layout.home)


def test_a_machine_file_that_cannot_be_read_is_an_error_and_not_a_new_directory(tmp_path: Path) -> None:
    layout = open_home(Disk(), str(tmp_path / "home"), create=True)
    Path(layout.machine).unlink()
    Path(layout.machine).mkdir()
    with pytest.raises(DiskError):
        open_home(Disk(), layout.home, create=True)


# -- network file systems ---------------------------------------------------------------------------------------

MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard
40 27 0:50 / /home rw,relatime shared:3 - nfs4 server:/home rw,vers=4.2
41 40 0:51 / /home/me/local rw - xfs /dev/vdb rw
42 27 0:52 / /mnt/with\\040space\\134 rw - fuse.sshfs host:/ rw
43 27 0:53 / /over rw - nfs server:/x rw
44 27 0:54 / /over rw - ext4 /dev/vdc rw
garbage
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/dwf", "ext4"),
        ("/", "ext4"),
        ("/home/me/state", "nfs4"),
        ("/home", "nfs4"),
        ("/homely", "ext4"),
        ("/home/me/local/state", "xfs"),
        ("/mnt/with space\\/state", "fuse.sshfs"),
        ("/over/state", "ext4"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert file_system(path, MOUNTS.splitlines()) == kind


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse", "fuse.sshfs", "fuseblk"])
def test_a_network_file_system_is_refused_when_it_is_made(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when it is not asked on which file system a directory lies."""
    monkeypatch.setattr("dwf.store.layout.file_system", lambda path, mounts: kind)
    home = tmp_path / "home"
    with pytest.raises(BadConfiguration, match=kind) as refused:
        open_home(Disk(), str(home), create=True)
    assert "local disk" in str(refused.value.hint)
    assert tree(home) == []
    with pytest.raises(BadConfiguration):
        refuse_network(str(home))
    open_home(Disk(), str(home), create=True, allow_network=True)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", ""])
def test_a_local_file_system_is_taken(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dwf.store.layout.file_system", lambda path, mounts: kind)
    open_home(Disk(), str(tmp_path / "home"), create=True)


# -- cost -------------------------------------------------------------------------------------------------------


def test_opening_an_existing_directory_imports_nothing_slow(tmp_path: Path) -> None:
    """An idle tick may cost no more than about twice the start of Python."""
    open_home(Disk(), str(tmp_path / "home"), create=True)
    code = (
        "import sys, types\n"
        "for name, path in (('dwf', 'dwf'), ('dwf.store', 'dwf/store')):\n"
        "    m = types.ModuleType(name); m.__path__ = [path]; sys.modules[name] = m\n"
        "from dwf.store.layout import open_home, home_path\n"
        "from dwf.store.files import Disk\n"
        f"open_home(Disk(), home_path({{'DWF_HOME': {str(tmp_path / 'home')!r}}}, 0))\n"
        "slow = ('typing', 'pathlib', 're', 'msgspec', 'asyncio', 'ctypes', 'dataclasses', 'json', 'dwf.errors')\n"
        "print([m for m in slow if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
