"""The host: a machine, a boot, a process that is not confused with another."""

from __future__ import annotations

import os
import subprocess
import sys

from dwf import host


def test_this_process_is_alive_by_its_three_names() -> None:
    me = host.this_process()
    assert me.pid == os.getpid()
    assert me.start > 0
    assert host.same_process_alive(me.pid, me.start, me.boot)


def test_a_pid_that_was_used_again_is_another_process() -> None:
    me = host.this_process()
    assert not host.same_process_alive(me.pid, me.start - 1, me.boot)


def test_a_process_of_an_earlier_boot_is_dead_whatever_its_pid() -> None:
    """Fails when it is not asked of which boot a pid is."""
    me = host.this_process()
    assert not host.same_process_alive(me.pid, me.start, "an earlier boot")
    assert not host.same_process_alive(me.pid, me.start, "")


def test_pids_that_name_no_single_process_are_never_alive() -> None:
    for pid in (0, -1, -os.getpid()):
        assert not host.same_process_alive(pid, host.this_process().start, host.boot_id())


def test_an_ended_process_that_nobody_waited_for_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    found = host.process(child.pid)
    assert found is not None
    assert child.stdout
    child.stdout.read()  # the pipe closes when it ends; from then on it is a zombie, for nobody has waited
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert host.start_time(child.pid) == found.start
        assert not host.same_process_alive(found.pid, found.start, found.boot)
        assert host.process(child.pid) is None
    finally:
        child.stdout.close()
        child.wait()
    assert host.start_time(child.pid) is None


def test_a_process_named_to_confuse_a_parser_is_read_correctly() -> None:
    code = "import sys; open('/proc/self/comm','w').write(') Z 1 2 3 ('); print('ready', flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        found = host.process(child.pid)
        assert found is not None
        assert host.same_process_alive(child.pid, found.start, found.boot)
    finally:
        child.communicate("")


def test_ids_are_the_same_at_every_question() -> None:
    assert host.boot_id() == host.boot_id() != ""
    assert host.machine_id() == host.machine_id()
    assert host.this_process() == host.this_process()


def test_it_imports_nothing_slow() -> None:
    code = (
        "import sys; import dwf.host; print([m for m in ('typing','pathlib','msgspec','asyncio') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", _WITHOUT_FRONT_DOOR + code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# The package's own front door is measured elsewhere; here only the module counts.
_WITHOUT_FRONT_DOOR = (
    "import sys, types; m = types.ModuleType('dwf'); m.__path__ = ['dwf']; sys.modules['dwf'] = m;"
    "m = types.ModuleType('dwf.store'); m.__path__ = ['dwf/store']; sys.modules['dwf.store'] = m;"
)
