"""Steps on other hosts in runs, over a real sshd."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from dwf.authoring.shell import sh
from dwf.authoring.ssh import ShellOptions
from dwf.core import events as ev
from dwf.core.status import Status
from tests.activities.processes import soon
from tests.engine.house import House
from tests.engine.processes import begin_tick, kill
from tests.sshd import Sshd, is_there


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if not is_there():
        pytest.skip("it needs sshd and ssh (Debian: apt-get install openssh-server)")
    server = Sshd(tmp_path_factory.mktemp("ssh") / "place")
    server.build()
    yield server
    server.stop()


def test_its_options_are_those_of_a_command_here() -> None:
    """Fails when dwf.sh() has an option that dwf.ssh() does not know."""
    options = [p.name for p in inspect.signature(sh).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert {name for name in options if not name.startswith("_")} == set(ShellOptions.__annotations__)


def test_hosts_of_an_inventory_are_worked_on_and_recorded(house: House, server: Sshd) -> None:
    hosts = house.path / "hosts"
    hosts.write_text("web1 web\nweb2 web address=web3\ndb1 db\n")
    house.go(f"""
        @dwf.workflow
        async def w():
            hosts = await dwf.inventory({str(hosts)!r}, tags="web")
            found = await dwf.map(lambda host: dwf.ssh(host, "pwd", config={str(server.config)!r}), hosts)
            return [str(h) + " " + out.out.strip().rpartition("/")[2] for h, out in zip(hosts, found.values)]
    """)

    assert house.result() == ["web1 web1", "web2 web3"]
    names = [event.name for event in house.all(ev.ActivityScheduled)]
    assert names[1:] == ["web1: pwd", "web2: pwd"]
    assert house.all(ev.ActivityScheduled)[0].title == f"read the inventory {hosts}"


def test_a_step_on_another_host_outlives_the_tick_that_began_it(house: House, server: Sshd) -> None:
    """Fails when the next tick begins it anew, or does not hear how it ended."""
    far = server.home("web4")
    house.start(
        house.script(f"""
        @dwf.workflow
        async def w():
            out = await dwf.ssh("web4", script="echo run >> runs; while ! [ -e over ]; do sleep 0.05; done; echo done",
                                config={str(server.config)!r}, orphan="adopt")
            return out.out
    """)
    )
    first = begin_tick(house.store.layout.home)
    assert soon((far / "runs").exists, 30)
    kill(first)
    (far / "over").touch()
    house.tick()

    assert house.status() is Status.COMPLETED
    assert house.result() == "done\n"
    assert (far / "runs").read_text() == "run\n"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ('dwf.ssh("-oProxyCommand=x", "true")', "none that ssh would take"),
        ('dwf.ssh("web1 web2", "true")', "none that ssh would take"),
        ('dwf.ssh("", "true")', "none that ssh would take"),
        ('dwf.ssh("web1", "true", config="cfg")', "no absolute path"),
        ('dwf.ssh("web1")', "there is no command"),
        ('dwf.inventory("hosts")', "no absolute path"),
        ("dwf.inventory()", "either a file or command"),
    ],
)
def test_what_makes_no_sense_is_a_mistake_of_the_script(house: House, call: str, said: str) -> None:
    house.go(f"""
        @dwf.workflow
        async def w():
            await {call}
    """)
    assert house.status() is Status.BLOCKED
    (blocked,) = house.all(ev.RunBlocked)
    assert said in blocked.message


def test_the_probe_of_a_step_there_is_asked_there(house: House, server: Sshd) -> None:
    """Fails when `verify` looks at this machine."""
    far = server.home("web5")
    house.start(
        house.script(f"""
        @dwf.workflow
        async def w():
            out = await dwf.ssh("web5", script="touch made; kill -9 $PPID; sleep 1000", verify="[ -e made ]",
                                config={str(server.config)!r})
            return out.code
    """)
    )
    first = begin_tick(house.store.layout.home)
    assert soon((far / "made").exists, 30)
    kill(first)
    house.tick()
    assert house.status() is Status.COMPLETED
