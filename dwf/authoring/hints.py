"""Annotations of runbook functions, resolved: the only source of types for stored values."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

from dwf.errors import ValueRefused


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Parameter and result types by name. Raises ValueRefused for an annotation that means nothing here."""
    names = getattr(function, "__globals__", {})
    # The guard puts stand-ins for clocks into a runbook's namespace; annotations mean the originals.
    real = {**names, **names.get("__dwf_real__", {})}
    try:
        return typing.get_type_hints(function, globalns=real, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise ValueRefused(
            what=f"an annotation of {getattr(function, '__qualname__', function)}",
            why=str(error),
            hint="import the type at the top of the script, not under TYPE_CHECKING",
        ) from None


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The parameters as written."""
    return inspect.signature(function)
