"""Taking back what a closed run did: its undo ledger as the program of a run of its own, on the same code.

The ledger is that run's input. Functions are found again by their names; commands are all in the ledger.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dwf.authoring.activity import Activity
from dwf.authoring.saga import take_back
from dwf.authoring.shell import Shell
from dwf.core.events import Payload, WorkflowStarted
from dwf.core.replay import Program
from dwf.core.retry import Retry
from dwf.core.runtime import ActivityCall
from dwf.errors import NotFound
from dwf.scripts.load import Script

UNDO = "undo"
"""What such a run follows another as, and what its workflow is called."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the ledger; `command` is its number in the run whose ledger it is, the rest as it was recorded."""

    command: int
    of: str
    name: str
    kind: str
    input: Payload
    title: str = ""
    timeout: int = 0
    max_attempts: int = 0


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The input: what is to be taken back of a run, the oldest first."""

    run: str
    ledger: list[Entry]


def program_of(script: Script, started: WorkflowStarted) -> Program:
    """What a run executes: its workflow, or the ledger of the run that it takes back. Raises NotFound."""
    if started.follows is None or started.follows.how != UNDO:
        return script.program(started.workflow)
    return Program(lambda given: _main(script, given), is_script=script.is_script)


def _main(script: Script, given: bytes) -> Any:
    ledger = msgspec.json.decode(given, type=Ledger)
    calls = [(call_of(script, entry), entry.of) for entry in ledger.ledger]
    return take_back(calls, f"the undo of {ledger.run}")


def call_of(script: Script, entry: Entry) -> ActivityCall:
    """The step that takes back an entry. Raises NotFound if the script has no such activity any more."""
    if entry.kind == "shell":
        return ActivityCall(
            name=entry.name,
            kind="shell",
            input=entry.input,
            result_type=Shell,
            title=entry.title,
            retry=Retry(max_attempts=entry.max_attempts or None),
            timeout_us=entry.timeout,
        )
    for module in script.modules:
        for value in vars(module).values():
            if isinstance(value, Activity) and value.name == entry.name:
                return value.recorded(entry.input, entry.title)
    raise NotFound(
        what=f"{script.main.__file__} has no activity {entry.name}, which is to undo {entry.of}",
        hint="it must be declared at the top of the script: @dwf.activity",
    )
