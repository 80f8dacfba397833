"""The command of the chat client: what it asks for, and what it refuses before it asks."""

from __future__ import annotations

import getpass
from typing import Any

import pytest

from examples.chat.client import __main__ as program
from examples.chat.client import terminal


def refusal(*arguments: str) -> str:
    """Return why the program ends."""
    with pytest.raises(SystemExit) as ended:
        program.main(list(arguments))
    return str(ended.value)


def test_an_address_that_is_refused() -> None:
    """It is refused with one line, before a password is asked for."""
    assert refusal("gopher://alice@x").startswith("chat: 'gopher://alice@x': begin with one of pb,")
    assert refusal("pbs://alice:secret@x") == (
        "chat: leave the password out of the address; you are asked for it"
    )


@pytest.mark.parametrize(
    ("arguments", "name"), [(["pb://x"], "textual"), (["--window", "pb://x"], "PySide6 and qasync")]
)
def test_a_missing_package(
    arguments: list[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program names what to install."""
    monkeypatch.setattr(program, "find_spec", lambda name: None)
    front_end = "window" if "--window" in arguments else "terminal"
    assert refusal(*arguments) == f"chat: install {name} for the {front_end}"


def test_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each address is an account; a name that is not in it is asked for, and each password."""
    asked: list[str] = []
    run: list[Any] = []

    async def run_async(self: terminal.Terminal) -> None:
        run.extend(self.chat.accounts)

    monkeypatch.setattr(terminal.Terminal, "run_async", run_async)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: asked.append(prompt) or "secret")
    monkeypatch.setattr("builtins.input", lambda prompt: asked.append(prompt) or "bob")
    program.main(["pb://alice@127.0.0.1:1", "irc://127.0.0.1:1"])
    assert [account.title for account in run] == ["alice@127.0.0.1", "bob@127.0.0.1"]
    assert asked == [
        "Password of alice@127.0.0.1: ",
        "Name at irc://127.0.0.1:1: ",
        "Password of bob@127.0.0.1: ",
    ]
