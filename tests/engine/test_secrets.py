"""Secrets: named in a script, looked up in the step, found nowhere afterwards."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from dwf.authoring.references import secret
from dwf.core import events as ev
from dwf.errors import ValueRefused
from tests.engine.house import House

VALUE = 'hunter2 "is" ünsafe/+&'


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch, house: House) -> None:
    """The secret, in the three places where one may be kept."""
    monkeypatch.setenv("DB_PASSWORD", VALUE)
    (house.path / "password").write_text(VALUE + "\n")


def everything(house: House) -> bytes:
    """All bytes of the state directory."""
    return b"\n".join(path.read_bytes() for path in sorted(Path(house.store.layout.home).rglob("*")) if path.is_file())


def assert_nowhere(house: House) -> None:
    found = everything(house)
    for look in (
        VALUE.encode(),
        b"hunter2",
        json.dumps(VALUE)[1:-1].encode(),
        base64.b64encode(VALUE.encode()),
        quote(VALUE).encode(),
    ):
        assert look not in found, look


KINDS = {
    "function": "@dwf.activity",
    "async": "@dwf.activity",
    "isolated": "@dwf.activity(isolate=True)",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["env:DB_PASSWORD", "file:{home}/password", "cmd:cat {home}/password"])
def test_a_step_gets_the_value_and_nobody_else_does(house: House, kind: str, place: str) -> None:
    """Fails when results and errors are not masked."""
    reference = place.format(home=house.path)
    house.go(f"""
        {KINDS[kind]}
        {"async " if kind == "async" else ""}def login(user: str, options: dict, *, password: str = "") -> dict:
            import base64, sys, urllib.parse
            note(user, len(password), options["deep"][0] == password)
            print("password", password, base64.b64encode(password.encode()).decode())
            print(urllib.parse.quote(password), file=sys.stderr)
            return {{"got": password, password: 1, "length": len(password)}}

        @dwf.workflow
        async def main() -> object:
            kept = dwf.secret({reference!r})
            return await login("admin", {{"deep": [kept]}}, password=kept)
        """)
    assert house.notes() == [f"admin {len(VALUE)} True"]
    assert house.result() == {"got": "***", "***": 1, "length": len(VALUE)}
    assert_nowhere(house)
    assert reference.encode() in everything(house)
    output = house.the(ev.ActivityCompleted).output
    assert output is not None and output.tail.startswith("password *** ***")


@pytest.mark.parametrize("way", ["env", "stdin"])
def test_a_command_gets_it_by_its_environment_or_its_stdin(house: House, way: str) -> None:
    given = 'env={"PASSWORD": kept, "USER_NAME": "admin"}' if way == "env" else "stdin=kept"
    read = 'printf %s "$PASSWORD"' if way == "env" else "cat"
    house.go(f"""
        @dwf.workflow
        async def main() -> object:
            kept = dwf.secret("env:DB_PASSWORD")
            out = await dwf.sh(script={read + " | tee /dev/stderr | wc -c"!r}, {given})
            return [out.out.strip(), out.err]
        """)
    assert house.result() == [str(len(VALUE.encode())), "***"]
    assert_nowhere(house)


def test_it_is_masked_where_the_output_comes_in_pieces(house: House) -> None:
    """Fails when a stream is masked piece by piece."""
    house.go("""
        @dwf.workflow
        async def main() -> object:
            script = 'printf %s "${P%????????}"; sleep 0.2; printf %s "${P#"${P%????????}"}"; echo; printf hun'
            return (await dwf.sh(script=script, env={"P": dwf.secret("env:DB_PASSWORD")})).out
        """)
    assert house.result() == "***\nhun", "and what only begins like it is not held back for ever"
    assert_nowhere(house)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_masked_in_errors_and_what_they_tell(house: House, kind: str) -> None:
    """Fails when errors are not masked."""
    house.go(f"""
        {KINDS[kind][:-1] + ", " if kind == "isolated" else KINDS[kind] + "("}retry=dwf.Retry(max_attempts=1))
        {"async " if kind == "async" else ""}def login(password: str) -> None:
            raise dwf.Failure(f"cannot log in with {{password}}", details={{"tried": [password]}})

        @dwf.workflow
        async def main() -> None:
            await login(dwf.secret("env:DB_PASSWORD"))
        """)
    error = house.the(ev.ActivityFailed).error
    assert error.message == "cannot log in with ***"
    assert_nowhere(house)


def test_a_command_that_fails_says_why_without_it(house: House) -> None:
    house.go("""
        @dwf.workflow
        async def main() -> None:
            await dwf.sh(script='echo "wrong password: $P" >&2; exit 3', env={"P": dwf.secret("env:DB_PASSWORD")})
        """)
    assert house.the(ev.ActivityFailed).error.message == "exit code 3: wrong password: ***"
    assert_nowhere(house)


@pytest.mark.parametrize(
    "reference", ["env:NOT_THERE", "file:/nowhere", "file:/", "cmd:false", "cmd:no-such-program", "cmd:printf abc"]
)
@pytest.mark.parametrize("call", ["login(dwf.secret({!r}))", "dwf.sh('env', env={{'P': dwf.secret({!r})}})"])
def test_a_secret_that_is_not_to_be_had_fails_the_step_and_is_named(house: House, reference: str, call: str) -> None:
    house.go(f"""
        @dwf.activity(retry=dwf.Retry(max_attempts=1))
        def login(password: str) -> None:
            note("ran")

        @dwf.workflow
        async def main() -> None:
            await {call.format(reference)}
        """)
    error = house.the(ev.ActivityFailed).error
    assert (error.type, reference in error.message) == ("SecretUnavailable", True)
    assert house.notes() == []


LOOKALIKES = [
    {"$secret": "env:DB_PASSWORD"},
    {"secrets": [{"at": ["args", 0], "from": "env:DB_PASSWORD"}]},
    "env:DB_PASSWORD",
    'dwf.secret("env:DB_PASSWORD")',
]


@pytest.mark.parametrize("payload", LOOKALIKES, ids=range(len(LOOKALIKES)))
def test_data_that_looks_like_a_reference_is_data(house: House, payload: Any) -> None:
    """Else whoever may send a signal could have any file read, or any command run."""
    house.start(
        house.script("""
        @dwf.activity
        def take(value, kept=None):
            return [value, kept is not None]

        @dwf.workflow
        async def main() -> object:
            value = await dwf.wait_signal("go")
            return [await take(value), await take(value, dwf.secret("env:DB_PASSWORD"))]
        """)
    )
    house.signal("go", payload)
    house.tick()
    assert house.result() == [[payload, False], [payload, True]]


def test_a_secret_is_looked_up_anew_by_every_attempt(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.go("""
        @dwf.activity(retry=dwf.Retry(initial="1s"))
        def login(password: str) -> None:
            note(len(password))
            if len(password) != 5:
                raise ValueError(password)

        @dwf.workflow
        async def main() -> None:
            await login(dwf.secret("env:DB_PASSWORD"))
        """)
    monkeypatch.setenv("DB_PASSWORD", "right")
    house.clock.advance("1m")
    house.tick()
    assert house.notes() == [str(len(VALUE)), "5"]
    assert_nowhere(house)


@pytest.mark.parametrize(
    "line",
    [
        "await dwf.sh('mysql', dwf.secret('env:DB_PASSWORD'))",
        "await dwf.sh(script=dwf.secret('env:DB_PASSWORD'))",
        "return dwf.secret('env:DB_PASSWORD')",
    ],
)
def test_where_others_would_see_it_a_secret_is_refused(house: House, line: str) -> None:
    house.go(f"""
        @dwf.workflow
        async def main() -> object:
            {line}
        """)
    assert house.status().value in ("failed", "blocked")
    assert_nowhere(house)


@pytest.mark.parametrize(
    "text", ["", "x", "env:", "env:A-B", "env:A\n", "file:relative", "cmd:", "cmd: ", "http:x", "file:/a\0b", 7]
)
def test_a_reference_that_names_no_place_is_refused(text: Any) -> None:
    with pytest.raises(ValueRefused):
        secret(text)


def test_the_lines_of_a_key_are_masked_one_by_one(house: House) -> None:
    (house.path / "key").write_text("-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n")
    house.go(f"""
        @dwf.workflow
        async def main() -> object:
            return (await dwf.sh(script="cat | sed 's/^/> /'", stdin=dwf.secret("file:{house.path}/key"))).lines()
        """)
    assert house.result() == ["> ***"] * 4
