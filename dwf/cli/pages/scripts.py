"""`dwf start SCRIPT --help`: the workflows of a script, their typed parameters, and how to start them."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dwf.authoring.shapes import Field, Shape, shapes, type_name, typed_default
from dwf.cli.screen import Line
from dwf.cli.table import Column, table
from dwf.core.values import encode
from dwf.errors import DwfError

if TYPE_CHECKING:
    from dwf.authoring.parameters import Parameter
    from dwf.authoring.workflow import Workflow

_COLUMNS = (Column(""), Column(""), Column(""))


def script_lines(script: str, workflows: Sequence[Workflow], verb: str) -> Iterator[Line]:
    """All workflows, with a command line to copy for each."""
    path = script.rpartition(":")[0] if script.endswith(tuple(f":{w.name}" for w in workflows)) else script
    for i, workflow in enumerate(workflows):
        if i:
            yield []
        name = f"{path}:{workflow.name}" if len(workflows) > 1 or path != script else path
        yield [(workflow.name, "bold")]
        yield from ([f"  {line}".rstrip()] for line in doc_of(workflow).splitlines())
        yield []
        if workflow.parameters:
            rows = [[f"  {p.name}", p.type_name, _default(p)] for p in workflow.parameters]
            yield from table(_COLUMNS, rows, head=False)
        else:
            yield ["  no parameters"]
        yield []
        yield from _shape_lines(shapes(p.type for p in workflow.parameters))
        needed = " ".join(f"{p.name}=..." for p in workflow.parameters if p.required)
        yield ["  ", f"dwf {verb} {shlex.quote(name)} {needed}".rstrip()]


def script_document(script: str, workflows: Sequence[Workflow]) -> dict[str, Any]:
    """The same for programs."""
    found = [
        {
            "name": workflow.name,
            "doc": doc_of(workflow),
            "parameters": [
                {
                    "name": p.name,
                    "type": p.type_name,
                    "required": p.required,
                    "default": None if p.required else _text(p.default),
                }
                for p in workflow.parameters
            ],
            "types": [_shape_document(shape) for shape in shapes(p.type for p in workflow.parameters)],
        }
        for workflow in workflows
    ]
    return {"schema": "dwf.script/1", "script": script, "workflows": found}


def _shape_lines(found: Sequence[Shape]) -> Iterator[Line]:
    """What a type of the script's own takes: an enum's values, the fields of an object."""
    for shape in found:
        if shape.values:
            yield [f"  {shape.name}: {' | '.join(map(_text, shape.values))}"]
        else:
            yield [f"  {shape.name}: a JSON object"]
            rows = [[f"    {f.name}", type_name(f.type), _default(f)] for f in shape.fields]
            yield from table(_COLUMNS, rows, head=False)
        yield []


def _shape_document(shape: Shape) -> dict[str, Any]:
    if shape.values:
        return {"name": shape.name, "values": list(shape.values)}
    fields = [{"name": f.name, "type": type_name(f.type), "required": f.required} for f in shape.fields]
    return {"name": shape.name, "fields": fields}


def doc_of(workflow: Workflow) -> str:
    """The workflow's docstring, or its module's."""
    own = inspect.getdoc(workflow.function) or workflow.function.__globals__.get("__doc__") or ""
    return inspect.cleandoc(own)


def _default(parameter: Parameter | Field) -> str:
    if parameter.default is inspect.Parameter.empty:
        return "required" if parameter.required else "may be left out"
    return f"default {_text(typed_default(parameter.default))}"


def _text(value: Any) -> str:
    """A default as it would be typed."""
    if value is True or value is False:
        return "yes" if value else "no"
    try:
        text = encode(value).decode("ascii")
    except DwfError:
        return repr(value)
    return text.strip('"') if isinstance(value, str) and value else text
