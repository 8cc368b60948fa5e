"""Admin: hooks. What is called, what it is told, and what was not told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import session_of
from dwf.cli.session import Session
from dwf.errors import NotFound, WrongState

if TYPE_CHECKING:
    from dwf.engine.hooks import Standing
    from dwf.store.room import Store


def hooks(
    context: Context,
    try_: Annotated[
        str | None, Option("--try", metavar="NAME", help="call one now, with a moment that did not happen")
    ] = None,
    again: Annotated[bool, Option("--again", help="let the next tick tell what was given up")] = False,
) -> int:
    """Show the programs in hooks.d of the state directory: what each is told of, and what failed.

    `dwf help telling` says how to add one. Exit 1 with --try if it failed.
    """
    from dwf.engine.hooks import Hooks, standing

    session = session_of(context)
    if not os.path.lexists(session.home):
        session.screen.say(f"there are none in {session.home}/hooks.d, and nothing was started there yet")
        return Exit.OK
    store = session.store(write=bool(try_ or again))
    if try_ is not None:
        return _try(session, store, try_)
    if again:
        count = Hooks(store, lambda: 0).notes.try_again()
        session.screen.say(f"{count} to be told again by the next tick" if count else "nothing was given up")
        return Exit.OK
    found = standing(store)
    if session.is_json:
        session.screen.document(_document(found))
    else:
        _tell(session, store, found)
    return Exit.OK


def _try(session: Session, store: Store, name: str) -> int:
    from dwf.cli.times import now_us
    from dwf.core.duration import stamp
    from dwf.engine.around import loaded
    from dwf.engine.telling import Caller, Told
    from dwf.store.hooks import hooks_of

    found, unfit = hooks_of(store.layout)
    for one in unfit:
        if one.path.endswith(f"/{name}"):
            raise WrongState(what=f"{one.path} is not called: {one.why}", hint=one.cure)
    hook = next((hook for hook in found if hook.name == name), None)
    if hook is None:
        there = ", ".join(hook.name for hook in found) or f"none; they lie in {store.layout.hooks}"
        raise NotFound(what=f"there is no hook {name}", hint=f"there are: {there}")
    if hook.is_around:
        loaded(hook)
        session.screen.say(f"{name} can be loaded")
        return Exit.OK
    told = Told(what="test", id="test", run="test", time=stamp(now_us()), text="a try of this hook", next="dwf hooks")
    why = Caller(store.layout.home).call(hook, told)
    session.screen.say(f"{name} failed: {why}" if why else f"{name} was told, and ended with 0")
    return Exit.FAILED if why else Exit.OK


def _tell(session: Session, store: Store, found: Standing) -> None:
    screen = session.screen
    if not found.hooks and not found.unfit:
        screen.say(f"there are none in {store.layout.hooks}; dwf help telling says how to add one")
    for hook in found.hooks:
        screen.line((hook.name, "bold"), "  ", ", ".join(sorted(hook.moments)))
        if (owed := found.owed.get(hook.name)) is not None:
            runs = f"{owed[0]} run{'' if owed[0] == 1 else 's'}"
            when = session.clock.point(owed[2])
            screen.line("  ", ("failed", "red"), f" for {runs}: {owed[1]}; tried again {when}")
    for one in found.unfit:
        screen.line((one.path, "bold"), "  ", ("not called", "red"), f": {one.why}")
        screen.line("  ", ("type: ", "cyan"), one.cure)
    for name, run, line, why in found.lost:
        screen.line((name, "bold"), "  ", ("given up", "red"), f": {run}, line {line}: {why}")
    if found.lost:
        screen.line(("type: ", "cyan"), "dwf hooks --again")


def _document(found: Standing) -> dict[str, object]:
    owed = {name: {"runs": count, "why": why, "again_us": at} for name, (count, why, at) in found.owed.items()}
    return {
        "schema": "dwf.hooks/1",
        "hooks": [{"name": h.name, "path": h.path, "moments": sorted(h.moments)} for h in found.hooks],
        "not_called": [{"path": one.path, "why": one.why, "type": one.cure} for one in found.unfit],
        "failing": owed,
        "given_up": [{"hook": n, "run": run, "line": line, "why": why} for n, run, line, why in found.lost],
    }
