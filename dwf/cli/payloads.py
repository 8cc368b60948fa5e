"""Stored values in a few words: what was passed, what came back. For people; never parsed again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dwf.core.duration import spoken
from dwf.core.events import NOTHING, Payload
from dwf.core.values import as_blob, decode
from dwf.errors import DwfError

SHORT = 60


def brief(raw: Payload, limit: int = SHORT) -> str:
    """A payload as JSON, cut; one that lies in a file by its size and its beginning."""
    reference = as_blob(raw)
    if reference is not None:
        return f"({reference.size:,} bytes) {_cut(reference.preview, limit)}"
    return _cut(bytes(raw).decode("ascii", "backslashreplace"), limit)


def spaced(raw: Payload, limit: int = SHORT) -> str:
    """A payload as JSON that can be broken at its blanks, cut."""
    return _cut(_json(_value(raw)), limit)


def plain_value(raw: Payload) -> Any:
    """A payload for JSON output: the value, or the reference of one that lies in a file."""
    return decode(raw)


def call(name: str, raw: Payload, limit: int = 0) -> str:
    """`rotate(host="web1", days=30)`: a workflow and its input."""
    value = _value(raw)
    if not isinstance(value, dict):
        words = [] if value is None else [brief(raw)]
    else:
        words = [f"{key}={_json(item)}" for key, item in value.items()]
    text = f"{name}({', '.join(words)})"
    return _cut(text, limit) if limit else text


def arguments(raw: Payload, limit: int = SHORT) -> str:
    """What a step was called with: `"web1", port=80`, or the words of a command."""
    value = _value(raw)
    if not isinstance(value, dict):
        return ""
    if "argv" in value:
        return _cut(" ".join(map(str, value["argv"])), limit)
    words = [_json(item) for item in value.get("args", [])]
    words += [f"{key}={_json(item)}" for key, item in value.get("kwargs", {}).items()]
    return _cut(", ".join(words), limit)


def result(raw: Payload, kind: str = "", limit: int = SHORT) -> str:
    """` -> 28`; a shell step by its exit code and the beginning of its output; nothing for nothing."""
    if kind == "shell":
        value = _value(raw)
        if isinstance(value, dict) and "code" in value:
            out = str(value.get("out", "")).strip().split("\n")[0]
            return f" -> exit {value['code']}" + (f"  {_cut(out, limit)}" if out else "")
    return "" if bytes(raw) == bytes(NOTHING) else f" -> {brief(raw, limit)}"


def _value(raw: Payload) -> Any:
    try:
        return None if as_blob(raw) is not None else decode(raw)
    except DwfError:
        return None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def options(changed: Mapping[str, int]) -> str:
    """What was set of a step: `timeout 2h, max_attempts 7`."""
    said = {name: str(value) if name == "max_attempts" else spoken(value) for name, value in changed.items()}
    return ", ".join(f"{name} {said[name] if value else 'none'}" for name, value in changed.items())


def came(heartbeat: Payload) -> str:
    """How far an attempt came, as its last heartbeat told."""
    return "" if bytes(heartbeat) == bytes(NOTHING) else f"  at {brief(heartbeat)}"
