"""Handlers: functions of the script that take what comes from outside while the workflow function goes on."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from dwf.authoring.hints import hints_of, signature_of
from dwf.authoring.parameters import Parameters
from dwf.authoring.waits import wait_until
from dwf.core.messages import check_signal_name
from dwf.core.retry import Duration
from dwf.core.runtime import Handler, current
from dwf.core.values import decode
from dwf.errors import ValueRefused


def on_signal(name: str, handler: Callable[..., Any], *, type: Any = None) -> None:  # noqa: A002
    """Let a function take the signals of a name, from now on and first those that were kept; oldest first.

    handler: it is called with the payload, or with nothing if it has no parameter. A plain function is called at once;
    an `async def` goes on as a task beside the workflow. type: what the payload is converted to; without it the
    parameter's annotation says. A signal that does not fit is passed over, with a note in the log. A `wait_signal` of
    the same name comes first. Registered again, a name goes to the new function. What it raises: dwf.Failure and
    errors of steps are noted and the run goes on; anything else is a bug, and blocks the run.
    """
    handlers = current("on_signal").handlers
    check_signal_name(name)
    handlers.on_signal(_handler(f"dwf.on_signal({name!r})", name, handler, type))


def on_unknown_signal(handler: Callable[[str, Any], Any]) -> None:
    """Let a function take, with name and payload, all signals that have no handler and were never waited for.

    Register it after the other handlers: what was kept for them would go to it. Otherwise as `on_signal`.
    """
    what = "dwf.on_unknown_signal()"
    handlers = current("on_unknown_signal").handlers
    if len(_parameters(what, handler)) != 2:
        raise ValueRefused(what=what, why="its function takes two: the name and the payload")
    handlers.on_unknown_signal(Handler("", decode, lambda both: handler(*both), handler))


def on_query(name: str, handler: Callable[..., Any]) -> None:
    """Let a function answer a question about the run: `dwf query RUN NAME`, also when the run is over.

    handler: a plain function with typed parameters. It is called by whoever asks, over a replay of the history, and may
    only look: what it would change is seen by nobody, and nothing of dwf may be asked for.
    """
    what = f"dwf.on_query({name!r})"
    handlers = current("on_query").handlers
    handlers.on_query(_by_name(what, check_signal_name(name), handler, None))
    if inspect.iscoroutinefunction(handler):
        raise ValueRefused(what=what, why="an `async def` could wait, and an answer is given at once")


def on_update(name: str, handler: Callable[..., Any], validator: Callable[..., Any] | None = None) -> None:
    """Let a function take updates: `dwf update RUN NAME K=V` calls it, waits for it and prints what it returns.

    handler: with typed parameters; plain, or an `async def`, which goes on as a task. What it raises as a failure
    (dwf.Failure, an error of a step) is told to the sender. validator: a plain function with the same parameters that
    is asked first, before anything is recorded; it only looks. What it raises is told to the sender, and the update
    leaves no trace in the history.
    """
    what = f"dwf.on_update({name!r})"
    handlers = current("on_update").handlers
    if validator is not None and (not callable(validator) or inspect.iscoroutinefunction(validator)):
        raise ValueRefused(what=what, why="its validator is not a plain function")
    handlers.on_update(_by_name(what, check_signal_name(name), handler, validator))


def _by_name(what: str, name: str, function: Callable[..., Any], validator: Callable[..., Any] | None) -> Handler:
    """A handler whose arguments are given by name."""
    _parameters(what, function)
    kinds = {p.kind for p in _given(function)}
    if kinds & {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        raise ValueRefused(what=what, why="its function has a parameter without a name to give it by")
    check = None if validator is None else lambda given: validator(**given)
    return Handler(name, Parameters(function, name).typed, lambda given: function(**given), function, check)


async def handlers_finished(*, timeout: Duration | None = None) -> None:
    """Wait until no handler is at work any more, so that the end cuts none off. TimeoutError after `timeout`."""
    handlers, me = current("handlers_finished").handlers, asyncio.current_task()
    await wait_until(lambda: not handlers.at_work(me), timeout=timeout)


def _handler(what: str, name: str, function: Callable[..., Any], kind: Any) -> Handler:
    parameters = _parameters(what, function)
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in _given(function)):
        raise ValueRefused(what=what, why="its function has a parameter that can only be given by name")
    if len(parameters) > 1:
        raise ValueRefused(what=what, why="its function takes the payload, and nothing else without a default")
    if not parameters:
        return Handler(name, lambda raw: None, lambda _: function(), function)
    kind = kind if kind is not None else hints_of(function).get(parameters[0].name)
    return Handler(name, lambda raw: decode(raw, kind), function, function)


def _parameters(what: str, function: Any) -> list[inspect.Parameter]:
    """The parameters that must be given; the first one counts also if it need not."""
    if not callable(function):
        raise ValueRefused(what=what, why=f"it takes a function, not {function.__class__.__name__}")
    found = _given(function)
    plain = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.VAR_POSITIONAL for p in found) and not plain:
        return [inspect.Parameter("payload", inspect.Parameter.POSITIONAL_ONLY)]
    return [p for i, p in enumerate(plain) if i == 0 or p.default is p.empty]


def _given(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(signature_of(function).parameters.values())
    except (TypeError, ValueError):  # list.append and the like do not say in every Python
        return [inspect.Parameter("payload", inspect.Parameter.POSITIONAL_ONLY)]
