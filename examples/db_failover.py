"""Planned failover of a PostgreSQL primary to its standby, with the way back until the soak is over.

    dwf start examples/db_failover.py --help                 the parameters, from the signature below
    dwf start examples/db_failover.py old=/srv/pg/a new=/srv/pg/b service=/etc/pg_service.conf by=@dba
    dwf tick                                                 (cron does this every minute)
    dwf approve db-failover-7f3k9 -m "maintenance window"
    dwf tick && dwf show db-failover-7f3k9

A node is a directory with `data` (the cluster, made with --data-checksums or wal_log_hints=on) and `postgresql.conf`
beside it, which names its port, its socket directory, and in primary_conninfo the other node. Clients find the primary
by a libpq service file. Both nodes are on this machine; for two machines put `ssh host` before the commands in `owner`.
To try it without touching a real server, read tests/examples/: it builds such a pair below a temporary directory.

    lag -> yes? -> fence old -> all received -> promote new -> repoint clients -> soak -> | -> old becomes standby
                   '------------------- a failure here takes all of it back ----------------'

How it keeps its promises:

* There are never two primaries. The old one is stopped before the new one is promoted, and the way back makes the new
  one a standby before it starts the old one.
* Nothing is promoted twice. If dwf or the machine dies between the promotion and its record, the next tick asks the
  server itself (`verify`) and does not guess.
* The way back is on disk before each step. It costs what clients have written since they were repointed: the question
  to the approver says so. After the soak there is none: fail over again, the other way round.
* Every step may be run twice.
"""

import configparser
import os
import re
from dataclasses import dataclass
from pathlib import Path

import dwf


@dataclass
class Node:
    """One server. `host` is its socket directory; `owner` what its commands begin with."""

    name: str
    home: str
    host: str
    port: int
    bin: str
    owner: list[str]


@dataclass
class Failover:
    """What the run returns. `has_standby`: the old primary follows the new one."""

    primary: str
    standby: str
    has_standby: bool


@dwf.workflow(name="db-failover")
async def failover(
    old: str,
    new: str,
    service: str,
    os_user: str = "postgres",
    pg_bin: str = "/usr/lib/postgresql/15/bin",
    max_lag: int = 1_000_000,
    by: str = "",
    answer_within: str = "4h",
    soak: str = "10m",
    check: str = "select not pg_is_in_recovery()",
) -> Failover:
    """Make `new`, the standby, the primary in place of `old`, and `old` its standby.

    service: the file by which clients find the primary, section [app]. os_user: who owns the servers (empty: you, as
    whom dwf runs). max_lag: bytes that the standby may be behind before anybody is asked. check: SQL that must give
    true, as a client sees the new primary, when it is repointed and when the soak is over.
    """
    primary, standby = await node(old, os_user, pg_bin), await node(new, os_user, pg_bin)
    await require_roles(primary, standby)
    lag = await small_lag(primary, max_lag)
    await dwf.approve(
        f"Fail over from {primary.name} to {standby.name}?",
        by=by or (),
        timeout=answer_within,
        show={"lag in bytes": lag, "soak": soak, "a way back loses": "what is written after the promotion"},
    )

    async with dwf.saga() as saga:
        await saga.step(fence(primary), undo=[start(primary), start(standby)])
        await received_everything(primary, standby)
        # If it ended in the middle, it may have happened: then it is taken back as well.
        await saga.step(promote(standby), undo=demote(standby, primary), undo_if_unknown=True)
        await saga.step(point_clients(service, standby), undo=point_clients(service, primary))
        await seen_by_clients(service, check, standby)
        dwf.status(f"soaking for {soak}")
        await dwf.sleep(soak, "soak")
        await seen_by_clients(service, check, standby)
        saga.keep()  # from here on the way back is another failover

    dwf.status("the old primary becomes a standby")
    return Failover(standby.name, primary.name, has_standby=await rejoined(primary, standby))


async def require_roles(primary: Node, standby: Node) -> None:
    """Raise a Failure if they are not what they are taken for: it may have been typed the wrong way round."""
    for server, expected in ((primary, "f"), (standby, "t")):
        if await answer(server, "select pg_is_in_recovery()", "role") != expected:
            raise dwf.Failure(f"{server.name} is not the {'primary' if expected == 'f' else 'standby'}")


async def small_lag(primary: Node, max_lag: int) -> int:
    """Wait until the standby is hardly behind; how many bytes it is."""
    behind = "pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)"
    query = f"select coalesce(max({behind}), -1)::bigint from pg_stat_replication"

    async def lag() -> int:
        return int(await answer(primary, query, "lag"))

    return await dwf.poll(lag, every="5s", until=lambda found: 0 <= found <= max_lag, timeout="10m")


async def received_everything(primary: Node, standby: Node) -> None:
    """Nothing that the fenced primary has acknowledged is missing in the standby."""
    control = await command(primary, "pg_controldata", "-D", data(primary), title="last checkpoint")
    last = control.find(r"^Latest checkpoint location:\s+(\S+)$")
    query = f"select pg_last_wal_replay_lsn() >= '{last}'::pg_lsn"

    async def has_it() -> bool:
        return await answer(standby, query, "all received") == "t"

    await dwf.poll(has_it, every="1s", timeout="5m")


async def seen_by_clients(service: str, check: str, expected: Node) -> None:
    """The check is true, asked as a client does."""
    found = await dwf.sh(
        f"{expected.bin}/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", "service=app", "-c", check,
        env={"PGSERVICEFILE": service, "PGCONNECT_TIMEOUT": 5}, timeout="1m", title="check", retry=AGAIN,
    )  # fmt: skip
    if found.out.strip() != "t":
        raise dwf.Failure(f"{expected.name}: the check gave {found.out.strip()!r:.60}", check=check)


async def rejoined(old: Node, new: Node) -> bool:
    """The old primary follows the new one. The failover has succeeded without that, too: then it is only a warning."""
    try:
        await answer(new, "checkpoint", "checkpoint")  # else pg_rewind does not see the new timeline
        await rewind(old, f"--source-server={conninfo(new)}")
        await start(old)

        async def streams() -> bool:
            return await answer(new, "select count(*) > 0 from pg_stat_replication", "standby streams") == "t"

        await dwf.poll(streams, every="1s", timeout="2m")
    except (dwf.ActivityError, TimeoutError) as problem:
        dwf.degrade(f"{new.name} has no standby: {problem}")
        return False
    return True


# -- steps on servers -------------------------------------------------------------------------------------------
# Plain functions that give one step each, so that they can be awaited, and be the way back of another.

AGAIN = dwf.Retry(max_attempts=5, initial="1s")


def command(server: Node, program: str, *words: object, title: str, **options):
    """A program of PostgreSQL, as the user who owns the server."""
    options = {"timeout": "2m", "retry": AGAIN, **options}
    return dwf.sh(*server.owner, f"{server.bin}/{program}", *words, title=title, **options)


def script(server: Node, text: str, *words: object, title: str, **options):
    """Several of them: a text for /bin/sh, whose words are "$1", "$2", ...; `$PATH` begins with their directory."""
    path = f"PATH={server.bin}:/usr/bin:/bin"
    options = {"timeout": "5m", "retry": AGAIN, **options}
    return dwf.sh(*server.owner, "env", path, "sh", "-euc", text, server.name, *words, title=title, **options)


async def answer(server: Node, query: str, title: str) -> str:
    """What the server says to a query, asked locally."""
    words = ("-XAtq", "-v", "ON_ERROR_STOP=1", "-d", conninfo(server), "-c", query)
    return (await command(server, "psql", *words, title=title)).out.strip()


def fence(server: Node):
    """Stop the primary for good: clients are cut off, and what they have committed has gone to the standby."""
    text = 'if pg_ctl -D "$1" status >&2; then pg_ctl -D "$1" stop -m fast -t 120; fi'
    return script(server, text, data(server), title=f"fence {server.name}")


def start(server: Node):
    """Start a server as what it is: a standby if it has a standby.signal, else a primary."""
    text = """
        if pg_ctl -D "$1" status >&2; then exit 0; fi
        pg_ctl -D "$1" start -t 120 -l "$2/server.log" -o "-c config_file=$2/postgresql.conf"
    """
    return script(server, text, data(server), server.home, title=f"start {server.name}")


def promote(server: Node):
    """Make the standby a primary. Whether it is one already, only the server itself can say."""
    asked = 'found=$("$1" -XAtq -d "$2" -c "select pg_is_in_recovery()") || exit 2; test "$found" = f'
    probe = [*server.owner, "sh", "-c", asked, "probe", f"{server.bin}/psql", conninfo(server)]
    words = ("-D", data(server), "promote", "-t", 120)
    title = f"promote {server.name}"
    return command(server, "pg_ctl", *words, title=title, retry=dwf.Retry(max_attempts=1), verify=probe)


def demote(server: Node, source: Node):
    """Make a promoted server a standby again, as of the moment of its promotion; it is not started."""
    return rewind(server, f"--source-pgdata={data(source)}")


def rewind(server: Node, source: str):
    """Bring a stopped (or here: stopped first) server to where it parted from another, as that one's standby."""
    text = """
        if pg_ctl -D "$1" status >&2; then pg_ctl -D "$1" stop -m fast -t 120; fi
        pg_rewind -D "$1" "$2"
        touch "$1/standby.signal"
    """
    return script(server, text, data(server), source, title=f"rewind {server.name}")


# -- nodes, and where clients look ------------------------------------------------------------------------------


async def node(home: str, os_user: str, pg_bin: str) -> Node:
    """A node from its directory."""
    owner = ["/usr/sbin/runuser", "-u", os_user, "--"] if os_user else []
    host, port = await place(home)
    return Node(Path(home).name, home, host, port, pg_bin, owner)


@dwf.activity(title="read postgresql.conf")
def place(home: str) -> tuple[str, int]:
    """The socket directory and the port of a node."""
    text = Path(home, "postgresql.conf").read_text()
    found = dict(re.findall(r"(?m)^\s*(port|unix_socket_directories)\s*=\s*'?([^'\s#]+)", text))
    if found.keys() != {"port", "unix_socket_directories"}:
        raise dwf.Failure(f"{home}/postgresql.conf names no port, or no socket directory")
    return found["unix_socket_directories"], int(found["port"])


@dwf.activity(title="point clients")
def point_clients(service: str, server: Node) -> None:
    """Let the service file name a server. A rename replaces it at one instant, or not at all."""
    known = configparser.ConfigParser()
    known.read(service)
    if "app" not in known:
        known["app"] = {}
    known["app"].update(host=server.host, port=str(server.port))
    beside = Path(f"{service}.new")
    with beside.open("w") as file:
        known.write(file, space_around_delimiters=False)
        file.flush()
        os.fsync(file.fileno())
    beside.chmod(0o644)
    beside.replace(service)


def data(server: Node) -> str:
    return f"{server.home}/data"


def conninfo(server: Node) -> str:
    return f"host={server.host} port={server.port} user=postgres dbname=postgres"
