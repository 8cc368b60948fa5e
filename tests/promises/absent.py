"""Promises of features that are not there yet. When one comes, its sign is found, and it needs rows like the others."""

from __future__ import annotations

from tests.promises.rows import Absent

ABSENT = (
    Absent("THR-22", "A configuration file of a hostile directory is not used.", "dwf/cli/session.py", "dwf.toml"),
    Absent("THR-24", "The console answers only who has this user's token, and only its own pages.", "dwf/web", ""),
    Absent("BAD-62", "What is removed is closed, asked for, and never half there.", "dwf/cli/catalog.py", '"prune"'),
    Absent("BAD-58, prune", "A run that is locked is not removed.", "dwf/cli/catalog.py", '"prune"'),
)  # fmt: skip
