"""What a client takes from its environment and its profiles: its server, and how to log in there.

Theory of operation. An option comes from the command line, else from the environment, else from the
profile that ``--profile`` names; click has all three. The address is the first argument: it is put
in front of the arguments unless the first of them is an address.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from broker.commands.config_file import WrongConfig, unknown

__all__ = ["ADDRESS", "ClientCommand", "profile_option", "profiles_path"]

ADDRESS = "PB_ADDRESS"
"""The variable of the environment with the server's address."""

_KEYS = {"address": False, "user": False, "ca": True, "token-file": True}
"""The keys of a profile, and whether each is a path."""

_ADDRESS = re.compile(r"\w+://|\w+\+\w+:")
# Each group has ways that exclude each other. One of the command line puts aside weaker ones, but
# never a certificate: it may be for TLS only.
_ONE_OF = (
    ("user", "token_file", "anonymous", "cert", "no_login"),
    ("ca", "pin"),
)
_SOURCES = (
    ParameterSource.COMMANDLINE,
    ParameterSource.ENVIRONMENT,
    ParameterSource.DEFAULT_MAP,
)


class ClientCommand(click.Command):
    """A command of a client; its argument ``address``, if it has one, is the first."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; take what is missing from the environment and the profile.

        Raises:
            WrongConfig: the profile cannot be used.
        """
        options, _, _ = self.make_parser(ctx).parse_args(list(args))
        # Before the options are read, which have its values as their defaults.
        profile = _profile_of(ctx, options)
        taken = {each.name for each in self.params}
        ctx.default_map = {key: each for key, each in profile.items() if key in taken}
        first = options.get("address")
        address = os.environ.get(ADDRESS) or profile.get("address")
        is_given = isinstance(first, str) and _ADDRESS.match(first)
        if address and "address" in taken and not is_given:
            args = [address, *args]
        rest = super().parse_args(ctx, args)
        for group in _ONE_OF:
            _put_aside_weaker(ctx, group)
        return rest


profile_option = click.option(
    "--profile",
    metavar="NAME",
    expose_value=False,
    help="Take the address and the login from this profile of ~/.config/pb/config.toml.",
)
"""The option of a `ClientCommand`."""


def profiles_path() -> Path:
    """Return the file of the profiles."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "pb" / "config.toml"


def _profile_of(context: click.Context, options: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of the profile that the command line or the environment names."""
    (option,) = (each for each in context.command.params if each.name == "profile")
    name, _ = option.consume_value(context, options)
    if not isinstance(name, str) or not name or context.resilient_parsing:
        return {}
    try:
        return _read(profiles_path(), name)
    except WrongConfig as exc:
        exc.command = str(context.info_name)
        raise


def _read(path: Path, name: str) -> dict[str, str]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise WrongConfig(f"cannot read {path}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise WrongConfig(f"{path}: not TOML: {exc}") from exc
    profiles = tables.get("profiles")
    if not isinstance(profiles, dict):
        raise WrongConfig(f"{path}: it has no profiles: add a table [profiles.{name}]")
    table = profiles.get(name)
    if not isinstance(table, dict):
        raise WrongConfig(f"{path}: {unknown(name, name, profiles, 'no such profile')}")
    values = {}
    for key, value in table.items():
        where = f"{path}: [profiles.{name}]"
        if key not in _KEYS:
            raise WrongConfig(f"{where} {unknown(key, key, _KEYS)}")
        if not isinstance(value, str):
            raise WrongConfig(f"{where} {key}: Expected str, got {type(value).__name__}")
        values[key.replace("-", "_")] = str(path.parent / value) if _KEYS[key] else value
    return values


def _put_aside_weaker(context: click.Context, group: tuple[str, ...]) -> None:
    """Of parameters that exclude each other, keep those of the strongest source."""
    given = {name: context.get_parameter_source(name) for name in group if name in context.params}
    strongest = next((each for each in _SOURCES if each in given.values()), None)
    for name, source in given.items():
        if source in _SOURCES and source is not strongest and name != "cert":
            context.params[name] = False if isinstance(context.params[name], bool) else None
