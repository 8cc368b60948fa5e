"""`@dwf.workflow`: an `async def` with typed parameters, and how words from outside become its arguments."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Mapping
from copy import copy
from functools import cached_property, update_wrapper
from typing import Any, Literal, overload

from dwf.authoring.hints import hints_of, signature_of
from dwf.authoring.parameters import Parameter, Parameters
from dwf.core.deadlines import ON_DEADLINE, UNLIMITED, Limits
from dwf.core.duration import micros
from dwf.core.events import Payload
from dwf.core.outcome import place, said
from dwf.core.replay import Program
from dwf.core.retry import Duration, Retry, policy_of
from dwf.core.runtime import ChildCall, current, in_workflow
from dwf.core.tags import Tag, tag_changes, tags_after
from dwf.core.values import decode, encode, text
from dwf.errors import ScriptBug, ScriptRefused, ValueRefused

OnDeadline = Literal["cancel", "terminate"]
_MOST_DECORATORS = 50


class Workflow:
    """A workflow function. It only runs inside dwf: `dwf start script.py host=web1`."""

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        failure_types: tuple[type[BaseException], ...],
        on_bug: str,
        step_retry: Retry | None = None,
        limits: Limits = UNLIMITED,
        retry: Retry | None = None,
        upgrade: str = "pinned",
    ) -> None:
        self.function = function
        self.name = text(name, "the name of a workflow", 200)
        self._failure_types = failure_types
        self._bug_fails = on_bug == "fail"
        for what, policy in (("step_retry", step_retry), ("retry", retry)):
            if policy is not None and not isinstance(policy, Retry):
                raise ScriptRefused(path=name, why=f"{what} is not a dwf.Retry")
        if upgrade not in ("pinned", "next", "auto"):
            raise ScriptRefused(path=name, why=f"upgrade={upgrade!r} is not pinned, next or auto")
        self._step_retry, self._retry = step_retry, retry
        self.upgrade = upgrade
        self.limits = limits
        self._child_options: dict[str, Any] = {}
        update_wrapper(self, function)
        _check_shape(function, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """In a workflow: the result of a child run. Anywhere else it is just its function."""
        return self._child(args, kwargs) if in_workflow() else self.function(*args, **kwargs)

    async def _child(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _, result = current(self.name).child(self.call(args, kwargs))
        return await result

    def options(
        self,
        *,
        id: str = "",  # noqa: A002 - the word that people know it by
        on_close: Literal["terminate", "cancel", "abandon"] = "terminate",
        cancel: Literal["wait", "requested", "try", "abandon"] = "wait",
        deadline: Duration | None = None,
        run_timeout: Duration | None = None,
        on_deadline: OnDeadline | None = None,
        tags: Mapping[str, Tag] | None = None,
        retry: Retry | None = None,
    ) -> Workflow:
        """The same workflow with options for a child run.

        id: made of this run's id if empty. on_close: what becomes of it when this run ends first. cancel: what
        cancelling the code that awaits it does: ask it to end and wait for its end ("wait") or until it was asked
        ("requested"), only ask ("try"), or leave it alone ("abandon").
        deadline, run_timeout, on_deadline: instead of what its decorator says. retry: how the whole child is tried
        again when it has failed, likewise; without retry_if, which no history can hold. tags: what it is found by, as
        for `dwf.tag()`; it has none of this run's. Raises ValueRefused.
        """
        if on_close not in ("terminate", "cancel", "abandon"):
            raise ValueRefused(what="on_close", why=f"{on_close!r} is not terminate, cancel or abandon")
        if cancel not in ("wait", "requested", "try", "abandon"):
            raise ValueRefused(what="cancel", why=f"{cancel!r} is not wait, requested, try or abandon")
        changed = copy(self)
        if retry is not None and not isinstance(retry, Retry):
            raise ValueRefused(what="retry", why=f"it must be a dwf.Retry, not {type(retry).__name__}")
        changed._child_options = {
            "run": id,
            "on_close": on_close,
            "cancel": cancel,
            "tags": tags_after({}, tag_changes(tags or {})),
            "retry": None if retry is None else policy_of(retry),
        }
        changed.limits = _limits(deadline, run_timeout, on_deadline, self.limits)
        return changed

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ChildCall:
        """A child run of this workflow, with arguments as for a function. Raises TypeError, ValueRefused."""
        bound = signature_of(self.function).bind(*args, **kwargs)
        given = Payload(self._stored(dict(bound.arguments)))
        kind = hints_of(self.function).get("return")
        return ChildCall(self.name, given, result_type=kind, limits=self.limits, **self._child_options)

    def _stored(self, arguments: dict[str, Any]) -> bytes:
        return encode(arguments, f"an argument of {self.name}")

    def _again(self, arguments: dict[str, Any]) -> bytes:
        return self.bind({}, decode(self._stored(arguments)))

    def program(self, is_script: Callable[[str], bool]) -> Program:
        """What replay needs to run it."""
        return Program(
            self._begin,
            is_script=is_script,
            failure_types=self._failure_types,
            bug_fails=self._bug_fails,
            step_retry=self._step_retry,
            retry=self._retry,
            bind=self._again,
        )

    def _begin(self, stored: bytes) -> Any:
        try:
            return self.function(**self._parameters.typed(stored))
        except (TypeError, ValueRefused) as error:
            # Nothing of the script has run yet: it is the line with its parameters that does not fit its input.
            raise ScriptBug(type=type(error).__name__, reason=said(error), where=_def_line(self.function)) from error

    @cached_property
    def _parameters(self) -> Parameters:
        return Parameters(self.function, self.name)

    @property
    def parameters(self) -> list[Parameter]:
        """The parameters in order."""
        return self._parameters.all

    def bind(self, texts: dict[str, str], values: dict[str, Any] | None = None) -> bytes:
        """Words from the command line (and JSON values) as the stored input.

        Raises UsageError for an unknown, missing or unfitting one, with the parameters in the hint.
        """
        return self._parameters.bind(texts, values)


def _def_line(function: Callable[..., Any]) -> str:
    code = function.__code__
    lines = range(code.co_firstlineno, code.co_firstlineno + _MOST_DECORATORS)
    texts = ((line, linecache.getline(code.co_filename, line, function.__globals__).split()[:1]) for line in lines)
    found = next((line for line, word in texts if word in (["async"], ["def"])), code.co_firstlineno)
    return place(code.co_filename, found)


def _limits(
    deadline: Duration | None, run_timeout: Duration | None, on_deadline: OnDeadline | None, usual: Limits
) -> Limits:
    if on_deadline is not None and on_deadline not in ON_DEADLINE:
        raise ValueRefused(what="on_deadline", why=f"{on_deadline!r} is not cancel or terminate")
    return Limits(
        _length(deadline, "deadline", usual.deadline_us),
        _length(run_timeout, "run_timeout", usual.run_timeout_us),
        on_deadline or usual.on_deadline,
    )


def _length(given: Duration | None, name: str, usual: int) -> int:
    length = usual if given is None else micros(given)
    if given is not None and not length:
        raise ValueRefused(what=f"{name}={given!r}", why="a run cannot end before it has begun")
    return length


def _check_shape(function: Callable[..., Any], name: str) -> None:
    if inspect.isasyncgenfunction(function) or not inspect.iscoroutinefunction(function):
        raise ScriptRefused(path=name, why="a workflow is an `async def` function without `yield`")
    for p in inspect.signature(function).parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.POSITIONAL_ONLY):
            raise ScriptRefused(
                path=name, why=f"parameter {p.name!r} has no name to give it by", hint="name every parameter"
            )


@overload
def workflow(function: Callable[..., Any], /) -> Workflow: ...
@overload
def workflow(
    *,
    name: str | None = None,
    failure_types: tuple[type[BaseException], ...] = (),
    on_bug: Literal["block", "fail"] = "block",
    step_retry: Retry | None = None,
    retry: Retry | None = None,
    deadline: Duration | None = None,
    run_timeout: Duration | None = None,
    on_deadline: OnDeadline | None = None,
    upgrade: Literal["pinned", "next", "auto"] = "pinned",
) -> Callable[[Callable[..., Any]], Workflow]: ...
def workflow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    failure_types: tuple[type[BaseException], ...] = (),
    on_bug: Literal["block", "fail"] = "block",
    step_retry: Retry | None = None,
    retry: Retry | None = None,
    deadline: Duration | None = None,
    run_timeout: Duration | None = None,
    on_deadline: OnDeadline | None = None,
    upgrade: Literal["pinned", "next", "auto"] = "pinned",
) -> Any:
    """Declare a workflow: `@dwf.workflow` above an `async def` with typed parameters.

    failure_types: exceptions of your own that end the run as failed. on_bug: "block" (the run waits for mended code) or
    "fail". step_retry: how its steps are retried that do not say it themselves. retry: a run that has
    failed begins again, as another instance with the same input; a child too. deadline: how long a run may take
    from its start, a duration ("2h"), however often it goes on in a new instance; run_timeout: how long one instance.
    on_deadline: "cancel" (it cleans up, and is then `timed-out`) or "terminate" (it ends at once). upgrade: "pinned"
    (a run stays on its code), "next" (it does so until it continues as new: its next instance takes what a new start
    takes), or "auto" (it goes over to what a new start takes, if its history fits that). Raises
    ScriptRefused for anything but a plain `async def` with named parameters, ValueRefused for a duration that is none.
    """
    if function is not None:
        return Workflow(function, name or function.__name__, failure_types, on_bug, step_retry, upgrade=upgrade)
    limits = _limits(deadline, run_timeout, on_deadline, UNLIMITED)
    return lambda f: Workflow(f, name or f.__name__, failure_types, on_bug, step_retry, limits, retry, upgrade)
