"""``pb unit``: the units of systemd that it prints."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker.commands.unit import unit


def printed(*arguments: str) -> str:
    """Return what the command prints."""
    result = CliRunner().invoke(unit, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def parsed(text: str) -> configparser.ConfigParser:
    """Parse a unit; a key may occur twice."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write a configuration file whose path has a space and a percent sign."""
    folder = tmp_path / "a b%"
    folder.mkdir()
    path = folder / "pb.toml"
    path.write_text(
        "[serve]\ntarget = 'x:Y'\ndrain = 60\n"
        "addresses = ['pbs+systemd:office', 'pb://127.0.0.1:80']\n"
    )
    return path


def test_a_service(config: Path) -> None:
    """The service tells systemd its state, has time to drain, and runs with few rights."""
    service = parsed(printed("--config", str(config), "--name", "office"))
    start = service["Service"]["ExecStart"]
    assert start.endswith(f' serve --config "{str(config).replace("%", "%%")}"')
    assert {
        name: service["Service"][name]
        for name in ("Type", "WatchdogSec", "TimeoutStopSec", "DynamicUser", "ProtectSystem")
    } == {
        "Type": "notify-reload",
        "WatchdogSec": "30",
        "TimeoutStopSec": "75",
        "DynamicUser": "yes",
        "ProtectSystem": "strict",
    }
    assert service["Service"]["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
    assert service["Unit"]["Requires"] == service["Install"]["Also"] == "office.socket"


def test_another_user(tmp_path: Path) -> None:
    """With ``--user`` it is that one; without low ports there is no capability."""
    path = tmp_path / "pb.toml"
    path.write_text("[serve]\ntarget = 'x:Y'\n")
    service = parsed(printed("--config", str(path), "--user", "office"))
    assert service["Service"]["User"] == "office"
    assert "DynamicUser" not in service["Service"]
    assert service["Service"]["CapabilityBoundingSet"] == ""
    assert "Requires" not in service["Unit"]


def test_a_socket() -> None:
    """The unit of sockets names them for ``pb+systemd:NAME``."""
    text = printed("--socket", "--name", "office", "--listen", "pbs://[::]:8787")
    assert parsed(text)["Socket"]["ListenStream"] == "[::]:8787"
    assert parsed(text)["Socket"]["FileDescriptorName"] == "office"
    text = printed("--socket", "--listen", "pb+unix:///run/pb/s")
    assert "ListenStream=/run/pb/s\nSocketMode=0600\n" in text


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "Error: Missing option '--config': the service reads its options from it."),
        (["--socket"], "Error: --socket needs --listen ADDRESS, such as pbs://0.0.0.0:8787"),
        (["--name", "a/b"], "Error: --name has letters, digits, - and _, not 'a/b'"),
        (
            ["--socket", "--listen", "pb+exec:x"],
            "pb unit: systemd cannot listen at pb+exec:x: give pb://, pbs:// or pb+unix",
        ),
        (
            ["--socket", "--listen", "pb://broker.example"],
            "pb unit: systemd listens at an address, not at the name broker.example",
        ),
    ],
)
def test_wrong_use(arguments: list[str], error: str) -> None:
    """Wrong use ends with status 2."""
    result = CliRunner().invoke(unit, arguments)
    assert (result.exit_code, result.output.splitlines()[-1]) == (2, error)
