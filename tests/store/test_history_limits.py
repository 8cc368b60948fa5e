"""A history under limits of the process and the disk, and under everything at random."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dwf.errors import (
    DiskError,
)
from dwf.store.history import History, read_history, tail, verify_history
from tests.faults import Crash, FaultyDisk, PowerCut
from tests.store.histories import (
    LATER,
    NOW,
    content,
    make,
    note,
    open_history,
    texts,
)

# -- limits of the process ---------------------------------------------------------------------------------------------


def test_too_many_open_files_is_an_error_with_a_path(tmp_path: Path) -> None:
    path = make(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = os.open("/dev/null", os.O_RDONLY)
    os.close(used)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
    try:
        for opening in (open_history, read_history, verify_history, tail):
            with pytest.raises(DiskError) as failed:
                opening(path)
            assert (failed.value.errno, failed.value.path) == (errno.EMFILE, path)
            assert failed.value.exit_code == 74
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    open_history(path).close()


def test_a_file_size_limit_is_an_error_and_the_history_stays_whole(tmp_path: Path) -> None:
    path = make(tmp_path)
    before = content(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with open_history(path) as history:
            history.stage(note("too much"), LATER)
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, hard))
            with pytest.raises(DiskError) as failed:
                history.commit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert failed.value.errno == errno.EFBIG
    assert content(path) == before
    with open_history(path) as history:
        history.stage(note("room again"), LATER)
        history.commit()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_full_disk_is_an_error_and_everything_works_again_with_room(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        path = make(small)
        before = content(path)
        room = 64 * 1024 - len(before)
        (small / "ballast").write_bytes(bytes(room // 4096 * 4096 - 4096))
        with open_history(path) as history:
            history.stage(note("x" * 20_000), LATER)
            with pytest.raises(DiskError) as failed:
                history.commit()
        assert failed.value.errno == errno.ENOSPC
        assert content(path) == before
        (small / "ballast").unlink()
        with open_history(path) as history:
            history.stage(note("x" * 20_000), LATER)
            history.commit()
        assert verify_history(path) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


# -- all of it, at random ----------------------------------------------------------------------------------------------


steps = st.lists(
    st.tuples(st.sampled_from(["commit", "rollback", "die", "tear", "cut", "fail", "reopen"]), st.integers(0, 400)),
    max_size=12,
)


def plan_fault(disk: FaultyDisk, step: str, size: int) -> None:
    """What goes wrong in the next commit: a write, then a sync."""
    now = len(disk.calls) + 1
    if step == "tear":
        disk.tear_at(now, size)
    elif step == "die":
        disk.crash_at(now + 1)
    elif step == "fail":
        disk.fail_at(now + size % 2, errno.EIO, forever=size % 3 == 0)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps, st.integers(0, 2**16))
def test_whatever_happens_the_acknowledged_is_there_and_every_history_begins_with_the_one_before(
    tmp_path: Path, plan: list[tuple[str, int]], seed: int
) -> None:
    """Fails when a failed write is taken back by more than was written."""
    where = tmp_path / os.urandom(8).hex()
    where.mkdir()
    path, chance = make(where), random.Random(seed)
    power = PowerCut(where)
    acknowledged: list[str] = []
    durable = content(path)
    possible: set[str] = set()

    def fresh() -> tuple[FaultyDisk, History]:
        disk = FaultyDisk(power)
        return disk, open_history(path, disk)

    disk, history = fresh()
    for number, (step, size) in enumerate(plan):
        mark = f"{number}-{'x' * (size % 50)}"
        history.stage(note(mark), NOW + number)
        possible.add(mark)
        plan_fault(disk, step, size)
        if step == "rollback":
            history.rollback()
        if step != "reopen":
            try:
                history.commit()
                acknowledged += [mark] if step != "rollback" else []
                durable = content(path)
            except (Crash, DiskError):
                pass
        if step in ("die", "tear", "cut", "fail", "reopen"):
            history.close()
            if step == "cut" or (step in ("die", "tear", "fail") and chance.random() < 0.5):
                power.cut(chance)
            disk, history = fresh()
            assert content(path).startswith(durable)
            found = texts(history.events)
            assert [mark for mark in found if mark in acknowledged] == acknowledged
            assert len(found) == len(set(found))
            assert set(found) <= possible
            # What was found may be believed from here on.
            acknowledged, durable = found, content(path)
    history.close()
    power.cut()
    power.close()
    reading = read_history(path)
    assert reading.problem is None
    assert reading.torn_bytes == 0
    assert texts(reading.events) == acknowledged
    assert content(path).startswith(durable)
    shutil.rmtree(where)
