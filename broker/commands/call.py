"""The command ``call``: one call of one method, from the command line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click
from msgspec import Struct
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from broker.commands.answer import AT_A_TERMINAL, UNBOUNDED, Rendering
from broker.commands.asking import question, statuses
from broker.commands.identity import Identity, client_options
from broker.commands.waiting import pieces_within

__all__ = ["call"]

_KEYWORD = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
# The call itself ends a little earlier than the command, and gives the reason.
_GRACE = 0.25


class Wish(Struct, frozen=True):
    """How to print the answer.

    Attributes:
        is_json: as JSON, for a program.
        is_whole: without bounds.
        is_ascii: for an output that has only ASCII.
    """

    is_json: bool
    is_whole: bool
    is_ascii: bool

    @classmethod
    def of_output(cls, is_json: bool, is_whole: bool) -> Wish:
        """Return the settings of the options, for the current standard output."""
        encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
        is_ascii = not encoding.startswith("utf")
        return cls(is_json or not sys.stdout.isatty(), is_whole, is_ascii)

    def rendering(self, answer: object) -> Rendering:
        """Return the Rendering of an answer."""
        bounds = UNBOUNDED if self.is_whole else None if self.is_json else AT_A_TERMINAL
        return Rendering(answer, bounds, is_ascii=self.is_ascii)

    def encodable(self, text: str) -> str:
        """Return a text with only characters that the output can encode."""
        return text.encode("ascii", "backslashreplace").decode() if self.is_ascii else text


@click.command()
@click.argument("address")
@click.argument("method")
@click.argument("arguments", metavar="[ARGS]…", nargs=-1)
@client_options
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Time limit in seconds for connecting, the call, and formatting the answer.",
)
@click.option(
    "--json", "is_json", is_flag=True, help="Print JSON even at a terminal, as for a program."
)
@click.option("--all", "is_whole", is_flag=True, help="Print the whole answer, even if it is long.")
@click.option("--insecure-plaintext", is_flag=True, help="Allow pb:// to another machine.")
def call(
    address: str,
    method: str,
    arguments: tuple[str, ...],
    timeout: float,
    is_json: bool,
    is_whole: bool,
    insecure_plaintext: bool,
    **options: Any,
) -> None:
    """Call METHOD of the server at ADDRESS, and print its answer.

    METHOD is a method of the root if the server has no login, else of the avatar. Each of the ARGS
    is JSON, such as 3, '"text"' or '[1, 2]', or NAME=JSON for a keyword.

    The answer is JSON. At a terminal a text has no quotes, and a long answer is cut.

    The exit status is 0; 1 if the method raised an error; 2 if the command line is wrong; 3 if the
    server cannot be reached, is not trusted, or has disconnected; 4 if the login was refused; 5
    after the time limit; 130 after Ctrl-C.
    """
    args, kw = _parsed(arguments)
    with statuses("call", timeout):
        identity = Identity(**options)
        ask = question(
            address,
            identity,
            timeout,
            insecure_plaintext,
            lambda target: target.callRemote(method, *args, **kw),
        )
        _print(timeout, Wish.of_output(is_json, is_whole), ask)


def _print(seconds: float, wish: Wish, ask: Callable[[], object]) -> None:
    """Get the answer and print it.

    Raises:
        OutOfTime: the call, or formatting the answer, took too long.
        BaseException: an exception of ``ask``.
    """
    rendering: Rendering | None = None
    is_text = False

    def work() -> Iterator[str]:
        nonlocal rendering, is_text
        rendering = wish.rendering(ask())
        text = None if wish.is_json else rendering.text()
        is_text = text is not None
        yield from rendering.pieces() if text is None else [wish.encodable(text)]

    pieces = pieces_within(seconds + _GRACE, work)
    if wish.is_json or wish.is_whole:
        for piece in pieces:
            click.echo(piece, nl=False)
        click.echo()
    else:
        text = "".join(pieces)
        if is_text:
            click.echo(text)
        else:
            Console(soft_wrap=True).print(JSONHighlighter()(Text(text)))
    if rendering is not None and rendering.is_cut:
        click.echo("pb call: the answer is cut; --all prints all of it", err=True)


def _parsed(arguments: tuple[str, ...]) -> tuple[list[object], dict[str, object]]:
    """Return positional and keyword arguments.

    Raises:
        UsageError: an argument is not JSON, or a keyword is given twice.
    """
    args: list[object] = []
    kw: dict[str, object] = {}
    for number, argument in enumerate(arguments, 1):
        keyword = _KEYWORD.fullmatch(argument)
        text = argument if keyword is None else keyword[2]
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as exc:
            raise click.UsageError(
                f"argument {number} is not JSON: {exc}; write text as '\"text\"'"
            ) from exc
        if keyword is None:
            args.append(value)
        elif keyword[1] in kw:
            raise click.UsageError(f"argument {number}: {keyword[1]}= is given twice")
        else:
            kw[keyword[1]] = value
    return args, kw
