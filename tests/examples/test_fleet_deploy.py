"""The fleet deployment: in milliseconds with what stands in for ssh, and on a real sshd with rsync."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dwf.testing import Env
from tests.examples.command import EXAMPLES, Dwf
from tests.examples.fleet import HOSTS, Fleet, tools_are_there

SCRIPT = EXAMPLES / "fleet_deploy.py"
INVENTORY = "".join(f"web{n} web\n" for n in range(1, 9))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    if not tools_are_there():
        pytest.skip("it needs sshd, ssh and rsync (Debian: apt-get install openssh-server rsync)")
    fleet = Fleet(tmp_path / "fleet")
    (tmp_path / "fleet").mkdir()
    try:
        fleet.build()
        yield fleet
    finally:
        fleet.stop()


def events(dwf: Dwf, run: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in dwf("history", run, "-o", "jsonl").splitlines()]


def titles(dwf: Dwf, run: str) -> list[str]:
    return [str(event["title"]) for event in events(dwf, run) if event["type"] == "ActivityScheduled"]


# -- with what stands in for ssh --------------------------------------------------------------------------------


class World:
    """What the hosts would do."""

    def __init__(self, env: Env) -> None:
        self.env = env
        env.stub("cat", INVENTORY)
        env.stub("rsync", "")
        env.stub("check", "")
        env.stub("which release", "releases/1\n")
        self.switch, self.back = env.stub("switch", ""), env.stub("switch back", "")
        self.run = env.start(
            SCRIPT, release="2", source="/build", inventory="/etc/hosts.dwf", stages=["50%"], tolerate="1"
        )


@pytest.fixture
def world(dwf_env: Env) -> World:
    return World(dwf_env)


def test_nobody_but_the_canary_is_switched_before_a_yes(world: World) -> None:
    world.env.skip("3h")
    assert world.run.status == "waiting"
    assert len(world.switch.calls) == 1
    world.run.approve("good")
    world.env.skip()
    assert (world.run.status, len(world.switch.calls), world.back.calls) == ("completed", 8, [])


def test_a_no_takes_the_canary_back(world: World) -> None:
    world.env.at("1h", lambda: world.run.reject("errors in its log"))
    world.env.skip()
    assert (world.run.status, len(world.switch.calls), len(world.back.calls)) == ("failed", 1, 1)


def test_a_host_that_fails_and_is_tolerated_keeps_what_it_had(world: World) -> None:
    world.env.stub("web3: check", sequence=["", OSError("sick")])
    world.env.at("1h", lambda: world.run.approve("good"))
    world.env.skip()
    assert world.run.status == "degraded"
    assert "web3: switch back" in world.run.steps and len(world.back.calls) == 1


def test_more_than_may_fail_take_all_back_that_were_switched(world: World) -> None:
    for host in ("web3", "web4"):
        world.env.stub(f"{host}: check", sequence=["", OSError("sick")])
    world.env.at("1h", lambda: world.run.approve("good"))
    world.env.skip()
    assert world.run.status == "failed"
    switched = {step.partition(":")[0] for step in world.run.steps if step.endswith(": switch")}
    back = {step.partition(":")[0] for step in world.run.steps if step.endswith(": switch back")}
    assert switched == back == {"web1", "web2", "web3", "web4"}


@pytest.mark.parametrize("words", [{"release": "../x"}, {"canary": 8}, {"canary": 0}, {"tags": "none"}])
def test_what_makes_no_sense_fails_before_anything_is_touched(dwf_env: Env, words: dict[str, object]) -> None:
    dwf_env.stub("cat", INVENTORY)
    given = {"release": "2", "source": "/build", "inventory": "/etc/hosts.dwf", **words}
    assert dwf_env.run(SCRIPT, **given).steps == ["read the inventory /etc/hosts.dwf"]


# -- with a real sshd -------------------------------------------------------------------------------------------


def test_a_release_reaches_the_fleet_by_canary_yes_and_stages(dwf: Dwf, fleet: Fleet) -> None:
    run = dwf.start(SCRIPT, *fleet.parameters())
    dwf.tick()
    assert fleet.used() == {"web1": "2", **dict.fromkeys(HOSTS[1:], "1")}
    assert "2 runs on web1. Switch the other 3?" in dwf("inbox")
    dwf("approve", run, "-m", "looks good")
    dwf.tick()

    assert fleet.used() == dict.fromkeys(HOSTS, "2")
    result = json.loads(dwf("result", run))
    assert (result["hosts"], result["replaced"]) == (list(HOSTS), dict.fromkeys(HOSTS, "1"))
    dwf("undo", run, "-y", "-m", "wrong version")
    dwf.tick()
    assert fleet.used() == dict.fromkeys(HOSTS, "1"), "the way back is there also after the end"


def test_a_failure_takes_back_the_hosts_that_were_switched_and_no_other(dwf: Dwf, fleet: Fleet) -> None:
    """Fails when a host goes back that was never switched, or one stays on the release that failed."""
    run = dwf.start(SCRIPT, *fleet.parameters())
    dwf.tick()
    fleet.is_sick("web2")
    dwf("approve", run, "-m", "looks good")
    dwf.tick(code=1)

    assert dwf.shown(run)["status"] == "failed"
    assert fleet.used() == dict.fromkeys(HOSTS, "1")
    done = titles(dwf, run)
    switched = {title.partition(":")[0] for title in done if title.endswith(": switch")}
    assert {title.partition(":")[0] for title in done if title.endswith(": switch back")} == switched
    assert switched == {"web1", "web2"}, "the second stage is half of four"


def test_a_tick_that_is_killed_in_the_middle_switches_no_host_twice_and_forgets_none(dwf: Dwf, fleet: Fleet) -> None:
    run = dwf.start(SCRIPT, *fleet.parameters())
    dwf.tick()
    dwf("approve", run, "-m", "looks good")
    assert dwf.tick_killed_when(lambda: list(fleet.used().values()).count("2") >= 2)
    dwf.tick_until(run, "completed", 60)

    assert fleet.used() == dict.fromkeys(HOSTS, "2")
    scheduled = [title for title in titles(dwf, run) if title.endswith(": switch")]
    assert sorted(scheduled) == sorted(f"{host}: switch" for host in HOSTS)
    left = [p for host in HOSTS for p in (fleet.server.home(host) / ".local/state/dwf-steps").glob("*/*")]
    assert not left, [(p, p.read_text()) for p in left]


def test_an_outage_in_the_middle_is_waited_out(dwf: Dwf, fleet: Fleet) -> None:
    run = dwf.start(SCRIPT, *fleet.parameters())
    fleet.server.stop()
    first = dwf.tick()
    assert first == "" and dwf.shown(run)["status"] == "waiting"
    fleet.server.start()
    dwf.tick_until(run, "waiting", 30)
    dwf("approve", run, "-m", "looks good", code=None)
    while dwf.shown(run)["status"] != "completed":
        dwf.tick()
        dwf("approve", run, "-m", "looks good", code=None)
    assert fleet.used() == dict.fromkeys(HOSTS, "2")
