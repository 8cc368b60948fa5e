"""`dwf __complete KIND PREFIX`: what a shell asks for at a TAB. It must feel instant, so it imports next to nothing.

    runs PREFIX     ids of runs that begin so: from the index, for there may be a million; without one, from the
                    names of the histories, as many as can be read while somebody holds the key down
    topics PREFIX   topics of `dwf help`

It never fails: a shell has no use for an error in the middle of a command line.
"""

from __future__ import annotations

import os
import sys

_MOST = 200
_LISTED = 50_000


def answer(words: list[str]) -> int:
    """Print candidates, one a line. Always 0."""
    kind, prefix = (*words, "", "")[:2]
    try:
        found = _topics() if kind == "topics" else _runs(prefix) if kind == "runs" else []
        fitting = sorted(word for word in found if word.startswith(prefix))[:_MOST]
        sys.stdout.write("".join(f"{word}\n" for word in fitting))
        sys.stdout.flush()
    except Exception:
        return 0
    return 0


def _runs(prefix: str) -> list[str]:
    from dwf.store.files import Disk
    from dwf.store.index import Index
    from dwf.store.layout import Layout, home_path

    layout = Layout(home_path(os.environ, os.geteuid()))
    found = Index(Disk(), layout).ids(prefix, _MOST)
    return _listed(layout.runs, prefix) if found is None else found


def _listed(runs: str, prefix: str) -> list[str]:
    from dwf.store.layout import run_of

    found = []
    with os.scandir(runs) as entries:
        for number, entry in enumerate(entries):
            if number >= _LISTED:
                break
            known = run_of(entry.name) if entry.name.startswith(prefix) else None
            found += [known[0]] if known is not None else []
    return list(set(found))


def _topics() -> list[str]:
    here = os.path.join(os.path.dirname(__file__), "topics")  # noqa: PTH118, PTH120
    return ["exit-codes", *(name[:-3] for name in os.listdir(here) if name.endswith(".md"))]  # noqa: PTH208
