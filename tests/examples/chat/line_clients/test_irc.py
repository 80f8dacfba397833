"""The front end for IRC: its commands, and how events become lines."""

import pytest
from support.chat import NAMES, SmallChat

from examples.chat.line_clients.irc import COMMANDS


async def test_join_and_part():
    """A room is told to its people: by JOIN, names, topic, PART."""
    async with SmallChat() as chat:
        alice = await chat.irc_user("alice", "#Tea")
        bob = await chat.irc_user("bob")
        alice.send("TOPIC #tea :milk or lemon?")
        await alice.expect(r":alice!alice@\S+ TOPIC #tea :milk or lemon\?$")
        bob.send("JOIN #tea,#other,bad name")
        lines = await bob.until(r":\S+ 403 bob bad ")
        assert lines == [
            ":bob!bob@chat.example JOIN #tea",
            ":chat.example 332 bob #tea :milk or lemon?",
            ":chat.example 353 bob = #tea :alice bob",
            ":chat.example 366 bob #tea :End of /NAMES list",
            ":bob!bob@chat.example JOIN #other",
            ":chat.example 353 bob = #other :bob",
            ":chat.example 366 bob #other :End of /NAMES list",
        ]
        await alice.expect(r":bob!bob@\S+ JOIN #tea$")
        bob.send("PART #tea,#nowhere :so long")
        await bob.expect(r":\S+ 442 bob #nowhere :")
        await alice.expect(r":bob!bob@\S+ PART #tea :so long$")
        bob.send("JOIN 0")
        await bob.expect(r":bob!bob@\S+ PART #other :$")


async def test_messages():
    """They go to rooms and to people; those that cannot be delivered are answered with a number."""
    async with SmallChat() as chat:
        alice = await chat.irc_user("alice", "#tea")
        bob = await chat.irc_user("bob", "#tea")
        bob.send(
            "PRIVMSG #TEA :\x02hello\x02 \x034,5all",
            "PRIVMSG Alice :psst",
            "NOTICE #tea :beep",
            "PRIVMSG #tea :\x01ACTION waves\x01",
            "PRIVMSG alice :\x01VERSION\x01",
            "NOTICE nobody :never answered",
            "PRIVMSG nobody :x",
            "PRIVMSG #elsewhere :x",
            "PRIVMSG alice",
            "PRIVMSG alice :",
            "QUIT :gone fishing",
        )
        assert await bob.until("ERROR :Closing link: bye") == [
            ":chat.example 401 bob nobody :nobody of that name is here",
            ":chat.example 404 bob #elsewhere :you are not in that room",
            ":chat.example 461 bob PRIVMSG :Not enough parameters",
            ":chat.example 412 bob :No text to send",
        ]
        start = ":bob!bob@chat.example"
        assert (await alice.until(f"{start} PART"))[1:] == [
            f"{start} PRIVMSG #tea :hello all",
            f"{start} PRIVMSG alice :psst",
            f"{start} NOTICE #tea :beep",
            f"{start} PRIVMSG #tea :\x01ACTION waves\x01",
        ]


async def test_long_texts():
    """A text that no line can hold becomes several; each has at most 512 bytes."""
    async with SmallChat() as chat:
        client = await chat.irc_user("bob", "#tea")
        alice, _ = chat.fake("alice")
        alice.join("#tea")
        alice.say("#tea", "ü€" * 250)
        alice.say("#tea", "end")
        lines = (await client.until(r"\S+ PRIVMSG #tea :end"))[1:]
        assert "".join(line.partition(" :")[2] for line in lines) == "ü€" * 250
        assert len(lines) == 3
        assert max(len(line.encode()) for line in lines) <= 510


async def test_history():
    """Who comes into a room is shown its last lines, as notices, which no bot answers."""
    async with SmallChat() as chat:
        alice, _ = chat.fake("alice")
        alice.join("#tea")
        alice.say("#tea", "hello")
        alice.say("#tea", "/me waves")
        client = await chat.irc_user("bob", "#tea")
        notices = [await client.expect(r":\S+ NOTICE #tea :") for _ in range(2)]
        assert [line.split("] ")[1] for line in notices] == ["<alice> hello", "* alice waves"]


async def test_questions():
    """Each question about rooms and people has its numbers."""
    async with SmallChat() as chat:
        alice = await chat.irc_user("alice", "#tea")
        alice.send(
            "TOPIC #tea", "TOPIC #none", "NAMES #tea", "NAMES", "LIST", "WHO #tea", "WHO nobody",
            "WHOIS alice", "WHOIS chat alice", "WHOIS nobody", "MODE alice", "MODE #tea",
            "MODE #tea b", "NICK alice", "NICK bob", "USER a b c d", "CAP LIST", "CAP NONSENSE",
            "NONSENSE", "WHO", "TOPIC #tea :", "PING :end",
        )  # fmt: skip
        lines = [line.split()[1] for line in await alice.until(r":\S+ PONG")]
        assert " ".join(lines) == (
            "331 401 353 366 366 321 322 323 352 315 315"
            " 311 319 312 318 311 319 312 318 401 318 221 324"
            " 368 432 462 CAP 410 421 315 TOPIC"
        )


@pytest.mark.parametrize("command", sorted(COMMANDS))
async def test_nonsense(command):
    """No parameters of a command make more than a refusal, nor a field that was not there."""
    async with SmallChat() as chat:
        client = await chat.irc_user("alice", "#tea")
        if command == "QUIT":
            return
        for parameters in (
            "", ":", ": :", ":two words", "\x01 \x01", "# # # #", "é :é", "a:b,,c x", ": " * 15,
            "," * 400, "#tea \x00 :\x00", "#tea #tea #tea #tea #tea",
        ):  # fmt: skip
            client.send(f"{command} {parameters}")
        client.send("PING :end")
        for line in await client.until(r":\S+ PONG \S+ :end"):
            assert line.startswith((":chat.example ", ":alice!alice@chat.example ", "AUTH"))
            assert line.isprintable() or "\x01" in line


async def test_kick():
    """A guest who is kicked reads why, and the connection ends."""
    async with SmallChat() as chat:
        client = await chat.irc_user("bob", "#tea")
        chat.town.set_banner("admin", "new\nbanner")
        chat.town.kick("bob", "rude")
        assert await client.rest() == [
            ":chat.example NOTICE bob :new",
            ":chat.example NOTICE bob :banner",
            ":chat.example KILL bob :kicked: rude",
            "ERROR :Closing link: kicked: rude",
        ]


async def test_who_is_not_wanted_back():
    """KILL comes when the session of a user is ended, or taken over; not when the server ends."""
    async with SmallChat() as chat:
        first = await chat.irc_user("bob")
        second = await chat.irc_user("bob")
        why = "you have come in again from elsewhere"
        assert (await first.rest())[-2:] == [
            f":chat.example KILL bob :{why}",
            f"ERROR :Closing link: {why}",
        ]
        chat.logins.end_sessions("bob", "an operator has ended the session")
        assert (await second.rest())[-2].startswith(":chat.example KILL bob :an operator has")
        third = await chat.irc_user("bob")
        await chat.logins.close()
        assert (await third.rest())[-1] == "ERROR :Closing link: the server is shutting down"


async def test_many_names():
    """The names of a large room are told in several lines of at most 512 bytes."""
    async with SmallChat() as chat:
        for number in range(40):
            guest, _ = chat.fake(f"{number:0>32}")
            guest.join("#tea")
        client = await chat.irc_user(NAMES[0])
        client.send("JOIN #tea")
        lines = [line for line in await client.until(r":\S+ 366") if " 353 " in line]
        names = [name for line in lines for name in line.partition(" :")[2].split()]
        assert len(names) == 41
        assert len(lines) > 3
        assert max(len(line) for line in lines) <= 510
