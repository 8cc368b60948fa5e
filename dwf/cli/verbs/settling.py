"""Admin: init. Make a state directory knowingly, and print what makes it tick."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from dwf.cli.exits import Exit
from dwf.cli.options import session_of
from dwf.cli.session import Session
from dwf.errors import NotFound, UsageError, WrongState

if TYPE_CHECKING:
    from dwf.store.sharing import Sharing


def init(
    context: Context,
    shared: Annotated[bool, Option("--shared", help="others may post to it, and look; you drive it")] = False,
    group: Annotated[str | None, Option("--group", metavar="GROUP", help="with --shared: who they are")] = None,
    catalogue: Annotated[
        str | None, Option("--catalogue", metavar="DIR", help="with --shared: workflows that they may start")
    ] = None,
    cron: Annotated[bool, Option("--cron", help="print a line for crontab, and make nothing")] = False,
    systemd: Annotated[bool, Option("--systemd", help="print the units of a timer, and make nothing")] = False,
) -> int:
    """Make a state directory. The first dwf start does that, too; a shared one is only made here.

    Shared: the caller's user drives the runs, the members of a group start and answer them by messages, and the kernel
    says who sent each. See dwf help security.
    """
    session = session_of(context)
    if not shared and (group is not None or catalogue is not None):
        raise UsageError(what="--group and --catalogue are for --shared", hint="dwf init --shared --group GROUP")
    if shared and group is None:
        raise UsageError(what="with which group is it shared?", hint="dwf init --shared --group GROUP")
    if shared or not (cron or systemd):
        _make(session, _sharing(group, catalogue) if group is not None else None)
    if cron:
        session.screen.line(_crontab(session.home))
    if systemd:
        session.screen.text(_units(session.home))
        session.screen.say("two files, for /etc/systemd/system; then: systemctl enable --now dwf-tick.timer")
    return Exit.OK


def _make(session: Session, sharing: Sharing | None) -> None:
    home, was_there = session.home, os.path.lexists(f"{session.home}/machine")
    store = session.store(create=True, share=sharing)
    if was_there and sharing is not None:
        found = store.layout.sharing
        if found is None or found.gid != sharing.gid or found.catalogue != sharing.catalogue:
            how = "not shared" if found is None else f"shared with group {found.gid}, catalogue {found.catalogue!r}"
            raise WrongState(what=f"{home} is there already, and {how}", hint="make a new one, elsewhere")
    session.screen.line(home)
    session.screen.say("it was there already" if was_there else "made; next: have it tick, dwf init --cron")
    if sharing is not None and not was_there:
        session.screen.say(f"who may do what: {store.layout.policy} (dwf help security)")


def _sharing(group: str, catalogue: str | None) -> Sharing:
    from dwf.store.sharing import Sharing
    from dwf.store.trust import require_trusted

    uid = os.geteuid()
    place = ""
    if catalogue is not None:
        place = str(Path(catalogue).absolute()) if catalogue else ""
        if not Path(place).is_dir():
            raise NotFound(what=f"there is no directory {catalogue!r} for the catalogue", hint=f"mkdir -p {place}")
        require_trusted(place, {0, uid}, "the engine")
    return Sharing(uid, _gid(group), place)


def _gid(group: str) -> int:
    import grp

    if group.isascii() and group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise NotFound(what=f"there is no group {group!r}", hint=f"as root: groupadd {group}") from None


# -- what makes it tick -----------------------------------------------------------------------------------------


def _program() -> list[str]:
    """How this program is called, by absolute paths: cron and systemd know no other."""
    called = Path(sys.argv[0])
    if called.name == "dwf" and (found := shutil.which(str(called))):
        return [str(Path(found).absolute())]
    return [sys.executable, "-m", "dwf"]


def _crontab(home: str) -> str:
    command = shlex.join([*_program(), "tick", "--home", home])
    if "\n" in command:
        raise UsageError(what="a path with a newline cannot stand in a crontab", hint="choose another --home")
    return "* * * * * " + command.replace("%", "\\%")


_UNITS = """\
# dwf-tick.service
[Unit]
Description=Drive the durable runs that are due
Documentation=man:systemd.timer(5)

[Service]
Type=oneshot
{user}ExecStart={command}
# a stop asks steps to end first, and leaves them time
KillMode=mixed
TimeoutStopSec=60

# dwf-tick.timer
[Unit]
Description=Drive the durable runs that are due, every minute

[Timer]
OnCalendar=*-*-* *:*:00
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def _units(home: str) -> str:
    from dwf.engine.identity import login_of

    command = " ".join(_systemd_word(word) for word in [*_program(), "tick", "--home", home])
    uid = os.geteuid()
    user = "" if uid == 0 else f"User={login_of(uid) or uid}\n"
    return _UNITS.format(user=user, command=command)


def _systemd_word(word: str) -> str:
    if "\n" in word:
        raise UsageError(what="a path with a newline cannot stand in a unit", hint="choose another --home")
    doubled = word.replace("%", "%%").replace("$", "$$").replace("\\", "\\\\").replace('"', '\\"')
    return doubled if all(c.isalnum() or c in "/._-%$" for c in doubled) else f'"{doubled}"'
