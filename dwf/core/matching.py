"""Matching: is the command that the script asks for the one that the history recorded, and how the two are told."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from operator import attrgetter
from types import FrameType
from typing import Any

from dwf.core.events import ApprovalRequested, Opening, Payload
from dwf.core.outcome import place
from dwf.core.parts import NOTHING
from dwf.core.values import as_blob, same


def matches(record: Opening, asked: Opening) -> bool:
    """Whether type and all matched fields are equal. Options (time limits, retries) may differ."""
    kind = type(asked)
    if type(record) is not kind:
        return False
    if kind.matched and _matched_of(kind)(record) == _matched_of(kind)(asked):
        return True
    for name in record.matched:
        left, right = getattr(record, name), getattr(asked, name)
        if left != right and not (isinstance(left, Payload) and _same_payload(left, right)):
            return False
    return True


@functools.cache
def _matched_of(kind: type[Opening]) -> Callable[[Opening], object]:
    return attrgetter(*kind.matched)


def _same_payload(record: Payload, asked: Payload) -> bool:
    reference = as_blob(record)
    if reference is not None:
        return hashlib.sha256(bytes(asked)).hexdigest() == reference.sha256
    return same(record, asked)


def described(opening: Opening) -> str:
    """A command in few words, for the two sides of a divergence: `ActivityScheduled drain function {...}`."""
    words = [type(opening).__name__]
    if isinstance(opening, ApprovalRequested):
        words += _question(opening)
    else:
        words += [_short(_said(getattr(opening, name))) for name in opening.matched]
    return " ".join(words) + f" (command {opening.command})"


def _question(asked: ApprovalRequested) -> Iterator[str]:
    """What its fingerprint covers, as it is read; the fingerprint itself only where that is too long to be told."""
    parts = [f'"{asked.prompt}"']
    parts += [f"by={','.join(asked.by)}"] if asked.by else []
    parts += [f"need={asked.need}"] if asked.need != 1 else []
    parts += [f"show={_said(asked.show)}"] if bytes(asked.show) != bytes(NOTHING) else []
    yield from map(_short, parts)
    if any(_short(part) != part for part in parts):
        yield asked.fingerprint[:7]


def _said(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={_said(one)}" for name, one in value.items())
    return bytes(value).decode("ascii", "replace") if isinstance(value, Payload) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"


def waiting_lines(task: Any, is_script: Callable[[str], bool]) -> list[str]:
    """The script's lines on which a task waits, outermost first: each as `file.py:12 in name`."""
    frames = [frame for frame in frames_of(task) if is_script(frame.f_code.co_filename)]
    return [f"{place(frame.f_code.co_filename, frame.f_lineno)} in {frame.f_code.co_name}" for frame in frames]


def frames_of(task: Any) -> Iterator[FrameType]:
    """The frames of the coroutines that a task is made of, the outermost first."""
    awaited = task.get_coro()
    while awaited is not None:
        found = (getattr(awaited, name, None) for name in ("cr_frame", "gi_frame", "ag_frame"))
        frame = next(filter(None, found), None)
        if frame is not None:
            yield frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
