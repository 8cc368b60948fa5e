"""Steps on other hosts, by the system's own ssh: `await dwf.ssh("web1", "systemctl", "reload", "nginx")`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, TypedDict, Unpack

from dwf.authoring.crash import OnCrash, Orphan
from dwf.authoring.inventory import Host
from dwf.authoring.limits import Cancellation
from dwf.authoring.references import Secret
from dwf.authoring.shell import Shell, sh
from dwf.core.duration import micros
from dwf.core.flow import Limit
from dwf.core.retry import Duration, Retry
from dwf.errors import ValueRefused

_HOST = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9._:@%\[\]-]*\Z")
_LOST: Duration = "10m"


class ShellOptions(TypedDict, total=False):
    """The options of dwf.sh(), which are those of dwf.ssh()."""

    script: str | None
    timeout: Duration | None
    cwd: str | PurePath | None
    env: Mapping[str, object] | None
    stdin: str | Secret | None
    umask: int | None
    ok_codes: Sequence[int]
    expect: str | None
    retry: Retry
    grace: Duration
    max_output: int
    title: str
    on_crash: OnCrash | None
    verify: str | Sequence[object] | None
    orphan: Orphan
    critical: bool
    schedule_to_start: Duration | None
    schedule_to_close: Duration | None
    heartbeat_timeout: Duration | None
    cancellation_type: Cancellation
    queue: str
    limit: Limit | None
    key: str
    priority: int


async def ssh(
    host: str | Host,
    *argv: object,
    config: str | PurePath | None = None,
    lost: Duration = _LOST,
    **options: Unpack[ShellOptions],
) -> Shell:
    """Run a command on another host as a durable step, with the options and the result of dwf.sh().

    host: as ssh takes it (`web1`, `admin@10.0.0.7`, a Host of its configuration), or one of dwf.inventory(). config: a
    configuration file in place of the usual ones, an absolute path. Nobody is asked for a password or a host key
    (BatchMode); argv reaches the program there word by word, and cwd, env, umask, script, stdin are meant there.
    The exit code is the command's; 255 also if the host cannot be reached.

    The command does not end with a connection that is lost: it is followed again for as long as `lost`, and after that,
    or if this machine dies, the next attempt takes it up and does not begin another one beside it. Timeout and cancel
    end it there, with TERM, and KILL 10 s before `grace` (20 s here) is over; a host that cannot be reached then is
    named in the reason of the step's end. With orphan="adopt" it goes on when dwf is stopped here.
    It needs a POSIX sh there, no more. Raises ActivityError.
    """
    remote: dict[str, Any] = {"host": _host(host)}
    if config is not None:
        remote["config"] = _config(config)
    if lost != _LOST:
        remote["lost_us"] = micros(lost)
    options.setdefault("grace", "20s")
    return await sh(*argv, _far=(str(host), remote), **options)


def _host(host: str | Host) -> str:
    name = (host.address or host.name) if isinstance(host, Host) else host
    if not isinstance(name, str) or not _HOST.match(name) or len(name) > 255:
        raise ValueRefused(what="the host of dwf.ssh()", why=f"{name!r:.80} is none that ssh would take")
    return name


def _config(config: str | PurePath) -> str:
    if not PurePath(config).is_absolute():
        hint = "a tick runs anywhere: say where it is"
        raise ValueRefused(what=f"config={str(config)!r} of dwf.ssh()", why="it is no absolute path", hint=hint)
    return str(config)
