"""Bytes as they should not be: random damage to real ones, and records whose hash fits and whose content does not."""

from __future__ import annotations

import json
import random
from typing import Any

from dwf.store import record

_ODD = (b"\0", b"\n", b"\r\n", b"\xef\xbb\xbf", b"{", b"[" * 2000, b'"', b"}\n", b"\xff", b"\\ud800", b"1e999", b"null")
_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 2**64, -(2**70), 1.5, 1e308, "", "x", "\0", "\x1b[2J", "é", "9" * 400,
    "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z", [], [[]], [1, 2, 3], {}, {"$blob": 1},
    {"$blob": {"sha256": "00", "size": 1, "preview": ""}}, [None] * 50,
)  # fmt: skip


def damaged(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """One to three wounds."""
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        data = chance.choice(_WOUNDS)(data, others, chance)
    return data


def _flip(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    if not data:
        return data
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _cut_out(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    start, end = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
    return data[:start] + data[end:]


def _cut_off(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    return data[: chance.randint(0, len(data))]


def _put_in(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    at = chance.randint(0, len(data))
    new = chance.choice([chance.choice(_ODD), chance.randbytes(chance.randint(1, 30)), data[: chance.randint(0, 200)]])
    return data[:at] + new + data[at:]


def _write_over(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    at, size = chance.randint(0, len(data)), chance.randint(1, 600)
    return data[:at] + chance.choice([bytes(size), chance.randbytes(size)]) + data[at + size :]


def _mix_lines(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    at = chance.randrange(len(lines))
    how = chance.choice(["twice", "swap", "gone", "stranger"])
    if how == "stranger":
        lines.insert(at, chance.choice(chance.choice(others).splitlines(keepends=True) or [b""]))
    elif how == "swap":
        other = chance.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at : at + 1] = lines[at : at + 1] * 2 if how == "twice" else []
    return b"".join(lines)


_WOUNDS = (_flip, _cut_out, _cut_off, _put_in, _write_over, _mix_lines)


def forged(data: bytes, chance: random.Random) -> bytes:
    """A history with other values in some of its records, and a chain that fits them."""
    lines = [json.loads(line) for line in data.splitlines()]
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(lines))
        how = chance.choice(["value", "value", "value", "field gone", "record gone", "record twice", "type"])
        if how == "record gone" and at:
            del lines[at]
        elif how == "record twice":
            lines.insert(at, dict(lines[at]))
        elif how == "type":
            lines[at]["type"] = chance.choice(lines).get("type", "Nothing")
        else:
            fields = [name for name in lines[at] if name not in ("id", "hash", "run", "nonce")]
            name = chance.choice(fields)
            lines[at].pop(name)
            if how == "value":
                lines[at][name] = chance.choice(_VALUES)
    return chained(lines)


def chained(lines: list[dict[str, Any]]) -> bytes:
    """Records as a history whose numbers and hashes are in order."""
    before = record.seed(str(lines[0].get("run", "")), str(lines[0].get("nonce", "")))
    out = []
    for number, line in enumerate(lines, 1):
        kept = {name: value for name, value in line.items() if name not in ("id", "ts", "type", "hash")}
        body = {"id": number, "ts": line.get("ts", ""), "type": line.get("type", ""), **kept}
        raw = json.dumps(body, separators=(",", ":")).encode()[:-1]
        before = record.hash_line(before, raw)
        out.append(raw + b',"hash":"' + before + b'"}\n')
    return b"".join(out)


def message(data: bytes, chance: random.Random) -> bytes:
    """A message with another value in one of its fields."""
    fields = json.loads(data)
    fields[chance.choice([*fields, "extra"])] = chance.choice(_VALUES)
    return json.dumps(fields).encode()
