"""Keeping: an operator's word on which code new starts of a script take. What comes of it is routing.py's.

On the path of no start: it writes into the log of what was set.
"""

from __future__ import annotations

import os

from msgspec.structs import replace

from dwf.core.duration import stamp
from dwf.core.events import Identity
from dwf.engine.audit import Setting, note_setting
from dwf.engine.owners import require_own
from dwf.engine.routing import HUNDRED, NOBODY, PINNED, kept_sources, named, split_name
from dwf.errors import NotFound, UsageError
from dwf.scripts.collect import collect
from dwf.scripts.load import load
from dwf.store.room import Store
from dwf.store.routes import Route


def keep(store: Store, script: str, code: str, ramp: int, by: Identity, reason: str, now_us: int) -> Route:
    """From now on new starts of a script take stored code, but `ramp` of 100, which take the file.

    code: the beginning of a hash; pinned is what the file holds now, which is stored; "" is what is kept already, whose
    ramp is to be another. Durable when this returns. Raises UsageError (2), NotFound (4), NotPermitted (77), DiskError,
    and for the file what `collect` and `load` raise.
    """
    path, name = split_name(script)
    if name is not None:
        raise UsageError(what=f"a route is for all workflows of {path}", hint=f"leave :{name} out")
    if not 0 <= ramp < HUNDRED:
        raise UsageError(what=f"--ramp {ramp} is not from 0 to 99", hint=f"all of them: dwf routes unset {path}")
    route = _wanted(store, path, code)
    # What cannot be loaded would be found by the next start, at night.
    bundle = kept_sources(store, route)
    load(bundle.files, bundle.main, route.code, bundle.origin)
    route = replace(route, ramp=ramp, at=stamp(now_us), by=by, reason=reason)
    _note(store, route.script, f"{route.code[:12]}, {ramp} of 100 take the file" if ramp else route.code[:12], route)
    store.routes.put(route)
    return route


def unset(store: Store, script: str, by: Identity, reason: str, now_us: int) -> str:
    """From now on new starts of a script take its file; its absolute path. Raises NotFound (4), NotPermitted (77)."""
    path = os.path.abspath(split_name(script)[0])  # noqa: PTH100
    none = NotFound(what=f"no route is set for {path}", hint="dwf routes shows those that are")
    if store.routes.of(path) is None:
        raise none
    _note(store, path, "the file", Route(script=path, code="", at=stamp(now_us), by=by, reason=reason))
    try:
        store.routes.drop(path)
    except FileNotFoundError:
        raise none from None
    return path


def _wanted(store: Store, path: str, code: str) -> Route:
    if code == PINNED:
        sources = collect(path)
        require_own(sources)
        content = store.code.save(dict(sources.files), sources.main)
        script, by = f"{sources.origin}/{sources.main}", NOBODY
        return Route(script=script, code=content, owner=sources.owner, permissions=sources.permissions, at="", by=by)
    if code:
        return named(store, path, code)
    kept = store.routes.of(os.path.abspath(path))  # noqa: PTH100
    if kept is None:
        raise UsageError(
            what=f"no code is kept for {path} yet", hint="--code CODE (dwf versions lists them), or --code pinned"
        )
    return kept


def _note(store: Store, script: str, value: str, route: Route) -> None:
    setting = Setting(act="routes", at=route.at, name=script, value=value, reason=route.reason, by=route.by)
    note_setting(store, setting)
