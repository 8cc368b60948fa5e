"""Rotate the certificate of one nginx: a new key, a yes from a person, a switch that can be taken back.

    dwf start examples/cert_rotation.py --help                       the parameters, from the signature below
    dwf start examples/cert_rotation.py host=www.example.org by=anna
    dwf tick                                                         (cron does this every minute)
    dwf inbox                                                        what is asked, with serial and fingerprint
    dwf approve cert-rotation-7f3k9 -m "checked the fingerprint"
    dwf tick && dwf history cert-rotation-7f3k9

It needs openssl, nginx, and a certificate authority whose key this machine may use (a test CA; with a real one, only
`sign` changes). Below `certs` each certificate has a directory of its own, and nginx reads the one that `live` names:

    certs/live -> 5EA8.../           ssl_certificate      <certs>/live/cert.pem;
    certs/5EA8.../{key,cert}.pem     ssl_certificate_key  <certs>/live/key.pem;

To try it without touching a real server, read tests/examples/: it builds such a place below a temporary directory.

How it keeps its promises:

* Every step may be run twice, because dwf runs a step again when the machine died in the middle of it: files are
  written beside their name and then moved, the serial is chosen once, the switch is one rename.
* Private keys are files of mode 0600, never part of a result. A rejected run leaves its key behind, never used.
* What is installed is what was approved: serial and public key are compared after signing.
* Only a *failed step* undoes the switch. A mistake in this script stops the run instead (`blocked`), and a `dwf cancel`
  during the soak leaves the new certificate where it is: it was being served.
"""

import os
import re
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

import dwf

DAY_SECONDS = 86_400


@dataclass
class Server:
    """The nginx that is worked on, and how it is seen from outside."""

    host: str
    address: str
    ca_cert: str
    certs: str
    nginx: str
    nginx_conf: str
    patience: float


@dataclass
class Rotation:
    """What the run returns. `serial` is what is served now."""

    serial: str
    replaced: str
    rotated: bool
    days_left: int


@dwf.workflow(name="cert-rotation")
async def rotate(
    host: str,
    certs: str = "/etc/nginx/certs",
    ca_cert: str = "/etc/ssl/test-ca/ca.pem",
    ca_key: str = "/etc/ssl/test-ca/ca.key",
    address: str = "127.0.0.1:443",
    nginx: str = "/usr/sbin/nginx",  # with its path: cron's PATH has no sbin
    nginx_conf: str = "/etc/nginx/nginx.conf",
    days: int = 90,
    renew_before: int = 30,
    by: str = "",
    answer_within: str = "4h",
    soak: str = "10m",
    patience: float = 10.0,
) -> Rotation:
    """Replace the certificate of `host` if it ends within `renew_before` days.

    by: who may say yes, a user or an @group (empty: whoever may write to this run). soak: how long the new certificate
    must serve before it counts. patience: seconds a reload may take until the new certificate is seen.
    """
    check_words(host, days)
    web = Server(host, address, ca_cert, certs, nginx, nginx_conf, patience)

    old = await facts_of(f"{certs}/live/cert.pem", "expiry")
    days_left = int((old.ends - dwf.now().timestamp()) / DAY_SECONDS)
    if days_left > renew_before:
        return Rotation(old.serial, old.serial, rotated=False, days_left=days_left)

    serial = f"{dwf.uuid4().int:X}"
    fresh = f"{certs}/{serial}"
    key_print = await key_and_csr(fresh, host)

    await dwf.approve(
        f"Switch {host} to serial {colons(serial)}?",
        by=by or (),
        timeout=answer_within,
        on_timeout="reject",
        show={
            "new serial": colons(serial),
            "new public key sha256": key_print,
            "valid for days": days,
            "replaces serial": colons(old.serial),
            "which ends in days": days_left,
        },
    )

    dwf.status("signing")
    await sign(fresh, host, serial, days, ca_cert, ca_key)
    new = await verified(fresh, host, ca_cert)
    if (new.serial, new.key_print) != (serial, key_print):
        raise dwf.Failure("the CA signed something else than was approved", serial=new.serial, key=new.key_print)

    before = await live_directory(certs)
    try:
        dwf.status("switching")
        await switch(certs, serial)
        await reload(web)
        await check(web, serial)
        dwf.status(f"soaking for {soak}")
        await dwf.sleep(soak, "soak")
        await check(web, serial)
    except dwf.ActivityError as problem:
        outcome = await undo(web, before, old.serial)
        raise dwf.Failure(f"{why(problem)}; {outcome}", tried=serial) from problem

    dwf.status("done")
    return Rotation(serial, old.serial, rotated=True, days_left=int((new.ends - dwf.now().timestamp()) / DAY_SECONDS))


async def undo(web: Server, before: str, serial: str) -> str:
    """The compensation: what was live before is live again. Says in words whether it is also seen again."""
    dwf.status("undoing the switch")
    await switch.options(title="switch back")(web.certs, before)
    try:
        await reload(web)
    except dwf.ActivityError as worse:
        dwf.log.warning("no reload after the switch back, nginx keeps what it has: %s", why(worse))
    try:
        await check(web, serial)
    except dwf.ActivityError as worse:
        return f"the old certificate is live again, but not seen: {why(worse)}"
    return "the old certificate is served again"


# -- steps with openssl and nginx -------------------------------------------------------------------------------
# Values never become part of a shell text: they are its "$1", "$2", ...


@dataclass
class Facts:
    """What a certificate says. `ends`: seconds since 1970; `key_print`: sha256 of its public key, hex."""

    serial: str
    ends: int
    key_print: str


async def facts_of(cert: str, title: str) -> Facts:
    """Read a certificate."""
    text = """
        set -eu
        openssl x509 -in "$1" -noout -serial -enddate
        printf key=
        openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r
    """
    found = (await dwf.sh(cert, script=text, timeout="1m", title=title)).kv()
    ends = int(ssl.cert_time_to_seconds(found["notAfter"]))
    return Facts(found["serial"].lstrip("0"), ends, found["key"].split()[0])


async def key_and_csr(fresh: str, host: str) -> str:
    """Make key and request in the new directory, once; returns the sha256 of the public key."""
    text = """
        set -eu
        mkdir -p "$1" && cd "$1"
        if ! test -s key.pem; then
            openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.new && mv key.new key.pem
        fi
        openssl req -new -key key.pem -subj "/CN=$2" -out csr.new && mv csr.new csr.pem
        sync key.pem csr.pem
        openssl pkey -in key.pem -pubout -outform DER | openssl dgst -sha256 -r
    """
    made = await dwf.sh(fresh, host, script=text, umask=0o077, timeout="1m", title="key and csr")
    return made.find(r"^[0-9a-f]{64}")


async def sign(fresh: str, host: str, serial: str, days: int, ca_cert: str, ca_key: str) -> None:
    """Let the CA sign the request, with the serial that was approved."""
    text = """
        set -eu
        cd "$1"
        openssl x509 -req -in csr.pem -CA "$4" -CAkey "$5" -set_serial "0x$2" -days "$3" -sha256 \
            -extfile /dev/stdin -out cert.new
        mv cert.new cert.pem && sync cert.pem
    """
    extensions = f"subjectAltName=DNS:{host}\nextendedKeyUsage=serverAuth\nbasicConstraints=critical,CA:FALSE\n"
    words = (fresh, serial, days, ca_cert, ca_key)
    await dwf.sh(*words, script=text, stdin=extensions, umask=0o077, timeout="1m", title="sign")


async def verified(fresh: str, host: str, ca_cert: str) -> Facts:
    """Check chain, name, purpose, and that key and certificate belong together; returns what the certificate says."""
    text = """
        set -eu
        openssl verify -CAfile "$3" -purpose sslserver -verify_hostname "$2" "$1/cert.pem"
        of_cert=$(openssl x509 -in "$1/cert.pem" -noout -pubkey)
        of_key=$(openssl pkey -in "$1/key.pem" -pubout)
        test "$of_cert" = "$of_key" || { echo "key and certificate do not match" >&2; exit 9; }
    """
    await dwf.sh(fresh, host, ca_cert, script=text, timeout="1m", title="verify chain and key")
    return await facts_of(f"{fresh}/cert.pem", "read the new certificate")


async def reload(web: Server) -> None:
    """Test the configuration, then have nginx take it up: it does so without dropping a connection."""
    with_conf = ("-e", "stderr", "-c", web.nginx_conf)
    await dwf.sh(web.nginx, "-t", *with_conf, timeout="1m", title="nginx -t")
    await dwf.sh(web.nginx, "-s", "reload", *with_conf, timeout="1m", title="reload")


async def check(web: Server, serial: str) -> None:
    """See the certificate as a visitor does."""
    await served(web.address, web.host, serial, web.ca_cert, web.patience)


# -- steps in Python --------------------------------------------------------------------------------------------


@dwf.activity(title="what is live")
def live_directory(certs: str) -> str:
    """The directory that `live` names."""
    return str(Path(certs, "live").readlink())


@dwf.activity(title="switch")
def switch(certs: str, name: str) -> None:
    """Let `live` name another directory. A rename replaces key and certificate at one instant, or not at all."""
    live, beside = Path(certs, "live"), Path(certs, ".live.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(name)
    beside.replace(live)
    descriptor = os.open(certs, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dwf.activity(start_to_close="1m", retry=dwf.Retry(non_retryable=(dwf.Failure,)), title="handshake")
def served(address: str, host: str, serial: str, ca_cert: str, patience: float) -> str:
    """Shake hands until the server shows that serial; a reload takes a moment. Returns the protocol.

    No connection is tried again; another serial after `patience` seconds is final.
    """
    until = time.monotonic() + patience
    while True:
        seen, protocol = shake_hands(address, host, ca_cert)
        if seen == serial:
            return protocol
        if time.monotonic() > until:
            raise dwf.Failure(f"{address} serves serial {colons(seen)}, not {colons(serial)}")
        time.sleep(0.1)


def shake_hands(address: str, host: str, ca_cert: str) -> tuple[str, str]:
    """The serial that is served and the protocol, with chain and name verified. Raises OSError."""
    where, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=ca_cert)
    with (
        socket.create_connection((where.strip("[]"), int(port)), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        seen = tls.getpeercert() or {}
        return str(seen.get("serialNumber", "")).lstrip("0"), str(tls.version())


# -- words ------------------------------------------------------------------------------------------------------


def why(problem: dwf.ActivityError) -> str:
    """A failed step in one line: its title, and the end of what it complained about."""
    said = str(problem.details.get("stderr", "")).strip().splitlines()
    return f"{problem.activity}: {' / '.join(said[-2:]) or problem.reason}"


def check_words(host: str, days: int) -> None:
    """Refuse what could not be a host name before it is written into a certificate."""
    if not re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(?:\.(?!-)[A-Za-z0-9-]{1,63})*", host) or len(host) > 253:
        raise dwf.Failure(f"{host!r} is not a host name")
    if not 1 <= days <= 825:
        raise dwf.Failure(f"days={days} is not between 1 and 825")


def colons(serial: str) -> str:
    """3A91... as people compare it: 3A:91:..."""
    even = serial.zfill(len(serial) + len(serial) % 2)
    return ":".join(even[i : i + 2] for i in range(0, len(even), 2))
