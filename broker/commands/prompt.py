"""A prompt for Python at the terminal: history, completion, statements of several lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import click

__all__ = ["Evaluator", "Prompt", "harmless"]

_FIRST, _MORE = ">>> ", "... "
_MOST_HISTORY = 1000
# Characters that end a word for the completion: a dotted name is one word.
_DELIMITERS = " \t\n`~!@#$%^&*()-=+[{]}\\|;:'\",<>/?"
_LEAVING = frozenset({"exit", "exit()", "quit", "quit()"})


class Evaluator(Protocol):
    """Runs what is typed."""

    def run(self, source: str) -> bool:
        """Run a statement and print its result; return False if it needs more lines.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed, and has interrupted it.
        """

    def complete(self, text: str) -> Sequence[str]:
        """Return what the end of a line can become."""


class Prompt:
    """The prompt.

    Args:
        evaluator: runs what is typed.
        history: the file of the lines that were typed; None for none.
    """

    def __init__(self, evaluator: Evaluator, history: Path | None = None):
        self._evaluator = evaluator
        self._history = history

    def run(self) -> None:
        """Read and run lines until Ctrl-D, ``exit()``, or the end of the input."""
        is_terminal = sys.stdin.isatty()
        lines: list[str] = []
        with _edited(self._evaluator.complete, self._history) if is_terminal else _plain():
            while True:
                try:
                    if not self._step(lines, is_terminal):
                        return
                except KeyboardInterrupt:
                    lines.clear()
                    # Who presses Ctrl-C twice must not leave by that.
                    with suppress(KeyboardInterrupt):
                        click.echo("\nKeyboardInterrupt")

    def _step(self, lines: list[str], is_terminal: bool) -> bool:
        """Read a line, and run it with the lines before that were incomplete; False at the end."""
        shown = (_MORE if lines else _FIRST) if is_terminal else ""
        try:
            line = input(shown)
        except EOFError:
            if is_terminal:
                click.echo()
            elif lines:
                self._evaluator.run("\n".join([*lines, ""]))
            return False
        if not lines and line.strip() in _LEAVING:
            return False
        lines.append(line)
        if self._evaluator.run("\n".join(lines)):
            lines.clear()
        return True


def harmless(text: str) -> str:
    """Return a text without characters that control the terminal; line ends and tabs stay."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode()
        for each in text
    )


@contextmanager
def _plain() -> Iterator[None]:
    yield


@contextmanager
def _edited(complete: Callable[[str], Sequence[str]], history: Path | None) -> Iterator[None]:
    """Have ``input`` edit lines, with completion and history, where there is readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    found: list[str] = []

    def completer(text: str, state: int) -> str | None:
        if state == 0:
            # A tab at the begin of a line indents it.
            found[:] = complete(text) if text else ["    "]
        return found[state] if state < len(found) else None

    before = readline.get_completer(), readline.get_completer_delims()
    readline.set_completer(completer)
    readline.set_completer_delims(_DELIMITERS)
    is_libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")
    readline.set_auto_history(True)
    readline.clear_history()
    if history is not None:
        with suppress(OSError):
            readline.read_history_file(history)
    try:
        yield
    finally:
        readline.set_completer(before[0])
        readline.set_completer_delims(before[1])
        if history is not None:
            readline.set_history_length(_MOST_HISTORY)
            with suppress(OSError):
                history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                history.touch(mode=0o600)
                readline.write_history_file(history)
