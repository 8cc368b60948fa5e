"""Take a history into the golden ones, with its script, and with what it comes to.

    python -m tests.golden.take NAME HISTORY SCRIPT

Names of places and machines are replaced, so the chain of hashes is made anew; nothing else is changed. What is there
is never taken anew: a golden history is what some dwf once wrote. Without arguments, only new summaries are added.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from dwf.core.duration import unstamp
from dwf.core.events import FORMAT
from dwf.engine.runs import folded
from dwf.store import record
from dwf.store.history import read_history
from tests.golden.schema import HERE
from tests.golden.summary import summary

PLACE = HERE / f"format-{FORMAT}"
SUMMARIES = "summaries.json"
SCRIPT = "book.script"
_BOOK = re.compile(r"""/[^"'\s:]*/book\.py""")
_PLACE = re.compile(r"""/(?:tmp|home|root|var/folders)/[^"'\s,;:)]*""")
_HOST = re.compile(r'"host":"[^"]*","pid"')


def anonymous(text: str) -> str:
    """The same without names of directories and machines."""
    text = _PLACE.sub("/srv/place", _BOOK.sub("/srv/runbooks/book.py", text))
    return _HOST.sub('"host":"bastion","pid"', text)


def take(name: str, history: Path, script: Path) -> None:
    """Raises FileExistsError if there is one of that name."""
    lines = anonymous(history.read_text(encoding="ascii"))
    events = record.decode_lines(lines.encode())
    chain = record.Chain.begin(events[0].run, events[0].nonce)  # type: ignore[attr-defined]
    made = b"".join(chain.append(event, unstamp(event.ts))[1] for event in events)
    (PLACE / name).mkdir()
    (PLACE / name / history.name).write_bytes(made)  # a history is of the run whose name its file has
    (PLACE / name / SCRIPT).write_text(anonymous(script.read_text()))


def sum_up() -> None:
    """Add what the new ones come to."""
    file = PLACE / SUMMARIES
    known = json.loads(file.read_text()) if file.exists() else {}
    for path in sorted(PLACE.glob("*/*.jsonl")):
        known.setdefault(path.parent.name, summary(folded(read_history(str(path)).events, str(path))))
    file.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="ascii")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        take(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    sum_up()
