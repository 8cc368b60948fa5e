"""Admin: adopt, whoami, completion, help, version."""

from __future__ import annotations

import platform
from typing import Annotated, Any

from typer import Argument, Context, Option

from dwf import __version__
from dwf.cli.catalog import BY_NAME, VERBS, nearest
from dwf.cli.exits import Exit
from dwf.cli.options import session_of
from dwf.cli.session import Session
from dwf.errors import DwfError, NotFound, UsageError

SHELLS = ("bash", "zsh", "fish")


# -- the state directory ----------------------------------------------------------------------------------------


def adopt(context: Context, yes: Annotated[bool, Option("-y", "--yes", help="do not ask")] = False) -> int:
    """Bind a state directory to this machine: it was moved here, or restored from a backup.

    Locks do not reach over machines. If anything still drives these runs elsewhere, their steps are done twice.
    """
    session = session_of(context)
    store = session.store(write=False)
    if not yes:
        if not session.interactive:
            raise UsageError(what="there is nobody to ask whether it is used elsewhere", hint="say so with -y")
        if not session.screen.confirm(f"is {store.layout.home} used on no other machine any more?"):
            raise UsageError(what="nothing was changed", hint="stop its ticks there first")
    store.adopt()
    session.screen.say(f"{store.layout.home} is bound to this machine")
    return Exit.OK


# -- words ------------------------------------------------------------------------------------------------------


def whoami(context: Context) -> int:
    """As whom dwf would record you. Only the uid comes from the kernel; the rest are claims of your environment."""
    import msgspec

    session = session_of(context)
    me = msgspec.structs.asdict(session.me)
    if session.is_json:
        session.screen.document({"schema": "dwf.identity/1", **me})
        return Exit.OK
    for name, value in me.items():
        if value or name == "uid":
            session.screen.line((f"{name:<11}", "dim"), str(value))
    return Exit.OK


def version(context: Context) -> int:
    """Print the version. Never touches the state directory."""
    session = session_of(context)
    if session.is_json:
        document = {"schema": "dwf.version/1", "version": __version__, "python": platform.python_version()}
        session.screen.document({**document, "home": _home(session)})
    else:
        session.screen.line(f"dwf {__version__}")
        if session.verbose:
            session.screen.line(f"Python {platform.python_version()}")
            session.screen.line(f"state directory {_home(session) or 'unknown'}")
    return Exit.OK


def _home(session: Session) -> str | None:
    try:
        return session.home
    except DwfError:
        return None


def completion(
    context: Context,
    shell: Annotated[str, Argument(metavar="bash|zsh|fish", help="your shell", show_default=False)],
) -> int:
    """Print the completion script of a shell. Verbs and options are in it; run ids are asked from dwf itself."""
    from dwf.cli.completion import script_for

    if shell not in SHELLS:
        meant = nearest(shell, list(SHELLS))
        raise UsageError(
            what=f"there is no completion for {shell!r}",
            hint=f"did you mean {meant}?" if meant else "bash, zsh or fish",
        )
    session_of(context).screen.text(script_for(shell))
    return Exit.OK


def help_(
    context: Context,
    topic: Annotated[str | None, Argument(metavar="[TOPIC | VERB]", help="what to explain", show_default=False)] = None,
) -> int:
    """Explain a topic, or a verb. Without a word: the verbs and the topics."""
    from dwf.cli.topics import names, text_of

    session = session_of(context)
    root = context.find_root()
    if topic is None:
        session.screen.text(root.get_help() + "\n")
    elif topic in names():
        _print_topic(session, text_of(topic))
    elif topic in BY_NAME:
        _print_verb(session, root, topic)
    else:
        known = [*names(), *(verb.name for verb in VERBS)]
        meant = nearest(topic, known)
        hint = f"did you mean: dwf help {meant}" if meant else f"topics: {', '.join(names())}"
        raise NotFound(what=f"there is no topic or verb {topic!r}", hint=hint)
    return Exit.OK


def _print_verb(session: Session, root: Any, name: str) -> None:
    command = root.command.get_command(root, name)
    with command.make_context(name, [], parent=root, resilient_parsing=True) as context:
        session.screen.text(command.get_help(context) + "\n")


def _print_topic(session: Session, text: str) -> None:
    screen = session.screen
    if session.is_json:
        screen.document({"schema": "dwf.topic/1", "text": text})
        return
    for line in text.rstrip("\n").split("\n"):
        heading = line.startswith("#")
        screen.line((line.lstrip("#").strip(), "bold") if heading else line)
