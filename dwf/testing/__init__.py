"""The test kit: a runbook under a clock that skips time, with steps that are stood in for. A month in milliseconds.

    def test_it_waits_for_a_yes_and_rotates(dwf_env):
        dwf_env.stub("drain", 3)
        run = dwf_env.start("rotate.py", host="web1")
        dwf_env.at("2h", lambda: run.approve("fine"))
        dwf_env.skip()
        assert run.result == "rotated" and run.steps == ["drain", "reload"]

It is the engine itself, on a state directory of its own: what a test sees is what cron would have done. Only time is
another: the clock stands still while anything can be done, and then leaps to what is due next. This room prints
nothing and knows nothing of the command line.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dwf.testing.env import Env as Env
    from dwf.testing.run import Run as Run

__all__ = ["Env", "Run"]


def __getattr__(name: str) -> object:
    """Loaded when they are used: pytest looks into this room wherever dwf is installed."""
    if name == "Env":
        from dwf.testing.env import Env

        return Env
    if name == "Run":
        from dwf.testing.run import Run

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
