"""What stands in for child runs: the child is there, with an id and a history, and comes to what the test says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dwf.authoring.workflow import Workflow
from dwf.core.state import RunState
from dwf.engine.context import Codes, Loaded
from dwf.errors import DwfError, Failure
from dwf.store.room import Store
from dwf.testing.stubs import Stub


class CodesWithStubs(Codes):
    """The code of runs, in which workflows of children are exchanged. Runs that the test has started are not."""

    def __init__(self, store: Store, stubs: dict[str, Stub]) -> None:
        super().__init__(store)
        self._stubs = stubs

    def of(self, state: RunState) -> Loaded:
        """As of any run."""
        loaded, name = super().of(state), state.head.workflow
        stub = self._stubs.get(name) if state.head.parent is not None else None
        if stub is None:
            return loaded
        played = Played(loaded.script.workflow(name), stub)
        return replace(loaded, script=replace(loaded.script, workflows={**loaded.script.workflows, name: played}))


class Played(Workflow):
    """A workflow with the parameters and the options of another one, and a stub instead of its function."""

    def __init__(self, real: Workflow, stub: Stub) -> None:
        self.__dict__.update(real.__dict__)
        self._stub = stub

    def _begin(self, stored: bytes) -> Any:
        return _answer(self._stub, self._parameters.typed(stored))


async def _answer(stub: Stub, given: dict[str, Any]) -> Any:
    try:
        return stub.answer((), given)
    except DwfError:
        raise
    except Exception as error:
        # In a script it would be a bug, and block the run; a test means that the child fails.
        raise Failure(f"{type(error).__name__}: {error}") from error
