"""cred.scram: both sides of SCRAM-SHA-256, against the RFC, scramp, and each other."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import scramp
from scramp.core import CbName

from cred import scram
from cred.error import LoginFailed, UnauthorizedLogin
from cred.scram import SCRAM, SCRAM_PLUS, ScramClient, ScramServer
from cred.scram_verifier import ScramVerifier

BINDING = bytes(range(32))
VERIFIER = ScramVerifier.of_password("pencil", 10_000, salt=b"sixteen bytes ok")


def exchange(
    client: ScramClient,
    mechanism: str = SCRAM,
    binding: bytes | None = None,
    verifier: ScramVerifier = VERIFIER,
) -> bytes:
    """Play one exchange to its end; return the server's last message."""
    server = ScramServer(mechanism, client.first(), binding=binding)
    last = server.final(client.final(server.first(verifier)))
    client.verify(last)
    return last


def test_vector_of_rfc_7677(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange of RFC 7677, section 3, byte for byte, on both sides."""
    monkeypatch.setattr(scram, "FEWEST_ITERATIONS", 4096)
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    verifier = ScramVerifier.of_password("pencil", 4096, salt=salt)
    client = ScramClient("user", "pencil", nonce="rOprNGfwEbeRWgbNEkqO")
    first = client.first()
    assert first == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    server = ScramServer(SCRAM, first, nonce="%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    server_first = server.first(verifier)
    assert server_first == (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    final = client.final(server_first)
    assert final == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    last = server.final(final)
    assert last == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    client.verify(last)


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let scramp bind by tls-exporter: it takes the bytes of any binding, but not that name."""
    names = CbName.SUPPORTED_TYPES | {"tls-exporter"}
    monkeypatch.setattr(CbName, "SUPPORTED_TYPES", names)
    monkeypatch.setattr(CbName, "UNSUPPORTED_TYPES", frozenset())


@pytest.mark.parametrize("name", ["user", "a=b,c", "Ⅸ", "usér"])
@pytest.mark.parametrize("plus", [False, True])
def test_scramp_as_server(exporter: None, name: str, plus: bool) -> None:
    """Another implementation lets our client in, and ours believes it."""
    asked: list[str] = []

    def keys(username: str) -> tuple[bytes, bytes, bytes, int]:
        asked.append(username)
        return VERIFIER.salt, VERIFIER.stored_key, VERIFIER.server_key, VERIFIER.iterations

    mechanism = scramp.ScramMechanism(SCRAM_PLUS if plus else SCRAM)
    server = mechanism.make_server(
        keys, channel_binding=("tls-exporter", BINDING) if plus else None
    )
    client = ScramClient(name, "pencil", binding=BINDING if plus else None, plus=plus)
    server.set_client_first(client.first().decode())
    server.set_client_final(client.final(server.get_server_first().encode()).decode())
    client.verify(server.get_server_final().encode())
    assert asked == [scramp.core.saslprep(name)]


@pytest.mark.parametrize("name", ["user", "a=b,c", "usér"])
@pytest.mark.parametrize("plus", [False, True])
def test_scramp_as_client(exporter: None, name: str, plus: bool) -> None:
    """Our server lets another implementation's client in, which believes our signature."""
    mechanism = SCRAM_PLUS if plus else SCRAM
    client = scramp.ScramClient(
        [mechanism], name, "pencil", channel_binding=("tls-exporter", BINDING) if plus else None
    )
    server = ScramServer(
        mechanism, client.get_client_first().encode(), binding=BINDING if plus else None
    )
    assert server.username == name
    client.set_server_first(server.first(VERIFIER).decode())
    client.set_server_final(server.final(client.get_client_final().encode()).decode())


@pytest.mark.parametrize(
    ("mechanism", "client", "server"),
    [
        (SCRAM, None, None),
        (SCRAM, BINDING, None),
        (SCRAM, None, BINDING),
        (SCRAM_PLUS, BINDING, BINDING),
    ],
)
def test_exchange(mechanism: str, client: bytes | None, server: bytes | None) -> None:
    """Bound or not, the right password gets in; a name and password may be bytes."""
    plus = mechanism == SCRAM_PLUS
    exchange(ScramClient(b"user", b"pencil", binding=client, plus=plus), mechanism, server)


def test_names_and_passwords_are_prepared() -> None:
    """What SASLprep takes for the same is the same password, and the same user."""
    verifier = ScramVerifier.of_password("p\u00e9ncil", 10_000)
    client = ScramClient("\u2168", "pe\u0301ncil")
    assert ScramServer(SCRAM, client.first()).username == "IX"
    exchange(client, verifier=verifier)


@pytest.mark.parametrize("verifier", [VERIFIER, ScramVerifier.of_nobody(b"s" * 16, "user", 10_000)])
def test_a_wrong_password(verifier: ScramVerifier) -> None:
    """A wrong password and an unknown user are one error."""
    with pytest.raises(UnauthorizedLogin, match=r"^wrong user name or password$"):
        exchange(ScramClient("user", "guess"), verifier=verifier)


def test_a_stripped_binding() -> None:
    """A client that could bind and was told that the server could not is told that it can."""
    with pytest.raises(LoginFailed, match=r"^channel binding was stripped$"):
        exchange(ScramClient("user", "pencil", binding=BINDING), SCRAM, BINDING)


def test_a_man_in_the_middle() -> None:
    """What is bound to one TLS connection is worth nothing on another."""
    client = ScramClient("user", "pencil", binding=BINDING, plus=True)
    with pytest.raises(LoginFailed, match=r"^channel binding failed: the client is on another TLS"):
        exchange(client, SCRAM_PLUS, bytes(32))


@pytest.mark.parametrize(
    ("mechanism", "header", "binding", "text"),
    [
        (SCRAM_PLUS, b"n,,", BINDING, "binds to the TLS connection by tls-exporter"),
        (SCRAM_PLUS, b"p=tls-unique,,", BINDING, "binds to the TLS connection by tls-exporter"),
        (SCRAM_PLUS, b"p=tls-exporter,,", None, "is for connections through TLS"),
        (SCRAM, b"p=tls-exporter,,", BINDING, "has no channel binding; use SCRAM-SHA-256-PLUS"),
        (SCRAM, b"x,,", None, "has no channel binding; use SCRAM-SHA-256-PLUS"),
        (SCRAM, b"n,a=root,", None, "the client's first message is malformed"),
    ],
)
def test_headers(mechanism: str, header: bytes, binding: bytes | None, text: str) -> None:
    """The header must go with the mechanism, and nobody acts as somebody else."""
    with pytest.raises(LoginFailed, match=text):
        ScramServer(mechanism, header + b"n=user,r=nonce", binding=binding)


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n,,",
        b"n,,n=user",
        b"n,,r=nonce,n=user",
        b"n,,n=user,r=",
        b"n,,n=user,r=non ce",
        b"n,,n=user,r=nonce,x=1",
        b"n,,m=1,n=user,r=nonce",
        b"n,,n=us=er,r=nonce",
        b"n,,n=us\xffer,r=nonce",
        b"n,,n=user,r=" + b"x" * 4096,
        None,
        "n,,n=user,r=nonce",
    ],
)
def test_a_first_message_that_is_none(first: Any) -> None:
    """A malformed message is refused in one line, whoever the user may be."""
    with pytest.raises(LoginFailed, match=r"^SCRAM: (the client's|a message of)") as caught:
        ScramServer(SCRAM, first)
    assert type(caught.value) is LoginFailed


@pytest.mark.parametrize("name", ["x" * 257, "\u0007"])
def test_a_name_that_is_none(name: str) -> None:
    """A name that is too long or unfit is a wrong login; a client of ours does not even ask."""
    with pytest.raises(UnauthorizedLogin, match=r"^wrong user name or password$"):
        ScramServer(SCRAM, f"n,,n={name},r=nonce".encode())
    with pytest.raises(LoginFailed, match=r"^the user name is not one: "):
        ScramClient(name, "pencil")
    with pytest.raises(LoginFailed, match=r"^the password is not one: 1025 bytes, of 1024$"):
        ScramClient("user", "x" * 1025)


def server_and_final() -> tuple[ScramServer, bytes]:
    """Return a server that waits for the client's last message, and that message."""
    client = ScramClient("user", "pencil")
    server = ScramServer(SCRAM, client.first())
    return server, client.final(server.first(VERIFIER))


def test_a_replayed_nonce() -> None:
    """The last message of one exchange is worth nothing in the next."""
    _, recorded = server_and_final()
    server, _ = server_and_final()
    with pytest.raises(LoginFailed, match=r"^SCRAM: the nonce is not that of this exchange$"):
        server.final(recorded)


def test_one_answer() -> None:
    """An exchange takes one answer, right or wrong, and none before its first message."""
    server, final = server_and_final()
    with pytest.raises(UnauthorizedLogin):
        server.final(final[:-8] + b"AAAAAAA=")
    with pytest.raises(RuntimeError, match="is called once"):
        server.final(final)
    with pytest.raises(RuntimeError, match="is called once"):
        ScramServer(SCRAM, b"n,,n=user,r=nonce").final(final)


@pytest.mark.parametrize(
    "mangle",
    [
        lambda final: b"",
        lambda final: None,
        lambda final: final.rpartition(b",")[0],
        lambda final: final.replace(b",p=", b",x=1,p="),
        lambda final: final[:-4] + b"!!!!",
        lambda final: final.rpartition(b"=")[0][:-30],
        lambda final: final.replace(b"c=biws", b"c=!"),
    ],
)
def test_a_final_message_that_is_none(mangle: Any) -> None:
    """A malformed message is refused in one line."""
    server, final = server_and_final()
    with pytest.raises(LoginFailed, match=r"^SCRAM: (the client's final|a message of)"):
        server.final(mangle(final))


def server_first(nonce: str = "", salt: str = "c2FsdA==", iterations: Any = 10_000) -> bytes:
    """Make a server's first message for the client's nonce ``mine``."""
    return f"r={nonce or 'mine+theirs'},s={salt},i={iterations}".encode()


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            server_first(iterations=9_999),
            "the server asks for 9999 iterations of SCRAM; fewer than 10000 would let it guess the"
            " password: give the user a new verifier",
        ),
        (
            server_first(iterations=5_000_001),
            "the server asks for 5000001 iterations of SCRAM; more than 5000000 are not made: give"
            " the user a new verifier",
        ),
        (server_first("theirs"), "SCRAM: the server has not used this client's nonce"),
        (server_first("mine"), "SCRAM: the server has not used this client's nonce"),
        (server_first(iterations="1e5"), "SCRAM: the server's first message is malformed"),
        (server_first(iterations=-10_000), "SCRAM: the server's first message is malformed"),
        (server_first(iterations="9" * 5000), "SCRAM: a message of 5027 bytes, of 4096"),
        (server_first(salt=""), "SCRAM: the server's first message is malformed"),
        (server_first(salt="!"), "SCRAM: the server's first message is malformed"),
        (b"m=1," + server_first(), "SCRAM: the server's first message is malformed"),
        (b"e=other-error", "SCRAM: the server's first message is malformed"),
        (b"\xff", "SCRAM: a message of the server's is not UTF-8"),
        (5, "SCRAM: a message of the server's is int"),
    ],
)
def test_a_client_takes_part_in_no_such_thing(message: Any, text: str) -> None:
    """A client refuses too few or too many iterations, another's nonce, and what is no message."""
    with pytest.raises(LoginFailed) as caught:
        ScramClient("user", "pencil", nonce="mine").final(message)
    assert str(caught.value) == text


@pytest.mark.parametrize("last", [b"v=" + b"A" * 43 + b"=", b"e=invalid-proof", b"", None, "v="])
def test_a_wrong_signature(last: Any) -> None:
    """A server that does not know the password cannot make the client believe that it does."""
    client = ScramClient("user", "pencil")
    client.final(ScramServer(SCRAM, client.first()).first(VERIFIER))
    with pytest.raises(LoginFailed, match=r"^the server's signature is wrong: it does not know"):
        client.verify(last)


def test_a_signature_before_the_proof() -> None:
    """Nothing counts as a signature before there was something to sign."""
    with pytest.raises(LoginFailed, match="signature is wrong"):
        ScramClient("user", "pencil").verify(b"v=")


def test_plus_needs_something_to_bind_to() -> None:
    """To ask for it without TLS is a mistake of the caller's."""
    with pytest.raises(ValueError, match="needs the channel binding of a TLS connection"):
        ScramClient("user", "pencil", plus=True)
