"""The server of a client by its profile and by the environment, and which has precedence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from broker.commands.group import _name_variables
from broker.commands.identity import Identity, client_options
from broker.commands.profiles import ClientCommand, profiles_path

PROFILES = """
[profiles.office]
address = "pb://office.broker.example"
ca = "office.pem"
user = "alice"

[profiles.robots]
address = "pb://robots.broker.example"
token-file = "/run/token"
"""


@click.command(cls=ClientCommand)
@click.argument("address")
@click.argument("method", required=False)
@client_options
def show(address: str, method: str | None, **options: Any) -> None:
    """Print what it gets."""
    identity = Identity(**options)
    given = {name: getattr(identity, name) for name in Identity.__struct_fields__}
    shown = [f"{name}={value}" for name, value in given.items() if value]
    click.echo(" ".join([address, str(method), *shown]))


@click.command(cls=ClientCommand)
@click.argument("source")
@click.argument("target")
@client_options
def copy(source: str, target: str, user: str, **options: Any) -> None:
    """Print what it gets; it has no address."""
    click.echo(f"{source} {target} {user}")


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[int, str]]]:
    """Write the profiles; return what runs the command."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    profiles_path().parent.mkdir()
    profiles_path().write_text(PROFILES)
    before = {each: each.envvar for each in show.params}
    _name_variables(show, "PB_SHOW")

    def run_it(
        *arguments: str, command: click.Command = show, **environment: str
    ) -> tuple[int, str]:
        result = CliRunner().invoke(command, arguments, env=environment)
        return result.exit_code, result.output.strip()

    yield run_it
    for each, variable in before.items():
        each.envvar = variable


OFFICE, HERE = "pb://office.broker.example", "pb+unix:///here"


def test_a_profile(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """It gives the address, the user, the authority or the token; its paths are beside it."""
    ca = tmp_path / "pb" / "office.pem"
    assert run("--profile", "office", "echo") == (0, f"{OFFICE} echo user=alice ca={ca}")
    assert run("echo", "--profile", "robots") == (
        0,
        "pb://robots.broker.example echo token_file=/run/token",
    )
    assert run("--profile", "office", HERE, "echo") == (0, f"{HERE} echo user=alice ca={ca}")
    assert run("echo", PB_SHOW_PROFILE="office")[1].startswith(OFFICE)


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--user", "bob"], "user=bob ca=*"),
        (["--anonymous"], "anonymous=True ca=*"),
        (["--token-file", "t"], "token_file=t ca=*"),
        (["--cert", "c", "--key", "k"], "cert=c key=k ca=*"),
        (["--no-login"], "no_login=True ca=*"),
        (["--ca", "own.pem"], "user=alice ca=own.pem"),
        (["--pin", "00"], "user=alice pin=00"),
    ],
)
def test_the_command_line_overrides_a_profile(
    run: Callable[..., tuple[int, str]], options: list[str], shown: str, tmp_path: Path
) -> None:
    """An option overrides the same of a profile, and others that contradict it."""
    shown = shown.replace("*", str(tmp_path / "pb" / "office.pem"))
    assert run("--profile", "office", *options, "echo") == (0, f"{OFFICE} echo {shown}")


def test_the_environment(run: Callable[..., tuple[int, str]]) -> None:
    """It is below the command line and above a profile; a command's own variable is above all's."""
    there, user = {"PB_ADDRESS": "pb://there"}, {"PB_USER": "bob"}
    assert run("echo", **there) == (0, "pb://there echo")
    assert run(HERE, "echo", **there) == (0, f"{HERE} echo")
    assert run("--profile", "office", "echo", **there)[1].startswith("pb://there echo user=alice")
    assert " user=bob" in run("--profile", "office", "echo", **user)[1]
    assert " user=carol" in run("--profile", "office", "--user", "carol", "echo", **user)[1]
    assert run(HERE, "x", **user, PB_SHOW_USER="dave")[1] == f"{HERE} x user=dave"
    assert run(HERE, "x", PB_CA="a.pem")[1] == f"{HERE} x ca=a.pem"
    # Who is logged in as a guest by the command line is not the user of the environment.
    assert run(HERE, "x", "--anonymous", **user)[1] == f"{HERE} x anonymous=True"
    assert run(HERE, "x", "--cert", "c", "--user", "eve")[1] == f"{HERE} x user=eve cert=c"
    assert run(HERE, "x", "--user", "eve", PB_SHOW_CERT="c")[1] == f"{HERE} x user=eve cert=c"


def test_what_is_an_address(run: Callable[..., tuple[int, str]]) -> None:
    """The first argument is the address if it has the form of one."""
    for address in ("pbs://a", "wss://a/b", "pb+unix:///a", "pb+exec:a"):
        assert run(address, "m", PB_ADDRESS=HERE) == (0, f"{address} m")
    for method in ("pb:describe", "echo", "5"):
        assert run(method, PB_ADDRESS=HERE) == (0, f"{HERE} {method}")
    assert run()[0] == 2


def test_a_command_without_an_address(run: Callable[..., tuple[int, str]]) -> None:
    """It takes the login, and its arguments stay as they are."""
    found = run("a", "b", "--profile", "office", command=copy, PB_ADDRESS=HERE)
    assert found == (0, "a b alice")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "cannot read"),
        ("x", "not TOML"),
        ("", "it has no profiles: add a table [profiles.office]"),
        ("[profiles.offices]\n", "office: no such profile; did you mean offices?"),
        ("[profiles.office]\nadress = 'x'\n", "adress: no such key; did you mean address?"),
        ("[profiles.office]\nuser = 5\n", "user: Expected str, got int"),
        ("profiles = 5\n", "it has no profiles"),
    ],
)
def test_wrong_profiles(run: Callable[..., tuple[int, str]], text: str | None, error: str) -> None:
    """A profile that cannot be used ends the command with status 2."""
    if text is None:
        profiles_path().unlink()
    else:
        profiles_path().write_text(text)
    status, told = run("--profile", "office", "echo")
    assert (status, told.startswith("pb show: ")) == (2, True), told
    assert error in told
