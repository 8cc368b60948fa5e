from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.command import Dwf
from tests.examples.postgres import Pair, postgres_bin, postgres_user
from tests.examples.webserver import WebServer, nginx_path


@pytest.fixture
def dwf(tmp_path: Path) -> Dwf:
    return Dwf(tmp_path)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebServer]:
    if nginx_path() is None or shutil.which("openssl") is None:
        pytest.skip("it needs nginx and openssl (Debian: apt-get install nginx-light openssl)")
    server = WebServer(tmp_path / "web")
    try:
        server.build()
        yield server
    finally:
        server.stop()


@pytest.fixture
def pair() -> Iterator[Pair]:
    if postgres_bin() is None or postgres_user() is None:
        pytest.skip("it needs PostgreSQL and, as root, its user (Debian: apt-get install postgresql)")
    servers = Pair()
    try:
        servers.build()
        yield servers
    finally:
        servers.stop()
