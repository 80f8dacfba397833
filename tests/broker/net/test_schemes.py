"""Addresses as users write them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec import Struct

import broker
from broker.errors import ConfigError
from broker.net.schemes import (
    Command,
    HostPort,
    Scheme,
    SocketPath,
    add_scheme,
    parse_address,
    remove_scheme,
    scheme_of,
)
from broker.net.sockets import bind_stream, connect_stream
from broker.net.transports import StreamTransport


@pytest.mark.parametrize(
    ("text", "location", "shown"),
    [
        ("pb://127.0.0.1:8787", HostPort("127.0.0.1", 8787, False), None),
        ("pb://localhost", HostPort("localhost", 8787, False), "pb://localhost:8787"),
        ("pb://localhost:0", HostPort("localhost", 0, False), None),
        ("pbs://Broker.Example:1/", HostPort("broker.example", 1, True), "pbs://broker.example:1"),
        ("pb://[::1]:5", HostPort("::1", 5, False), None),
        ("pb+unix:///run/my.sock", SocketPath("/run/my.sock"), None),
        ("pb+unix:///a%20b", SocketPath("/a b"), None),
        ("pb+exec:ssh host 'a b'", Command(("ssh", "host", "a b")), None),
    ],
)
def test_addresses(text: str, location: Any, shown: str | None) -> None:
    """Each kind of address is understood, and written as it can be given again."""
    parsed = parse_address(text)
    assert parsed == location
    assert str(parsed) == (shown or text)
    assert parse_address(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("127.0.0.1:8787", "is not understood"),
        ("", "is not understood"),
        ("http://x", "is not understood"),
        ("pb://", "is not understood"),
        ("pb://:8787", "is not understood"),
        ("pb://[::1", "is not understood"),
        ("pb://[nothing]:1", "is not understood"),
        ("pb+unix://[/x", "is not understood"),
        ("pb://h:123456", "has no valid port"),
        ("pb://h:-1", "has no valid port"),
        ("pb://h:http", "has no valid port"),
        ("pb://h/path", "says more than host and port"),
        ("pb://user@h", "says more than host and port"),
        ("pb://h?x=1", "says more than host and port"),
        ("pb+unix://relative", "names no socket"),
        ("pb+unix:///folder/", "names no socket"),
        ("pb+exec:", "names no program"),
        ("pb+exec:'open", "is not a command line"),
    ],
)
def test_what_is_no_address(text: str, words: str) -> None:
    """Any other text is a ConfigError that repeats it and says how to write one."""
    with pytest.raises(ConfigError, match=words) as caught:
        parse_address(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "name", "is_tls", "is_public"),
    [
        ("pb://localhost", "pb", False, False),
        ("pb://broker.example", "pb", False, True),
        ("pbs://localhost", "pbs", True, False),
        ("pbs://broker.example", "pbs", True, True),
        ("pb+unix:///a", "pb+unix", False, False),
        ("pb+exec:a b", "pb+exec", False, False),
    ],
)
def test_rows(text: str, name: str, is_tls: bool, is_public: bool) -> None:
    """Each address has the row of its scheme, which says what is to be known of it."""
    location = parse_address(text)
    scheme = scheme_of(location)
    assert (scheme.name, location.scheme) == (name, name)
    assert (scheme.is_tls, scheme.is_public(location)) == (is_tls, is_public)
    secure = scheme.as_tls(location)
    assert (None if secure is None else secure.scheme) == ("pbs" if name == "pb" else None)


# A new scheme: an address is a name, and only this process knows the port of it.


class Named(Struct, frozen=True):
    """A name for a port of this process."""

    name: str
    scheme: ClassVar[str] = "pb+test"

    def __str__(self) -> str:
        return f"pb+test://{self.name}"


def bind_name(location: Named) -> Any:
    """Listen at a free port, and note it."""
    sockets = bind_stream("127.0.0.1", 0)
    PORTS[location.name] = sockets[0].getsockname()[1]
    return sockets


async def connect_name(location: Named, make_protocol: Any, settings: Any) -> StreamTransport:
    """Connect to the port of a name."""
    port = PORTS[location.name]
    return await connect_stream(make_protocol, "127.0.0.1", port, timeout=settings.timeout)


def parse_name(address: str) -> Named:
    """Return the name."""
    return Named(address.removeprefix("pb+test://"))


PORTS: dict[str, int] = {}
TEST = Scheme(name="pb+test", parse=parse_name, connect=connect_name, bind=bind_name)


# The end of the new scheme.


@pytest.fixture
def new_scheme() -> Iterator[None]:
    """Add the scheme, and remove it."""
    add_scheme(TEST)
    yield
    remove_scheme("pb+test")


class Echo(broker.Root):
    """Answers."""

    def remote_echo(self, value: Any) -> Any:
        """Return the argument."""
        return value


@pytest.mark.usefixtures("new_scheme")
async def test_a_new_scheme(each_loop) -> None:
    """``connect`` and ``serve`` take addresses of a scheme that was added."""

    async with (
        broker.serve(Echo(), "pb+test://the office") as server,
        broker.connect("pb+test://the office") as connection,
    ):
        assert server.addresses == ("pb+test://the office",)
        assert await connection.root.callRemote("echo", 5) == 5
    with pytest.raises(ConfigError, match=r"^there is a scheme pb\+test already$"):
        add_scheme(TEST)


def test_a_removed_scheme() -> None:
    """A scheme that was removed is not understood, also if its address was parsed before."""
    add_scheme(TEST)
    assert parse_address("pb+test://x") == Named("x")
    remove_scheme("pb+test")
    with pytest.raises(ConfigError, match="is not understood"):
        parse_address("pb+test://x")
    with pytest.raises(KeyError):
        remove_scheme("pb+test")


def test_a_new_scheme_is_short() -> None:
    """It takes at most 30 lines of code."""
    text = Path(__file__).read_text("utf-8")
    _, rest = text.split("# A new scheme: an address", 1)
    code = [line for line in rest.split("# The end of the new")[0].split("\n")[1:] if line.strip()]
    assert len(code) <= 30


def test_no_other_module_compares_schemes() -> None:
    """Only these modules have the names of schemes to compare with; the others ask the row."""
    root = Path(broker.__file__).parent
    named = [
        path.name
        for path in root.rglob("*.py")
        if any(f'"{name}"' in path.read_text("utf-8") for name in ("pb+unix", "pb+exec", "pbs"))
    ]
    assert sorted(named) == ["locations.py", "schemes.py"]
