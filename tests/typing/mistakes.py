"""Uses that a type checker must refuse; an ignore that it does not need is an error of its own."""

from __future__ import annotations

import broker
import cred
from broker.defer import Deferred


async def mistakes(reference: broker.RemoteReference, connection: broker.Connection) -> None:
    """Make one mistake a line."""
    broker.serve(broker.Root(), 8787)  # type: ignore[arg-type]
    broker.serve(broker.Root(), tls=True)  # type: ignore[arg-type]
    broker.connect("pb://localhost", polcy=broker.STRICT)  # type: ignore[call-arg]
    broker.connect("pb://localhost", timeout="soon")  # type: ignore[arg-type]
    print(broker.connect("pb://localhost").root)  # type: ignore[attr-defined]
    print(broker.serve(broker.Root()).addresses)  # type: ignore[attr-defined]
    reference.callRemote(1)  # type: ignore[arg-type]
    reference.callremote("x")  # type: ignore[attr-defined]
    connection.avatar.call("x")  # type: ignore[attr-defined]
    connection.root = reference  # type: ignore[misc]
    broker.Subscribers().add(broker.Referenceable())  # type: ignore[arg-type]
    broker.STRICT.max_calls = 5  # type: ignore[misc]
    broker.TLS.server("cert.pem")  # type: ignore[call-arg]
    broker.timeout("1 s")  # type: ignore[arg-type]
    print(broker.nothing)  # type: ignore[attr-defined]
    cred.UsernamePassword("alice")  # type: ignore[call-arg]
    number: Deferred[int] = Deferred()
    text: str = await number  # type: ignore[assignment]
    print(text)
    number.addCallback(str.upper)  # type: ignore[call-overload]
    number.addCallback(pow_of, "2")  # type: ignore[call-overload]
    number.addCallback(pow_of, 2, base=3)  # type: ignore[call-arg, arg-type]
    number.addErrback(pow_of, 2)  # type: ignore[call-overload]


def pow_of(number: int, exponent: int) -> int:
    """A callback with an argument."""
    return int(number**exponent)


@broker.realm  # type: ignore[arg-type]
def needs_two(avatar_id: str) -> broker.Avatar:
    """A realm gets the avatar id and the mind."""
    return broker.Avatar()
