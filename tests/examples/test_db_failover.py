"""examples/db_failover.py on a real pair of PostgreSQL servers, typed as people type it and ticked as cron ticks it."""

from __future__ import annotations

import json

from tests.examples.command import EXAMPLES, Dwf
from tests.examples.postgres import Pair

FAILOVER = EXAMPLES / "db_failover.py"


def asked(dwf: Dwf, pair: Pair, **parameters: object) -> str:
    """A run that has looked at both servers and waits for the yes."""
    run = dwf.start(FAILOVER, *pair.parameters(**parameters))
    dwf.tick()
    assert "Fail over from a to b?" in dwf("inbox") and pair.roles() == ("primary", "standby")
    return run


def test_the_standby_takes_over_and_the_old_primary_follows_it(dwf: Dwf, pair: Pair) -> None:
    pair.sql("a", "insert into kept values ('before')")
    run = asked(dwf, pair)
    dwf("approve", run, "-m", "window")
    dwf.tick_until(run, "completed")

    assert json.loads(dwf("result", run)) == {"primary": "b", "standby": "a", "has_standby": True}
    assert pair.roles() == ("standby", "primary")
    pair.as_client("insert into kept values ('after')")
    assert pair.as_client("select string_agg(word, ' ') from kept") == "before after"
    assert "nothing that could be undone" in dwf.typed("undo", run, "-y", "-m", "too late").stderr


def test_a_soak_that_fails_fails_back(dwf: Dwf, pair: Pair) -> None:
    pair.sql("a", "insert into kept values ('before')")
    check = "select count(*) = 1 from kept"
    run = asked(dwf, pair, check=check, soak="1s")
    dwf("approve", run, "-m", "window")
    dwf.tick()
    assert pair.roles() == ("down", "primary"), "it is soaking"
    pair.as_client("insert into kept values ('lost')")
    dwf.tick_until(run, "failed")

    shown = dwf.shown(run)
    assert [entry["of"] for entry in shown["undos"] if entry["state"] == "undone"] == [
        "fence a", "fence a", "promote b", "point clients",
    ]  # fmt: skip
    assert pair.roles() == ("primary", "standby")
    pair.as_client("insert into kept values ('later')")
    assert pair.as_client("select string_agg(word, ' ') from kept") == "before later"
    assert "the check gave 'f'" in shown["error"]["message"]


def test_killed_between_the_promotion_and_its_record_it_does_not_promote_twice(dwf: Dwf, pair: Pair) -> None:
    done = pair.root / "sock" / "promoted"
    pair.before(
        "pg_ctl", f'case "$*" in *promote*) "$real" "$@"; echo x >> {done}; sleep 30;; *) exec "$real" "$@";; esac'
    )
    run = asked(dwf, pair)
    dwf("approve", run, "-m", "window")
    assert dwf.tick_killed_when(done.exists), "it is killed when the server has been promoted, and nobody knows"
    assert pair.roles() == ("down", "primary")
    dwf.tick_until(run, "completed")

    assert done.read_text() == "x\n", "it was promoted once"
    assert pair.timeline("b") == 2 and pair.roles() == ("standby", "primary")
    assert "its probe found it done" in dwf("history", run)


def test_typed_the_wrong_way_round_it_is_refused_and_nothing_is_touched(dwf: Dwf, pair: Pair) -> None:
    run = dwf.start(FAILOVER, *pair.parameters(old=pair.root / "b", new=pair.root / "a"))
    assert "b is not the primary" in dwf.tick(code=1)
    assert dwf.shown(run)["status"] == "failed" and pair.roles() == ("primary", "standby")


def test_a_no_changes_nothing(dwf: Dwf, pair: Pair) -> None:
    run = asked(dwf, pair)
    dwf("reject", run, "-m", "not today")
    assert "rejected" in dwf.tick(code=1)
    assert pair.roles() == ("primary", "standby") and dwf.shown(run)["undos"] == []
