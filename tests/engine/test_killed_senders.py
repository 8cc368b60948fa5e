"""Who posts may be killed with the message half delivered. Nobody was told that it was accepted, and nothing stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dwf.core.state import Status
from tests.engine.house import House

ROOT = Path(__file__).parents[2]

# A real process, which the kernel kills where it would deliver what it has written.
DYING = """
import os, signal, sys
from pathlib import Path
from dwf.store.files import Disk
from tests.engine.house import House

class Dying(Disk):
    def rename_noreplace(self, *names):
        os.kill(os.getpid(), signal.SIGKILL)

house = House(Path(sys.argv[1]), Dying())
house.signal("go", 1) if sys.argv[2] == "signal" else house.answer()
"""

ASKS = """
@dwf.workflow
async def main():
    await asyncio.gather(dwf.wait_signal("go"), dwf.approve("Switch?"))
"""


@pytest.mark.parametrize("what", ["signal", "approve"])
def test_what_a_killed_sender_left_is_removed_a_day_later_by_a_tick_that_has_work(house: House, what: str) -> None:
    """Fails when ticks do not tidy up."""
    house.go(ASKS)
    words = [sys.executable, "-c", DYING, str(house.path), what]
    killed = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    drafts = Path(house.store.layout.mail_tmp)

    house.signal("other")
    house.tick()

    assert len(list(drafts.iterdir())) == 1  # it might be somebody's who writes just now
    house.clock.advance("25h")
    house.signal("go", 2)
    house.answer()
    house.tick()
    assert house.status() is Status.COMPLETED and not list(drafts.iterdir())
    house.check()
