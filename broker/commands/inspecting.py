"""How the commands for operators reach the inspection of a server: by its socket, or by a login."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from click import argument
from msgspec import Struct

from broker.commands.asking import question, statuses, the_answer
from broker.commands.identity import Identity, client_options, plaintext_option, timeout_option
from broker.errors import NoSuchMethod
from broker.flavors.reference import RemoteReference
from broker.inspection.contract import Inspection

__all__ = ["Operated", "inspection_of", "operator_options"]

R = TypeVar("R")

_METHOD = "inspector"


class Operated(Struct, frozen=True):
    """The server of a command for operators.

    Attributes:
        address: the server, or its socket for operators.
        timeout: seconds for connecting and the answer.
        insecure_plaintext: allow ``pb://`` to another machine.
        identity: the settings of the client.
    """

    address: str
    timeout: float
    insecure_plaintext: bool
    identity: Identity

    def ask(self, command: str, act: Callable[[Inspection], Awaitable[R]]) -> R:
        """Connect, and return the result of ``await act(inspection)``.

        An error ends the process with the status of ``pb call``.

        Args:
            command: its name, for the texts.
            act: asks the inspection, within the time limit.
        """
        return self.use(command, act, the_answer)

    def use(
        self,
        command: str,
        act: Callable[[Inspection], Awaitable[R]],
        use: Callable[[R], Awaitable[R]] | Callable[[R], Awaitable[None]],
    ) -> R:
        """Like `ask`; then ``await use(result)`` while the connection is open, without a limit."""
        is_login = self.identity.is_login

        async def asked(reference: RemoteReference) -> R:
            return await act(await inspection_of(reference, is_login))

        with statuses(command, self.timeout):
            asking = question(
                self.address, self.identity, self.timeout, self.insecure_plaintext, asked, use
            )
            return asking()  # type: ignore[return-value]


def operator_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add ADDRESS and the options of a client to a command, which gets an `Operated` for them."""

    @functools.wraps(function)
    def run(address: str, timeout: float, insecure_plaintext: bool, **options: Any) -> None:
        given = {name: options.pop(name) for name in Identity.__struct_fields__}
        function(Operated(address, timeout, insecure_plaintext, Identity(**given)), **options)

    command = client_options(timeout_option("connecting and the answer")(plaintext_option(run)))
    return argument("address")(command)


async def inspection_of(reference: RemoteReference, is_login: bool) -> Inspection:
    """Return the inspection that a server gives.

    Args:
        reference: the root or the avatar: the inspection itself, as at a socket for operators, or
            an object whose method ``inspector`` returns it.
        is_login: whether it is an avatar, which is asked for that method first.

    Raises:
        NoSuchMethod: it is neither.
    """
    for way in (_given, _itself) if is_login else (_itself, _given):
        try:
            return await way(reference)
        except NoSuchMethod:
            continue
    raise NoSuchMethod(
        "this server shows no inspection here: give the address of pb serve --admin, or log in as a"
        " user whose avatar has perspective_inspector"
    )


async def _itself(reference: RemoteReference) -> Inspection:
    inspection: Inspection = reference.of(Inspection)
    await inspection.server()
    return inspection


async def _given(reference: RemoteReference) -> Inspection:
    found = await reference.callRemote(_METHOD)
    inspection: Inspection = found.of(Inspection)
    return inspection
