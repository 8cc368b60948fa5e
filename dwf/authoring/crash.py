"""What follows an attempt whose end nobody saw: it is made again, a probe is asked, or a person.

dwf, its tick or the machine may die while a step runs. Whether it took effect is then unknown. Only who wrote the
runbook knows whether to do it twice is harmless, and says so where the step is declared. Nothing is decided in here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dwf.core.duration import SECOND
from dwf.core.events import Payload
from dwf.core.runtime import ActivityCall
from dwf.core.values import encode, text
from dwf.errors import ValueRefused

OnCrash = Literal["retry", "verify", "ask"]
Orphan = Literal["kill", "wait", "adopt"]
_PROBE_US = 60 * SECOND


@dataclass(frozen=True, slots=True)
class Done:
    """A probe's answer: the step has taken effect, and this is its result."""

    result: Any = None


def recorded(on_crash: OnCrash | None, verify: object, orphan: Orphan, what: str) -> tuple[str, str]:
    """Both choices as they are recorded; the usual ones are empty. Raises ValueRefused."""
    if on_crash is None:
        on_crash = "verify" if verify is not None else "retry"
    if on_crash not in ("retry", "verify", "ask"):
        raise ValueRefused(what=f"on_crash of {what}", why=f"{on_crash!r} is not retry, verify or ask")
    if orphan not in ("kill", "wait", "adopt"):
        raise ValueRefused(what=f"orphan of {what}", why=f"{orphan!r} is not kill, wait or adopt")
    if (on_crash == "verify") != (verify is not None):
        raise ValueRefused(
            what=f"on_crash={on_crash!r} of {what}",
            why="a probe is asked with verify, and verify needs a probe",
            hint="verify=probe alone is enough",
        )
    return "" if on_crash == "retry" else on_crash, "" if orphan == "kill" else orphan


def function_probe(perform: Callable[[bytes], Any], verify: Callable[..., Any], name: str) -> ActivityCall:
    """The call that asks a function. `perform`: calls it with the step's recorded input."""

    def ask(given: bytes) -> dict[str, Any]:
        return _answer(perform(given), name)

    async def ask_and_wait(given: bytes) -> dict[str, Any]:
        return _answer(await perform(given), name)

    is_async = inspect.iscoroutinefunction(verify)
    return ActivityCall(
        name=f"{name} (probe)", kind="function", perform=ask_and_wait if is_async else ask, is_async=is_async
    )


def _answer(answer: Any, name: str) -> dict[str, Any]:
    if isinstance(answer, Done):
        return {"done": True, "result": answer.result}
    if isinstance(answer, bool):
        return {"done": answer}
    raise ValueRefused(
        what=f"the probe of {name}", why=f"it must say True, False or dwf.Done(result), not {answer!r:.60}"
    )


def shell_probe(verify: str | Sequence[object], given: Mapping[str, Any], name: str) -> ActivityCall:
    """The call that asks a command: exit code 0, it is done; 1, it is not; anything else, it cannot tell.

    verify: a text for /bin/sh, which has the step's words as "$1", "$2", ..., or program and arguments. It runs where
    the step runs: same directory, environment and umask.
    """
    spec = {key: given[key] for key in ("cwd", "env", "umask", "remote") if key in given}
    if isinstance(verify, str):
        spec |= {"script": text(verify, f"verify of {name}", 100_000), "argv": list(given["argv"])}
    else:
        spec |= {"argv": [str(word) for word in verify]}
    if not (spec.get("script") or "").strip() and not spec["argv"]:
        raise ValueRefused(what=f"verify of {name}", why="there is no command")
    spec["ok_codes"] = [0, 1]
    return ActivityCall(
        name=f"{name} (probe)", kind="shell", input=Payload(encode(spec, "a probe")), timeout_us=_PROBE_US
    )
