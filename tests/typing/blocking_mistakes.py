"""Uses without async that a type checker must refuse, one a line; the comment names the mistake."""

from __future__ import annotations

from blocking_calls import TicketOffice

import broker
import broker.blocking


def mistakes(connection: broker.blocking.Connection) -> None:
    """Make one mistake a line."""
    office = connection.avatar.of(TicketOffice)
    number: int = connection.run(office.reserve(3))  # wrong: result
    connection.run(office.reserve("3"))  # wrong: argument
    connection.run(office.room("stalls"))  # wrong: not awaitable
    connection.run(office.prices("A"))  # wrong: a stream
    connection.iterate(office.reserve(3))  # wrong: not a stream
    text: str = next(connection.iterate(office.prices("A")))  # wrong: item
    connection.avatar.callremote("x")  # wrong: name
    connection.avatar.callRemote(1)  # wrong: name of a method
    connection.serve_callbacks(True)  # wrong: positional
    broker.blocking.connect("pb://localhost", polcy=broker.STRICT)  # wrong: keyword
    broker.blocking.timeout("1 s")  # wrong: seconds
    broker.blocking.nothing()  # wrong: absent
    print(number, text)
