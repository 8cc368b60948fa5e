"""What a workflow's loop refuses: everything through which asyncio reaches the outside, with the cure.

Left alone, these methods would raise a bare NotImplementedError from deep inside asyncio. Each is written out, so that
a type checker sees that none is missing and a reader sees what there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from dwf.core import guard

_ACTIVITY = "do it in an activity: @dwf.activity, dwf.step(...) or dwf.sh(...)"
_OWN = "the loop belongs to dwf; leave this out"
_SIGNAL = "wait for a signal of dwf: await dwf.wait_signal(name)"
_THREADS = "threads cannot talk to a workflow; send it a signal: dwf signal RUN NAME"


def _refused(name: str, cure: str = _ACTIVITY) -> Callable[..., Any]:
    def refuse(self: NoOutside, *args: Any, **kwargs: Any) -> Any:
        raise guard.refusal(self.host, f"asyncio's {name}", cure)

    refuse.__name__ = name
    return refuse


class NoOutside(asyncio.AbstractEventLoop):
    """An event loop without a world around it."""

    def __init__(self, host: guard.Guarded) -> None:
        self.host = host

    run_in_executor: Any = _refused("run_in_executor")
    create_connection: Any = _refused("create_connection")
    create_server: Any = _refused("create_server")
    create_unix_connection: Any = _refused("create_unix_connection")
    create_unix_server: Any = _refused("create_unix_server")
    create_datagram_endpoint: Any = _refused("create_datagram_endpoint")
    connect_accepted_socket: Any = _refused("connect_accepted_socket")
    start_tls: Any = _refused("start_tls")
    sendfile: Any = _refused("sendfile")
    getaddrinfo: Any = _refused("getaddrinfo")
    getnameinfo: Any = _refused("getnameinfo")
    subprocess_exec: Any = _refused("subprocess_exec")
    subprocess_shell: Any = _refused("subprocess_shell")
    connect_read_pipe: Any = _refused("connect_read_pipe")
    connect_write_pipe: Any = _refused("connect_write_pipe")
    add_reader: Any = _refused("add_reader")
    remove_reader: Any = _refused("remove_reader")
    add_writer: Any = _refused("add_writer")
    remove_writer: Any = _refused("remove_writer")
    sock_recv: Any = _refused("sock_recv")
    sock_recv_into: Any = _refused("sock_recv_into")
    sock_recvfrom: Any = _refused("sock_recvfrom")
    sock_recvfrom_into: Any = _refused("sock_recvfrom_into")
    sock_sendall: Any = _refused("sock_sendall")
    sock_sendto: Any = _refused("sock_sendto")
    sock_sendfile: Any = _refused("sock_sendfile")
    sock_connect: Any = _refused("sock_connect")
    sock_accept: Any = _refused("sock_accept")

    call_soon_threadsafe: Any = _refused("call_soon_threadsafe", _THREADS)
    add_signal_handler: Any = _refused("add_signal_handler", _SIGNAL)
    remove_signal_handler: Any = _refused("remove_signal_handler", _SIGNAL)

    run_forever: Any = _refused("run_forever", _OWN)
    run_until_complete: Any = _refused("run_until_complete", _OWN)
    stop: Any = _refused("stop", _OWN)
    close: Any = _refused("close", _OWN)
    set_debug: Any = _refused("set_debug", _OWN)
    set_exception_handler: Any = _refused("set_exception_handler", _OWN)
    default_exception_handler: Any = _refused("default_exception_handler", _OWN)
    set_task_factory: Any = _refused("set_task_factory", _OWN)
    set_default_executor: Any = _refused("set_default_executor", _OWN)
    shutdown_asyncgens: Any = _refused("shutdown_asyncgens", _OWN)
    shutdown_default_executor: Any = _refused("shutdown_default_executor", _OWN)
