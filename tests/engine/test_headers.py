"""Headers: what a run is started with goes along to its steps, its children and its next instances."""

from __future__ import annotations

import pytest

from dwf.errors import UsageError
from tests.engine.house import House

BOOK = """
@dwf.activity(isolate=True)
def apart() -> str:
    return os.environ["DWF_HEADER_CHANGE_ID"]

@dwf.workflow
async def child():
    return dwf.info().headers

@dwf.workflow
async def main(n: int = 0):
    if n == 0:
        return dwf.continue_as_new(n=1)
    shell = await dwf.sh("sh", "-c", 'echo "$DWF_HEADER_CHANGE_ID"')
    return [shell.out.strip(), await apart(), await child(), dwf.info().headers]
"""


def test_steps_children_and_next_instances_have_the_headers_of_the_start(house: House) -> None:
    house.start(house.script(BOOK) + ":main", headers={"change-id": "4711"})
    for _ in range(3):
        house.tick()
    assert house.result() == ["4711", "4711", {"change-id": "4711"}, {"change-id": "4711"}]


WRONG = [
    {"": "x"},
    {"a b": "x"},
    {"1": "x"},
    {"a": "two\nlines"},
    {"a": "\0"},
    {"a": "x" * 1001},
    {"a-b": "", "a.b": ""},
]


@pytest.mark.parametrize("headers", [*WRONG, {f"h{n}": "" for n in range(33)}])
def test_what_cannot_be_a_variable_of_a_step_starts_nothing(house: House, headers: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        house.start(house.script(BOOK) + ":main", headers=headers)
    assert not house.mail()
