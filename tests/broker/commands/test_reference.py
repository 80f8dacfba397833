"""The reference page of the command says what the command takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click

from broker import __main__ as command_line

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "command.md"


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield all commands with what one types for them, those of groups one by one."""
    for name, (target, _) in command_line._COMMANDS.items():
        module, _, attribute = target.partition(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, click.Group):
            for inner, command in found.commands.items():
                yield f"{name} {inner}", command
        else:
            yield name, found


def usage(name: str, command: click.Command) -> str:
    """Return how a command is called, without its options."""
    context = click.Context(command)
    arguments = [each for each in command.collect_usage_pieces(context) if each != "[OPTIONS]"]
    return " ".join(["pb", name, *arguments])


def test_the_page() -> None:
    """Each command has a section, with the very options that it takes and their help."""
    shown = {}
    for section in re.split(r"^#+ ", PAGE.read_text("utf-8"), flags=re.MULTILINE):
        title = re.match(r"`(pb [^`]+)`\n", section)
        if title:
            shown[title[1]] = re.findall(r"^\| `(--[\w-]+)` \| (.+) \|$", section, re.MULTILINE)
    taken = {
        usage(name, command): [
            (option.opts[0], option.help)
            for option in command.params
            if isinstance(option, click.Option)
        ]
        for name, command in commands()
    }
    groups = {"pb cert", "pb users"}
    assert {title: rows for title, rows in shown.items() if title not in groups} == taken
