"""Flow: how many steps may run at a time, and how many may begin in a while. Data and names; nothing is counted here.

A step may have a limit that it shares with all steps of that name in all runs, a key that only one step at a time may
have, and a queue. Each is a name that slots are given out for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dwf.core.duration import micros, spoken
from dwf.core.events import Flow
from dwf.core.values import text
from dwf.errors import ValueRefused

DEFAULT_QUEUE = "default"
MOST = 10_000
LONGEST_NAME = 100
HIGHEST = 100
_UNITS = {"s": "1s", "sec": "1s", "min": "1m", "m": "1m", "h": "1h", "hour": "1h", "d": "1d", "day": "1d"}
_KEY, _QUEUE = "key:", "queue:"


class Bound(NamedTuple):
    """What counts for a name. at_once: how many may run; rate: how many may begin in window_us; 0 is any number."""

    at_once: int = 0
    rate: int = 0
    window_us: int = 0

    def __str__(self) -> str:
        words = [f"{self.rate}/{spoken(self.window_us)}"] if self.rate else []
        words += [f"{self.at_once} at once"] if self.at_once else []
        return ", ".join(words) or "no limit"


@dataclass(frozen=True)
class Limit:
    """What all steps that name it share, in all runs of the state directory: `limit=dwf.Limit("api", rate="30/min")`.

    name: any text. rate: how many of them may begin in any span of that length: "30/min", "5/s", "100/2h"; each attempt
    counts. at_once: how many may run at a time. The numbers should be the same wherever the name is used; an operator's
    (`dwf limits set`) win over them. Raises ValueRefused.
    """

    name: str
    rate: str = ""
    at_once: int = 0

    def __post_init__(self) -> None:
        check_name(self.name, "a limit")
        if type(self.at_once) is not int or not 0 <= self.at_once <= MOST:
            raise _refused(self.name, f"at_once is a number up to {MOST:,}, not {self.at_once!r:.40}")
        if not self.rate and not self.at_once:
            raise _refused(self.name, "it limits nothing: give it rate= or at_once=")
        self.bound()

    def bound(self) -> Bound:
        """Its numbers."""
        return Bound(self.at_once, *(parse_rate(self.rate) if self.rate else (0, 0)))


def parse_rate(rate: str) -> tuple[int, int]:
    """`30/min` as a number and a span in microseconds. Raises ValueRefused."""
    number, slash, span = rate.partition("/") if isinstance(rate, str) else ("", "", "")
    if not slash or not (number.isascii() and number.isdecimal()) or not 1 <= int(number) <= MOST:
        raise ValueRefused(what=f"rate={rate!r:.40}", why='it is not of the form "30/min", "5/s", "100/2h"')
    window_us = micros(_UNITS.get(span, span))
    if not window_us:
        raise ValueRefused(what=f"rate={rate!r:.40}", why="its span is no time")
    return int(number), window_us


def check_name(name: object, what: str) -> str:
    """A name of a limit, key or queue. Raises ValueRefused."""
    if not isinstance(name, str) or not name.strip() or name.startswith((_KEY, _QUEUE)):
        raise ValueRefused(
            what=f"the name of {what}", why=f"it is text, and does not begin with key: or queue:, not {name!r:.40}"
        )
    return text(name, f"the name of {what}", LONGEST_NAME)


def check_priority(priority: object) -> int:
    """Raises ValueRefused."""
    if type(priority) is not int or not -HIGHEST <= priority <= HIGHEST:
        raise ValueRefused(what="priority", why=f"it is a number from -{HIGHEST} to {HIGHEST}, not {priority!r:.40}")
    return priority


def flow_of(queue: str, limit: Limit | None, key: str, priority: int) -> Flow | None:
    """The options of a step as they are recorded; None if it has none of them. Raises ValueRefused."""
    if not (queue or limit is not None or key or priority):
        return None
    if limit is not None and not isinstance(limit, Limit):
        raise ValueRefused(what="limit", why=f"it must be a dwf.Limit, not {type(limit).__name__}")
    bound = Bound() if limit is None else limit.bound()
    return Flow(
        queue=check_name(queue, "a queue") if queue else "",
        limit=limit.name if limit is not None else "",
        at_once=bound.at_once,
        rate=bound.rate,
        window=bound.window_us,
        key=check_name(key, "a key") if key else "",
        priority=check_priority(priority),
    )


def queue_of(flow: Flow | None) -> str:
    return (flow.queue if flow is not None else "") or DEFAULT_QUEUE


def bounds_of(flow: Flow | None) -> dict[str, Bound]:
    """Every name that slots are given out for to a step like this, with the script's own numbers."""
    found = {_QUEUE + queue_of(flow): Bound()}
    if flow is not None and flow.key:
        found[_KEY + flow.key] = Bound(1)
    if flow is not None and flow.limit:
        found[flow.limit] = Bound(flow.at_once, flow.rate, flow.window)
    return found


def _refused(name: str, why: str) -> ValueRefused:
    return ValueRefused(what=f"dwf.Limit({name!r})", why=why)
