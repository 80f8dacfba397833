"""The front end for netcat."""

from support.chat import SmallChat


async def test_a_visit():
    """The banner, name and password; then lines go both ways, and /quit leaves."""
    async with SmallChat() as chat:
        chat.town.banner = "one\ntwo"
        _, heard = chat.fake("alice")
        alice = chat.town.person("alice")
        alice.join("#lobby")
        alice.say("#lobby", "early")
        alice.set_topic("#lobby", "tea")
        heard.clear()
        client = await chat.raw(chat.lines)
        assert await client.until("name:") == ["one", "two"]
        client.send("bob")
        await client.expect("password:")
        client.send("bob bob")
        assert (await client.expect(r"\d\d:\d\d "))[6:] == "<alice> early"
        await client.expect(r"you are in #lobby, people: 2;")
        await client.expect(r"topic: tea")
        alice.say("#lobby", "hello bob")
        await client.expect(r"<alice> hello bob$")
        client.send("hello alice", "/me waves", "/msg alice psst", "/who", "/nonsense")
        await client.expect(r"alice bob$")
        await client.expect(r"! there is no /nonsense; /quit leaves")
        client.send("/topic milk", "/quit")
        await client.expect(r"\* bob has set the topic: milk$")
        await client.expect("bye$")
        assert await client.rest() == []
        assert heard == [
            ("joined", "#lobby", "bob", ""),
            ("said", "#lobby", "bob", "hello alice"),
            ("said", "#lobby", "bob", "/me waves"),
            ("said", "alice", "bob", "psst"),
            ("topic", "#lobby", "bob", "milk"),
            ("left", "#lobby", "bob", "bye"),
        ]


async def test_wrong_password():
    """It is refused in words, the connection ends, and the guess counts for all front ends."""
    async with SmallChat() as chat:
        client = await chat.raw(chat.lines)
        client.send("bob", "wrong")
        await client.expect("wrong user name or password$")
        assert await client.rest() == []
        assert chat.town.where() == []


async def test_events():
    """Each event is one line; the last one is followed by the end of the connection."""
    async with SmallChat() as chat:
        client = await chat.lines_user("bob")
        alice, _ = chat.fake("alice")
        alice.join("#lobby")
        alice.notice("#lobby", "beep")
        alice.say("bob", "psst")
        alice.part("#lobby")
        chat.town.set_banner("admin", "new\nbanner")
        chat.town.kick("bob", "why not")
        assert await client.rest() == [
            "* alice has come",
            "-alice- beep",
            "(to you) <alice> psst",
            "* alice has gone",
            "new",
            "banner",
            "* kicked: why not",
        ]
