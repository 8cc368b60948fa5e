"""What a command finds in its environment: a documented few variables, not whatever cron, sudo or a login left there.

Kept: the names below. Never taken over: LD_*, PYTHON*, BASH_ENV, ENV, IFS and everything else. Then comes what the
script gives, and last dwf's own names, which nothing overrides. Secrets belong here and never into argv, which all
users see.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from dwf.activities.plan import Attempt

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEPT = (
    *("HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG", "LANGUAGE"),
    *("LC_ALL", "LC_CTYPE", "LC_COLLATE", "LC_MESSAGES", "LC_NUMERIC", "LC_TIME", "LC_MONETARY"),
    *("SSH_AUTH_SOCK", "KRB5CCNAME", "XDG_RUNTIME_DIR", "DWF_HOME"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
)


def clean(environ: Mapping[str, str], given: Mapping[str, str], attempt: Attempt) -> dict[str, str]:
    """The environment of a shell step."""
    return {**inherited(environ), **attempt.env, **given, **own(attempt), **_files(attempt)}


def _files(attempt: Attempt) -> dict[str, str]:
    """By which files a command is heard of, and told something; see pulse.py."""
    if not attempt.pulse:
        return {}
    return {
        "DWF_HEARTBEAT_FILE": f"{attempt.pulse}.beat",
        "DWF_CHECKPOINT_FILE": f"{attempt.pulse}.checkpoint",
        "DWF_CANCEL_FILE": f"{attempt.pulse}.asked",
    }


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What is taken over."""
    # Asked name by name: another thread may be changing the environment, and iterating would notice.
    kept = {name: value for name in KEPT if (value := environ.get(name)) is not None}
    return {"PATH": _path(environ.get("PATH", "")), **kept}


def own(attempt: Attempt) -> dict[str, str]:
    """What every step in a process of its own is told about itself."""
    return {
        "DWF_RUN_ID": attempt.run,
        "DWF_STEP": attempt.name,
        "DWF_ATTEMPT": str(attempt.attempt),
        "DWF_IDEMPOTENCY_KEY": attempt.key,
    }


def variables(environ: os._Environ[str]) -> dict[bytes, bytes]:
    """The encoded dict behind os.environ: to be copied or compared in one go, in a microsecond, not in thirty."""
    found: dict[bytes, bytes] = environ._data  # type: ignore[attr-defined]
    return found


def _path(path: str) -> str:
    # A relative entry would mean "whatever lies in the step's directory".
    absolute = [entry for entry in path.split(":") if entry.startswith("/")]
    return ":".join(absolute) or PATH
