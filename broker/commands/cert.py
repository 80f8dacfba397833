"""The command ``cert``: makes an authority and certificates without an external one."""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from broker.commands.group import Group
from broker.errors import ConfigError
from broker.net.tls.issuing import (
    AUTHORITY_LIFETIME,
    LEAF_LIFETIME,
    Issued,
    make_authority,
    make_client,
    make_node,
    make_server,
    write_file,
)
from broker.net.tls.pem import read_certificates, read_private_key
from cred.certificates import fingerprint_of

__all__ = ["cert"]

Function = TypeVar("Function", bound=Callable[..., Any])

WRONG_USE = 2
AUTHORITY = "ca"


@click.group(cls=Group)
def cert() -> None:
    """Make keys and certificates: your own authority, and certificates that it signs.

    Each is two files, NAME.pem and NAME.key. Only the owner can read the key. Keys are P-256.
    """


def _options(longest: datetime.timedelta) -> Callable[[Function], Function]:
    """Add the options that all these commands have."""

    def give(function: Function) -> Function:
        for option in (
            click.option("--force", is_flag=True, help="Replace existing files."),
            click.option(
                "--days",
                type=click.IntRange(1, longest.days),
                default=longest.days,
                show_default=True,
                help="How many days it is valid.",
            ),
            click.option(
                "--dir",
                "folder",
                type=click.Path(file_okay=False, exists=True, path_type=Path),
                default=Path(),
                help="The folder of the files; default: the current folder.",
            ),
        ):
            function = option(function)
        return function

    return give


@cert.command()
@click.option(
    "--name",
    default="my own authority",
    show_default=True,
    help="The name of the authority, for people to read.",
)
@_options(AUTHORITY_LIFETIME)
def ca(name: str, folder: Path, days: int, force: bool) -> None:
    """Make an authority: ca.pem for those who trust it, and ca.key, which signs certificates."""
    with _told():
        issued = make_authority(name, datetime.timedelta(days))
        _write(folder, AUTHORITY, issued, force)
    click.echo("keep ca.key on a machine without servers; give ca.pem to all who should trust it")


@cert.command()
@click.argument("names", metavar="HOST...", nargs=-1, required=True)
@click.option("--out", default="server", show_default=True, help="The files' name, without suffix.")
@_options(LEAF_LIFETIME)
def server(names: tuple[str, ...], out: str, folder: Path, days: int, force: bool) -> None:
    """Make the certificate of a server with the names HOST: host names and IP addresses."""
    with _told():
        issued = make_server(_authority(folder), names, lifetime=datetime.timedelta(days))
        _write(folder, out, issued, force)


@cert.command()
@click.argument("names", metavar="HOST...", nargs=-1, required=True)
@click.option("--out", default="node", show_default=True, help="The files' name, without suffix.")
@_options(LEAF_LIFETIME)
def node(names: tuple[str, ...], out: str, folder: Path, days: int, force: bool) -> None:
    """Make the certificate of a node of a cluster with the names HOST."""
    with _told():
        issued = make_node(_authority(folder), names, lifetime=datetime.timedelta(days))
        _write(folder, out, issued, force)


@cert.command()
@click.argument("name")
@click.option("--out", help="The files' name, without suffix; default: NAME.")
@_options(LEAF_LIFETIME)
def client(name: str, out: str | None, folder: Path, days: int, force: bool) -> None:
    """Make the certificate of a client called NAME: a word, an email address, or a URI."""
    with _told():
        issued = make_client(_authority(folder), name, lifetime=datetime.timedelta(days))
        _write(folder, out or re.sub(r"[^\w.@-]", "_", name), issued, force)
    click.echo(f"the fingerprint of its key is {fingerprint_of(issued.certificate)}")


@contextmanager
def _told() -> Generator[None]:
    """End the command with the error in one line."""
    try:
        yield
    except (OSError, ValueError) as exc:
        click.echo(f"pb cert: {exc}", err=True)
        sys.exit(WRONG_USE)


def _authority(folder: Path) -> Issued:
    """Read the authority of a folder.

    Raises:
        ConfigError: there is no authority, or its files cannot sign.
    """
    paths = folder / f"{AUTHORITY}.pem", folder / f"{AUTHORITY}.key"
    for path in paths:
        if not path.exists():
            raise ConfigError(f"there is no {path}: make an authority first, with  pb cert ca")
    certificate = read_certificates(paths[0], "CA certificate")[0]
    key = read_private_key(paths[1])
    if certificate.public_key() != key.public_key():
        raise ConfigError(f"{paths[1]} is not the key of {paths[0]}")
    return Issued(certificate, key)


def _write(folder: Path, name: str, issued: Issued, force: bool) -> None:
    """Write key and certificate, and print their names.

    Raises:
        ConfigError: one of the files exists already.
    """
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    for path in (key, certificate):
        if path.exists() and not force:
            raise ConfigError(f"{path} exists already; --force replaces it")
    write_file(key, issued.key_pem, is_secret=True)
    write_file(certificate, issued.certificate_pem, is_secret=False)
    last = issued.certificate.not_valid_after_utc
    click.echo(f"wrote {certificate} and {key}, valid until {last:%Y-%m-%d}")
