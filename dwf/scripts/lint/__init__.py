"""Reading a runbook for mistakes, without running it: what workflow code reaches for, and what will not come out right.

Only what is workflow code is looked at: workflows, the functions that they call or hand over, also in the local modules
of the script; never what is inside a step. What may not be reached for is the guard's list (core/guard.py), so that the
two say the same. Only syntax trees in here: no file is opened, and nothing of the script is run.
"""

from __future__ import annotations

from dwf.scripts.collect import Sources
from dwf.scripts.lint.book import Book
from dwf.scripts.lint.ignores import is_ignored
from dwf.scripts.lint.never import never_awaited
from dwf.scripts.lint.objects import objects
from dwf.scripts.lint.order import set_order
from dwf.scripts.lint.outside import outside
from dwf.scripts.lint.rules import RULES as RULES
from dwf.scripts.lint.rules import Finding as Finding
from dwf.scripts.lint.shared import shared_state
from dwf.scripts.lint.storable import storable
from dwf.scripts.lint.waits import waits

_READERS = (outside, objects, set_order, never_awaited, waits, shared_state)


def findings(sources: Sources) -> list[Finding]:
    """What is wrong in a script and its local modules, by place."""
    book = Book(sources)
    found = {finding for function in book.workflow_code() for read in _READERS for finding in read(function, book)}
    found |= set(storable(book))
    told = [one for one in found if not is_ignored(sources.files[one.file], one)]
    return sorted(told, key=lambda one: (one.file != sources.main, one.file, one.line, one.column, one.code))


def has_workflow(sources: Sources) -> bool:
    """Whether a script, or a local module that it imports, declares a workflow."""
    return any(function.kind == "workflow" for function in Book(sources).functions.values())
