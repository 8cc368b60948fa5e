"""The inventory: hosts from lines or JSON, and which of them are meant."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwf.authoring.inventory import Host, chosen, parsed
from dwf.errors import Failure

LINES = """
# the fleet
web1 web canary address=admin@10.0.0.1 rack=a   # the first
web2 web
db1  db old address=10.0.0.9

"""


def names(tags: str = "", exclude: str = "") -> list[str]:
    hosts = parsed(LINES, "hosts")
    return [host.name for host in chosen(hosts, tags.split(), exclude.split(), "hosts")]


def test_a_line_is_a_name_tags_and_facts() -> None:
    first, second, third = parsed(LINES, "hosts")
    assert first == Host(name="web1", address="admin@10.0.0.1", tags=("web", "canary"), facts={"rack": "a"})
    assert (second.address, str(second), third.tags) == ("", "web2", ("db", "old"))


def test_json_says_the_same() -> None:
    given = [{"name": "web1", "tags": ["web"], "address": "10.0.0.1", "rack": 7}, "web2"]
    assert parsed(json.dumps(given), "hosts") == [
        Host(name="web1", address="10.0.0.1", tags=("web",), facts={"rack": "7"}),
        Host(name="web2"),
    ]


def test_hosts_are_chosen_by_tags_and_left_out_by_name() -> None:
    assert names("web") == ["web1", "web2"]
    assert names("web !canary") == ["web2"]
    assert names("", "web*") == ["db1"]
    assert names("db", "db1") == []


def test_an_exclude_that_fits_nothing_is_refused() -> None:
    """Fails when a mistyped name is left in without a word."""
    with pytest.raises(Failure, match="exclude 'wbe1' fits no host"):
        names("web", "wbe1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-oProxyCommand=x", "hosts:1: '-oProxyCommand=x' is no name of a host"),
        ("web1 address=-x", "hosts:1: '-x' is no address"),
        ("web1\nweb1", "hosts:2: web1 is named twice"),
        ("we/b", "is no name of a host"),
        ('["web1"', "it begins as JSON, and is none"),
        ('{"name": "web1"}', "it is JSON, and no list of hosts"),
        ("[7]", "host 1: it is neither a name nor an object with a name"),
        ('[{"name": "a", "tags": "web"}]', "its tags are no list of words"),
        ('[{"name": "a", "address": "b c"}]', "'b c' is no address"),
    ],
)
def test_what_is_no_inventory_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(Failure) as caught:
        parsed(text, "hosts")
    assert said in str(caught.value)


@given(st.text())
def test_any_text_is_hosts_or_a_failure(text: str) -> None:
    try:
        hosts = parsed(text, "hosts")
    except Failure:
        return
    assert len({host.name for host in hosts}) == len(hosts)
    assert not any(host.name.startswith("-") or host.address.startswith("-") for host in hosts)
