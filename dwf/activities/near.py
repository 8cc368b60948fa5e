"""The near side of a step over ssh: stands in for a command of another host, and ends as that ends.

Run as a file (see remote.py), given on stdin what to do; nothing imports it, and it imports nothing of dwf. Its exit
code is that of the command there, or 255 if that cannot be told, with the reason on stderr.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import IO, Any

_UNKNOWN = 255
_SAID = 4096
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0


class Lost(Exception):
    """The connection was not made, or ended before all was said. `reached`: the far side has answered."""

    def __init__(self, why: str, reached: bool) -> None:
        super().__init__(why)
        self.reached = reached


class Asked(BaseException):
    """Somebody wants the step to end."""


class Near:
    """One step. `heard`: how much of its output and error output was printed here."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._request = request
        self._host = request["host"]
        self._heard = {"o": 0, "e": 0}
        self._reached = False

    def follow(self) -> int:
        """Begin it there, or take it up, and print what it prints until it ends; its exit code."""
        pause, since = _FIRST_PAUSE, time.monotonic()
        while True:
            try:
                return self._told(self._connected("run"))
            except Lost as lost:
                if lost.reached:
                    self._reached, pause, since = True, _FIRST_PAUSE, time.monotonic()
                if not self._reached:
                    complain(str(lost))
                    return _UNKNOWN
                if time.monotonic() - since > self._request["lost_seconds"]:
                    complain(f"dwf: {self._host} cannot be reached any more: {lost}; what was begun may go on there")
                    return _UNKNOWN
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def end(self) -> None:
        """Have it ended there."""
        until = time.monotonic() + self._request["end_seconds"] - 0.5
        why = ""
        while time.monotonic() < until:
            try:
                self._connected("end")
                return
            except Lost as lost:
                why = str(lost)
                time.sleep(0.2)
        complain(f"dwf: {self._host} could not be told to end it: {why}; it may go on there")

    def _told(self, end: str) -> int:
        word, _, code = end.partition(" ")
        if word == "x":
            return int(code)
        complain(f"dwf: it was ended on {self._host}, and nobody saw how it went")
        return _UNKNOWN

    def _connected(self, act: str) -> str:
        """One connection; the last word of the far side. Raises Lost."""
        hello = f"hello {os.urandom(8).hex()}"
        values = {**self._request["values"], "act": act, "hello": hello}
        values |= {kind: str(count) for kind, count in self._heard.items()}
        values["mark"] = checkpoint()
        text = "".join(f"{name}={quoted(value)}\n" for name, value in values.items()) + self._request["far"]
        data = text.encode("utf-8", "surrogateescape")
        # Only numbers in the command line: what is to be done goes through stdin, where nobody sees it. dd, for it
        # reads not a byte more than it is told.
        there = f"exec sh -c 'eval \"$(dd bs=1 count={len(data)} 2>/dev/null)\"'"
        try:
            ssh = subprocess.Popen(
                [*self._request["ssh"], there],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise Lost(f"ssh: {os.strerror(error.errno or 0)}", False) from None
        assert ssh.stdin and ssh.stdout and ssh.stderr
        said = Said(ssh.stderr)
        reached = False
        try:
            give(ssh.stdin, data)
            reached = wait_for(ssh.stdout, hello.encode() + b"\n")
            end = self._listen(ssh.stdout, act) if reached else ""
            if end:
                give(ssh.stdin, b"done\n")
        except Asked:
            ssh.kill()
            ssh.wait()
            raise
        finally:
            ended = close(ssh)
        if end:
            return end
        raise Lost(said.last() or f"ssh: the connection ended ({ended})", reached)

    def _listen(self, out: IO[bytes], act: str) -> str:
        """What the far side says until its last word; "" if the connection ended before that."""
        while line := out.readline():
            word, _, count = line.decode("ascii", "replace").strip().partition(" ")
            if word == "b" and count.isdecimal():
                alive(out.read(int(count)))
                continue
            if word in ("x", "gone", "none"):
                return f"{word} {count}".strip()
            if word not in self._heard or not count.isdecimal():
                return ""
            left = int(count)
            while left and (data := out.read1(min(left, 65536))):  # type: ignore[attr-defined]
                write_all(1 if word == "o" else 2, data)
                self._heard[word] += len(data)
                left -= len(data)
            if left:
                return ""
        return ""


class Said:
    """The end of what ssh itself has to say."""

    def __init__(self, err: IO[bytes]) -> None:
        self._err, self._text = err, b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while data := os.read(self._err.fileno(), 4096):
            self._text = (self._text + data)[-_SAID:]

    def last(self) -> str:
        """Its last line."""
        self._thread.join(1)
        lines = self._text.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def checkpoint() -> str:
    """What the attempt before has left, for the command there; "" if nothing."""
    try:
        with open(os.environ.get("DWF_CHECKPOINT_FILE", ""), encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def alive(mark: bytes) -> None:
    """The command there has given a sign of life, and has this in its checkpoint: the same here."""
    for name, data in (("DWF_CHECKPOINT_FILE", mark), ("DWF_HEARTBEAT_FILE", b"")):
        path = os.environ.get(name, "")
        if not path or (not data and name == "DWF_CHECKPOINT_FILE"):
            continue
        try:
            with open(f"{path}.new", "wb") as file:
                file.write(data)
            os.replace(f"{path}.new", path)  # noqa: PTH105 - pathlib costs more than the rest of this program
        except OSError:
            pass  # it is news; the step does not fail for want of it


def wait_for(out: IO[bytes], line: bytes) -> bool:
    """Pass over what a login may print, up to that line."""
    while found := out.readline():
        if found == line:
            return True
    return False


def give(stdin: IO[bytes], data: bytes) -> None:
    try:
        stdin.write(data)
        stdin.flush()
    except OSError:
        pass  # it has ended, and is about to say why


def close(ssh: subprocess.Popen[bytes]) -> str:
    """Let it come to its end; how it ended."""
    try:
        assert ssh.stdin
        ssh.stdin.close()
    except OSError:
        pass
    try:
        code = ssh.wait(5)
    except subprocess.TimeoutExpired:
        ssh.kill()
        code = ssh.wait()
    return f"exit code {code}"


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def complain(text: str) -> None:
    write_all(2, f"{text}\n".encode("utf-8", "replace"))


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def main() -> int:
    near = Near(json.load(sys.stdin))

    def asked(*_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        raise Asked

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, asked)
    try:
        return near.follow()
    except Asked:
        near.end()
        return 128 + signal.SIGTERM


if __name__ == "__main__":
    os._exit(main())
