"""A throw-away pair of PostgreSQL servers: a primary and its standby, on sockets below a directory of their own.

    root/{a,b}/data                 the clusters; a is the primary, b a base backup of it that streams
    root/{a,b}/postgresql.conf      beside the data, as Debian has it
    root/service.conf               where clients look; it names a
    root/bin                        PostgreSQL's programs, where a test can put something before one of them

The server refuses to run as root: then it is owned by the user postgres, whom Debian's package makes.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

_CONF = """
port = {port}
unix_socket_directories = '{root}/sock'
listen_addresses = ''
primary_conninfo = 'host={root}/sock port={other} user=postgres'
wal_keep_size = '64MB'
wal_retrieve_retry_interval = '200ms'
shared_buffers = '1MB'
max_connections = 20
max_wal_senders = 5
fsync = off
autovacuum = off
"""
_PORTS = {"a": 5432, "b": 5433}  # only names of sockets


def postgres_bin() -> Path | None:
    """The newest installed release's programs; they are in nobody's PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_rewind"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def postgres_user() -> str | None:
    """Who is to own the servers, as root; "" for ourselves; None if there is nobody."""
    if os.geteuid() != 0:
        return ""
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None


class Pair:
    """Two servers. `build` makes them, `stop` ends them."""

    def __init__(self) -> None:
        # pytest's own directory is closed to others
        self.root = Path(tempfile.mkdtemp(prefix="dwf-pg-"))
        self.root.chmod(0o755)
        self.user = postgres_user() or ""
        self.service = self.root / "service.conf"
        self.bin = self.root / "bin"

    def build(self) -> None:
        real = postgres_bin()
        assert real is not None
        for name in ("sock", "a", "b", "bin"):
            (self.root / name).mkdir()
        for program in real.iterdir():
            (self.bin / program.name).symlink_to(program)
        for name, other in (("a", "b"), ("b", "a")):
            conf = _CONF.format(root=self.root, port=_PORTS[name], other=_PORTS[other])
            (self.root / name / "postgresql.conf").write_text(conf)
        if self.user:
            for path in (self.root, *map(self.root.joinpath, ("sock", "a", "b"))):
                shutil.chown(path, self.user)
        self.run("initdb", "-D", self.data("a"), "-U", "postgres", "-A", "trust", "-N", "--data-checksums")
        self.start("a")
        self.sql("a", "create table kept (word text)")
        source = f"host={self.root}/sock port={_PORTS['a']} user=postgres"
        self.run("pg_basebackup", "-D", self.data("b"), "-d", source, "-c", "fast", "-X", "stream", "-N", "-R")
        (self.root / "b" / "data" / "postgresql.auto.conf").write_text("")
        self.start("b")
        self.service.write_text(f"[app]\nhost={self.root}/sock\nport={_PORTS['a']}\nuser=postgres\ndbname=postgres\n")

    def start(self, name: str) -> None:
        options = f"-c config_file={self.root}/{name}/postgresql.conf"
        log = self.root / name / "server.log"
        self.run("pg_ctl", "-D", self.data(name), "start", "-l", log, "-o", options)

    def stop(self) -> None:
        for name in _PORTS:
            self.run("pg_ctl", "-D", self.data(name), "stop", "-m", "immediate", check=False)
        shutil.rmtree(self.root, ignore_errors=True)

    def before(self, program: str, text: str) -> None:
        """Put a shell text in the place of a program; the real one is "$real"."""
        real = (self.bin / program).resolve()
        (self.bin / program).unlink()
        (self.bin / program).write_text(f"#!/bin/sh\nreal={real}\n{text}\n")
        (self.bin / program).chmod(0o755)

    # -- asking -------------------------------------------------------------------------------------------------

    def data(self, name: str) -> Path:
        return self.root / name / "data"

    def sql(self, name: str, query: str) -> str:
        where = f"host={self.root}/sock port={_PORTS[name]} user=postgres dbname=postgres"
        return self.run("psql", "-XAtq", "-d", where, "-c", query).strip()

    def as_client(self, query: str) -> str:
        """Asked as those do who look into the service file."""
        return self.run("psql", "-XAtq", "-d", "service=app", "-c", query).strip()

    def is_up(self, name: str) -> bool:
        return (self.data(name) / "postmaster.pid").exists()

    def role(self, name: str) -> str:
        if not self.is_up(name):
            return "down"
        return "standby" if self.sql(name, "select pg_is_in_recovery()") == "t" else "primary"

    def roles(self) -> tuple[str, str]:
        return self.role("a"), self.role("b")

    def timeline(self, name: str) -> int:
        return int(self.sql(name, "select timeline_id from pg_control_checkpoint()"))

    def run(self, program: str, *words: object, check: bool = True) -> str:
        owner = ["runuser", "-u", self.user, "--"] if self.user else []
        done = subprocess.run(
            [*owner, str(self.bin / program), *map(str, words)],
            env={"PATH": "/usr/sbin:/usr/bin:/bin", "PGSERVICEFILE": str(self.service)},
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        assert not check or done.returncode == 0, f"{program} {words}: {done.stdout}"
        return done.stdout

    def parameters(self, **more: object) -> list[str]:
        """The words that tell the runbook of this place."""
        words = {
            "old": self.root / "a",
            "new": self.root / "b",
            "service": self.service,
            "os_user": self.user,
            "pg_bin": self.bin,
            "soak": "0s",
            **more,
        }
        return [f"{name}={value}" for name, value in words.items()]
