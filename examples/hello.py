"""A first runbook: a step in Python, a wait, a shell step, a result. It needs no tool and ends by itself.

    dwf run examples/hello.py                        start it and drive it here, to its end
    dwf run examples/hello.py name=web1 pause=5s     parameters are typed by the signature below
    dwf start examples/hello.py                      only start it; the next `dwf tick` (cron) drives it

Kill it at any moment (`kill -9` too) and let a `dwf tick` go on: what is recorded is not run again.
Then look back: `dwf list`, `dwf show hello-...`, `dwf history hello-...`, `dwf logs hello-...`.
"""

import dwf


@dwf.activity
def greet(name: str) -> str:
    """An activity is a plain function. It may do anything; its result is recorded once and kept."""
    print(f"{name} has been greeted")  # captured: `dwf logs` shows it
    return f"Hello, {name}!"


@dwf.workflow
async def hello(name: str = "world", pause: str = "1s") -> str:
    """The workflow only decides. It is replayed over the recorded results whenever dwf takes it up again."""
    greeting = await greet(name)

    dwf.status(f"resting for {pause}")
    await dwf.sleep(pause)  # a second or a month: no process lives while it waits

    kernel = await dwf.sh("uname", "-sr", title="ask for the kernel")
    return f"{greeting} This is {kernel.out.strip()}."
