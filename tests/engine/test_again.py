"""Once more with the failed items: a run of its own takes over what was done, and does the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine.again import Again, retry_failed_items
from dwf.errors import Conflict, UsageError, WrongState
from tests.engine.house import ME, House

MAP = """
@dwf.activity(retry=dwf.Retry(max_attempts=1))
def patch(host: str) -> list[str]:
    note(host)
    if os.path.exists(LEDGER + "." + host):
        raise OSError("no disk")
    return [host, "patched"]

@dwf.workflow
async def main(hosts: list[str], tolerate: int = 0):
    found = await dwf.map(patch, hosts, tolerate=tolerate, max_concurrent=1)
    return found.values
"""
HOSTS = ["web1", "web2", "web3", "web4"]


def go(house: House, **given: object) -> None:
    (house.path / "ledger.web2").touch()
    house.go(MAP, json_input={"hosts": HOSTS, **given})


def again(house: House, run: str = "r1") -> Again:
    return retry_failed_items(house.store, run, ME, "disk is free", house.clock)


def mend(house: House) -> None:
    Path(house.path / "ledger.web2").unlink()


def test_what_was_done_is_taken_over_and_only_the_rest_is_done(house: House) -> None:
    go(house)
    before = house.events()
    assert house.notes() == ["web1", "web2"] and house.status() is Status.FAILED
    mend(house)
    assert again(house) == Again("r1.retry", "r1", done=1, left=3)
    house.tick()
    assert house.notes() == ["web1", "web2", "web2", "web3", "web4"]
    assert house.result("r1.retry") == [[host, "patched"] for host in HOSTS]
    assert house.events() == before
    head = house.state("r1.retry").head
    assert head.follows is not None and (head.follows.run, head.follows.how) == ("r1", "retry")
    assert len(house.all(ev.ItemCarried, "r1.retry")) == 1
    house.check()


def test_it_replays_in_another_process_and_goes_on_from_there(house: House) -> None:
    go(house)
    again(house)
    house.tick()
    assert house.status("r1.retry") is Status.FAILED, "web2 fails as before"
    mend(house)
    house.reopen()
    assert again(house, "r1.retry") == Again("r1.retry-2", "r1.retry", done=1, left=3)
    house.tick()
    assert house.result("r1.retry-2") == [[host, "patched"] for host in HOSTS]
    assert house.counted()["web1"] == 1, "what was done two runs ago is still taken over"
    house.check()


def test_a_degraded_run_can_have_its_tolerated_failures_done_once_more(house: House) -> None:
    go(house, tolerate=1)
    assert house.status() is Status.DEGRADED
    mend(house)
    assert again(house).left == 1
    house.tick()
    assert house.notes()[4:] == ["web2"] and house.status("r1.retry") is Status.COMPLETED


def test_a_second_retry_of_the_same_run_is_refused(house: House) -> None:
    go(house)
    again(house)
    with pytest.raises(Conflict, match="retried before"):
        again(house)


def test_a_run_without_failed_items_and_an_open_one_are_refused(house: House) -> None:
    house.go(MAP, json_input={"hosts": HOSTS})
    with pytest.raises(WrongState, match="no item"):
        again(house)
    house.go("@dwf.workflow\nasync def main():\n    await dwf.wait_signal('x')\n", run="r2")
    with pytest.raises(WrongState, match="only what has ended"):
        again(house, "r2")


def test_a_run_that_has_taken_back_what_it_did_is_refused(house: House) -> None:
    (house.path / "ledger.web2").touch()
    saga = MAP.replace(
        "    found = await",
        "    async with dwf.saga() as saga:\n      await saga.step(patch('x'), undo=patch('y'))\n      found = await",
    )
    house.go(saga, json_input={"hosts": HOSTS})
    assert house.status() is Status.FAILED
    with pytest.raises(WrongState, match="taken back"):
        again(house)


def test_items_of_several_steps_are_not_taken_over(house: House) -> None:
    several = MAP.replace("dwf.map(patch,", "dwf.map(lambda host: both(host),") + (
        "async def both(host):\n    await patch(host)\n    return await patch(host)\n"
    )
    (house.path / "ledger.web2").touch()
    house.go(several, json_input={"hosts": HOSTS})
    with pytest.raises(WrongState, match="more than one step"):
        again(house)


def test_without_a_reason_nothing_begins(house: House) -> None:
    go(house)
    with pytest.raises(UsageError, match="reason"):
        retry_failed_items(house.store, "r1", ME, "")


def test_large_results_are_taken_over_too(house: House) -> None:
    large = MAP.replace('return [host, "patched"]', "return [host, 'x' * 300_000]")
    (house.path / "ledger.web2").touch()
    house.go(large, json_input={"hosts": HOSTS})
    mend(house)
    again(house)
    house.tick()
    assert len(house.state("r1.retry").head.carried) < 1000, "it lies in a file of its own"
    assert house.status("r1.retry") is Status.COMPLETED and house.counted()["web1"] == 1
