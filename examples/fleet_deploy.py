"""Deploy a release to a fleet over ssh: everywhere copied, a canary switched, a yes, then the others in stages.

    dwf start examples/fleet_deploy.py --help                the parameters, from the signature below
    dwf start examples/fleet_deploy.py release=2026.11.30 source=/srv/build/app inventory=/etc/dwf/hosts tags=web
    dwf tick                                                 (cron does this every minute)
    dwf approve fleet-deploy-7f3k9 -m "canary looks good"
    dwf tick && dwf show fleet-deploy-7f3k9
    dwf undo fleet-deploy-7f3k9 -m "wrong version"           the way back, also days later

On each host the releases lie side by side, and `current` names the one that is used:

    /srv/app/releases/2026.11.30/     a copy of `source`
    /srv/app/current -> releases/2026.11.30

`check` is a command that is run in the new release, on each host, before it is switched to and after that. To try it
without touching a real machine, read tests/examples/: it builds a fleet of four on one sshd in a temporary directory.

    copy to all -> check -> canary -> soak -> yes? -> 25 % -> soak -> 100 % -> done
                            '--- a failure here takes back the hosts that were switched, and no other ---'

How it keeps its promises:

* A host is switched by one rename. There is no moment without a release, and every step may be run twice.
* The way back of a host is on disk before that host is switched. It goes to the release that was in use when the run
  began, not to "the one before", which may be this one by then.
* What was asked is what is done: the hosts were read once, and are in the history.
* A connection that is lost ends nothing: the step goes on there and is followed again.
"""

from dataclasses import dataclass

import dwf

AGAIN = dwf.Retry(max_attempts=4, initial="2s")
# Of what was switched, only a host that cannot be reached is tried again: a check that fails is an answer.
REACHED = dwf.Retry(max_attempts=4, initial="2s", retry_codes=(255,))

SWITCH = 'ln -sfn "releases/$1" ".next-$1" && mv -T ".next-$1" current'


@dataclass
class Place:
    """Where the releases lie on each host, and how it is reached. ssh_config: empty for the usual one."""

    base: str
    ssh_config: str


@dataclass
class Deployed:
    """What the run returns."""

    release: str
    hosts: list[str]
    replaced: dict[str, str]


@dwf.workflow(name="fleet-deploy")
async def deploy(
    release: str,
    source: str,
    inventory: str,
    tags: str = "",
    exclude: str = "",
    canary: int = 1,
    stages: list[str] | None = None,
    tolerate: str = "0",
    at_once: int = 5,
    base: str = "/srv/app",
    check: str = "./healthcheck",
    soak: str = "5m",
    by: str = "",
    answer_within: str = "4h",
    ssh_config: str = "",
) -> Deployed:
    """Deploy `source` as `release` to the hosts of `inventory` that have all `tags`.

    canary: how many hosts are switched before anybody is asked. stages: how many of all hosts are switched when each
    stage is over, such as 25%,100%. tolerate: how many hosts may fail (3 or 10%); they keep the release that they had.
    at_once: hosts at a time. check: a shell line, run in the release. by: who may say yes, a user or an @group.
    """
    place = Place(base, ssh_config)
    hosts = await dwf.inventory(inventory, tags=tags, exclude=exclude)
    require(release, hosts, canary)

    dwf.status(f"copying to {len(hosts)} hosts")
    await dwf.map(lambda host: copied(place, host, release, source, check), hosts, max_concurrent=at_once)
    found = await dwf.map(lambda host: in_use(place, host), hosts, max_concurrent=at_once)
    before = {host.name: release for host, release in zip(hosts, found.values, strict=True)}

    async def between(stage) -> None:
        await dwf.sleep(soak, "soak")
        if stage.number == 1:
            await ask(release, hosts, canary, before, by, answer_within)
        dwf.status(f"{stage.done} of {stage.total} switched")

    async with dwf.saga() as saga:

        async def switched(host: dwf.Host) -> None:
            old = before[host.name]
            await saga.step(switch(place, host, release), undo=switch_back(place, host, old))
            try:
                await checked(place, host, release, check, REACHED)
            except dwf.ActivityError:
                await switch_back(place, host, old)  # it may be tolerated, but not with a release that fails there
                raise

        ramp = [canary, *(stages or ["25%"]), "100%"]
        await dwf.map(switched, hosts, max_concurrent=at_once, tolerate=tolerate, ramp=ramp, gate=between)
        dwf.status("soaking")
        await dwf.sleep(soak, "soak")
        await dwf.map(lambda host: checked(place, host, release, check, REACHED), hosts, tolerate=tolerate)
    return Deployed(release, [host.name for host in hosts], before)


def require(release: str, hosts: list[dwf.Host], canary: int) -> None:
    """Raise a Failure if there is nothing to do, or no sense in it."""
    if not release.replace(".", "").replace("-", "").replace("_", "").isalnum() or release.startswith("."):
        raise dwf.Failure(f"{release!r} is no name of a release: letters, digits, and . - _ between them")
    if not hosts:
        raise dwf.Failure("the inventory has no such hosts")
    if not 0 < canary < len(hosts):
        raise dwf.Failure(f"of {len(hosts)} hosts {canary} cannot be the canary: it is at least one, and not all")


async def ask(release: str, hosts: list, canary: int, before: dict, by: str, within: str) -> None:
    """A yes to the rest, with what it is about."""
    names = [host.name for host in hosts]
    await dwf.approve(
        f"{release} runs on {', '.join(names[:canary])}. Switch the other {len(hosts) - canary}?",
        by=by or (),
        timeout=within,
        show={"canary": names[:canary], "others": names[canary:], "instead of": sorted(set(before.values()))},
    )


# -- steps ------------------------------------------------------------------------------------------------------
# Values never become part of a shell text: they are its "$1", "$2", ...


def on(place: Place, host: dwf.Host, script: str, *words: str, title: str, retry: dwf.Retry):
    """A command in `base` of a host."""
    return dwf.ssh(
        host, *words, script=script, cwd=place.base, config=place.ssh_config or None,
        title=f"{host}: {title}", retry=retry, timeout="2m",
    )  # fmt: skip


async def copied(place: Place, host: dwf.Host, release: str, source: str, check: str) -> None:
    """The release lies beside the others, whole, and its check says yes. Nothing uses it yet."""
    ssh = "ssh -o BatchMode=yes" + (f" -F {place.ssh_config}" if place.ssh_config else "")
    there = f"{host.address or host.name}:{place.base}/releases/{release}/"
    await dwf.sh(
        "rsync", "-a", "--delete", "--mkpath", "-e", ssh, f"{source}/", there,
        title=f"{host}: copy", retry=AGAIN, timeout="10m",
    )  # fmt: skip
    await checked(place, host, release, check, AGAIN)


async def in_use(place: Place, host: dwf.Host) -> str:
    """The release that a host uses now."""
    found = await on(place, host, "readlink current", title="which release", retry=AGAIN)
    return found.out.strip().rpartition("/")[2]


def switch(place: Place, host: dwf.Host, release: str):
    """From now on it uses that release."""
    return on(place, host, SWITCH, release, title="switch", retry=REACHED)


def switch_back(place: Place, host: dwf.Host, release: str):
    """The way back."""
    return on(place, host, SWITCH, release, title="switch back", retry=AGAIN)


async def checked(place: Place, host: dwf.Host, release: str, check: str, retry: dwf.Retry) -> None:
    """The check of the release says yes, on that host."""
    await on(place, host, f'cd "releases/$1" && {check}', release, title="check", retry=retry)
