"""`dwf __complete KIND PREFIX`: what a shell asks for at a TAB. It must feel instant, so it imports next to nothing.

    runs PREFIX     ids of runs that begin so, read from the directory of histories
    topics PREFIX   topics of `dwf help`

It never fails: a shell has no use for an error in the middle of a command line.
"""

from __future__ import annotations

import os
import sys

_MOST = 200


def answer(words: list[str]) -> int:
    """Print candidates, one a line. Always 0."""
    kind, prefix = (*words, "", "")[:2]
    try:
        found = _topics() if kind == "topics" else _runs() if kind == "runs" else []
        fitting = sorted(word for word in found if word.startswith(prefix))[:_MOST]
        sys.stdout.write("".join(f"{word}\n" for word in fitting))
        sys.stdout.flush()
    except Exception:
        return 0
    return 0


def _runs() -> list[str]:
    from dwf.store.layout import Layout, home_path, run_of

    layout = Layout(home_path(os.environ, os.geteuid()))
    names = (run_of(name) for name in os.listdir(layout.runs))  # noqa: PTH208
    return list({name[0] for name in names if name is not None})


def _topics() -> list[str]:
    here = os.path.join(os.path.dirname(__file__), "topics")  # noqa: PTH118, PTH120
    return ["exit-codes", *(name[:-3] for name in os.listdir(here) if name.endswith(".md"))]  # noqa: PTH208
