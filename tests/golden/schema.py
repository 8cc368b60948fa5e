"""What a history of today's format is made of, as data: every event and part with its fields, and what they mean.

    python -m tests.golden.schema     write it down anew: after something was added

Adding is allowed: an event, a field that has a default. Anything else (a field that is gone, that has another type or
another default, a role that changed, a field that replay compares now and did not) changes what stored histories mean,
and takes a new FORMAT, with a description and golden histories of its own beside these.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from dwf.core.events import EVENT_TYPES, FORMAT, Opening
from dwf.core.parts import Part

HERE = Path(__file__).parent
Schema = dict[str, dict[str, Any]]
_REQUIRED = ", required"


def file_of(number: int) -> Path:
    """Where the schema of a format is kept."""
    return HERE / f"format-{number}" / "schema.json"


def described() -> Schema:
    """The events and parts that there are now."""
    kinds: dict[str, type[Any]] = {**EVENT_TYPES, **{part.__name__: part for part in _parts()}}
    return {name: _described(kind) for name, kind in sorted(kinds.items())}


def _parts() -> Iterator[type[Any]]:
    """What events are made of: the records that are no events themselves."""
    todo: list[type[Any]] = [Part]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if kind is not Part and not hasattr(kind, "role") and kind.__module__.startswith("dwf.core.parts"):
            yield kind


def _described(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    fields = {
        field.encode_name: _type(hints[field.name]) + (_REQUIRED if field.required else f" = {_default(field)}")
        for field in msgspec.structs.fields(kind)
    }
    told: dict[str, Any] = {"fields": fields}
    if hasattr(kind, "role"):
        told["role"] = kind.role.value
    if issubclass(kind, Opening):
        told["matched"] = list(kind.matched)
    return told


def _type(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)


def _default(field: Any) -> str:
    value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    return repr(bytes(value)) if isinstance(value, msgspec.Raw) else repr(value)


def broken(stored: Schema, now: Schema) -> list[str]:
    """What of a stored description does not hold any more, in words."""
    found = []
    for name, kind in stored.items():
        if name not in now:
            found.append(f"{name} is gone")
            continue
        for what in ("role", "matched"):
            if kind.get(what) != now[name].get(what):
                found.append(f"{name}: {what} was {kind.get(what)}, and is {now[name].get(what)}")
        fields = now[name]["fields"]
        for field, was in kind["fields"].items():
            if fields.get(field) != was:
                found.append(f"{name}.{field} was {was}, and is {fields.get(field, 'gone')}")
        found += [
            f"{name}.{field} is new, and has no default"
            for field, one in fields.items()
            if field not in kind["fields"] and one.endswith(_REQUIRED)
        ]
    return found


def added(stored: Schema, now: Schema) -> list[str]:
    """What is there now and is not described."""
    return [name for name in now if name not in stored] + [
        f"{name}.{field}"
        for name, kind in now.items()
        if name in stored
        for field in kind["fields"]
        if field not in stored[name]["fields"]
    ]


def main() -> None:
    """Refuses to write down what would change the meaning of stored histories."""
    file, now = file_of(FORMAT), described()
    if file.exists() and (lost := broken(json.loads(file.read_text()), now)):
        raise SystemExit("that needs a new FORMAT:\n" + "\n".join(lost))
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(now, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
