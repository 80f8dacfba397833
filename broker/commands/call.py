"""The command ``call``: one call of one method, from the command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import click
from msgspec import Struct
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from broker.commands.answer import AT_A_TERMINAL, UNBOUNDED, Rendering
from broker.commands.asking import Question, question, statuses
from broker.commands.identity import Identity, client_options, plaintext_option, timeout_option
from broker.commands.profiles import ClientCommand
from broker.commands.waiting import Outlet, pieces_within
from broker.errors import Error
from broker.flavors.reference import RemoteReference
from broker.flavors.streams import RemoteStream, stream_of

__all__ = ["call"]

_KEYWORD = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
# The call itself ends a little earlier than the command, and gives the reason.
_GRACE = 0.25
# Seconds until the next try while the reader of the output does not take more.
_FULL = 0.02
_MOST_WAITING = 65_536
_NOTHING = object()


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

    def line(self, item: object) -> Rendering:
        """Return the Rendering of an item of a stream, in one line."""
        bounds = UNBOUNDED if self.is_whole else None if self.is_json else AT_A_TERMINAL
        return Rendering(item, bounds, is_ascii=self.is_ascii, is_line=True)

    def encodable(self, text: str) -> str:
        """Return a text with only characters that the output can encode."""
        return text.encode("ascii", "backslashreplace").decode() if self.is_ascii else text


@click.command(cls=ClientCommand)
@click.argument("address")
@click.argument("method")
@click.argument("arguments", metavar="[ARGS]…", nargs=-1)
@client_options
@timeout_option("connecting, the call, and formatting the answer; a stream has no limit")
@click.option(
    "--json", "is_json", is_flag=True, help="Print JSON even at a terminal, as for a program."
)
@click.option("--all", "is_whole", is_flag=True, help="Print the whole answer, even if it is long.")
@click.option(
    "--stream", "is_stream", is_flag=True, help="Take a reference as a stream, at a PB server."
)
@click.option(
    "--retry",
    "is_retried",
    is_flag=True,
    help="Try again until the time limit while the server cannot be reached.",
)
@plaintext_option
def call(
    address: str,
    method: str,
    arguments: tuple[str, ...],
    timeout: float,
    is_json: bool,
    is_whole: bool,
    is_stream: bool,
    is_retried: bool,
    insecure_plaintext: bool,
    **options: Any,
) -> None:
    """Call METHOD of the server at ADDRESS, and print its answer.

    METHOD is a method of the root if the server has no login, else of the avatar. Each of the ARGS
    is JSON, such as 3, '"text"' or '[1, 2]', or NAME=JSON for a keyword.

    The answer is JSON. At a terminal a text has no quotes, and a long answer is cut. The items of a
    stream are printed as they come, one a line; Ctrl-C stops the stream at the server.

    The exit status is 0; 1 if the method raised an error; 2 if the command line is wrong; 3 if the
    server cannot be reached, is not trusted, or has disconnected; 4 if the login was refused; 5
    after the time limit; 130 after Ctrl-C.
    """
    args, kw = _parsed(arguments)
    with statuses("call", timeout):
        identity = Identity(**options)
        printer = _Printer(Wish.of_output(is_json, is_whole), is_stream)
        ask = question(
            address,
            identity,
            timeout,
            insecure_plaintext,
            lambda target: target.callRemote(method, *args, **kw),
            printer.use,
            is_retried=is_retried,
        )
        printer.print(timeout, ask)


class _Printer:
    """Prints an answer, or the items of a stream.

    Args:
        wish: how to print it.
        is_stream: whether a reference is a stream.
    """

    def __init__(self, wish: Wish, is_stream: bool):
        self._wish = wish
        self._is_stream = is_stream
        self._outlet = Outlet()
        self._is_cut = False
        # Lines for which the outlet had no room, and their characters.
        self._lines: list[str] = []
        self._size = 0
        # Whether the pieces are not JSON; whether each is the line of an item.
        self._is_text = self._has_items = False

    async def use(self, answer: object) -> object:
        """Pass on the items if the answer is a stream, else return it.

        Raises:
            BaseException: the error of the stream.
        """
        if self._is_stream:
            if not isinstance(answer, RemoteStream | RemoteReference):
                raise Error(f"the answer is of type {type(answer).__name__}, not a stream")
            answer = stream_of(answer)
        if not isinstance(answer, RemoteStream):
            return answer
        self._has_items = True
        async with answer:
            self._outlet.lift_limit()
            try:
                async for item in answer:
                    await self._pass_on(item)
            finally:
                await self._flushed()
        return _NOTHING

    async def _pass_on(self, item: object) -> None:
        rendering = self._wish.line(item)
        line = "".join(rendering.pieces())
        self._is_cut |= rendering.is_cut
        self._lines.append(line)
        self._size += len(line)
        if len(self._lines) == 1:
            self._flush()
        if self._size > _MOST_WAITING:
            await self._flushed()

    def _flush(self) -> None:
        """Pass on the lines, or try again soon, also if no further item comes."""
        if self._lines and not self._outlet.put_at_once("\n".join(self._lines)):
            asyncio.get_running_loop().call_later(_FULL, self._flush)
            return
        self._lines.clear()
        self._size = 0

    async def _flushed(self) -> None:
        # The loop goes on while the reader of the output waits, so that pings are answered.
        while self._lines:
            await asyncio.sleep(_FULL)

    def print(self, seconds: float, ask: Question[object, object]) -> None:
        """Get the answer and print it.

        Raises:
            OutOfTime: the call, or formatting the answer, took too long.
            BaseException: an exception of ``ask``.
        """

        def work() -> Iterator[str]:
            answer = ask()
            if answer is _NOTHING:
                return
            rendering = self._wish.rendering(answer)
            text = None if self._wish.is_json else rendering.text()
            self._is_text = text is not None
            yield from rendering.pieces() if text is None else [self._wish.encodable(text)]
            self._is_cut = rendering.is_cut

        pieces = pieces_within(seconds + _GRACE, work, self._outlet, ask.stop)
        with contextlib.closing(pieces):
            self._print(pieces)
        if self._is_cut:
            click.echo("pb call: the answer is cut; --all prints all of it", err=True)

    def _print(self, pieces: Iterator[str]) -> None:
        wish = self._wish
        parts: list[str] = []
        for piece in pieces:
            if self._has_items:
                _print_line(piece, not wish.is_json)
            elif wish.is_json or wish.is_whole:
                click.echo(piece, nl=False)
            else:
                parts.append(piece)
        if self._has_items:
            return
        if self._is_text and not wish.is_whole:
            click.echo("".join(parts))
        elif wish.is_json or wish.is_whole:
            click.echo()
        else:
            _print_line("".join(parts), True)


def _print_line(text: str, is_coloured: bool) -> None:
    if is_coloured:
        Console(soft_wrap=True).print(JSONHighlighter()(Text(text)))
    else:
        click.echo(text)


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
