"""The client in a terminal: conversations left, their text right, one line to type."""

from __future__ import annotations

import time
import zlib
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer, Input, OptionList, RichLog, Static
from textual.widgets.option_list import Option

from examples.chat.client.messenger import Messenger
from examples.chat.client.model import MOST_LINES, Chat, Conversation, Line, speaker_and_words

__all__ = ["Terminal", "text_of"]

COLOURS = ("cyan", "green", "magenta", "blue", "yellow")

STYLES = {
    "gap": "bold yellow", "offline": "red", "stopped": "red", "error": "red",
    "online": "green", "banner": "green",
}  # fmt: skip


class Terminal(App[None]):
    """The program in a terminal.

    Args:
        messenger: the accounts; the caller closes it.
    """

    TITLE = "chat"
    CSS = """
    #rooms { width: 26; height: 100%; background: $surface; }
    #rooms { border: none; border-right: solid $primary; }
    #topic { height: 1; background: $primary-background; padding: 0 1; }
    #lines { padding: 0 1; background: $background; }
    #typed { height: 3; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "complete", priority=True),
        Binding("ctrl+n", "step(1)", "next", priority=True),
        Binding("ctrl+p", "step(-1)", "previous", priority=True),
        Binding("ctrl+q", "quit", "quit", priority=True),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, messenger: Messenger):
        super().__init__()
        self.messenger = messenger
        self.chat: Chat = messenger.chat
        self._shown: Conversation | None = None
        self._completions: list[str] = []

    def compose(self) -> ComposeResult:
        """Return the widgets."""
        with Horizontal():
            yield OptionList(id="rooms", markup=False)
            with Vertical():
                yield Static(id="topic", markup=False)
                yield RichLog(
                    id="lines", max_lines=MOST_LINES, wrap=True, markup=False, min_width=1
                )
                yield Input(id="typed", placeholder="type here; /help helps")
        yield Footer()

    def on_mount(self) -> None:
        """Show what there is, and wait for changes."""
        self.query_one("#rooms").can_focus = False
        self.query_one("#lines").can_focus = False
        self.query_one("#typed").focus()
        self.chat.watch(self._changed)
        self._list_rooms()
        self._show()
        self.run_worker(self._wait_for_quit())

    @on(Input.Submitted)
    async def enter(self, event: Input.Submitted) -> None:
        """Do what was typed."""
        text, event.input.value = event.value, ""
        # Not awaited here: the answer of a server may take its time.
        self.run_worker(self.messenger.typed(text))

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """Show the conversation that was clicked."""
        self.chat.show(list(self.chat.conversations())[event.option_index])

    def action_step(self, by: int) -> None:
        """Show the next or the previous conversation."""
        self.chat.step(by)

    def action_complete(self) -> None:
        """Complete the name before the cursor; again for another one that fits."""
        typed = self.query_one("#typed", Input)
        if typed.value in self._completions:
            place = self._completions.index(typed.value) + 1
            typed.value = self._completions[place % len(self._completions)]
        else:
            self._completions = self.chat.complete(typed.value)
            typed.value = self._completions[0] if self._completions else typed.value
        typed.cursor_position = len(typed.value)

    async def _wait_for_quit(self) -> None:
        await self.messenger.has_quit.wait()
        self.exit()

    def _changed(self, conversation: Conversation, line: Line | None) -> None:
        if not self.is_running:
            return
        if conversation is self._shown is self.chat.current and line is not None:
            self.query_one("#lines", RichLog).write(text_of(line))
            self._show_topic()
        elif conversation is self.chat.current or self._shown is not self.chat.current:
            self._show()
        self._list_rooms()

    def _show(self) -> None:
        self._shown = self.chat.current
        lines = self.query_one("#lines", RichLog)
        lines.clear()
        for line in self._shown.lines if self._shown is not None else ():
            lines.write(text_of(line))
        self._show_topic()

    def _show_topic(self) -> None:
        shown = self._shown
        if shown is None:
            return
        people = f"   {len(shown.names)} here: {', '.join(shown.names)}" if shown.names else ""
        topic = f" {shown.topic}" if shown.topic else ""
        self.query_one("#topic", Static).update(Text(f"{shown.title}{topic}{people}", end=""))

    def _list_rooms(self) -> None:
        rooms = self.query_one("#rooms", OptionList)
        every = list(self.chat.conversations())
        rooms.set_options([Option(_entry(each)) for each in every])
        if self.chat.current in every:
            rooms.highlighted = every.index(self.chat.current)


def text_of(line: Line) -> Text:
    """Return how a line is shown. Nothing in it is markup."""
    text = Text(time.strftime("%H:%M ", time.localtime(line.at)), style="dim")
    speaker, words = speaker_and_words(line)
    if speaker:
        # Not hash(), which differs in each process.
        colour = COLOURS[zlib.crc32(speaker.encode()) % len(COLOURS)]
        return text.append(speaker, f"bold {colour}").append(f"  {words}", "not dim")
    return text.append(words, STYLES.get(line.kind, "italic"))


def _entry(conversation: Conversation) -> Text:
    if not conversation.name:
        mark = "●" if conversation.account.is_online else "○"
        return Text(f"{mark} {conversation.title}", "bold")
    text = Text(f"  {conversation.name}")
    if conversation.unread:
        text.append(f" {conversation.unread}", "bold reverse")
    return text
