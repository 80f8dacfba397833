"""How the commands for operators reach the inspection of a server: by its socket, or by a login."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from broker.commands.asking import question, statuses, the_answer
from broker.commands.identity import Identity, client_options, plaintext_option, timeout_option
from broker.errors import NoSuchMethod
from broker.flavors.reference import RemoteReference
from broker.inspection.contract import Inspection

__all__ = ["ask", "inspection_of", "operator_options"]

Function = TypeVar("Function", bound=Callable[..., Any])
R = TypeVar("R")

_METHOD = "inspector"


def operator_options(function: Function) -> Function:
    """Add the argument ADDRESS and the options of a client to a command of operators."""
    for option in (
        plaintext_option,
        timeout_option("connecting and the answer"),
        client_options,
        click.argument("address"),
    ):
        function = option(function)
    return function


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


def ask(
    command: str,
    address: str,
    timeout: float,
    insecure_plaintext: bool,
    options: dict[str, Any],
    act: Callable[[Inspection], Awaitable[R]],
    use: Callable[[R], Awaitable[Any]] = the_answer,
) -> Any:
    """Connect, get the inspection, act on it, and return the answer; errors end the process.

    Args:
        command: its name, for the texts.
        address, timeout, insecure_plaintext, options: of the command.
        act: ``await act(inspection)`` within the time limit.
        use: ``await use(result)`` while the connection is open, without a limit.
    """

    identity = Identity(**options)

    async def asked(reference: RemoteReference) -> R:
        return await act(await inspection_of(reference, identity.is_login))

    with statuses(command, timeout):
        return question(address, identity, timeout, insecure_plaintext, asked, use)()
