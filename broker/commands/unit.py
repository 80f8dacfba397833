"""The command ``unit``: prints the units of systemd for a server with a configuration file."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from broker.commands.config_file import ConfigFile, config_option
from broker.commands.wording import in_words
from broker.errors import ConfigError
from broker.net.schemes import HostPort, SocketPath, parse_address
from broker.net.socket_addresses import host_port

__all__ = ["unit"]

_SERVICE = """\
[Unit]
Description={name}: objects served by pb
After=network-online.target
Wants=network-online.target
{requires}
[Service]
Type=notify-reload
ExecStart={command} serve --config {config}
Restart=on-failure
RestartSec=1
WatchdogSec=30
TimeoutStopSec={stop}
{user}WorkingDirectory={folder}
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet={capability}
AmbientCapabilities={capability}
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=strict
ProtectHome={home}
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
ProtectClock=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
RuntimeDirectory={name}
StateDirectory={name}
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
{also}"""

_SOCKET = """\
[Unit]
Description={name}: the sockets of the server

[Socket]
{listen}
FileDescriptorName={name}
Backlog=256

[Install]
WantedBy=sockets.target
"""


@click.command()
@config_option
@click.option(
    "--name", default="pb", show_default=True, metavar="NAME", help="The name of the service."
)
@click.option(
    "--user", metavar="NAME", help="The user that it runs as; default: one made by systemd."
)
@click.option(
    "--socket",
    "is_socket",
    is_flag=True,
    help="Print the unit of the sockets, which systemd opens, for the address pb+systemd:NAME.",
)
@click.option("--listen", metavar="ADDRESS", multiple=True, help="What --socket listens at.")
def unit(
    config: ConfigFile | None,
    name: str,
    user: str | None,
    is_socket: bool,
    listen: tuple[str, ...],
) -> None:
    """Print a unit of systemd for `pb serve --config FILE`.

    The service tells systemd when it is ready, reloads at SIGHUP, is restarted if its event loop is
    blocked for 30 seconds, and may write to its own folders only: /run/NAME and /var/lib/NAME. With
    --socket the command prints the unit of the sockets in place of the service. The exit status is
    0, or 2 if the command line is wrong.
    """
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise click.UsageError(f"--name has letters, digits, - and _, not {name!r}")
    try:
        text = _socket_unit(name, listen) if is_socket else _service_unit(config, name, user)
    except ConfigError as exc:
        click.echo(f"pb unit: {in_words(exc)}", err=True)
        sys.exit(2)
    click.echo(text, nl=False)


def _service_unit(config: ConfigFile | None, name: str, user: str | None) -> str:
    if config is None:
        raise click.UsageError("Missing option '--config': the service reads its options from it.")
    addresses = [str(each) for each in config.options.get("addresses", ())]
    is_activated = any("+systemd:" in each for each in addresses)
    low = any(isinstance(each, HostPort) and 0 < each.port < 1024 for each in _parsed(addresses))
    drain = float(config.options.get("drain", 30.0))
    folder = Path(config.folder)
    return _SERVICE.format(
        name=name,
        requires=f"Requires={name}.socket\nAfter={name}.socket\n" if is_activated else "",
        command=_quoted(_program()),
        config=_quoted(config.path),
        stop="infinity" if drain == float("inf") else f"{drain + 15:g}",
        user=f"User={user}\n" if user else "DynamicUser=yes\n",
        folder=str(folder).replace("%", "%%"),
        capability="CAP_NET_BIND_SERVICE" if low else "",
        home="read-only" if folder.is_relative_to("/home") else "yes",
        also=f"Also={name}.socket\n" if is_activated else "",
    )


def _socket_unit(name: str, listen: tuple[str, ...]) -> str:
    if not listen:
        raise click.UsageError("--socket needs --listen ADDRESS, such as pbs://0.0.0.0:8787")
    lines = []
    for location in _parsed(listen):
        if isinstance(location, HostPort):
            lines.append(f"ListenStream={_stream(location)}")
        elif isinstance(location, SocketPath):
            lines.append(f"ListenStream={location.path}\nSocketMode=0600")
        else:
            raise ConfigError(f"systemd cannot listen at {location}: give pb://, pbs:// or pb+unix")
    return _SOCKET.format(name=name, listen="\n".join(lines))


def _stream(location: HostPort) -> str:
    host = "127.0.0.1" if location.host == "localhost" else location.host
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return host_port(host, location.port)
    raise ConfigError(f"systemd listens at an address, not at the name {host}")


def _parsed(addresses: Iterable[str]) -> list[object]:
    return [parse_address(address) for address in addresses]


def _program() -> str:
    """Return the path of ``pb``: that which runs, or else the one beside the interpreter."""
    beside = Path(sys.executable).with_name("pb")
    return str(beside) if beside.exists() else shutil.which("pb") or os.path.abspath(sys.argv[0])


def _quoted(path: str) -> str:
    """Return a path as a word of a command line of systemd."""
    text = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if set(text) & set(" \t'\"\\;") else text
