"""People: who is who on this machine, and who may answer a question.

Names and groups are the system's own (pwd, grp). That the directory of users cannot be asked right now means "cannot
tell yet", never "no".
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterable, Mapping

from dwf.core.events import ApprovalRequested, Identity


def sender(environ: Mapping[str, str]) -> Identity:
    """The caller as dwf records him: the uid from the kernel, the rest from his surroundings, as claims."""
    uid = os.getuid()
    return Identity(
        uid=uid,
        login=login_of(uid) or "",
        sudo_user=environ.get("SUDO_USER", "")[:64],
        tty=_tty(),
        ssh_client=environ.get("SSH_CLIENT", "").split(" ")[0][:64],
        host=os.uname().nodename[:64],
        pid=os.getpid(),
    )


def login_of(uid: int) -> str | None:
    """The login of a uid; None if there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _tty() -> str:
    for descriptor in (0, 1, 2):
        try:
            return os.ttyname(descriptor)
        except OSError:
            continue
    return ""


def may_answer(asked: ApprovalRequested, uid: int) -> str | None:
    """None if that user may answer the question; else why not, in words."""
    if not asked.by:
        return None
    login = login_of(uid)
    if login is None:
        return f"uid {uid} has no name on this machine, and the question is for {', '.join(asked.by)}"
    if login in asked.by or any(name.startswith("@") and _is_member(login, uid, name[1:]) for name in asked.by):
        return None
    return f"{login} is not one of {', '.join(asked.by)}"


def _is_member(login: str, uid: int, group: str) -> bool:
    try:
        found = grp.getgrnam(group)
    except KeyError:
        return False
    return login in found.gr_mem or pwd.getpwuid(uid).pw_gid == found.gr_gid


def is_one_of(uid: int, names: Iterable[str]) -> bool:
    """Whether a user is among names of users, of groups (`@group`), and numbers of users (`#uid`)."""
    login = login_of(uid)
    for name in names:
        if name == f"#{uid}" or (login is not None and name == login):
            return True
        if login is not None and name.startswith("@") and _is_member(login, uid, name[1:]):
            return True
    return False


def members_of(group: str) -> list[str] | None:
    """Who is in a group of this machine; None if there is no such group."""
    try:
        found = grp.getgrnam(group)
    except KeyError:
        return None
    primary = [entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == found.gr_gid]
    return sorted({*found.gr_mem, *primary})
