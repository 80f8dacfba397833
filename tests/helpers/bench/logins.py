"""What bad logins tell and cost: times of known and unknown users, and calls during a flood.

Writes docs/performance/logins.md from what it has measured.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import multiprocessing
import os
import platform
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from support.folders import DOCS

import broker
import cred
from broker.login.throttle import LoginThrottle
from cred.passwords import Profile, hash_password
from cred.scram import SCRAM, ScramClient
from cred.scram_verifier import ScramVerifier
from cred.store_checker import StoreChecker
from cred.stores import open_store
from cred.users import User

FOLDER = DOCS / "performance"
ADDRESS = "pb://127.0.0.1:0"
OPEN = {"account": None, "source": None, "connection": None}
NAMES = {"known": "alice", "unknown": "mallory"}

PAGE = """\
# Logins that fail

This page measures the information in a refusal, and the cost of bad logins for logged-in users.
`make logins` makes this page.

{date}, commit `{commit}`, `make logins ARGS="{args}"`. Python {python}; {machine}.

## Known and unknown users

The time of a refusal of a wrong password, for a known user and for an unknown user. They are
tried in turn and in random order, through one connection over the loopback, without limits. The
table has the medians of {tries:,} tries of each.

| mechanism | known | unknown | difference |
| --- | ---: | ---: | ---: |
{timing}

## Calls during a flood

The time of `echo` for a client that is logged in. It makes one call after the other for {secs:g} s,
while {crowd} connections of another process send a wrong password again and again. The store has
Argon2id hashes at the standard cost. *With limits* has the limits of a
`broker.login.throttle.LoginThrottle` that was made without arguments. A flood from so many
addresses that none of them reaches its limit is like *without*.

| flood | bad logins/s | p50 | p99 | longest |
| --- | ---: | ---: | ---: | ---: |
{flood}
"""


class Member(broker.Avatar):
    """What a client gets that is let in."""

    def perspective_echo(self, value: Any) -> Any:
        """Return what came."""
        return value


def portal_of(verifier: str, folder: str, *others: str, **limits: Any) -> cred.Portal:
    """Return a portal with a store in a file, in which there is alice, and who has the others."""
    store = open_store(f"file:{folder}/users.db", create=True)
    store.add(User("alice", verifier))
    for number, other in enumerate(others):
        store.add(User(f"user{number}", other))
    enter = broker.realm(lambda avatar_id, mind: Member())
    return cred.Portal(enter, [StoreChecker(store)], throttle=LoginThrottle(**limits))


async def by_password(root: Any, name: str) -> None:
    """Fail to log in with a password."""
    await root.callRemote("loginPassword", name, "guess", None)


async def by_scram(root: Any, name: str) -> None:
    """Fail to log in by SCRAM, whose client's share is left out: it makes up its proof."""
    client = ScramClient(name, "guess", binding=None, plus=False)
    server_first, exchange = await root.callRemote("loginScram", SCRAM, client.first())
    nonce = server_first.split(b",")[0]
    await exchange.callRemote("finish", b"c=biws," + nonce + b",p=" + b"A" * 43 + b"=", None)


async def time_of(login: Callable[[Any, str], Awaitable[None]], root: Any, name: str) -> float:
    """Return how long a login takes to be refused, in seconds."""
    began = time.perf_counter()
    try:
        await login(root, name)
    except cred.UnauthorizedLogin:
        return time.perf_counter() - began
    raise AssertionError("a wrong password was let in")


async def measure_timing(login: Any, verifier: str, tries: int, *others: str) -> dict[str, float]:
    """Return the median of so many refusals, for each kind of user, in milliseconds.

    The known user has the first verifier; others in the store have the others.
    """
    with tempfile.TemporaryDirectory() as folder:
        portal = portal_of(verifier, folder, *others, **OPEN)
        patient = broker.STRICT.but(login_timeout=3600.0)
        async with broker.serve(portal, ADDRESS, policy=patient) as server:
            times: dict[str, list[float]] = {kind: [] for kind in NAMES}
            async with broker.connect(server.addresses[0]) as connection:
                for _ in range(tries):
                    for kind in random.sample(list(NAMES), 2):
                        times[kind].append(await time_of(login, connection.root, NAMES[kind]))
    return {kind: statistics.median(each) * 1e3 for kind, each in times.items()}


async def keep_guessing(address: str, done: list[int]) -> None:
    """Send a wrong password for ever, on one connection after the other."""
    while True:
        try:
            async with broker.connect(address) as connection:
                while True:
                    try:
                        await by_password(connection.root, random.choice(["alice", "mallory"]))
                    except (cred.LoginFailed, broker.TooManyAttempts, broker.ServerBusy):
                        done[0] += 1
        except (OSError, broker.PBConnectionLost, broker.DeadReferenceError):
            await asyncio.sleep(0.01)


def flood(address: str, crowd: int, secs: float, said: Any) -> None:
    """Be the process that floods; tell when that begins, and how many logins have failed."""

    async def run() -> None:
        done = [0]
        said.send(None)
        guesses = [asyncio.create_task(keep_guessing(address, done)) for _ in range(crowd)]
        await asyncio.wait(guesses, timeout=secs)
        for each in guesses:
            each.cancel()
        await asyncio.gather(*guesses, return_exceptions=True)
        said.send(done[0])

    asyncio.run(run())


def serve(folder: str, is_limited: bool, said: Any) -> None:
    """Be the process of the server."""

    async def run() -> None:
        limits = {} if is_limited else OPEN
        portal = portal_of(hash_password("secret"), folder, **limits)
        async with broker.serve(portal, ADDRESS) as server:
            said.send(server.addresses[0])
            await server.serve_forever(handle_signals=False)

    asyncio.run(run())


async def times_of_calls(address: str, secs: float, begin: Callable[[], object]) -> list[float]:
    """Return how long each of a client's calls takes, in milliseconds, once it is logged in.

    ``begin`` has begun what goes on meanwhile when it returns.
    """
    times = []
    async with broker.connect(address, cred.UsernamePassword("alice", "secret")) as connection:
        await asyncio.to_thread(begin)
        ends = time.perf_counter() + secs
        while (began := time.perf_counter()) < ends:
            await connection.avatar.callRemote("echo", "hello")
            times.append((time.perf_counter() - began) * 1e3)
            await asyncio.sleep(0.001)
    return sorted(times)


def measure_flood(crowd: int, secs: float, is_limited: bool) -> dict[str, float]:
    """Return the rate of the flood, and how long a good client's calls take meanwhile."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        server = spawn.Process(target=serve, args=(folder, is_limited, there))
        server.start()
        address = here.recv()
        heard, said = spawn.Pipe()
        attacker = spawn.Process(target=flood, args=(address, crowd, secs + 2.0, said))

        def begin() -> None:
            if crowd:
                attacker.start()
                heard.recv()

        try:
            times = asyncio.run(times_of_calls(address, secs, begin))
            failed = heard.recv() if crowd else 0
        finally:
            if attacker.pid is not None:
                attacker.join()
            server.terminate()
            server.join()
    return {
        "rate": failed / (secs + 2.0),
        "p50": statistics.median(times),
        "p99": times[math.ceil(len(times) * 0.99) - 1],
        "longest": times[-1],
    }


def main() -> None:
    """Measure, print the page, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=2000, help="of each kind of user")
    parser.add_argument("--secs", type=float, default=10.0, help="of each flood")
    parser.add_argument("--crowd", type=int, default=12, help="connections that flood")
    options = parser.parse_args()
    scram = str(ScramVerifier.of_password("secret"))
    few = str(ScramVerifier.of_password("secret", 20_000))
    ways = {
        "password, Argon2id": (by_password, [hash_password("secret")]),
        "password, the cheapest of several costs": (
            by_password,
            [hash_password("secret", Profile(64, 1, 1)), hash_password("secret"), few],
        ),
        "SCRAM-SHA-256": (by_scram, [scram]),
        "SCRAM-SHA-256, with others of fewer iterations": (by_scram, [scram, few]),
    }
    timing = []
    for way, (login, (verifier, *others)) in ways.items():
        medians = asyncio.run(measure_timing(login, verifier, options.tries, *others))
        known, unknown = medians["known"], medians["unknown"]
        difference = (unknown / known - 1) * 100
        timing.append(f"| {way} | {known:.3f} ms | {unknown:.3f} ms | {difference:+.1f} % |")
        print(timing[-1], flush=True)
    floods = []
    for name, crowd, is_limited in (
        ("none", 0, True),
        ("with limits", options.crowd, True),
        ("without", options.crowd, False),
    ):
        found = measure_flood(crowd, options.secs, is_limited)
        figures = " | ".join(f"{found[key]:.1f} ms" for key in ("p50", "p99", "longest"))
        floods.append(f"| {name} | {found['rate']:,.0f} | {figures} |")
        print(floods[-1], flush=True)
    page = PAGE.format(
        date=datetime.now(UTC).date(),
        commit=commit(),
        args=f"--tries {options.tries} --secs {options.secs:g} --crowd {options.crowd}",
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        tries=options.tries,
        secs=options.secs,
        crowd=options.crowd,
        timing="\n".join(timing),
        flood="\n".join(floods),
    )
    (FOLDER / "logins.md").write_text(page, encoding="utf-8")


def commit() -> str:
    """Return the commit that is measured."""
    command = ["git", "-C", str(FOLDER), "rev-parse", "--short=10", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
