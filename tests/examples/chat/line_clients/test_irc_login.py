"""The login of IRC: PASS, SASL PLAIN, and the order of both."""

import base64

import pytest
from support.chat import SmallChat, password_of


def plain(name, password, authorized=""):
    """A response of SASL PLAIN."""
    return base64.b64encode(f"{authorized}\0{name}\0{password}".encode()).decode()


async def test_password_of_the_server():
    """PASS, NICK and USER log in; the welcome has the banner."""
    async with SmallChat() as chat:
        chat.town.banner = "one\ntwo"
        client = await chat.raw(chat.irc)
        client.send("USER x 0 * :x", "NICK bob smith", "NICK bob")
        client.send("PING 1")
        await client.expect("ERROR :Closing link: no password")
        client = await chat.raw(chat.irc)
        client.send("JOIN #tea", "PASS :bob bob", "USER x 0 * :x", "NICK b@d", "NICK bob")
        numbers = [line.split()[1] for line in await client.until(r":\S+ 376 bob ")]
        assert " ".join(numbers) == "451 432 001 002 003 004 005 375 372 372"


async def test_wrong_password():
    """It is refused with 464, and the connection ends."""
    async with SmallChat() as chat:
        client = await chat.raw(chat.irc)
        client.send("PASS x", "NICK bob", "USER x 0 * :x")
        await client.expect(r":\S+ 464 bob :wrong user name or password$")
        assert await client.rest() == ["ERROR :Closing link: wrong user name or password"]


async def test_sasl():
    """The account's name becomes the nick, whatever the client has asked for."""
    async with SmallChat() as chat:
        client = await chat.raw(chat.irc)
        client.send("CAP LS 302", "NICK someone", "USER x 0 * :x", "CAP REQ :sasl")
        await client.expect(r":\S+ CAP [*] LS :sasl=PLAIN$")
        await client.expect(r":\S+ CAP someone ACK :sasl$")
        client.send(
            "CAP REQ :sasl echo-message", "AUTHENTICATE SCRAM-SHA-256", "AUTHENTICATE PLAIN"
        )
        await client.expect(r":\S+ CAP someone NAK :sasl echo-message$")
        await client.expect(r":\S+ 908 someone PLAIN ")
        await client.expect("AUTHENTICATE [+]$")
        client.send("AUTHENTICATE *")
        await client.expect(r":\S+ 906 ")
        client.send("AUTHENTICATE plain", f"AUTHENTICATE {plain('bob', password_of('bob'))}")
        await client.expect(r":\S+ 900 bob bob!bob@\S+ bob :")
        await client.expect(r":\S+ 903 bob ")
        client.send("AUTHENTICATE PLAIN", "CAP END")
        await client.expect(r":\S+ 907 ")
        assert await client.expect(r":\S+ 001 bob ")


@pytest.mark.parametrize(
    "response",
    [
        plain("bob", "wrong"),
        plain("bob", password_of("bob"), "alice"),
        plain("bob", password_of("bob") + "\0more"),
        "+",
        "not base64!",
        base64.b64encode(b"\xff\0\xff\0\xff").decode(),
        "x" * 401,
    ],
)
async def test_sasl_refused(response):
    """Another response than that of the user is refused, and another may follow."""
    async with SmallChat() as chat:
        client = await chat.raw(chat.irc)
        client.send("CAP REQ :sasl", "AUTHENTICATE PLAIN", f"AUTHENTICATE {response}")
        await client.expect(r":\S+ 904 ")
        client.send("AUTHENTICATE PLAIN", f"AUTHENTICATE {plain('bob', password_of('bob'))}")
        assert await client.expect(r":\S+ 903 ")


async def test_sasl_in_pieces():
    """A response of more than 400 characters comes in pieces, and has a limit."""
    long = "p" * 600
    async with SmallChat(erin=long) as chat:
        client = await chat.raw(chat.irc)
        text = plain("erin", long)
        pieces = [text[start : start + 400] for start in range(0, len(text), 400)]
        client.send("AUTHENTICATE PLAIN", *[f"AUTHENTICATE {piece}" for piece in pieces])
        await client.expect(r":\S+ 903 ")
        client = await chat.raw(chat.irc)
        client.send("AUTHENTICATE PLAIN", *[f"AUTHENTICATE {'A' * 400}"] * 7)
        assert await client.expect(r":\S+ 904 \S+ :SASL message too long$")


async def test_exactly_400_characters():
    """A response of 400 characters ends with an empty piece."""
    long = "p" * 294
    async with SmallChat(erin=long) as chat:
        assert len(plain("erin", long)) == 400
        client = await chat.raw(chat.irc)
        client.send("AUTHENTICATE PLAIN", f"AUTHENTICATE {plain('erin', long)}", "AUTHENTICATE +")
        await client.expect(r":\S+ 903 ")


async def test_where_others_can_read(monkeypatch):
    """On a connection that others can read neither SASL nor a password is taken."""
    from broker.net.transports import StreamTransport

    monkeypatch.setattr(StreamTransport, "is_private", property(lambda self: False))
    async with SmallChat() as chat:
        client = await chat.raw(chat.irc)
        client.send("CAP LS 302", "CAP REQ sasl", "AUTHENTICATE PLAIN", "PASS :bob bob")
        await client.expect(r":\S+ CAP \* LS :$")
        await client.expect(r":\S+ CAP \* NAK :sasl$")
        await client.expect(r":\S+ 904 ")
        client.send("NICK bob", "USER x 0 * :x", "CAP END")
        assert await client.expect(
            r":\S+ 464 bob :passwords are taken inside TLS or on this machine only$"
        )
