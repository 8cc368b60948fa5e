"""What drives the runs: the clock, the last tick, and the cron line or timer that calls it. Looks only."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from dwf.core.duration import SECOND, spoken, unstamp
from dwf.engine.doctor.finding import Finding, Grade, bad, several, warn
from dwf.engine.doctor.patient import Patient
from dwf.engine.hooks import standing
from dwf.engine.summary import who
from dwf.store.held import held

# No dwf was there before 2024; a machine without a battery wakes up in 1970.
_FIRST_US = unstamp("2024-01-01T00:00:00.000000Z")
_SECONDS = 5.0
_TICK_LINE = re.compile(r"(?:^|[/\s])(?:dwf|python\S*\s+-m\s+dwf)\b[^#]*\b(?:tick|worker)\b")


def clock(patient: Patient) -> list[Finding]:
    """Whether the wall clock fits what was recorded by it."""
    now = patient.now_us
    if now < _FIRST_US:
        what = "the clock says that it is before 2024: timers wait for the wall clock; nothing is lost"
        return [bad("clock", what, "timedatectl   (set the time)")]
    ahead = [
        (unstamp(seen.state.last_ts), seen.name)
        for seen in patient.histories
        if seen.state is not None and unstamp(seen.state.last_ts) > now + patient.limits.clock_ahead_us
    ]
    tick = patient.store.index.last_tick_us()
    if tick is not None and tick > now + patient.limits.clock_ahead_us:
        ahead.append((tick, "the last tick"))
    if not ahead:
        return []
    last, of = max(ahead)
    what = f"{of} was recorded {_rough(last - now)} in the future: the clock was set back; timers wait until then"
    return [warn("clock", what, "timedatectl   (is the time right now?)")]


def hooks(patient: Patient) -> list[Finding]:
    """Whether what is to be told of runs can be called, and has heard it."""
    found = standing(patient.store)
    told = [bad("hooks", f"{unfit.path} is not called: {unfit.why}", unfit.cure) for unfit in found.unfit]
    for name, (count, why, _) in found.owed.items():
        told.append(
            warn("hooks", f"{name} fails, for {several(count, 'run', 'runs')}: {why}", f"dwf hooks --try {name}")
        )
    if found.lost:
        told.append(warn("hooks", f"{several(len(found.lost), 'moment', 'moments')} could not be told", "dwf hooks"))
    return told


def held_back(patient: Patient) -> list[Finding]:
    """Workflows whose runs do not begin."""
    return [
        warn(
            "paused",
            f"workflow {hold.workflow} is paused by {who(hold.by)}: {hold.reason}",
            f"dwf resume --workflow {shlex.quote(hold.workflow)} -m WHY",
        )
        for hold in patient.store.held.all()
    ]


def tick(patient: Patient) -> list[Finding]:
    """When a tick was last here, and who will call the next."""
    if patient.exists and (hold := held(patient.layout)) is not None:
        what = f"everything is paused by {who(hold.by)}: {hold.reason}"
        return [warn("tick", what, "dwf resume --everything -m WHY")]
    last = patient.store.index.last_tick_us() if patient.exists else None
    callers = list(found_callers(patient))
    fresh = last is not None and patient.now_us - last <= patient.limits.late_tick_us
    ago = "no tick is known of here" if last is None else f"the last tick was {_rough(patient.now_us - last)} ago"
    if fresh:
        by = callers[0] if callers else "no cron line and no timer of yours was found, but somebody calls it"
        return [Finding("tick", Grade.OK, f"{ago}; {by}")]
    waiting = len(patient.open_runs) if patient.exists else 0
    if callers:
        what = f"{ago}, although there is {callers[0]}: does it run?"
        found = [(bad if waiting else warn)("tick", what, "dwf tick; systemctl status cron; systemctl list-timers")]
    else:
        runs = f", and {several(waiting, 'run is', 'runs are')} open" if waiting else ""
        found = [
            (bad if waiting else warn)("tick", f"{ago}{runs}; no cron line or timer was found", cron_line(patient.home))
        ]
    return found


def cron_line(home: str) -> str:
    """What installs a tick of that directory every minute. Named always: cron's environment is not the caller's."""
    program = shutil.which("dwf") or f"{sys.executable} -m dwf"
    line = f"* * * * * {program} --home {shlex.quote(home)} tick"
    return f"(crontab -l; echo {shlex.quote(line)}) | crontab -"


def start_up(patient: Patient) -> list[Finding]:
    """How long dwf itself takes to begin: that is paid by every tick and every TAB."""
    least = min(_took_us(patient) for _ in range(2))
    if least < patient.limits.slow_start_us:
        return [Finding("start-up", Grade.OK, f"the program starts in {least // 1000} ms")]
    what = f"the program takes {least // 1000} ms to start, every minute: a slow disk, or a crowded machine"
    return [warn("start-up", what, f"{shlex.quote(sys.executable)} -X importtime -m dwf version")]


def _took_us(patient: Patient) -> int:
    root = str(Path(__file__).parents[3])
    environ = {**patient.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path[1:]])}
    began = time.monotonic_ns()
    subprocess.run(
        [sys.executable, "-m", "dwf", "version"],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    return (time.monotonic_ns() - began) // 1000


# -- who calls --------------------------------------------------------------------------------------------------


def found_callers(patient: Patient) -> Iterator[str]:
    """Cron lines and timers that call a tick, in words. What cannot be asked is passed over."""
    for line in _said(patient, "crontab", "-l").splitlines():
        if _calls_tick(line):
            yield f"a line of your crontab: {line.strip()}"
    for path in (Path(patient.etc) / "crontab", *_files(Path(patient.etc) / "cron.d", "*")):
        for line in _text(path).splitlines():
            if _calls_tick(line):
                yield f"a line in {path}: {line.strip()}"
    for user in ("--user", "--system"):
        for line in _said(patient, "systemctl", user, "list-timers", "--all", "--no-legend", "--no-pager").splitlines():
            if "dwf" in line:
                yield f"a timer of systemd ({next(word for word in line.split() if 'dwf' in word)})"
    for directory in _unit_directories(patient):
        for path in _files(directory, "*.service"):
            if any(line.startswith("ExecStart=") and _calls_tick(line[10:]) for line in _text(path).splitlines()):
                yield f"a unit of systemd ({path})"


def _unit_directories(patient: Patient) -> list[Path]:
    etc = Path(patient.etc) / "systemd"
    config = patient.environ.get("XDG_CONFIG_HOME") or f"{patient.environ.get('HOME', '/nonexistent')}/.config"
    return [etc / "system", etc / "user", Path(config) / "systemd" / "user"]


def _calls_tick(line: str) -> bool:
    return not line.lstrip().startswith("#") and _TICK_LINE.search(line) is not None


def _said(patient: Patient, *words: str) -> str:
    """What a program prints; nothing if it is not there, fails or takes too long."""
    program = shutil.which(words[0], path=patient.environ.get("PATH", os.defpath))
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, *words[1:]],
            env=dict(patient.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _files(directory: Path, pattern: str) -> list[Path]:
    try:
        return sorted(path for path in directory.glob(pattern) if path.is_file())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _rough(us: int) -> str:
    return spoken(max(us, 0) // SECOND * SECOND) if us >= SECOND else "0s"
