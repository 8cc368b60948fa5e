"""A throw-away sshd on loopback, run by whoever runs the tests, with keys of its own.

place/sshd_config       the server: one key may log in, as the same user
place/ssh_config        the client's: `web1`, `web2`, ... are all this server, each with a home of its own
place/homes/<host>      where a login to that host finds itself
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from pathlib import Path

from tests.activities.processes import soon

HOSTS = ("web1", "web2", "web3", "web4", "web5", "web6")


def sshd_path() -> str | None:
    return shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")


def is_there() -> bool:
    """Whether this machine has a server and a client."""
    return sshd_path() is not None and shutil.which("ssh") is not None


class Sshd:
    """The server. `config`: what `ssh -F` is given. `stop` and `start` are an outage."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.config = place / "ssh_config"
        self._port = 0
        self._server: subprocess.Popen[bytes] | None = None

    def build(self) -> None:
        self.place.mkdir(mode=0o700)
        for name in ("host_key", "user_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.place / name], check=True)
        for host in HOSTS:
            self.home(host).mkdir(parents=True)
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self._port = found.getsockname()[1]
        public = (self.place / "user_key.pub").read_text()
        (self.place / "authorized_keys").write_text(f'command="{self.place}/login" {public}')
        # Which host was meant comes as the name by which the client knows it.
        (self.place / "login").write_text(
            f'#!/bin/sh\nexport HOME="{self.place}/homes/${{LC_DWF_HOST:-web1}}"\nunset LC_DWF_HOST XDG_STATE_HOME\n'
            'cd "$HOME" || exit 1\n[ -e .noise ] && cat .noise\nexec sh -c "$SSH_ORIGINAL_COMMAND"\n'
        )
        (self.place / "login").chmod(0o700)
        (self.place / "sshd_config").write_text(
            f"Port {self._port}\nListenAddress 127.0.0.1\nHostKey {self.place}/host_key\n"
            f"AuthorizedKeysFile {self.place}/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nAcceptEnv LC_DWF_HOST\n"
            "Subsystem sftp internal-sftp\nMaxStartups 100\nMaxSessions 100\nPermitRootLogin prohibit-password\n"
        )
        key = f"[127.0.0.1]:{self._port} " + (self.place / "host_key.pub").read_text()
        (self.place / "known_hosts").write_text(key)
        hosts = "".join(f"Host {host}\n    SetEnv LC_DWF_HOST={host}\n" for host in HOSTS)
        self.config.write_text(
            f"{hosts}Host *\n    HostName 127.0.0.1\n    Port {self._port}\n    User {getpass.getuser()}\n"
            f"    IdentityFile {self.place}/user_key\n    IdentitiesOnly yes\n"
            f"    UserKnownHostsFile {self.place}/known_hosts\n    LogLevel ERROR\n"
        )
        self.start()

    def home(self, host: str) -> Path:
        return self.place / "homes" / host

    def start(self) -> None:
        server = sshd_path()
        assert server is not None
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        words = [server, "-D", "-e", "-f", str(self.place / "sshd_config")]
        with (self.place / "log").open("ab") as log:
            self._server = subprocess.Popen(words, stderr=log, start_new_session=True)
        assert soon(self._answers), (self.place / "log").read_text()

    def _answers(self) -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self._port)) == 0

    def stop(self) -> None:
        """No new connections; those that there are end, as when a cable is pulled: what runs there is not told."""
        server, self._server = self._server, None
        if server is None:
            return
        mine = subprocess.run(["pgrep", "-g", str(server.pid)], capture_output=True, text=True, check=False)
        sessions = subprocess.run(
            ["pgrep", "-P", ",".join(mine.stdout.split() or ["0"])], capture_output=True, text=True, check=False
        )
        server.kill()
        server.wait()
        for pid in sessions.stdout.split():
            subprocess.run(["kill", "-9", pid], check=False, stderr=subprocess.DEVNULL)
