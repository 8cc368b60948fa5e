"""Routing: which code a new start of a script takes. Its file, what an operator keeps, or what is asked for by name.

A run that follows its file (upgrade="auto") takes what a new start of its id would take: newer.py asks here, too.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256

from msgspec import structs

from dwf.authoring.workflow import Workflow
from dwf.core.events import CodeFrom, CodeUpgraded, Identity, WorkflowStarted
from dwf.engine.owners import require_own, require_owner
from dwf.engine.runs import all_ids
from dwf.engine.runs import load as load_run
from dwf.errors import CodeMissing, DwfError, NotFound, UsageError
from dwf.scripts.collect import Sources, collect, stored
from dwf.scripts.load import Script, load
from dwf.store.code import bundle_hash
from dwf.store.room import Store
from dwf.store.routes import Route

PINNED, LIVE = "pinned", "live"
_LEAST_PREFIX = 4
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_SUFFIX = 5
HUNDRED = 100
NOBODY = Identity(uid=-1)


@dataclass(frozen=True)
class Taken:
    """What a start takes. `run`: the id that decided about it, if it had to be made up for that."""

    sources: Sources
    workflow: Workflow
    origin: CodeFrom
    run: str | None = None


def split_name(script: str) -> tuple[str, str | None]:
    """`path.py:name` as its two parts; a path may hold a colon itself."""
    path, colon, name = script.rpartition(":")
    if colon and name.isidentifier() and not os.path.exists(script):  # noqa: PTH110
        return path, name
    return script, None


def made_up_id(workflow: str) -> str:
    """A run id for a start that names none: the workflow's name and a few random letters."""
    suffix = "".join(secrets.choice(_LETTERS) for _ in range(_SUFFIX))
    stem = "".join(c if c.isascii() and c.isalnum() else "-" for c in workflow).strip("-")[:100]
    return f"{stem or 'run'}-{suffix}"


def takes_file(route: Route, run: str) -> bool:
    """Whether a run is one of those that take the file. An id has one answer; a larger ramp only adds to them."""
    share = int.from_bytes(sha256(f"{route.script}\0{run}".encode("utf-8", "surrogateescape")).digest()[:8], "big")
    return share % HUNDRED < route.ramp


class Offer:
    """What starts of one script may take. The file and what is kept of it are loaded when they are first needed."""

    def __init__(
        self, store: Store | None, script: str, code: str = "", trusted: Collection[int] | None = None
    ) -> None:
        """code: "" for what routes say; pinned or live for the file; else the beginning of the hash of stored code.

        trusted: as in `require_own`. Raises UsageError (2) for a code that is none, NotFound (4), CodeMissing (65).
        """
        self._store, self._trusted = store, trusted
        self._path, self._workflow = split_name(script)
        self._named: Route | None = None
        if code not in ("", PINNED, LIVE):
            self._named = named(store, self._path, code)
        self._route = store.routes.of(os.path.abspath(self._path)) if store is not None and not code else None  # noqa: PTH100
        self._loaded: dict[str, tuple[Sources, Script]] = {}

    def to(self, run: str | None) -> Taken:
        """What a start under that id takes. Raises what `collect` and `load` raise, CodeMissing (65), NotPermitted."""
        if self._named is not None:
            return self._taken(self._named, CodeFrom.NAMED)
        if self._route is None:
            return self._taken(None, CodeFrom.FILE)
        kept = self._taken(self._route, CodeFrom.KEPT, run)
        if not self._route.ramp:
            return kept
        run = run or made_up_id(kept.workflow.name)
        return self._taken(None, CodeFrom.RAMP, run) if takes_file(self._route, run) else replace(kept, run=run)

    @property
    def usual(self) -> Script:
        """What is kept, if there is such, else the file: for who asks what a script is about."""
        return self._script(self._named or self._route)[1]

    def _taken(self, route: Route | None, origin: CodeFrom, run: str | None = None) -> Taken:
        sources, script = self._script(route)
        return Taken(sources, script.workflow(self._workflow), origin, run)

    def _script(self, route: Route | None) -> tuple[Sources, Script]:
        code = "" if route is None else route.code
        if code not in self._loaded:
            sources = self._of_file() if route is None else kept_sources(self._store, route)
            content = bundle_hash(dict(sources.files), sources.main)
            self._loaded[code] = sources, load(sources.files, sources.main, content, sources.origin)
        return self._loaded[code]

    def _of_file(self) -> Sources:
        sources = collect(self._path)
        require_own(sources, self._trusted)
        return sources


def kept_sources(store: Store | None, route: Route) -> Sources:
    """The stored code that a route names, as if it had been collected. Raises CodeMissing, NotPermitted, DiskError."""
    assert store is not None
    require_owner(route.owner, f"the code {route.code[:7]} that is kept for {route.script}")
    try:
        bundle = store.code.load(route.code)
    except CodeMissing as error:
        why = error.facts["why"]
        hint = f"restore code/ from a backup, or let new starts take the file: dwf routes unset {route.script}"
        raise CodeMissing(run=f"starts of {route.script}", why=why, hint=hint) from None
    origin = route.script.rpartition("/")[0]
    return stored(bundle.main, dict(bundle.files), origin, route.owner, route.permissions)


# -- by name ----------------------------------------------------------------------------------------------------


def named(store: Store | None, script: str, code: str) -> Route:
    """Stored code of a script, by the beginning of its hash; a route to it that is set nowhere.

    Raises UsageError (2) for what is no hash, or begins several; NotFound (4) if no run was ever on
    such code; CodeMissing (65) if one was, and it is not stored any more.
    """
    path = os.path.abspath(script)  # noqa: PTH100
    known = f"dwf versions {os.path.basename(path)} lists what there is"  # noqa: PTH119
    if len(code) < _LEAST_PREFIX or not set(code) <= set("0123456789abcdef"):
        raise UsageError(what=f"{code!r:.80} is no code: that is a hash, or its first letters", hint=known)
    found = {} if store is None else store.code.beginning_with(code)
    if len(found) > 1:
        some = ", ".join(sorted(name[: len(code) + 4] for name in found)[:4])
        raise UsageError(what=f"several codes begin with {code}: {some}", hint="give more letters of it")
    for content, main in found.items():
        if main != os.path.basename(path):  # noqa: PTH119
            raise UsageError(what=f"{code} is code of {main}, not of {script}", hint=known)
        assert store is not None
        about = _seen_before(store, path, content)
        if about is not None:
            return about
    if store is not None and not found and any(event.code.startswith(code) for event in _taken_up(store)):
        why = f"runs were on code {code:.7}, and what was stored of it is gone or damaged"
        raise CodeMissing(run=f"starts of {script}", why=why, hint="restore code/ from a backup; dwf doctor says more")
    raise NotFound(what=f"no run of {script} was ever on code {code}", hint=known)


def _seen_before(store: Store, script: str, code: str) -> Route | None:
    """Whose that code was: the route that keeps it knows, or a run that is or was on it."""
    kept = next((route for route in store.routes.all() if route.code == code), None)
    if kept is not None:
        return structs.replace(kept, script=script)
    for event in _taken_up(store):
        if event.code == code:
            return Route(script=script, code=code, owner=event.code_owner, at=event.ts, by=NOBODY)
    return None


def _taken_up(store: Store) -> Iterator[WorkflowStarted | CodeUpgraded]:
    """Each time that a run came onto some code; histories that cannot be read are left out."""
    for run in all_ids(store):
        with suppress(DwfError):
            for event in load_run(store, run).events:
                if isinstance(event, WorkflowStarted | CodeUpgraded):
                    yield event
