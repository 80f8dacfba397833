"""The configuration file of a server: TOML with the names of options, of policy and limits."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import click
from msgspec import Struct

from broker.core.policy import STRICT, Policy
from broker.errors import ConfigError
from jelly.limits import Limits

__all__ = [
    "ConfigFile",
    "Values",
    "WrongConfig",
    "config_option",
    "from_file",
    "read",
    "unknown",
]

Function = TypeVar("Function", bound=Callable[..., Any])

Values: TypeAlias = dict[str, Any]
"""Values of options, or of a table, by their names."""

_TABLES = ("serve", "policy", "limits", "login_limits")
_SERVE = "broker.commands.serve:serve"
# Checkers of cred.strcred whose argument begins with a path.
_WITH_PATH = ("file", "cert", "jwt")
# Attributes of Policy that a table cannot have.
_ABSENT = {
    "limits": "it is a table, [limits]",
    "login_limits": "it is a table, [login_limits]",
    "security": "only a program can set it",
    "registry": "only a program can set it",
    "challenge_login": "give challenge-login in [serve]",
    "insecure_plaintext": "give insecure-plaintext in [serve]",
}
_KINDS: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "tuple[str, ...]": (list,),
}


class WrongConfig(click.ClickException):
    """A configuration file cannot be used; the text names the file, the table and the key."""

    exit_code = 2
    command = ""

    def show(self, file: object = None) -> None:
        """Print the text as an error of the command."""
        click.echo(f"pb {self.command}: {self.message}", err=True)


class ConfigFile(Struct, frozen=True):
    """A configuration file that was read.

    Attributes:
        path: its absolute path.
        folder: its folder; paths in the file are relative to it, and modules are searched in it.
        options: the values of ``[serve]``, by the names of the parameters of the command. Paths are
            absolute.
        policy: the policy of ``[policy]``, ``[limits]`` and ``[login_limits]``.
    """

    path: str
    folder: str
    options: Values
    policy: Policy


def read(path: str) -> ConfigFile:
    """Read a configuration file of ``pb serve``.

    Raises:
        WrongConfig: it cannot be read, is not TOML, or has an unknown key or a wrong value.
    """
    name = os.path.basename(path)
    try:
        with open(path, "rb") as file:
            tables = tomllib.load(file)
    except OSError as exc:
        raise WrongConfig(f"cannot read {path}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise WrongConfig(f"{name}: not TOML: {exc}") from exc
    for table, value in tables.items():
        if table not in _TABLES or not isinstance(value, dict):
            what = "no such table" if isinstance(value, dict) else "it is in no table"
            raise WrongConfig(f"{name}: {unknown(f'[{table}]', table, _TABLES, what)}")
    folder = Path(path).absolute().parent
    options = _options(name, tables.get("serve", {}), folder)
    return ConfigFile(str(Path(path).absolute()), str(folder), options, _policy(name, tables))


def config_option(function: Function) -> Function:
    """Add ``--config`` to a command, which gets a ConfigFile or None as ``config``."""
    return click.option(
        "--config",
        type=click.Path(dir_okay=False),
        envvar="PB_CONFIG",
        is_eager=True,
        callback=_load,
        metavar="FILE",
        help="Read the options from this TOML file; the command line and the environment override"
        " it.",
    )(function)


def from_file(context: click.Context, parameter: click.Parameter, value: object) -> object:
    """The callback of an argument that a configuration file may give instead."""
    if value or parameter.name is None:
        return value
    found = (context.default_map or {}).get(parameter.name, value)
    return tuple(found) if parameter.nargs == -1 else found


def _load(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> ConfigFile | None:
    if value is None or context.resilient_parsing:
        return None
    try:
        found = read(value)
    except WrongConfig as exc:
        exc.command = str(context.info_name)
        raise
    taken = {each.name for each in context.command.params}
    context.default_map = {key: each for key, each in found.options.items() if key in taken}
    return found


def _options(name: str, table: Values, folder: Path) -> Values:
    module, _, attribute = _SERVE.partition(":")
    command: click.Command = getattr(import_module(module), attribute)
    known = {_key(each): each for each in command.params if each.name != "config"}
    options: Values = {}
    for key, value in table.items():
        if key not in known:
            raise WrongConfig(f"{name}: [serve] {unknown(key, key, known)}")
        parameter = known[key]
        _check_option(f"{name}: [serve] {key}", parameter, value)
        options[str(parameter.name)] = _absolute(parameter, key, value, folder)
    return options


def _key(parameter: click.Parameter) -> str:
    """Return the key of a parameter: the longest name of an option, or that of an argument."""
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len).lstrip("-")
    return str(parameter.name)


def _check_option(where: str, parameter: click.Parameter, value: object) -> None:
    if parameter.nargs == -1 or (isinstance(parameter, click.Option) and parameter.multiple):
        _check(where, value, "tuple[str, ...]")
    elif isinstance(parameter, click.Option) and parameter.is_flag:
        _check(where, value, "bool")
    elif parameter.type is click.FLOAT or isinstance(parameter.type, click.FloatRange):
        _check(where, value, "float")
    elif parameter.type is click.INT or isinstance(parameter.type, click.IntRange):
        _check(where, value, "int")
    elif not isinstance(value, str):
        raise WrongConfig(f"{where}: Expected str, got {type(value).__name__}")
    elif isinstance(parameter.type, click.Choice) and value not in parameter.type.choices:
        raise WrongConfig(f"{where}: {unknown(value, value, parameter.type.choices, 'unknown')}")


def _check(where: str, value: object, kind: str) -> None:
    """Check the type of a value.

    Raises:
        WrongConfig: it is wrong.
    """
    kinds = _KINDS[kind]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        expected = "list of str" if kinds == (list,) else kind
        raise WrongConfig(f"{where}: Expected {expected}, got {type(value).__name__}")
    for each in value if isinstance(value, list) else ():
        if not isinstance(each, str):
            raise WrongConfig(f"{where}: Expected list of str, got {type(each).__name__} in it")


def _absolute(parameter: click.Parameter, key: str, value: Any, folder: Path) -> object:
    if isinstance(parameter.type, click.Path):
        return str(folder / value)
    return [_with_folder(each, folder) for each in value] if key == "checker" else value


def _with_folder(checker: str, folder: Path) -> str:
    kind, colon, rest = checker.partition(":")
    if kind not in _WITH_PATH or not rest:
        return checker
    return f"{kind}{colon}{folder / rest}"


def _policy(name: str, tables: Values) -> Policy:
    kinds = {key: str(kind) for key, kind in Policy.__annotations__.items() if key not in _ABSENT}
    changes: Values = {}
    for key, value in tables.get("policy", {}).items():
        where = f"{name}: [policy] {key}"
        if key in _ABSENT:
            raise WrongConfig(f"{where}: {_ABSENT[key]}")
        if key not in kinds:
            raise WrongConfig(f"{name}: [policy] {unknown(key, key, kinds)}")
        _check(where, value, kinds[key])
        changes[key] = tuple(value) if isinstance(value, list) else value
    for table in ("limits", "login_limits"):
        if table in tables:
            changes[table] = _limits(name, table, tables[table], getattr(STRICT, table))
    try:
        return STRICT.but(**changes)
    except ConfigError as exc:
        raise WrongConfig(f"{name}: [policy] {exc}") from exc


def _limits(name: str, table: str, values: Values, base: Limits) -> Limits:
    for key, value in values.items():
        if key not in Limits.__struct_fields__:
            raise WrongConfig(f"{name}: [{table}] {unknown(key, key, Limits.__struct_fields__)}")
        _check(f"{name}: [{table}] {key}", value, "int")
    try:
        return base.but(**values)
    except ValueError as exc:
        raise WrongConfig(f"{name}: [{table}] {exc}") from exc


def unknown(shown: str, word: str, known: Iterable[str], what: str = "no such key") -> str:
    """Return the text of an error for a word that is not known, with one that is like it.

    Args:
        shown: the word, with its place.
        word: the word itself.
        known: the words that are known.
        what: what is wrong with it.
    """
    names = list(known)
    close = difflib.get_close_matches(word, names, 1)
    end = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(names))}"
    return f"{shown}: {what}; {end}"
