"""The ten steps: a table of the acts, their processes, expectations and printed lines.

Each function runs in the process that receives the result, and makes its line from the result. A
step may have several rows, in different processes; a row that returns None only prepares.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import broker
from broker.demo.certificates import SERVER_NAME
from broker.demo.contract import ANNOUNCEMENT, CALL, LOGINS, THANKS, SoldOut, Till
from broker.demo.office import Office
from broker.demo.visitor import Bell, MySeat, Visitor
from cred.credentials import Anonymous, UsernamePassword

__all__ = ["ACTS", "DEADLINE", "STEPS", "Act", "Report", "Surprise", "perform"]

DEADLINE = 5.0
"""The time limit for one act, in seconds."""


class Surprise(Exception):
    """The result is not the expected one; the text says what it is."""


class Report(NamedTuple):
    """The result of an act.

    Attributes:
        line: the line to print, or an empty text.
        has_failed: whether the demonstration ends here.
    """

    line: str
    has_failed: bool = False


async def alice_logs_in(alice: Visitor) -> str:
    """A login with a password, over TLS with a server whose certificate the authority signed."""
    connection = await alice.enter(UsernamePassword("alice", LOGINS["alice"]))
    name, mechanism = await alice.avatar.callRemote("who_am_i")
    _check(name, "alice")
    _check(mechanism, "password")
    certificate = connection.peer.certificate
    subject = "no certificate" if certificate is None else certificate.subject.rfc4514_string()
    _check(subject, f"CN={SERVER_NAME}")
    return f"logged in as {name} by {mechanism}, over TLS with {subject}"


async def a_call_is_answered(alice: Visitor) -> str:
    """A call and its answer, typed by a contract."""
    price = await alice.avatar.of(Till).price(3)
    _check(price, 36)
    return f"asked for the price of three seats: {price} euros"


async def the_server_calls_back(alice: Visitor) -> str:
    """The server calls an object that alice sends, and gets its answer."""
    bell = Bell()
    answer = await alice.avatar.callRemote("call_me", bell)
    _check(bell.rung, [CALL])
    _check(answer, THANKS)
    return f"handed over a bell, and the server rang it: {bell.rung[0]}"


async def a_copy_arrives(alice: Visitor) -> str:
    """A copy is received as the client's own class."""
    seat = await alice.avatar.callRemote("best_seat")
    _check(seat, MySeat("C", 7))
    return f"received a copy of seat {seat}, as her own class {type(seat).__name__}"


async def an_error_is_caught(alice: Visitor) -> str:
    """A remote exception is caught by its type."""
    try:
        await alice.avatar.callRemote("buy", "A")
    except SoldOut as error:
        return f"caught {type(error).__name__}: {error}"
    raise Surprise("no error")


async def bob_logs_in(bob: Visitor) -> None:
    """A login as a guest; from now on bob receives announcements."""
    await bob.enter(Anonymous())


async def alice_hears(alice: Visitor) -> str:
    """An event reaches the client that caused it."""
    await alice.avatar.callRemote("open_doors")
    return await an_event_is_heard(alice)


async def an_event_is_heard(visitor: Visitor) -> str:
    """An event reaches a client."""
    announcement = await visitor.ear.announcements.get()
    _check(announcement, ANNOUNCEMENT)
    return f"heard: {announcement}"


async def a_board_is_followed(alice: Visitor) -> str:
    """A cache is updated by three changes."""
    board = await alice.avatar.callRemote("board")
    seen = [board.free]
    for seats in (2, 3, 1):
        await alice.avatar.callRemote("sell", seats)
        seen.append(await board.changes.get())
    _check(seen, [40, 38, 35, 34])
    return "followed the free seats through three changes: " + ", ".join(map(str, seen))


async def alice_drops_a_reservation(alice: Visitor) -> None:
    """A reference is used, and dropped."""
    reservation = await alice.avatar.callRemote("reserve")
    await reservation.callRemote("seat")


async def the_office_releases_it(office: Office) -> str:
    """The server releases an object that only the client kept alive."""
    seat = await office.released.get()
    return f"released seat {seat.row}{seat.number}, because alice dropped her reservation"


async def a_guest_is_refused(bob: Visitor) -> str:
    """A guest calls a method that only members have."""
    try:
        await bob.avatar.callRemote("reserve")
    except broker.NoSuchMethod as error:
        return f"was refused as a guest, because only members reserve: {error}"
    raise Surprise("no refusal")


async def alice_stays(alice: Visitor) -> None:
    """A link is made, and a reference that it will make again."""
    link = await alice.stay(UsernamePassword("alice", LOGINS["alice"]))
    _check(await link.avatar.of(Till).price(3), 36)


async def the_office_restarts(office: Office) -> str:
    """The server ends, with all connections, and is started again."""
    count = await office.restart()
    return f"was restarted, and cut {count} connections"


async def alice_goes_on(alice: Visitor) -> str:
    """The same reference is called again, on a connection that the link has made."""
    if alice.link is None:
        raise Surprise("no link")
    price = await alice.link.avatar.of(Till).price(3)
    _check(price, 36)
    return f"went on with the same reference: {price} euros"


class Act(NamedTuple):
    """One row.

    Attributes:
        step: the number of its step, of ten.
        who: the process in which it runs: ``server``, ``alice`` or ``bob``.
        expects: the expected result, in words.
        play: runs the act; returns the line to print, or None.
    """

    step: int
    who: str
    expects: str
    play: Callable[[Any], Awaitable[str | None]]


ACTS = (
    Act(1, "alice", "a login as alice by password, over TLS", alice_logs_in),
    Act(2, "alice", "the price 36", a_call_is_answered),
    Act(3, "alice", f"one call of her bell, {CALL!r}", the_server_calls_back),
    Act(4, "alice", "a MySeat, C7", a_copy_arrives),
    Act(5, "alice", "the error SoldOut", an_error_is_caught),
    Act(6, "bob", "a login as a guest", bob_logs_in),
    Act(6, "alice", f"the event {ANNOUNCEMENT!r}", alice_hears),
    Act(6, "bob", f"the event {ANNOUNCEMENT!r}", an_event_is_heard),
    Act(7, "alice", "the free seats 40, 38, 35, 34", a_board_is_followed),
    Act(8, "alice", "a reservation", alice_drops_a_reservation),
    Act(8, "server", "the release of a reservation", the_office_releases_it),
    Act(9, "bob", "a refusal", a_guest_is_refused),
    Act(10, "alice", "a link", alice_stays),
    Act(10, "server", "a restart", the_office_restarts),
    Act(10, "alice", "the price 36 after the restart", alice_goes_on),
)

STEPS = ACTS[-1].step


async def perform(act: Act, player: Office | Visitor, deadline: float = DEADLINE) -> Report:
    """Run an act in this process.

    Args:
        act: a row of the table.
        player: the Visitor or Office that the act uses.
        deadline: the time limit in seconds.
    """
    try:
        async with asyncio.timeout(deadline):
            said = await act.play(player)
    except Surprise as surprise:
        arrived = str(surprise)
    except TimeoutError:
        arrived = f"nothing in {deadline:g} s"
    except Exception as error:  # noqa: BLE001 - any error is the result
        arrived = f"{type(error).__name__}: {error}"
    else:
        return Report(f"{act.step:<2} {act.who:<7} {said}" if said else "")
    return failed(act, arrived)


def failed(act: Act, arrived: str) -> Report:
    """Return the report of an act that did not have the expected result."""
    return Report(
        f"step {act.step} failed: {act.who} expected {act.expects}; what arrived: {arrived}", True
    )


def _check(arrived: object, expected: object) -> None:
    if arrived != expected:
        raise Surprise(repr(arrived))
