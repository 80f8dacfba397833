"""The client in a window of Qt, on the same model; for PySide6 and qasync."""

from __future__ import annotations

import asyncio
import html
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any

import qasync  # type: ignore[import-untyped]
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QFont
from PySide6.QtWidgets import (
    QApplication,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QSplitter,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from examples.chat.client.messenger import Messenger
from examples.chat.client.model import MOST_LINES, Chat, Conversation, Line, speaker_and_words

__all__ = ["Window", "run"]

STYLES = {
    "gap": "color: #a60; font-weight: bold", "offline": "color: #b00", "stopped": "color: #b00",
    "error": "color: #b00", "online": "color: #080", "banner": "color: #080",
}  # fmt: skip


class Window(QSplitter):
    """The window: conversations left, their text right, one line to type.

    Args:
        messenger: the accounts; the caller closes it.
    """

    def __init__(self, messenger: Messenger):
        super().__init__(Qt.Orientation.Horizontal)
        self.messenger = messenger
        self.chat: Chat = messenger.chat
        self.closed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._shown: Conversation | None = None
        self.rooms, self.topic = QListWidget(), QLabel(wordWrap=True)
        self.lines, self.typed = QTextBrowser(), QLineEdit(placeholderText="/help helps")
        # What others have written is text, never a link or a picture.
        self.lines.document().setMaximumBlockCount(MOST_LINES)
        self.topic.setTextFormat(Qt.TextFormat.PlainText)
        self.rooms.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        right = QWidget()
        column = QVBoxLayout(right)
        for widget in (self.topic, self.lines, self.typed):
            column.addWidget(widget)
        self.addWidget(self.rooms)
        self.addWidget(right)
        self.setSizes([180, 520])
        self.resize(700, 450)
        self.rooms.itemClicked.connect(self._choose)
        self.typed.returnPressed.connect(self._enter)
        self.typed.installEventFilter(self)
        self.chat.watch(self._changed)
        self._show()
        self.typed.setFocus()

    def eventFilter(self, watched: QObject, event: Any) -> bool:
        """Complete a name at Tab."""
        if event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Tab:
            self.typed.setText((self.chat.complete(self.typed.text()) or [self.typed.text()])[0])
            return True
        return False

    def closeEvent(self, event: Any) -> None:
        """End the program."""
        self.closed.set()

    def _enter(self) -> None:
        text = self.typed.text()
        self.typed.clear()
        self._start(self.messenger.typed(text))

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _choose(self, item: QListWidgetItem) -> None:
        self.chat.show(list(self.chat.conversations())[self.rooms.row(item)])

    def _changed(self, conversation: Conversation, line: Line | None) -> None:
        if conversation is self._shown is self.chat.current and line is not None:
            self.lines.append(html_of(line))
            self._show_topic()
            self._list_rooms()
        else:
            self._show()

    def _show(self) -> None:
        if self._shown is not self.chat.current or self._shown is None or self._is_behind():
            self._shown = self.chat.current
            self.lines.clear()
            for line in self._shown.lines if self._shown is not None else ():
                self.lines.append(html_of(line))
        self._show_topic()
        self._list_rooms()

    def _is_behind(self) -> bool:
        assert self._shown is not None
        return self.lines.document().blockCount() < len(self._shown.lines)

    def _show_topic(self) -> None:
        if self._shown is not None:
            self.topic.setText(f"{self._shown.topic}\n{', '.join(self._shown.names)}".strip())
            self.setWindowTitle(self._shown.title)

    def _list_rooms(self) -> None:
        self.rooms.clear()
        for each in self.chat.conversations():
            mark = "" if each.name else "● " if each.account.is_online else "○ "
            item = QListWidgetItem(f"{mark}{each.title}" + f" ({each.unread})" * bool(each.unread))
            font = QFont()
            font.setBold(bool(each.unread) or not each.name)
            item.setFont(font)
            self.rooms.addItem(item)
            if each is self.chat.current:
                self.rooms.setCurrentItem(item)


def html_of(line: Line) -> str:
    """Return how a line is shown. What others have written is text."""
    speaker, words = map(html.escape, speaker_and_words(line))
    words = words.replace("\n", "<br>")
    if speaker:
        words = f"<b>{speaker}</b> {words}"
    else:
        words = f'<span style="{STYLES.get(line.kind, "font-style: italic")}">{words}</span>'
    at = time.strftime("%H:%M", time.localtime(line.at))
    return f'<span style="color: gray">{at}</span> {words}'


def run(open_accounts: Callable[[], Messenger]) -> None:
    """Run the program until the window is closed.

    Args:
        open_accounts: makes the messenger, in the running loop.
    """
    app = QApplication([])
    app.setQuitOnLastWindowClosed(False)

    async def main() -> None:
        messenger = open_accounts()
        window = Window(messenger)
        window.show()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, window.closed.set)
        ends = [asyncio.ensure_future(each.wait()) for each in (window.closed, messenger.has_quit)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        await messenger.close()
        window.close()

    with asyncio.Runner(loop_factory=lambda: qasync.QEventLoop(app)) as runner:
        runner.run(main())
