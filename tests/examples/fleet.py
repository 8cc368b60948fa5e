"""A fleet of four hosts, which are four homes of one sshd on loopback, and a release to be deployed to them."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.sshd import Sshd, is_there

HOSTS = ("web1", "web2", "web3", "web4")

CHECK = '#!/bin/sh\necho "$(basename "$PWD")" >> "$HOME/checks"\n! [ -e "$HOME/sick" ]\n'


def tools_are_there() -> bool:
    return is_there() and shutil.which("rsync") is not None


class Fleet:
    """`build` makes it; `stop` ends it. inventory, source, ssh_config: what the example is given."""

    def __init__(self, place: Path) -> None:
        self.server = Sshd(place / "ssh")
        self.source, self.inventory = place / "source", place / "hosts"
        self.ssh_config = self.server.config

    def build(self) -> None:
        self.server.build()
        self.source.mkdir()
        (self.source / "healthcheck").write_text(CHECK)
        (self.source / "healthcheck").chmod(0o755)
        self.inventory.write_text("".join(f"{host} web\n" for host in HOSTS) + "db1 db\n")
        for host in HOSTS:
            app = self.server.home(host) / "app"
            (app / "releases" / "1").mkdir(parents=True)
            (app / "current").symlink_to("releases/1")

    def stop(self) -> None:
        self.server.stop()

    def parameters(self) -> list[str]:
        """What `dwf start` is told, for release 2."""
        given = {
            "release": "2", "source": self.source, "inventory": self.inventory, "tags": "web", "base": "app",
            "stages": "50%", "soak": "0s", "ssh_config": self.ssh_config,
        }  # fmt: skip
        return [f"{name}={value}" for name, value in given.items()]

    def used(self) -> dict[str, str]:
        """Which release each host uses."""
        return {host: (self.server.home(host) / "app" / "current").readlink().name for host in HOSTS}

    def is_sick(self, host: str) -> None:
        """The check fails there from now on."""
        (self.server.home(host) / "sick").touch()
