"""Inventory: which hosts there are, read from a file or a command in a step, and chosen from.

What was read is recorded as it was, so that who was meant a year ago can still be seen. The rest is pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Any

import msgspec

from dwf.authoring.shell import sh
from dwf.core.retry import Duration
from dwf.errors import Failure, ValueRefused

_MOST_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\Z")


class Host(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One host. address: what ssh is given in place of the name, such as `admin@10.0.0.7`. facts: what else is said."""

    name: str
    address: str = ""
    tags: tuple[str, ...] = ()
    facts: dict[str, str] = {}

    def __str__(self) -> str:
        return self.name


async def inventory(
    file: str | PurePath | None = None,
    *,
    command: Sequence[object] = (),
    tags: str | Iterable[str] = (),
    exclude: str | Iterable[str] = (),
    timeout: Duration = "1m",
) -> list[Host]:
    """The hosts that a file or the output of a command names, in that order, once each. Read in a step.

    A line is a name, then tags, then key=value; `address=` is what ssh is given instead of the name; # begins a remark.
    Or JSON: a list of names, or of objects with name, address, tags and other facts.
    tags: a host must have all of them; "!old" is one that it must not have. exclude: names, or patterns such as `web*`;
    each must fit some host. timeout: of the command.
    Raises Failure if a line cannot be read or an exclude fits nothing; ActivityError if there is no such file, or the
    command fails.
    """
    if (file is None) == (not command):
        raise ValueRefused(what="dwf.inventory()", why="it is either a file or command=(...)")
    if file is not None and not PurePath(file).is_absolute():
        hint = "a tick runs anywhere: say where it is"
        raise ValueRefused(what=f"the inventory {str(file)!r}", why="it is no absolute path", hint=hint)
    source = str(file or command[0])
    words = ("cat", "--", source) if file is not None else command
    read = await sh(*words, timeout=timeout, max_output=_MOST_BYTES, title=f"read the inventory {source}")
    if read.truncated:
        raise Failure(f"the inventory {source} has more than {_MOST_BYTES // 1024} KiB")
    hosts = parsed(read.out, source)
    return chosen(hosts, _words(tags), _words(exclude), source)


def parsed(text: str, source: str) -> list[Host]:
    """The hosts in a text. Raises Failure with the line."""
    found = _of_json(text, source) if text.lstrip()[:1] in ("[", "{") else _of_lines(text, source)
    known: dict[str, Host] = {}
    for where, host in found:
        if not _NAME.match(host.name) or len(host.name) > 253:
            raise Failure(f"{where}: {host.name!r:.80} is no name of a host")
        if host.address.startswith("-") or any(char.isspace() for char in host.address):
            raise Failure(f"{where}: {host.address!r:.80} is no address")
        if host.name in known:
            raise Failure(f"{where}: {host.name} is named twice")
        known[host.name] = host
    return list(known.values())


def _of_lines(text: str, source: str) -> Iterable[tuple[str, Host]]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        facts = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        tags = tuple(word for word in words[1:] if "=" not in word)
        address = facts.pop("address", "")
        yield f"{source}:{number}", Host(name=words[0], address=address, tags=tags, facts=facts)


def _of_json(text: str, source: str) -> Iterable[tuple[str, Host]]:
    try:
        items = json.loads(text)
    except ValueError as error:
        raise Failure(f"{source}: it begins as JSON, and is none: {error}") from None
    if not isinstance(items, list):
        raise Failure(f"{source}: it is JSON, and no list of hosts")
    for number, item in enumerate(items, 1):
        yield f"{source}, host {number}", _of_item(item, f"{source}, host {number}")


def _of_item(item: Any, where: str) -> Host:
    if isinstance(item, str):
        return Host(name=item)
    if not isinstance(item, Mapping) or not isinstance(item.get("name"), str):
        raise Failure(f"{where}: it is neither a name nor an object with a name")
    tags = item.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise Failure(f"{where}: its tags are no list of words")
    facts = {key: _plain(value) for key, value in item.items() if key not in ("name", "tags", "address")}
    return Host(name=item["name"], address=_plain(item.get("address", "")), tags=tuple(tags), facts=facts)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def chosen(hosts: list[Host], tags: Sequence[str], exclude: Sequence[str], source: str) -> list[Host]:
    """Those with all tags, without those that are excluded. Raises Failure for a tag or exclude that fits nothing."""
    for pattern in exclude:
        if not any(fnmatchcase(host.name, pattern) for host in hosts):
            raise Failure(f"{source}: exclude {pattern!r} fits no host: a typing mistake here would be a host too many")
    known = {tag for host in hosts for tag in host.tags}
    for tag in tags:
        if tag.removeprefix("!") not in known:
            raise Failure(f"{source}: no host has the tag {tag.removeprefix('!')!r}")
    return [
        host
        for host in hosts
        if all((tag[1:] not in host.tags) if tag.startswith("!") else (tag in host.tags) for tag in tags)
        and not any(fnmatchcase(host.name, pattern) for pattern in exclude)
    ]


def _words(given: str | Iterable[str]) -> list[str]:
    """Words, one by one or with commas between them."""
    several = given.split(",") if isinstance(given, str) else given
    return [word.strip() for word in several if word.strip()]
