"""Histories as tests: does the script that is there now still do what it did when they were recorded?

A file is a history (`RUN.jsonl`, as it lies in runs/) or a bundle (`dwf export RUN FILE.dwf`), which has large values
with it. Nothing of it is run: the script is replayed over it, and whatever it asks for that it did not ask for then is
told with both sides.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from dwf.engine.context import Codes
from dwf.engine.moving import examined, take_in
from dwf.engine.runs import load
from dwf.engine.upgrade import check_fits
from dwf.errors import DwfError, NotFound
from dwf.scripts.collect import collect
from dwf.scripts.undoing import program_of
from dwf.store.code import bundle_hash
from dwf.store.history import read_history
from dwf.testing.env import Env


def check_history(recorded: Path, scratch: Path, scripts: Path | None = None) -> None:
    """Replay a recorded run over the script of its name. Raises the DwfError that says where they part.

    scratch: a directory for what that takes, empty or missing. scripts: where scripts are looked for; else beside the
    file, in the directory above, and where it was when the run was started.
    """
    env = Env(scratch)
    run = _taken_in(env, recorded)
    view = load(env.store, run)
    if view.problem is not None:
        raise view.problem
    assert view.state is not None
    sources = collect(str(_script(recorded, view.state.script, scripts)))
    loaded = Codes(env.store).load(sources, bundle_hash(dict(sources.files), sources.main))
    check_fits(env.store, program_of(loaded.script, view.state.head), view.state, view.events)


def _taken_in(env: Env, recorded: Path) -> str:
    if recorded.suffix == ".dwf":
        return take_in(env.store, examined(str(recorded)), env.me).run
    first = read_history(str(recorded))
    if first.problem is not None:
        raise first.problem
    run, link = first.events[0].run, first.events[0].link  # type: ignore[attr-defined]
    shutil.copyfile(recorded, env.store.layout.history_path(run, link))
    return str(run)


def _script(recorded: Path, origin: str, scripts: Path | None) -> Path:
    name = Path(origin).name
    places = [scripts] if scripts is not None else [recorded.parent, recorded.parent.parent, Path(origin).parent]
    for place in places:
        if (place / name).is_file():
            return place / name
    where = ", ".join(str(place) for place in places)
    raise NotFound(what=f"the script {name} of {recorded.name} is not there: {where}", hint="--dwf-scripts DIRECTORY")


def described(error: DwfError) -> Iterator[str]:
    """A refusal in lines, for the report."""
    yield error.message
    if error.hint:
        yield f"hint: {error.hint}"
