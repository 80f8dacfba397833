"""``pb check-config``: what it finds weak, and the fix that it names."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509

import broker
from broker import __main__ as command_line
from broker.commands.cert import cert
from broker.commands.check_config import check_config
from broker.commands.group import Commands
from broker.commands.settings import Settings
from broker.commands.users import users
from broker.commands.weaknesses import Finding, weaknesses
from broker.core.policy import STRICT
from broker.net.schemes import parse_address
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.portal import Portal


def now() -> datetime.datetime:
    """Return the time; that of the import would be before the certificates are valid."""
    return datetime.datetime.now(datetime.UTC)


STORE = "run: pb users add NAME --store file:users.db, and use --checker file:users.db"


@pytest.fixture(autouse=True)
def here(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in the folder of the certificates."""
    monkeypatch.chdir(certificates)
    yield certificates


PAIR = ("--tls-cert", "server.pem", "--tls-key", "server.key")


def check(*arguments: str) -> tuple[int, list[str]]:
    """Check a server of the class Root; return the status and what is printed."""
    result = CliRunner().invoke(check_config, ["broker:Root", *arguments])
    return result.exit_code, result.output.splitlines()


def found(at: datetime.datetime | None = None) -> list[Finding]:
    """Return what is weak about a server on this machine with the certificates, at a time."""
    settings = Settings((), "server.pem", "server.key", "ca.pem")
    return list(weaknesses(settings, [], broker.Root(), at or now()))


def test_nothing_weak() -> None:
    """A server with TLS, and users in a store, has no weak settings."""
    add = ["add", "alice", "--store", "file:users.db", "--no-password"]
    assert CliRunner().invoke(users, add).exit_code == 0
    good = ("pbs://0.0.0.0:8787", "--checker", "file:users.db", *PAIR)
    assert check(*good) == (0, ["no weak settings"])
    assert check() == (0, ["no weak settings"])


@pytest.mark.parametrize(
    "arguments, lines",
    [
        (
            ("pb://192.0.2.1:8787", "--insecure-plaintext", "--checker", "anonymous"),
            [
                "pb://192.0.2.1:8787: an attacker on the network can read and change all data",
                "    use pbs://, with --tls-cert and --tls-key: pbs://192.0.2.1:8787",
            ],
        ),
        (
            ("pb://192.0.2.1:8787", "--checker", "anonymous"),
            [
                "pb://192.0.2.1:8787: an attacker on the network can read and change all data",
                "    use pbs://, with --tls-cert and --tls-key: pbs://192.0.2.1:8787",
            ],
        ),
        (
            ("--insecure-plaintext",),
            ["--insecure-plaintext: is not needed by any of the addresses", "    omit it"],
        ),
        (
            ("--challenge-login",),
            [
                "--challenge-login: accepts MD5 logins: an eavesdropper can guess the passwords,"
                " and the server keeps them in plaintext",
                "    omit it when no Twisted client is left",
            ],
        ),
        (
            ("--checker", "anonymous", "--allow-failures", "account=any"),
            [
                "--allow-failures account=any: sets no limit for guessing passwords from many"
                " addresses at once",
                "    set a number, such as account=100/1",
            ],
        ),
        (
            ("--checker", "memory:alice:wonderland"),
            [
                "passwords in memory: are in plaintext in the program, or on the command line,"
                " where every process can read them",
                f"    {STORE}",
            ],
        ),
        (
            ("pbs://0.0.0.0:8787", *PAIR),
            [
                "pbs://0.0.0.0:8787: there is no login: every client that connects can call"
                " every method",
                "    set --checker; use --checker anonymous to accept every client",
            ],
        ),
        *(
            (
                ("--http", "http://0.0.0.0:9100", *more),
                [
                    "--http http://0.0.0.0:9100: shows operators' data, without a login, to"
                    " everyone who can connect",
                    "    use http://127.0.0.1, or let only your own machines connect",
                ],
            )
            for more in ((), ("--insecure-plaintext",))
        ),
    ],
)
def test_weak(arguments: tuple[str, ...], lines: list[str]) -> None:
    """Each weak setting is told with its fix, and the status is 1."""
    assert check(*arguments) == (1, lines)


def test_a_file_of_clear_passwords() -> None:
    """Passwords in clear are weak, and more so where others can read the file."""
    Path("passwords").write_text("alice:wonderland\n")
    os.chmod("passwords", 0o640)
    assert check("--checker", "file:passwords") == (
        1,
        [
            "passwords: holds plaintext passwords",
            f"    {STORE}",
            "passwords: can be read by others (mode 0640)",
            "    run: chmod 600 passwords",
        ],
    )


def test_errors_that_tell_too_much() -> None:
    """Settings of the policy that are for the development of a program are weak."""
    base = STRICT.but(show_all_errors=True, unsafe_tracebacks=True)
    names = [each.about for each in weaknesses(Settings((), base=base), [], broker.Root(), now())]
    assert names == ["[policy] show_all_errors", "[policy] unsafe_tracebacks"]


def test_modes() -> None:
    """A key that others can read is weak, and so is a certificate that others can write."""
    os.chmod("server.key", 0o644)
    os.chmod("server.pem", 0o664)
    os.chmod("ca.pem", 0o646)
    assert found() == [
        Finding("server.key", "can be read by others (mode 0644)", "run: chmod 600 server.key"),
        Finding("server.pem", "can be written by others (mode 0664)", "run: chmod go-w server.pem"),
        Finding("ca.pem", "can be written by others (mode 0646)", "run: chmod go-w ca.pem"),
    ]


def last_of(path: str) -> datetime.datetime:
    """Return when a certificate ends."""
    return x509.load_pem_x509_certificate(Path(path).read_bytes()).not_valid_after_utc


def test_a_certificate_that_ends_soon() -> None:
    """One that has under 30 days left is weak, one that has expired, too; 30 days are enough."""
    last = last_of("server.pem")
    renew = "renew it; a running server loads the new files by itself"
    day = datetime.timedelta(days=1)
    assert found(last - 30 * day) == []
    soon = f"expires on {last:%Y-%m-%d}, in 29 days"
    assert found(last - 30 * day + day / 2) == [Finding("server.pem", soon, renew)]
    expired = Finding("server.pem", f"expired on {last:%Y-%m-%d}", renew)
    assert found(last + day) == [expired]


def test_a_certificate_that_ends_soon_by_the_command() -> None:
    """The command looks at its own clock."""
    arguments = ["server", "localhost", "--days", "29", "--force"]
    assert CliRunner().invoke(cert, arguments).exit_code == 0
    status, lines = check("pbs://127.0.0.1:8787", *PAIR)
    assert (status, lines[0][:23]) == (1, "server.pem: expires on ")


def test_a_certificate_that_is_not_valid_yet() -> None:
    """A clock that is behind, or a certificate from tomorrow, is told."""
    early = found(now() - datetime.timedelta(days=1))
    assert [(finding.about, finding.fix) for finding in early] == [
        ("server.pem", "set the clock, or wait"),
        ("ca.pem", "set the clock, or wait"),
    ]


def test_an_old_certificate() -> None:
    """An RSA key under 2,048 bits is weak, and so is a signature with SHA-1."""
    command = "openssl req -x509 -newkey rsa:1024 -sha1 -nodes -days 90 -subj /CN=old"
    files = ["-keyout", "server.key", "-out", "server.pem"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    assert found(now() + datetime.timedelta(hours=1)) == [
        Finding("server.pem", "has an RSA key of 1024 bits", "make one with P-256: pb cert server"),
        Finding("server.pem", "is signed with SHA1", "have it signed again"),
    ]


def test_checkers_of_a_portal() -> None:
    """The checkers that a program has put into its portal are looked at as well."""
    passwords = InMemoryUsernamePasswordDatabaseDontUse(alice="wonderland")
    portal = Portal(broker.realm(lambda name, mind: broker.Avatar()), [passwords])
    settings = Settings(())
    location = parse_address("pb://127.0.0.1:8787")
    assert [each.about for each in weaknesses(settings, [location], portal, now())] == [
        "passwords in memory"
    ]


@pytest.mark.parametrize(
    "arguments, error",
    [
        (
            (*PAIR[:3], "ca.key"),
            "ca.key is not the key of server.pem: give the key that the certificate was made for",
        ),
        (("--checker", "nobody"), "there is no checker 'nobody'; known are anonymous, cert, file,"
         " jwt, memory, sql"),
        (("pbs://127.0.0.1:1",), "pbs://127.0.0.1:1 needs a certificate: give --tls-cert and"
         " --tls-key"),
        (("--drain", "-1"), "drain=-1.0: give seconds, 0 for none; math.inf has no end"),
        (("--after", "-3"), "after=-3.0: give seconds, at most 2147484"),
        (("--elsewhere", "nowhere:1"), "address 'nowhere:1' is not understood; write"
         " pb://127.0.0.1:8787, or pbs://broker.example for TLS"),
        (("--admin", "pb://127.0.0.1:1"), "admin= takes a pb+unix:// address; hand out"
         " broker.inspector(server) for others"),
        (("--manhole",), "--manhole needs --admin, or users who log in"),
        (("--http", "ftp://a:1"), "http= takes http://host:port, such as http://127.0.0.1:9100,"
         " not 'ftp://a:1'"),
        (("--admin-page",), "admin_page=True needs a login: serve a Portal"),
        (("nowhere:1",), "address 'nowhere:1' is not understood; write pb://127.0.0.1:8787, or"
         " pbs://broker.example for TLS"),
    ],
)  # fmt: skip
def test_what_cannot_start(arguments: tuple[str, ...], error: str) -> None:
    """A server that could not start at all is an error, with status 2."""
    assert check(*arguments) == (2, [f"pb check-config: {error}"])


def test_a_socket_of_systemd() -> None:
    """It is not here, and not looked for; the other settings are checked."""
    assert check("pb+systemd:office") == (0, ["no weak settings"])
    assert check("pbs+systemd:office", *PAIR) == (0, ["no weak settings"])
    status, lines = check("pbs+systemd:office")
    assert (status, "needs a certificate" in lines[0]) == (2, True)


@pytest.mark.parametrize("option", ["--processes", "--replies", "--log-level"])
def test_what_an_option_does_not_take(option: str) -> None:
    """Each option of ``serve`` is read, and has the same limits."""
    status, lines = check(option, "0")
    assert (status, f"Invalid value for '{option}'" in lines[-1]) == (2, True)


def test_variables_of_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the server counts, and that of the command before it."""
    monkeypatch.setenv("PB_SERVE_DRAIN", "-1")
    group, command = Commands(command_line._COMMANDS), ["check-config", "broker:Root"]
    assert "drain=-1.0" in CliRunner().invoke(group, command).output
    monkeypatch.setenv("PB_CHECK_CONFIG_DRAIN", "1")
    assert CliRunner().invoke(group, command).output == "no weak settings\n"


def test_a_store_that_others_can_read() -> None:
    """A store that would not be opened is an error with its fix."""
    add = ["add", "alice", "--store", "file:users.db", "--no-password"]
    assert CliRunner().invoke(users, add).exit_code == 0
    os.chmod("users.db", 0o644)
    assert check("--checker", "file:users.db") == (
        2,
        [
            "pb check-config: users.db is readable by others (mode 0644); run: chmod 600 users.db",
        ],
    )


class Lobby:
    """A context manager of a program, which no check enters."""

    async def __aenter__(self) -> broker.Root:
        """Open ports."""
        raise AssertionError

    async def __aexit__(self, *about: object) -> None:
        """Close them."""


@pytest.fixture
def lobby(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module ``lobby`` with one, and with a PortalLogins."""
    module = types.ModuleType("lobby")
    checker = InMemoryUsernamePasswordDatabaseDontUse(alice="secret")
    portal = Portal(broker.realm(lambda avatar_id, mind: broker.Avatar()), [checker])
    vars(module).update(around=Lobby(), logins=broker.PortalLogins(portal))
    monkeypatch.setitem(sys.modules, "lobby", module)


def run(*arguments: str) -> tuple[int, str]:
    """Check any server; return the status and what is printed."""
    result = CliRunner().invoke(check_config, arguments)
    return result.exit_code, result.output


@pytest.mark.usefixtures("lobby")
def test_a_context_manager() -> None:
    """It is not entered; the other settings are checked, with or without checkers."""
    assert run("lobby:around", "pbs://0.0.0.0:1", *PAIR) == (0, "no weak settings\n")
    status, text = run("lobby:around", "pb://0.0.0.0:1", "--checker", "memory:alice:secret")
    assert status == 1
    assert "an attacker on the network" in text
    assert "memory" in text
    page = ("--admin-page", "--http", "http://127.0.0.1:0")
    for more in ((), ("--checker", "anonymous")):
        assert run("lobby:around", "pb://127.0.0.1:1", *page, *more) == (0, "no weak settings\n")


@pytest.mark.usefixtures("lobby")
def test_logins_of_several_front_ends() -> None:
    """A PortalLogins has a login, whose checkers are looked at."""
    status, text = run("lobby:logins", "pbs://0.0.0.0:1", *PAIR)
    assert status == 1
    assert "there is no login" not in text
    assert "passwords in memory" in text
