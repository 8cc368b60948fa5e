"""Activities: `@dwf.activity` for declared steps, `dwf.step` for a function used once.

Inside a workflow a call returns a coroutine whose result is durable; anywhere else an activity is just its function.
Arguments reach the function through JSON on every attempt, so that a step that changes its arguments in place
cannot change the workflow's memory of them.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from functools import cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, overload

from msgspec.structs import replace as replace_fields

from dwf.authoring.crash import OnCrash, Orphan, function_probe, recorded
from dwf.authoring.hints import hints_of
from dwf.authoring.limits import Cancellation, limits
from dwf.authoring.references import taken_out
from dwf.core.duration import micros
from dwf.core.events import Flow, Payload
from dwf.core.flow import Limit, flow_of
from dwf.core.retry import USUAL, Duration, Retry
from dwf.core.runtime import ActivityCall, current, in_workflow
from dwf.core.values import convert, decode, encode, text
from dwf.errors import ValueRefused

# The limits at which what runs is ended.
_ENDING = ("start_to_close", "schedule_to_close", "heartbeat_timeout")
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Options:
    """What can be set where an activity is declared, and changed where it is called.

    start_to_close: limit of one attempt; at its end the attempt's process is ended. None: no limit.
    retry: when and how often it is tried again. isolate: True runs it in a process of its own, False in dwf's; by
    default a step with `start_to_close` gets a process, because only a process can be ended. grace: how long it may
    take to end after it was asked to. title: what people see; the function's name if empty.
    on_crash: what follows an attempt whose end nobody saw: "retry" (default) makes it again, "ask" waits for a person
    (`dwf step`), "verify" asks `verify`, a function called with the same arguments: True or dwf.Done(result), it took
    effect; False, it did not; an exception, it cannot tell, and a person is asked. orphan: a process that a killed dwf
    left running is ended first ("kill"), or waited for ("wait"), or it goes on and the next tick takes up how it ended
    ("adopt"; only for what has a process of its own).
    schedule_to_start: how long it may wait for its first attempt (nobody ticked, or no slot was free).
    schedule_to_close: how long all attempts and the waits between them may take; ends the one that runs then.
    heartbeat_timeout: how long an attempt may be silent that calls dwf.heartbeat(); then it is ended, and tried again.
    cancellation_type: what cancelling the code that awaits it does. "wait" asks the step to end, and the script goes on
    when it has; "try" asks it, and the script goes on at once; "abandon" lets it run on. What still runs when the run
    is over is ended then.
    critical: False lets the run go on when the step has failed after its last attempt: the script gets `default`, and
    the run is marked as degraded.
    limit: a dwf.Limit that it shares with steps of all runs. key: of all steps with this key only one runs at a time.
    queue: which ticks begin it (`dwf tick --queue`). priority: -100 to 100; who is higher begins first.
    """

    start_to_close: Duration | None = None
    retry: Retry = USUAL
    isolate: bool | None = None
    grace: Duration = "5s"
    title: str = ""
    on_crash: OnCrash | None = None
    verify: Callable[..., Any] | None = None
    orphan: Orphan = "kill"
    critical: bool = True
    default: Any = None
    schedule_to_start: Duration | None = None
    schedule_to_close: Duration | None = None
    heartbeat_timeout: Duration | None = None
    cancellation_type: Cancellation = "wait"
    queue: str = ""
    limit: Limit | None = None
    key: str = ""
    priority: int = 0

    def __post_init__(self) -> None:
        text(self.title, "the title of a step")
        recorded(self.on_crash, self.verify, self.orphan, self.title or "a step")
        micros(self.grace)
        self.limits()
        self.flow()
        if type(self.critical) is not bool:
            raise ValueRefused(what="critical", why=f"it must be True or False, not {self.critical!r:.60}")
        if self.critical and self.default is not None:
            raise ValueRefused(what="default", why="it is for a step that may fail", hint="add critical=False")
        if not isinstance(self.retry, Retry):
            raise ValueRefused(what="retry", why=f"it must be a dwf.Retry, not {type(self.retry).__name__}")

    def limits(self) -> dict[str, Any]:
        """The time limits as an ActivityCall has them. Raises ValueRefused."""
        return limits(
            self.title or "a step",
            self.start_to_close,
            self.schedule_to_start,
            self.schedule_to_close,
            self.heartbeat_timeout,
            self.cancellation_type,
        )

    def flow(self) -> Flow | None:
        """What it shares with steps of other runs. Raises ValueRefused."""
        return flow_of(self.queue, self.limit, self.key, self.priority)


class Activity(Generic[P, R]):
    """A function whose result is recorded once, and not run again once it is recorded."""

    def __init__(self, function: Callable[P, Any], name: str, options: Options, kind: str = "function") -> None:
        self.function = function
        self.name = text(name, "the name of a step", 200)
        self.kind = kind
        self.settings = options
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        if not in_workflow():
            return self.function(*args, **kwargs)
        call: Any = self._durable(args, kwargs)
        call.__qualname__ = self.name  # what Python names when it was not awaited
        return call

    def options(self, **changes: Any) -> Activity[P, R]:
        """The same activity with other options for this call: `await drain.options(start_to_close="5m")(host)`.

        All that its decorator takes, but for its name; retry=None is the usual policy. Raises ValueRefused, TypeError.
        """
        if changes.get("retry", USUAL) is None:
            changes["retry"] = USUAL
        return Activity(self.function, self.name, replace(self.settings, **changes), self.kind)

    async def _durable(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await current(self.name).activity(self.call(args, kwargs))

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ActivityCall:
        """The call of it with these arguments. Raises TypeError, ValueRefused."""
        if kwargs or not self._arity[0] <= len(args) <= self._arity[1]:
            self._signature.bind(*args, **kwargs)  # raises TypeError here, where the mistake is
        given = {"args": args, "kwargs": kwargs} if kwargs else {"args": args}
        return replace_fields(self._template, input=Payload(self._encoded(given)))

    def _encoded(self, given: dict[str, Any]) -> bytes:
        try:
            return encode(given, f"an argument of {self.name}")
        except ValueRefused:
            beside = taken_out(given)  # what cannot be stored may be a reference to a secret
            if beside is None:
                raise
            return encode(beside, f"an argument of {self.name}")

    def recorded(self, given: Payload, title: str) -> ActivityCall:
        """The call that a history has recorded, with the options as they are declared now."""
        return replace_fields(self._template, input=given, title=title)

    @cached_property
    def _template(self) -> ActivityCall:
        """A call without its input: everything else is the same each time."""
        options = self.settings
        self._check_can_be_ended()
        on_crash, orphan = recorded(options.on_crash, options.verify, options.orphan, self.name)
        return ActivityCall(
            name=self.name,
            kind=self.kind,
            perform=self.perform,
            is_async=self.is_async,
            target=self._target,
            result_type=self._hints.get("return"),
            title=options.title,
            retry=options.retry,
            **options.limits(),
            flow=options.flow(),
            isolate=options.isolate,
            grace_us=micros(options.grace),
            on_crash=on_crash,
            orphan=orphan,
            probe=self._probe(),
            instead=None if options.critical else lambda _: options.default,
        )

    def _probe(self) -> ActivityCall | None:
        verify = self.settings.verify
        if verify is None:
            return None
        plain = verify.function if isinstance(verify, Activity) else verify
        return function_probe(Activity(plain, self.name, Options()).perform, plain, self.name)

    def _check_can_be_ended(self) -> None:
        """Only a process or a coroutine can be ended: a limit that nobody could keep is refused at the call."""
        limits = [name for name in _ENDING if getattr(self.settings, name) is not None]
        isolate = self.settings.isolate
        if self.is_async or not (limits or isolate):
            self._check_outlives(self.settings.orphan)
            return
        if limits and isolate is False:
            raise ValueRefused(
                what=f"{limits[0]} of {self.name}",
                why="a function that runs in dwf's own process cannot be ended",
                hint="leave out isolate=False, or the limit",
            )
        if self._target is None:
            raise ValueRefused(
                what=f"{'isolate' if isolate else limits[0]} of {self.name}",
                why="it needs a process of its own, where a function inside another one cannot be found",
                hint=f"declare it at the top of the script: @dwf.activity({'isolate' if isolate else limits[0]}=...)",
            )

    def _check_outlives(self, orphan: Orphan) -> None:
        if orphan == "adopt":
            raise ValueRefused(
                what=f"orphan='adopt' of {self.name}",
                why="it runs in dwf's own process, and ends with it",
                hint="a function that is not async can have a process of its own: isolate=True",
            )

    def perform(self, given: bytes) -> Any:
        """Run the function with the recorded input; its coroutine if it is async."""
        values = decode(given)
        function: Callable[..., Any] = self.function
        args, kwargs = values["args"], values.get("kwargs")
        if not self._hints:
            return function(*args, **(kwargs or {}))
        if kwargs is None and len(args) <= len(self._positional):
            return function(*(_converted(value, kind) for value, kind in zip(args, self._positional, strict=False)))
        bound = self._signature.bind(*args, **(kwargs or {}))
        for name, value in bound.arguments.items():
            if name in self._hints:
                bound.arguments[name] = self._typed(name, value, self._hints[name])
        return function(*bound.args, **bound.kwargs)

    @cached_property
    def _positional(self) -> list[Any]:
        """The types of the parameters that are given by position, in order."""
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return [self._hints.get(p.name) for p in self._signature.parameters.values() if p.kind in kinds]

    @cached_property
    def _arity(self) -> tuple[int, int]:
        """How few and how many positional arguments fit; a required keyword makes none fit."""
        parameters = self._signature.parameters.values()
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
            return 1, 0
        most = sys.maxsize if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(positional)
        return sum(p.default is p.empty for p in positional), most

    def _typed(self, name: str, value: Any, kind: Any) -> Any:
        shape = self._signature.parameters[name].kind
        if shape is inspect.Parameter.VAR_POSITIONAL:
            return tuple(convert(item, kind) for item in value)
        if shape is inspect.Parameter.VAR_KEYWORD:
            return {key: convert(item, kind) for key, item in value.items()}
        return convert(value, kind)

    @cached_property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    @cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return hints_of(self.function) if hasattr(self.function, "__globals__") else {}

    @cached_property
    def _target(self) -> tuple[str, str] | None:
        name = getattr(self.function, "__qualname__", "<")
        return None if "<" in name or self.kind == "step" else (self.function.__module__, name)


def _converted(value: Any, kind: Any) -> Any:
    return value if kind is None or type(value) is kind else convert(value, kind)


@overload
def activity(function: Callable[P, Awaitable[R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
@overload
def activity(function: Callable[P, R], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
@overload
def activity(
    *,
    name: str | None = None,
    start_to_close: Duration | None = None,
    retry: Retry | None = None,
    isolate: bool | None = None,
    grace: Duration = "5s",
    title: str = "",
    on_crash: OnCrash | None = None,
    verify: Callable[..., Any] | None = None,
    orphan: Orphan = "kill",
    critical: bool = True,
    default: Any = None,
    schedule_to_start: Duration | None = None,
    schedule_to_close: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
    cancellation_type: Cancellation = "wait",
    queue: str = "",
    limit: Limit | None = None,
    key: str = "",
    priority: int = 0,
) -> Callable[[Callable[P, Any]], Activity[P, Any]]: ...
def activity(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    start_to_close: Duration | None = None,
    retry: Retry | None = None,
    isolate: bool | None = None,
    grace: Duration = "5s",
    title: str = "",
    on_crash: OnCrash | None = None,
    verify: Callable[..., Any] | None = None,
    orphan: Orphan = "kill",
    critical: bool = True,
    default: Any = None,
    schedule_to_start: Duration | None = None,
    schedule_to_close: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
    cancellation_type: Cancellation = "wait",
    queue: str = "",
    limit: Limit | None = None,
    key: str = "",
    priority: int = 0,
) -> Any:
    """Declare a step: `@dwf.activity` or `@dwf.activity(start_to_close="30s", retry=dwf.Retry(max_attempts=5))`.

    The options are explained at `Options`. Raises ValueRefused for a duration that makes no sense.
    """
    policy = retry if retry is not None else USUAL
    options = Options(
        start_to_close,
        policy,
        isolate,
        grace,
        title,
        on_crash,
        verify,
        orphan,
        critical,
        default,
        schedule_to_start,
        schedule_to_close,
        heartbeat_timeout,
        cancellation_type,
        queue,
        limit,
        key,
        priority,
    )
    if function is not None:
        return Activity(function, name or _name_of(function), options)
    return lambda f: Activity(f, name or _name_of(f), options)


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        raise ValueRefused(what="a step", why="what it calls has no name of its own", hint="give it one: name=...")
    return name
