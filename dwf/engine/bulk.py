"""Many starts of one script: loaded once, made in batches with one sync of the directory each, and then told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from dwf.core.messages import check_run_id
from dwf.engine.context import wall_clock_us
from dwf.engine.routing import Offer
from dwf.engine.start import Prepared, Started, StartRequest, first_line, opening, prepare, row_of_new, started
from dwf.errors import Conflict, UsageError
from dwf.store.creation import create_runs
from dwf.store.room import Store

_BATCH = 100
_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def prepare_each(
    request: StartRequest, inputs: Iterable[dict[str, Any]], store: Store | None, limit: int = 1_000_000
) -> Iterator[Prepared]:
    """A start for each of the inputs, everything checked but whether its id is free.

    `request.run` may hold {name}, which stands for that input. Raises UsageError (2) with the number of the first input
    that does not fit, and what `prepare` raises.
    """
    offer = Offer(store, request.script, request.code)
    ids: set[str] = set()
    for number, values in enumerate(inputs, 1):
        if number > limit:
            raise UsageError(what=f"more than {limit:,} starts at once")
        given = {**(request.json_input or {}), **values}
        try:
            run = None if request.run is None else _filled(request.run, given)
            one = replace(request, json_input=given, run=None if run is None else check_run_id(run))
            if run in ids:
                raise UsageError(what=f"the id {run} was given to another one before", hint="nothing was started")
            ids.update([run] if run else [])
            yield prepare(one, offer=offer)
        except UsageError as error:
            raise UsageError(what=f"input {number}: {error.message}", hint=error.hint) from None


def start_each(
    store: Store, starts: Iterable[Prepared], clock: Callable[[], int] = wall_clock_us
) -> Iterator[Started | Conflict]:
    """Make runs, hundred by hundred; each answer is given when its run is there for good, or its id was in use.

    Raises DiskError; what was answered before is there.
    """
    coming = iter(starts)
    saved: set[int] = set()
    while batch := list(islice(coming, _BATCH)):
        now_us = clock()
        events = [opening(prepared, now_us) for prepared in batch]
        for prepared in batch:
            if id(prepared.sources) not in saved:
                saved.add(id(prepared.sources))
                store.code.save(dict(prepared.sources.files), prepared.sources.main)
        wanted = [(row_of_new(event, 1, now_us), first_line(store, event, now_us)) for event in events]
        answers = create_runs(store.disk, store.layout, store.index, wanted)
        for prepared, event, answer in zip(batch, events, answers, strict=True):
            yield answer or started(event, prepared.request)


def _filled(template: str, values: dict[str, Any]) -> str:
    """An id with the values in it; only names are replaced, nothing is evaluated."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise UsageError(what=f"--id names {found[0]}, which this input has not")
        return str(values[found[1]])

    return _PLACE.sub(value, template)
