"""Random scripts: a plan, which the one script of the simulation carries out, and what must come of it."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from dwf.core import events as ev

Part = list[Any]
STEPS = ("work", "ask", "verify")

SCRIPT = """
import asyncio

import dwf
from tests.faults import outside

PATIENT = dwf.Retry(max_attempts=60, initial=5, jitter="none")


def look(word: str, fails: int):
    return dwf.Done(word.upper()) if outside.is_done(word) else False


@dwf.activity(retry=PATIENT)
def work(word: str, fails: int) -> str:
    return outside.perform(word, fails)


@dwf.activity(retry=PATIENT, on_crash="ask")
def ask(word: str, fails: int) -> str:
    return outside.perform(word, fails)


@dwf.activity(retry=PATIENT, verify=look)
def verify(word: str, fails: int) -> str:
    return outside.perform(word, fails)


STEPS = {"work": work, "ask": ask, "verify": verify}


async def carry_out(part):
    kind, *rest = part
    if kind in STEPS:
        try:
            return await STEPS[kind](*rest)
        except dwf.ActivityError:
            return "failed"
    if kind == "sleep":
        await dwf.sleep(*rest)
    if kind == "signal":
        return await dwf.wait_signal(rest[0])
    if kind == "wait":
        return await dwf.wait_signal(rest[0], timeout=rest[1], default="nobody")
    if kind == "approve":
        try:
            return (await dwf.approve(rest[0])).comment
        except dwf.ApprovalRejected:
            return "no"
    if kind == "say":
        print(rest[0])
        dwf.status(rest[0])
        return dwf.once(lambda: rest[0])
    if kind == "all":
        return list(await asyncio.gather(*map(carry_out, rest[0])))
    return kind


@dwf.workflow
async def main(plan: list, ballast: str = ""):
    return [await carry_out(part) for part in plan]
"""


def plan(chance: random.Random, run: str) -> list[Part]:
    """A few things to do, one after the other or beside each other."""
    numbers = iter(range(1000))
    return [_part(chance, run, numbers, 2) for _ in range(chance.randint(1, 5))]


def _part(chance: random.Random, run: str, numbers: Any, depth: int) -> Part:
    kinds = ["work"] * 5 + ["ask", "verify", "ask", "verify", "sleep", "sleep", "signal", "signal", "wait", "approve"]
    kind = chance.choice([*kinds, "approve", "say", *["all"] * depth])
    if kind in STEPS:
        return [kind, f"{run}.{next(numbers)}", chance.choice([0, 0, 0, 1, 2])]
    if kind == "sleep":
        return [kind, chance.choice([0, 1, 30, 3600, 86_400])]
    if kind in ("signal", "wait"):
        return [kind, chance.choice("ab")] + ([chance.choice([0, 5, 3600])] if kind == "wait" else [])
    if kind in ("approve", "say"):
        return [kind, f"{run} {next(numbers)}?"]
    return [kind, [_part(chance, run, numbers, 0) for _ in range(chance.randint(2, 4))]]


def words(parts: list[Part]) -> dict[str, str]:
    """The steps of a plan: word -> kind."""
    found: dict[str, str] = {}
    for part in parts:
        if part[0] in STEPS:
            found[part[1]] = part[0]
        elif part[0] == "all":
            found |= words(part[1])
    return found


def word_of(scheduled: ev.ActivityScheduled) -> str:
    """Which step of the plan an activity is."""
    given = json.loads(bytes(scheduled.input))
    found = given["word"] if isinstance(given, dict) and "word" in given else next(_texts(given))
    assert isinstance(found, str)
    return found


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def misfits(parts: list[Part], results: list[Any], events: list[ev.Event]) -> list[str]:
    """Where what a run returned is not what its history, the outside and the script say."""
    found = []
    taken: Counter[str] = Counter()
    for part, result in _pairs(parts, results):
        kind = part[0]
        if kind in ("signal", "wait") and result != "nobody":
            taken[json.dumps(result)] += 1
        fits = {"sleep": ["sleep"], "say": part[1:2], "approve": ["fine", "no"], "signal": [result], "wait": [result]}
        if result not in fits.get(kind, [_outcome(part[1], events)] if kind in STEPS else []):
            found.append(f"{part}: {result!r}")
    sent = Counter(bytes(e.payload).decode() for e in events if isinstance(e, ev.SignalReceived))
    if taken - sent:
        found.append(f"signals taken {taken}, sent {sent}")
    return found


def _pairs(parts: list[Part], results: list[Any]) -> Iterator[tuple[Part, Any]]:
    for part, result in zip(parts, results, strict=True):
        if part[0] == "all":
            yield from _pairs(part[1], result)
        else:
            yield part, result


def _outcome(word: str, events: list[ev.Event]) -> Any:
    commands = {e.command for e in events if isinstance(e, ev.ActivityScheduled) and word_of(e) == word}
    closing = [e for e in events if isinstance(e, ev.ActivityCompleted | ev.ActivityFailed) and e.command in commands]
    if len(closing) != 1:
        return f"ended {len(closing)} times"
    (end,) = closing
    return json.loads(bytes(end.result)) if isinstance(end, ev.ActivityCompleted) else "failed"
