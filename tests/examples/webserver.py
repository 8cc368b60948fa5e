"""A throw-away web server: a certificate authority, an old certificate, and a real nginx on two loopback ports.

    root/ca/{ca.pem,ca.key}
    root/certs/live -> OLD/          the place that the runbook rotates
    root/certs/OLD/{key,cert}.pem    ends in five days
    root/nginx.conf                  no privileges needed: every path lies below root

The first port reads certs/live. The second one is how such things go wrong in life: somebody wrote the directory of the
old certificate into it, so it never serves another.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

HOST = "web1.example.test"
OLD_SERIAL = "1D0"

_CONF = """
daemon off;
worker_processes 1;
{user}
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {root}/tmp-body;
    proxy_temp_path {root}/tmp-proxy;
    fastcgi_temp_path {root}/tmp-fastcgi;
    uwsgi_temp_path {root}/tmp-uwsgi;
    scgi_temp_path {root}/tmp-scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {root}/certs/{live}/cert.pem;
        ssl_certificate_key {root}/certs/{live}/key.pem;
        location / {{ return 200 "ok"; }}
    }}
    server {{
        listen 127.0.0.1:{stuck} ssl;
        ssl_certificate {root}/certs/{old}/cert.pem;
        ssl_certificate_key {root}/certs/{old}/key.pem;
        location / {{ return 200 "ok"; }}
    }}
}}
"""


def nginx_path() -> str | None:
    """Where nginx is; its directory is not in cron's PATH."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin")


class WebServer:
    """The place, and what a visitor sees of it."""

    def __init__(self, root: Path) -> None:
        nginx = nginx_path()
        assert nginx is not None
        self.root, self.nginx = root, nginx
        self.certs, self.conf = root / "certs", root / "nginx.conf"
        self.ca_cert, self.ca_key = root / "ca" / "ca.pem", root / "ca" / "ca.key"
        self.port, self.stuck_port = _free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None

    def build(self) -> None:
        """Make the authority, the old certificate and the configuration, and start nginx."""
        (self.root / "ca").mkdir(parents=True)
        old = self.certs / OLD_SERIAL
        old.mkdir(parents=True)
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"),
            *("-subj", "/CN=Throw-away test CA", "-keyout", self.ca_key, "-out", self.ca_cert),
        )
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", old / "key.pem")
        _openssl("req", "-new", "-key", old / "key.pem", "-subj", f"/CN={HOST}", "-out", old / "csr.pem")
        extensions = old / "extensions"
        extensions.write_text(f"subjectAltName=DNS:{HOST}\n")
        _openssl(
            *("x509", "-req", "-in", old / "csr.pem", "-CA", self.ca_cert, "-CAkey", self.ca_key, "-days", "5"),
            *("-set_serial", f"0x{OLD_SERIAL}", "-extfile", extensions, "-out", old / "cert.pem"),
        )
        (self.certs / "live").symlink_to(OLD_SERIAL)
        self.configure("live")
        self._process = subprocess.Popen(
            [self.nginx, "-e", "stderr", "-c", self.conf], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._wait_until_it_answers()

    def configure(self, live: str) -> None:
        """Write the configuration; the first port reads certs/`live`."""
        user = "user root;" if os.getuid() == 0 else ""
        self.conf.write_text(
            _CONF.format(root=self.root, user=user, port=self.port, stuck=self.stuck_port, live=live, old=OLD_SERIAL)
        )

    def reload(self, serial: str) -> None:
        """What an operator does behind the runbook's back; returns when that serial is served."""
        subprocess.run([self.nginx, "-s", "reload", "-e", "stderr", "-c", self.conf], check=True, capture_output=True)
        until = time.monotonic() + 10
        while self.serial() != serial:
            assert time.monotonic() < until
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)

    def serial(self, port: int = 0) -> str:
        """The serial that a visitor is shown, with chain and name verified."""
        context = ssl.create_default_context(cafile=self.ca_cert)
        with (
            socket.create_connection(("127.0.0.1", port or self.port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as tls,
        ):
            certificate = tls.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"]).lstrip("0")

    def live(self) -> str:
        """The directory that certs/live names."""
        return str((self.certs / "live").readlink())

    def parameters(self, **changes: object) -> list[str]:
        """The words for `dwf start`."""
        words: dict[str, object] = {
            "host": HOST,
            "certs": self.certs,
            "ca_cert": self.ca_cert,
            "ca_key": self.ca_key,
            "address": f"127.0.0.1:{self.port}",
            "nginx": self.nginx,
            "nginx_conf": self.conf,
            "days": 60,
            "soak": "100ms",
            "patience": 5,
        }
        return [f"{name}={value}" for name, value in {**words, **changes}.items()]

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        until = time.monotonic() + 20
        while True:
            assert self._process.poll() is None, (self.root / "error.log").read_text()
            try:
                assert self.serial() == OLD_SERIAL
                return
            except ConnectionError:
                assert time.monotonic() < until
                time.sleep(0.02)


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, stdin=subprocess.DEVNULL)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(s.getsockname()[1]) for s in sockets]
    for one in sockets:
        one.close()
    return ports
