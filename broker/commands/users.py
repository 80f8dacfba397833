"""The command ``users``: adds, changes and lists the users of a store."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import replace

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.commands.group import Group
from broker.commands.password import password_file_option, password_from
from broker.commands.wording import shown
from broker.errors import ConfigError
from cred.passwords import hash_password
from cred.saslprep import LONGEST_NAME, saslprep
from cred.scram_verifier import SCRAM, ScramVerifier
from cred.stores import open_store
from cred.users import NoSuchUser, StoreError, User, UserStore

__all__ = ["users"]

FAILED, WRONG_USE = 1, 2


def _scram(password: str) -> str:
    return str(ScramVerifier.of_password(password))


# The kinds of verifiers: the function that makes each from a password, and its prefix.
_MAKERS: dict[str, Callable[[str], str]] = {"scram": _scram, "argon2id": hash_password}
_BEGINNINGS = {"scram": f"{SCRAM}$", "argon2id": "$argon2id$"}


@click.group(cls=Group)
def users() -> None:
    """Add, change and list the users of a store.

    A store is file:PATH, or sql: and an SQLAlchemy URL, such as sql:sqlite:///users.sqlite or
    sql:postgresql://host/database. A running server applies every change at the next login. The
    exit status is 0; 1 if the change could not be made; 2 if the command line is wrong.
    """


_store = click.option(
    "--store",
    "where",
    required=True,
    envvar="PB_STORE",
    metavar="STORE",
    help="The store of users, such as file:users.db",
)
_name = click.argument("name")
_kind = click.option(
    "--verifier",
    "kind",
    type=click.Choice(sorted(_MAKERS)),
    help="How the password is stored; default: as those of the other users, or scram for the"
    " first.",
)


_json = click.option("--json", "is_json", is_flag=True, help="Print JSON, for a program.")


@users.command()
@_name
@_store
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="GROUP",
    help="A group of the user; can be repeated.",
)
@_kind
@password_file_option
@click.option(
    "--no-password", is_flag=True, help="Store no password, for a user who logs in by other means."
)
def add(
    name: str,
    where: str,
    groups: tuple[str, ...],
    kind: str | None,
    password_file: str | None,
    no_password: bool,
) -> None:
    """Add the user NAME; the store is created if it does not exist."""
    if no_password and (password_file or kind):
        raise click.UsageError("--no-password cannot be used with --password-file or --verifier")
    with _opened(where, create=True) as store:
        user = User(_prepared(name), groups=frozenset(groups))
        if not no_password:
            user = replace(user, verifier=_verifier(store, kind, password_file))
        store.add(user)
    click.echo(f"added {user.name}")


@users.command()
@_name
@_store
def remove(name: str, where: str) -> None:
    """Remove the user NAME."""
    with _opened(where) as store:
        store.remove(_prepared(name))
    click.echo(f"removed {name}")


@users.command()
@_name
@_store
@_kind
@password_file_option
def passwd(name: str, where: str, kind: str | None, password_file: str | None) -> None:
    """Change the password of the user NAME."""
    with _opened(where) as store:
        user = _found(store, name)
        changed = replace(user, verifier=_verifier(store, kind, password_file, but=user.name))
        store.replace(changed, was=user)
    click.echo(f"changed the password of {name}")


@users.command()
@_name
@_store
def disable(name: str, where: str) -> None:
    """Refuse logins of the user NAME from now on.

    A server that uses the store ends the connections of this user within two seconds.
    """
    _set_disabled(where, name, True)
    click.echo(f"disabled {name}")


@users.command()
@_name
@_store
def enable(name: str, where: str) -> None:
    """Allow logins of the user NAME again after `disable`."""
    _set_disabled(where, name, False)
    click.echo(f"enabled {name}")


@users.command()
@click.argument("name", required=False)
@_store
@click.option("--add", "added", multiple=True, metavar="GROUP", help="Add NAME to this group.")
@click.option(
    "--remove", "removed", multiple=True, metavar="GROUP", help="Remove NAME from this group."
)
@_json
def groups(
    name: str | None,
    where: str,
    added: tuple[str, ...],
    removed: tuple[str, ...],
    is_json: bool,
) -> None:
    """Print the groups of the user NAME, after changing them with the options; or all groups.

    A user who is logged in has the previous groups until the next login.
    """
    if name is None:
        if added or removed:
            raise click.UsageError(
                "--add and --remove need NAME, the user whose groups they change"
            )
        _print_groups(where, is_json)
        return
    if set(added) & set(removed):
        raise click.UsageError(
            f"{min(set(added) & set(removed))} is given to both --add and --remove"
        )
    with _opened(where) as store:
        user = _found(store, name)
        changed = replace(user, groups=user.groups.union(added).difference(removed))
        if changed != user:
            store.replace(changed, was=user)
    found = sorted(changed.groups)
    click.echo(json.dumps(found) if is_json else "\n".join(map(shown, found)) or "no groups")


def _print_groups(where: str, is_json: bool) -> None:
    """Print all groups of a store, each with its users."""
    members: dict[str, list[str]] = {}
    with _opened(where) as store:
        for user in store.users():
            for group in user.groups:
                members.setdefault(group, []).append(user.name)
    found = {group: sorted(members[group]) for group in sorted(members)}
    if is_json:
        click.echo(json.dumps(found))
    elif not found:
        click.echo("no groups")
    else:
        _print_table(("group", "users"), [(shown(each), " ".join(found[each])) for each in found])


@users.command("list")
@_store
@_json
def list_users(where: str, is_json: bool) -> None:
    """List the users, with their groups and their way of logging in."""
    with _opened(where) as store:
        found = list(store.users())
    if is_json:
        click.echo(json.dumps([_as_item(user) for user in found]))
        return
    rows = [
        (user.name, "disabled" if user.is_disabled else "enabled", _kind_of(user.verifier),
         " ".join(sorted(user.groups)))
        for user in found
    ]  # fmt: skip
    if not rows:
        click.echo("no users")
        return
    _print_table(("user", "", "password", "groups"), rows)


def _as_item(user: User) -> dict[str, object]:
    """Return the JSON value of a user."""
    return {
        "name": user.name,
        "disabled": user.is_disabled,
        "password": _kind_of(user.verifier) or None,
        "groups": sorted(user.groups),
    }


def _print_table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    table = Table(*heads, box=None, pad_edge=False, show_edge=False)
    for row in rows:
        # As Text, since brackets in a name must not be read as markup.
        table.add_row(*map(Text, row))
    Console().print(table)


@contextmanager
def _opened(where: str, *, create: bool = False) -> Generator[UserStore]:
    """Open a store for one command; an error of the store or of the input ends the command."""
    try:
        store = open_store(where, create=create)
        try:
            yield store
        finally:
            store.close()
    except StoreError as exc:
        click.echo(f"pb users: {exc}", err=True)
        sys.exit(FAILED)
    except (ConfigError, ValueError) as exc:
        click.echo(f"pb users: {exc}", err=True)
        sys.exit(WRONG_USE)


def _prepared(name: str) -> str:
    return saslprep(name, LONGEST_NAME)


def _found(store: UserStore, name: str) -> User:
    user = store.find(_prepared(name))
    if user is None:
        raise NoSuchUser("there is no user of that name")
    return user


def _set_disabled(where: str, name: str, is_disabled: bool) -> None:
    with _opened(where) as store:
        user = _found(store, name)
        store.replace(replace(user, is_disabled=is_disabled), was=user)


def _verifier(
    store: UserStore, kind: str | None, password_file: str | None, *, but: str | None = None
) -> str:
    """Ask for a password, and return its verifier, of the same kind as the existing users have."""
    chosen = _chosen(kind, (user for user in store.users() if user.name != but))
    return _MAKERS[chosen](password_from(password_file, "Password", twice=True))


def _chosen(kind: str | None, others: Iterable[User]) -> str:
    there = {_kind_of(user.verifier) for user in others} - {""}
    if kind is not None and there - {kind}:
        # With both kinds, clients would not be offered SCRAM: users with Argon2id could not use it.
        raise ConfigError(
            f"the users of this store have verifiers of the kind {', '.join(sorted(there))}:"
            " omit --verifier, or make another store"
        )
    return kind or (min(there) if there else "scram")


def _kind_of(verifier: str | None) -> str:
    for kind, beginning in _BEGINNINGS.items():
        if verifier is not None and verifier.startswith(beginning):
            return kind
    return ""
