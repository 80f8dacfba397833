"""Puts model and networks together: what networks tell goes to the model, what is typed to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar

import broker
from examples.chat.client.model import Account, Chat, Conversation, Event
from examples.chat.client.networks import Kept, NotConnected

__all__ = ["Messenger"]

HELP = (
    "/join #ROOM, /part, /topic TEXT, /msg NAME TEXT, /me TEXT, /close, /connect, /quit;"
    " Tab completes a name"
)


class Messenger:
    """The user's accounts and their networks.

    Args:
        chat: the model.

    Attributes:
        has_quit: is set when the user has typed ``/quit``.
    """

    def __init__(self, chat: Chat):
        self.chat = chat
        self.has_quit = asyncio.Event()
        self._networks: dict[Account, Kept] = {}
        self._tasks: dict[Account, asyncio.Task[None]] = {}

    def add(self, title: str, nick: str, network: Kept, *rooms: str) -> Account:
        """Add an account, which connects at once and goes into the rooms."""
        account = self.chat.add(title, nick)
        self._networks[account] = network
        network.rooms.extend(rooms)
        self._connect(account)
        return account

    async def typed(self, text: str) -> None:
        """Do what the user has typed into the conversation that is shown."""
        conversation = self.chat.current
        if conversation is None or not text.strip():
            return
        command, _, rest = text.partition(" ")
        try:
            if command.startswith("/") and command not in ("/me", "/"):
                function = self._COMMANDS.get(command, Messenger._help)
                await function(self, conversation, rest.strip())
            elif not conversation.name:
                await self._help(conversation, "")
            else:
                await self._say(conversation.account, conversation.name, text)
        except (NotConnected, OSError, broker.Error) as error:
            self._tell(conversation, str(error))

    async def close(self) -> None:
        """Disconnect from all networks."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for network in self._networks.values():
            await network.close()

    def _connect(self, account: Account) -> None:
        self._tasks[account] = asyncio.create_task(self._run(account))

    async def _run(self, account: Account) -> None:
        try:
            async for event in self._networks[account].events():
                self.chat.take(account, event)
        except Exception as error:  # noqa: BLE001
            # Our own fault: the other accounts go on.
            self.chat.take(account, Event("stopped", text=f"{type(error).__name__}: {error}"))

    def _tell(self, conversation: Conversation, text: str) -> None:
        self.chat.take(conversation.account, Event("error", conversation.name, text=text))

    async def _say(self, account: Account, where: str, text: str) -> None:
        await self._networks[account].say(where, text)
        # The server tells the others only.
        self.chat.take(account, Event("said", where, account.nick, text))

    # The commands: what is typed picks a row of the table below.

    async def _help(self, conversation: Conversation, rest: str) -> None:
        self._tell(conversation, HELP)

    async def _join(self, conversation: Conversation, room: str) -> None:
        account = conversation.account
        await self._networks[account].join(room)
        self.chat.show(account.conversation(room))

    async def _part(self, conversation: Conversation, rest: str) -> None:
        if conversation.is_room:
            await self._networks[conversation.account].part(conversation.name)
        self.chat.close(conversation)

    async def _close(self, conversation: Conversation, rest: str) -> None:
        await self._part(conversation, rest)

    async def _topic(self, conversation: Conversation, text: str) -> None:
        await self._networks[conversation.account].set_topic(conversation.name, text)

    async def _message(self, conversation: Conversation, rest: str) -> None:
        name, _, text = rest.partition(" ")
        account = conversation.account
        if text:
            await self._say(account, name, text)
        self.chat.show(account.conversation(name))

    async def _reconnect(self, conversation: Conversation, rest: str) -> None:
        account = conversation.account
        if self._tasks[account].done():
            self._connect(account)

    async def _quit(self, conversation: Conversation, rest: str) -> None:
        self.has_quit.set()

    _COMMANDS: ClassVar[
        dict[str, Callable[[Messenger, Conversation, str], Awaitable[None]]]
    ] = {
        "/join": _join, "/part": _part, "/close": _close, "/topic": _topic, "/msg": _message,
        "/connect": _reconnect, "/quit": _quit, "/help": _help,
    }  # fmt: skip
