"""Words for what events are made of: who, what went wrong, which code. Events themselves are told in words.py."""

from __future__ import annotations

from dwf.core import events as ev

_CODE_FROM = {
    ev.CodeFrom.KEPT: "code that is kept for new starts",
    ev.CodeFrom.RAMP: "the file, as a part of new starts",
    ev.CodeFrom.NAMED: "code as it was asked for",
}


def person(by: ev.Identity | None, uid: bool = False) -> str:
    """`anna via ssh 10.0.0.7`; with the uid, which alone is not a claim, if it is asked for."""
    if by is None:
        return ""
    name = by.login or f"uid {by.uid}"
    if uid and by.login:
        name += f" (uid {by.uid})"
    if by.sudo_user:
        name += f", sudo by {by.sudo_user}"
    return f"{name} via ssh {by.ssh_client}" if by.ssh_client else name


def failure(error: ev.ErrorInfo) -> str:
    """`ExitCode: exit code 3`, on one line."""
    return f"{error.type}: {' '.join(error.message.split())}"


def place(e: ev.RunMoved | ev.RunAdopted | ev.RunImported) -> str:
    """Where a run went, or where it was taken up: the file or the host, and the mark of the machine."""
    host = e.by.host if e.by is not None else ""
    machine = f"{host or 'a host'} (machine {e.machine[:8] or 'unknown'})"
    return f"into {e.to}, from {machine}" if isinstance(e, ev.RunMoved) else f"on {machine}"


def script_name(path: str) -> str:
    """A script's file name, without its directory."""
    return path.rpartition("/")[2] or path


def code_from(origin: ev.CodeFrom, lead: str = ", ") -> str:
    """Why a run began on the code that it began on, if that is not plainly its file."""
    words = _CODE_FROM.get(origin, "")
    return words and f"{lead}{words}"
