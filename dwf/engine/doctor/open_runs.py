"""Open runs: does each have a way to go on? Steps that nobody watches, code that is gone, questions without answer."""

from __future__ import annotations

import os
import shlex

from dwf import host
from dwf.core.state import OpenStep
from dwf.engine.doctor.finding import Finding, bad, several, warn
from dwf.engine.doctor.patient import Patient, Seen
from dwf.engine.stuck import stuck_at
from dwf.errors import CodeMissing, DwfError


def steps(patient: Patient) -> list[Finding]:
    """Steps that were begun and have no end, while nobody drives their run."""
    told = []
    for seen, state in patient.open_runs:
        begun = [step for step in state.steps.values() if step.started is not None]
        if begun and not patient.held(seen.run):
            told += [_orphan(seen, step) for step in begun]
    return told


_ORPHANS = {
    "": "it ends the process first",
    "wait": "it waits until the process has ended",
    "adopt": "it waits for the process, and records how it ended",
}
_AFTER_CRASH = {
    "": "it is tried again, as its retry says",
    "verify": "its probe is asked what became of it",
    "ask": "it asks a person what became of it",
}


def _orphan(seen: Seen, step: OpenStep) -> Finding:
    started = step.started
    assert started is not None
    # A step that was performed in dwf's own process died with it.
    if started.pid and host.same_process_alive(started.pid, started.pid_start, started.boot):
        what = f"{step.title} of {seen.name} still runs (pid {started.pid}), and nobody drives the run: dwf was killed"
        return warn("steps", what, f"dwf tick   ({_ORPHANS.get(step.scheduled.orphan, '')})")
    if step.scheduled.orphan == "adopt":
        what = f"{step.title} of {seen.name} ended while nobody drove the run"
        return warn("steps", what, "dwf tick   (it records how, if its keeper could write it down)")
    what = f"{step.title} of {seen.name} was cut off in attempt {started.attempt}: whether it was done is not known"
    return warn("steps", what, f"dwf tick   ({_AFTER_CRASH.get(step.scheduled.on_crash, '')})")


def code(patient: Patient) -> list[Finding]:
    """Whether the script of every open run, and of every route, can be loaded as it was stored."""
    told, known = [], dict[str, str]()
    for route in patient.store.routes.all():
        known[route.code] = _why_missing(patient, route.code)
        if known[route.code]:
            what = f"new starts of {route.script}: {known[route.code]}"
            told.append(bad("code", what, f"dwf routes unset {shlex.quote(route.script)}"))
    for seen, state in patient.open_runs:
        if state.head.code_mode == "live":
            why = "" if os.path.exists(state.script) else f"its script {state.script} is gone"  # noqa: PTH110
        else:
            if state.code not in known:
                known[state.code] = _why_missing(patient, state.code)
            why = known[state.code]
        if why:
            told.append(bad("code", f"{seen.name}: {why}", f"dwf upgrade {seen.run} --to {shlex.quote(state.script)}"))
    return told


def _why_missing(patient: Patient, code: str) -> str:
    try:
        patient.store.code.load(code)
    except CodeMissing as error:
        return f"its code is not there: {error.facts['why']}"
    except DwfError as error:
        return error.message
    return ""


def stuck(patient: Patient) -> list[Finding]:
    """Runs that nothing can move on."""
    told = []
    for seen, state in patient.open_runs:
        why = stuck_at(patient.store, state)
        if why is not None:
            told.append(bad("stuck", f"{seen.name} is stuck: {why}", f'dwf cancel {seen.run} -m "..."'))
    return told


def blocked(patient: Patient) -> list[Finding]:
    """Runs whose script cannot go on before somebody mends it."""
    found = [(seen, state.blocked) for seen, state in patient.open_runs if state.blocked is not None]
    if not found:
        return []
    first, why = found[0]
    assert why is not None
    if len(found) == 1:
        return [warn("blocked", f"{first.name} is blocked: {why.message}", f"dwf show {first.run}")]
    return [warn("blocked", f"{several(len(found), 'run is', 'runs are')} blocked, first {first.name}", "dwf inbox")]
