"""Which code a new start takes: the file, what is kept, or what is asked for; and what that is to runs that follow."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwf.core import events as ev
from dwf.core.state import Status
from dwf.engine import keeping, newer, routing
from dwf.engine.bulk import prepare_each, start_each
from dwf.engine.start import StartRequest, describe
from dwf.engine.versions import versions
from dwf.errors import CodeMissing, NotFound, NotPermitted, ScriptRefused, UsageError
from dwf.store.routes import Route
from tests.engine.house import ME, House

BOOK = """
@dwf.activity
def step(what: str) -> str:
    note(what)
    return what

@dwf.workflow(upgrade={mode!r})
async def main({parameters}):
    await step({what!r})
    await dwf.wait_signal("go")
    return {what!r}
"""


def write(house: House, what: str, mode: str = "pinned", parameters: str = "") -> str:
    return house.script(BOOK.format(what=what, mode=mode, parameters=parameters))


def keep(house: House, code: str = routing.PINNED, ramp: int = 0) -> Route:
    return keeping.keep(house.store, str(house.path / "book.py"), code, ramp, ME, "deploy", house.clock())


def did(house: House, run: str) -> str:
    """What that run does, started anew."""
    before = len(house.notes())
    house.start(str(house.path / "book.py"), run)
    house.tick()
    return house.notes()[before]


def test_new_starts_stay_on_what_is_kept_whatever_becomes_of_the_file(house: House) -> None:
    path = write(house, "old")
    route = keep(house)
    write(house, "new")
    assert did(house, "a") == "old"
    Path(path).write_text("not a script at all (")
    assert did(house, "b") == "old"
    Path(path).unlink()
    assert did(house, "c") == "old"
    head = house.state("c").head
    assert (head.code, head.code_from, head.script) == (route.code, ev.CodeFrom.KEPT, path)


def test_they_take_the_file_again_when_that_is_unset(house: House) -> None:
    path = write(house, "old")
    keep(house)
    write(house, "new")
    keeping.unset(house.store, path, ME, "done", house.clock())
    assert did(house, "a") == "new"
    assert house.state("a").head.code_from is ev.CodeFrom.FILE
    with pytest.raises(NotFound):
        keeping.unset(house.store, path, ME, "done", house.clock())


def test_what_is_kept_may_be_named_by_the_hash_that_a_run_is_on(house: House) -> None:
    write(house, "old")
    did(house, "a")
    code = house.state("a").code
    write(house, "new")
    did(house, "b")
    keep(house, code[:8])
    assert did(house, "c") == "old"
    keep(house, house.state("b").code)
    assert did(house, "d") == "new"


def test_a_part_of_new_starts_takes_the_file_and_an_id_stays_on_its_side(house: House) -> None:
    write(house, "old")
    keep(house, ramp=30)
    path = write(house, "new")
    sides = {}
    for ramp in (30, 60):
        keep(house, "", ramp)
        for number in range(40):
            run = f"web{number}"
            taken = routing.Offer(house.store, path).to(run)
            sides.setdefault(run, []).append(taken.origin)
    began = [origins[0] for origins in sides.values()]
    assert 4 <= began.count(ev.CodeFrom.RAMP) <= 20
    assert all(later is ev.CodeFrom.RAMP for first, later in sides.values() if first is ev.CodeFrom.RAMP)
    canary = next(run for run, origins in sides.items() if origins[1] is ev.CodeFrom.RAMP)
    assert did(house, canary) == "new" and house.state(canary).head.code_from is ev.CodeFrom.RAMP


@given(st.text(), st.integers(0, 99), st.integers(0, 99))
def test_a_larger_ramp_only_adds(run: str, one: int, other: int) -> None:
    def takes(ramp: int) -> bool:
        route = Route(script="/srv/a.py", code="aa", ramp=ramp, at="", by=ev.Identity(uid=0))
        return routing.takes_file(route, run)

    assert takes(max(one, other)) or not takes(min(one, other))
    assert not takes(0)


def test_an_id_that_is_made_up_decides_and_is_the_one_that_is_told(house: House) -> None:
    write(house, "old")
    path = write(house, "old")
    keep(house, ramp=50)
    write(house, "new")
    made = [house.start(path, run=None) for _ in range(30)]
    for started in made:
        assert routing.Offer(house.store, path).to(started.run).origin is started.origin
    assert len({started.origin for started in made}) == 2


def test_words_are_held_against_the_code_that_is_taken(house: House) -> None:
    path = write(house, "old", parameters="host: str")
    keep(house)
    write(house, "new", parameters="hosts: str")
    assert [p.name for w in describe(path, house.store) for p in w.parameters] == ["host"]
    house.start(path, "a", json_input={"host": "web1"})
    with pytest.raises(UsageError, match="hosts"):
        house.start(path, "b", json_input={"hosts": "web1"})


def test_of_many_starts_each_takes_its_own(house: House) -> None:
    write(house, "old", parameters="n: int")
    keep(house, ramp=50)
    path = write(house, "new", parameters="n: int")
    asked = StartRequest(path, ME, run="w{n}")
    list(start_each(house.store, prepare_each(asked, [{"n": n} for n in range(40)], house.store)))
    sides = [house.state(f"w{n}").head.code_from for n in range(40)]
    assert set(sides) == {ev.CodeFrom.KEPT, ev.CodeFrom.RAMP}
    assert sides == [routing.Offer(house.store, path).to(f"w{n}").origin for n in range(40)]


# -- what is asked for ------------------------------------------------------------------------------------------


def test_a_start_may_ask_for_one_version_and_stays_on_it(house: House) -> None:
    path = write(house, "old", mode="auto")
    did(house, "a")
    code = house.state("a").code
    write(house, "new", mode="auto")
    house.start(path, "b", code=code[:7])
    house.tick()
    head = house.state("b").head
    assert (head.code, head.code_from, head.code_mode) == (code, ev.CodeFrom.NAMED, "pinned")
    house.signal("go", run="b")
    house.tick()
    assert house.result("b") == "old"


def test_pinned_takes_the_file_whatever_is_kept(house: House) -> None:
    path = write(house, "old")
    keep(house)
    write(house, "new")
    house.start(path, "a", code="pinned")
    house.tick()
    assert house.notes() == ["new"]


@pytest.mark.parametrize("code", ["abc", "xyz1", "ABCD", "../../etc", "a" * 65 + "z"])
def test_what_is_no_hash_is_refused(house: House, code: str) -> None:
    with pytest.raises(UsageError, match="no code"):
        house.start(write(house, "old"), code=code)


def test_code_that_no_run_was_on_is_not_found(house: House) -> None:
    path = write(house, "old")
    with pytest.raises(NotFound, match="was ever on"):
        house.start(path, code="abcd")
    house.start(path)
    file = next(name for name in house.store.code._content.names() if name != house.state().code)
    with pytest.raises(NotFound, match="was ever on"):
        house.start(path, "b", code=file)  # a file of it, and no script


def test_code_of_another_script_is_refused(house: House) -> None:
    write(house, "old")
    did(house, "a")
    other = house.script(BOOK.format(what="x", mode="pinned", parameters=""), "other.py")
    with pytest.raises(UsageError, match=r"code of book\.py"):
        house.start(other, "b", code=house.state("a").code)


def test_a_beginning_of_several_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(house, "old")
    found = {"aaaa1" + "0" * 59: "book.py", "aaaa2" + "0" * 59: "book.py"}
    monkeypatch.setattr("dwf.store.code.CodeStore.beginning_with", lambda *_: found)
    with pytest.raises(UsageError, match="several"):
        house.start(path, code="aaaa")


# -- what may go wrong ------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_loaded_is_not_kept(house: House) -> None:
    path = house.script("raise ValueError('half written')")
    with pytest.raises(ScriptRefused):
        keep(house)
    assert house.store.routes.of(path) is None


def test_without_the_stored_code_nothing_is_started_and_the_way_out_is_told(house: House) -> None:
    path = write(house, "old")
    route = keep(house)
    (Path(house.store.layout.code) / route.code).unlink()
    with pytest.raises(CodeMissing) as found:
        house.start(path)
    assert f"dwf routes unset {path}" in str(found.value.hint)
    with pytest.raises(NotFound):
        house.state()


@pytest.mark.parametrize("ramp", [-1, 100, 1000])
def test_a_ramp_is_a_part(house: House, ramp: int) -> None:
    write(house, "old")
    with pytest.raises(UsageError, match="ramp"):
        keep(house, ramp=ramp)


def test_a_ramp_of_nothing_that_is_kept_is_refused(house: House) -> None:
    write(house, "old")
    with pytest.raises(UsageError, match="kept"):
        keep(house, "", ramp=10)


def test_root_takes_no_code_that_was_another_users(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(house, "old")
    route = keep(house)
    house.store.routes.put(Route(script=path, code=route.code, owner=1234, at="", by=ME))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(NotPermitted, match="1234"):
        house.start(path)


# -- runs that follow -------------------------------------------------------------------------------------------


def test_a_run_that_follows_takes_what_a_new_start_takes(house: House) -> None:
    """Fails when a route is for new starts only: the file that was held back would reach the open runs all the same."""
    path = write(house, "old", mode="auto")
    old = keep(house).code
    house.start(path)
    house.tick()
    write(house, "new", mode="auto")
    house.signal("on")
    house.tick()
    assert house.state().code == old and house.all(ev.CodeUpgraded) == []
    text = Path(path).read_text().replace("return 'new'", "return 'newer'").replace("'new'", "'old'")
    Path(path).write_text(text)
    keeping.unset(house.store, path, ME, "done", house.clock())
    house.signal("go")
    house.tick()
    assert house.result() == "newer" and house.the(ev.CodeUpgraded).code != old


def test_and_goes_back_when_the_code_of_before_is_kept_again(house: House) -> None:
    path = write(house, "old", mode="auto")
    house.start(path)
    house.tick()
    old = house.state().code
    Path(path).write_text(Path(path).read_text().replace("return 'old'", "return 'broken'"))
    house.signal("on")
    house.tick()
    assert house.state().code != old
    keep(house, old)
    house.signal("go")
    house.tick()
    assert house.result() == "old" and house.state().code == old
    house.check()


def test_kept_code_that_a_run_is_on_is_not_read_at_each_drive(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(house, "old", mode="auto")
    keep(house)
    house.start(path)
    read: list[str] = []
    monkeypatch.setattr(newer, "kept_sources", lambda _, route: read.append(route.code))
    house.tick()
    house.signal("go")
    house.tick()
    assert read == [] and house.result() == "old"


ROUNDS = """
@dwf.workflow(upgrade="next")
async def main(n: int = 0{more}):
    dwf.status(f"{what} {{n}}")
    await dwf.wait_signal("on")
    return dwf.continue_as_new(n=n + 1)
"""


def test_with_next_an_instance_stays_and_the_next_one_takes_what_a_start_takes(house: House) -> None:
    path = house.script(ROUNDS.format(what="old", more=""))
    house.start(path)
    house.tick()
    house.script(ROUNDS.format(what="new", more=""))
    house.reopen()
    house.tick()
    assert house.state().head.link == 1 and house.all(ev.CodeUpgraded) == []
    house.signal("on")
    house.tick()
    state = house.state()
    moved = house.the(ev.CodeUpgraded)
    assert (state.head.link, moved.id, moved.reason, state.status_text) == (2, 2, "next", "new 1")
    house.script(ROUNDS.format(what="newest", more=""))
    house.signal("on")
    house.tick()
    assert (house.state().status_text, house.state().head.link) == ("newest 2", 3)
    house.check()


def test_with_next_a_file_that_does_not_fit_leaves_the_instance_on_its_code(house: House) -> None:
    path = house.script(ROUNDS.format(what="old", more=""))
    house.start(path)
    house.tick()
    house.script(ROUNDS.format(what="new", more=", *, host: str"))
    house.signal("on")
    house.tick()
    assert house.state().status_text == "old 1" and house.status() is Status.WAITING
    assert "host" in house.the(ev.CodeRefused).message


# -- what is told -----------------------------------------------------------------------------------------------


def test_versions_say_how_many_new_starts_take_each(house: House) -> None:
    path = write(house, "old")
    did(house, "a")
    route = keep(house, ramp=20)
    write(house, "new")
    house.start(path, "b", code="pinned")
    starts = {version.code == route.code: version.starts for version in versions(house.store)}
    assert starts == {True: 80, False: 20}
    house.signal("go", run="a")
    house.tick()
    assert not any(version.is_done for version in versions(house.store))


def test_a_run_on_kept_code_has_the_packages_of_that(house: House) -> None:
    path = house.script("import hypothesis\n" + BOOK.format(what="old", mode="pinned", parameters=""))
    keep(house)
    write(house, "new")
    house.start(path)
    assert set(house.state().packages) == {"hypothesis"}
