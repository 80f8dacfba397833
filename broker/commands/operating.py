"""The commands of operators: ``inspect``, ``health``, ``kick``, ``drain`` and ``tap``."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterable

import click
import msgspec
from rich.console import Console
from rich.table import Table

from broker.commands.inspecting import Operated, operator_options
from broker.commands.profiles import ClientCommand
from broker.commands.wording import shown
from broker.inspection.contract import (
    ORDERS,
    ConnectionSnapshot,
    Inspection,
    ServerSnapshot,
    Tapped,
)

__all__ = ["drain", "health", "inspect", "kick", "tap"]

NOT_READY = NOBODY = 1


@click.command(cls=ClientCommand)
@operator_options
@click.argument("number", type=int, required=False)
@click.option(
    "--order",
    type=click.Choice(ORDERS),
    default="number",
    show_default=True,
    help="The order of the connections.",
)
@click.option(
    "--most", type=click.IntRange(1), default=100, show_default=True, help="How many connections."
)
@click.option("--json", "is_json", is_flag=True, help="Print JSON, for a program.")
def inspect(operated: Operated, number: int | None, order: str, most: int, is_json: bool) -> None:
    """Show the server at ADDRESS and its connections, or its connection NUMBER.

    ADDRESS is the socket of pb serve --admin; or a server, with a login as a user whose avatar has
    the method perspective_inspector.
    """

    if number is not None:
        one = operated.ask("inspect", lambda inspection: inspection.connection(number))
        fields = msgspec.to_builtins(one)
        lines = [f"{name}: {shown(_told(value))}" for name, value in fields.items()]
        click.echo(json.dumps(fields) if is_json else "\n".join(lines))
        return

    async def act(inspection: Inspection) -> tuple[ServerSnapshot, list[ConnectionSnapshot]]:
        server = await inspection.server(history=is_json)
        return server, await inspection.connections(order=order, most=most)

    server, connections = operated.ask("inspect", act)
    if is_json:
        found = {"server": server, "connections": connections}
        click.echo(json.dumps(msgspec.to_builtins(found)))
    else:
        click.echo("\n".join(server_lines(server)))
        _print_table(connections)


@click.command(cls=ClientCommand)
@operator_options
@click.option("--json", "is_json", is_flag=True, help="Print JSON, for a program.")
def health(operated: Operated, is_json: bool) -> None:
    """Say whether the server at ADDRESS can take more work.

    The exit status is 0 if it is ready, 1 if it is not, 3 if it cannot be reached.
    """

    found = operated.ask("health", lambda inspection: inspection.health())
    if is_json:
        click.echo(json.dumps(msgspec.to_builtins(found)))
    else:
        click.echo(shown(found.state))
        for name, text in found.checks.items():
            click.echo(shown(f"  {name}: {text or 'ok'}"))
    sys.exit(0 if found.is_ready else NOT_READY)


@click.command(cls=ClientCommand)
@operator_options
@click.argument("number", type=int, required=False)
@click.option("--of", "kicked", metavar="NAME", help="End all connections of this user.")
@click.option("--reason", default="", metavar="TEXT", help="A text for the clients.")
def kick(operated: Operated, number: int | None, kicked: str | None, reason: str) -> None:
    """End the connection NUMBER of the server at ADDRESS, or all connections of a user.

    Prints how many were ended. The exit status is 1 if there was none.
    """
    if (number is None) == (kicked is None):
        raise click.UsageError("give a NUMBER, or --of NAME")

    async def act(inspection: Inspection) -> int:
        return await inspection.kick(user=kicked, number=number, reason=reason)

    count = operated.ask("kick", act)
    click.echo(f"{count} connection{'' if count == 1 else 's'} ended")
    sys.exit(0 if count else NOBODY)


@click.command(cls=ClientCommand)
@operator_options
@click.option(
    "--drain", "seconds", type=float, metavar="SECONDS", help="How long running calls may continue."
)
@click.option(
    "--after", type=float, metavar="SECONDS", help="Tell clients that a server may be back then."
)
def drain(operated: Operated, seconds: float | None, after: float | None) -> None:
    """End the server at ADDRESS as SIGTERM does: its running calls may end first."""

    operated.ask("drain", lambda inspection: inspection.drain(seconds, after))


@click.command(cls=ClientCommand)
@operator_options
@click.argument("number", type=int)
@click.option("--json", "is_json", is_flag=True, help="Print a line of JSON for each entry.")
def tap(operated: Operated, number: int, is_json: bool) -> None:
    """Print what happens on the connection NUMBER of the server at ADDRESS.

    It prints names and sizes, never values, and ends after a minute or 10,000 entries. The
    connection takes no quick path meanwhile.
    """

    async def act(inspection: Inspection) -> AsyncIterator[Tapped]:
        return inspection.tap(number)

    async def use(entries: AsyncIterator[Tapped]) -> None:
        async for entry in entries:
            click.echo(json.dumps(msgspec.to_builtins(entry)) if is_json else _tapped(entry))

    operated.use("tap", act, use)


def server_lines(server: ServerSnapshot) -> Iterable[str]:
    """Yield the lines that say how a server is."""
    memory = "" if server.memory is None else f", {server.memory / 2**20:.0f} MiB"
    yield shown(
        f"{' '.join(server.addresses)}: {server.state}, up {server.uptime:.0f} s, process"
        f" {server.pid}{memory}"
    )
    yield (
        f"{server.open} open of {server.accepted}, {server.slow} slow, {server.held} held,"
        f" {server.running} calls running, {server.unsent:,} B unsent"
    )
    yield (
        f"{server.calls:.0f} calls/s, {server.bytes_in:,.0f} B/s in, {server.bytes_out:,.0f} B/s"
        f" out, loop late {server.lag * 1000:.1f} ms (most {server.largest_lag * 1000:.1f} ms)"
    )
    for each in server.processes:
        memory = "" if each.memory is None else f", {each.memory / 2**20:.0f} MiB"
        yield shown(
            f"process {each.number}: {each.state}, up {each.uptime:.0f} s, {each.open} open,"
            f" {each.calls:.0f} calls/s, loop late {each.lag * 1000:.1f} ms, pid {each.pid}{memory}"
        )
    if server.limits:
        limits = ", ".join(f"{name} {count}" for name, count in sorted(server.limits.items()))
        yield shown(f"refused: {limits}")


_COLUMNS = ("number", "address", "user", "dialect", "state", "age", "calls", "running", "unsent")


def _print_table(connections: list[ConnectionSnapshot]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name in _COLUMNS[1:5] else "right")
    for each in connections:
        values = {**msgspec.to_builtins(each), "age": f"{each.age:.0f} s"}
        values["calls"] = each.calls_received
        table.add_row(*(shown(_told(values[name])) for name in _COLUMNS))
    Console(soft_wrap=True, highlight=False, markup=False).print(table)


def _told(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _tapped(entry: Tapped) -> str:
    direction = "in " if entry.is_incoming else "out"
    what = f"{entry.size} B" if entry.kind == "bytes" else entry.name
    lost = f"   ({entry.lost} entries left out before)" if entry.lost else ""
    return shown(f"{entry.time:9.3f} {direction} {entry.kind} {what}{lost}")
