"""Queries: a question to a run, answered by a function of its script over a replay of its history, without a trace."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from dwf.authoring.parameters import Parameter, Parameters
from dwf.core.outcome import bug_of
from dwf.core.replay import Replay
from dwf.core.runtime import Handler
from dwf.core.values import encode
from dwf.engine.reading import replayed
from dwf.engine.runs import RunView, load
from dwf.errors import DwfError, NotFound
from dwf.store.room import Store


@dataclass(frozen=True)
class Taken:
    """One thing that a run takes. kind: query, update or signal. doc: the first line of what its function says."""

    kind: str
    name: str
    parameters: tuple[Parameter, ...]
    doc: str


def query(
    store: Store, run: str, name: str, uid: int, words: dict[str, str], given: dict[str, Any] | None = None
) -> bytes:
    """The answer, as JSON. words: arguments as they are typed; given: as values. Also of a run that is over.

    Raises NotFound (4), UsageError (2) for arguments, NotPermitted (77), Failure (1) if the script says so, and a
    ScriptError (65) for what is wrong with it.
    """
    with replayed(store, _readable(store, run), uid) as (replay, _):
        handler = replay.commands.handlers.queries.get(name)
        if handler is None:
            raise NotFound(what=f"{run} answers no query {name!r}", hint=_known(replay.commands.handlers.queries, name))
        stored = Parameters(handler.function, f"query {name}").bind(words, given)
        return replay.look(f"query {name}", lambda: _answer(replay, handler, stored))


def _answer(replay: Replay, handler: Handler, stored: bytes) -> bytes:
    try:
        return encode(handler.call(handler.read(stored)), f"what the query {handler.name} returned")
    except DwfError:
        raise
    except Exception as error:
        raise bug_of(error, replay.program.is_script) from error


def taken_by(store: Store, run: str, uid: int) -> list[Taken]:
    """The queries, updates and signals that a run takes, with their parameters."""
    with replayed(store, _readable(store, run), uid) as (replay, _):
        handlers = replay.commands.handlers
        kinds = (("query", handlers.queries), ("update", handlers.updates), ("signal", handlers.signals))
        return [_taken(kind, handler) for kind, found in kinds for handler in found.values()]


def _taken(kind: str, handler: Handler) -> Taken:
    try:
        parameters = tuple(Parameters(handler.function, handler.name).all)
    except (TypeError, ValueError):  # a function of Python's own
        parameters = ()
    doc = inspect.getdoc(handler.function) or ""
    is_own = inspect.isfunction(handler.function) or inspect.ismethod(handler.function)
    return Taken(kind, handler.name, parameters if is_own else (), doc.split("\n")[0] if is_own else "")


def _readable(store: Store, run: str) -> RunView:
    view = load(store, run)
    if view.problem is not None:
        raise view.problem
    return view


def _known(names: Iterable[str], name: str) -> str:
    known = sorted(names)
    if not known:
        return "its script has no dwf.on_query(...)"
    meant = get_close_matches(name, known, 1)
    return f"did you mean {meant[0]}?" if meant else f"it answers {', '.join(known)}"
