"""The fault-injection kit: everything that can go wrong beneath dwf, made to go wrong on purpose, and counted.

    python -m pytest -n 2 tests/faults             the bounded form: about a minute; part of the normal suite
    python -m pytest -n 2 -m long tests/faults     the long form: every point, thousands of seeds, 200 000 damaged files

Both end with a table of what was tried (kills, errnos, power cuts, seeds, damaged files) and how much of it was
survived: nothing that was promised is lost, done twice, or left behind. What fails says how to repeat it: a seed
(`DWF_SEED=123 python -m pytest tests/faults/test_simulation.py`), or the kind and number of the call.

    test_kills.py       real processes under strace (skipped without it): SIGKILL at their calls to the kernel
    test_commands.py    the same for `dwf step` and `dwf cancel`; and every command with calls that fail
    test_deaths.py      one story with a bit of everything, broken off at every call to the disk: death, power, errno
    test_simulation.py  random scripts, random commands, random faults, from a seed; one thread, thousands of ticks
    test_teeth.py       rules are taken out of dwf one at a time, and the simulation must notice
                        (rules.py: the rules; sites.py: every sync of the store)
    test_fuzz.py        histories, messages and indexes with anything in them: no traceback, no hang, no wrong answer

A disk that fails, dies or loses power where a test says so (disk.py, power.py):

    disk = FaultyDisk()
    disk.fail_at(3, errno.ENOSPC)            the third call fails, once
    disk.fail_on("fsync", errno.EIO, forever=True)
    disk.crash_at(5, after=True)             the process is dead after the fifth call: Crash, and at every later call
    disk.tear_at(4, size=7)                  the fourth call, a write, puts down 7 bytes; then the process is dead
    disk.write_at_most(1)                    the kernel takes one byte a write
    disk.calls                               what was called: operation and path

    power = PowerCut(root); disk = FaultyDisk(power=power)
    ...                                      work, perhaps until a Crash
    power.cut()                              everything that was not synced is gone from the directory
    power.cut(random.Random(7))              of what was not synced any part may have survived

Crash is a BaseException, so nothing that handles errors can go on after it, as nothing goes on after SIGKILL. A kill
alone can never find a missing sync, for the kernel keeps what a dead process wrote: only a power cut can.
"""

from tests.faults.disk import Call, Crash, FaultyDisk, points
from tests.faults.power import PowerCut

__all__ = ["Call", "Crash", "FaultyDisk", "PowerCut", "points"]
