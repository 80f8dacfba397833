"""The library `irc`: a password of the server, on a plain connection."""

from __future__ import annotations

import sys
from typing import Any

import irc.client


def main(port: int, name: str, password: str) -> None:
    """Visit the chat."""
    reactor = irc.client.Reactor()
    server = reactor.server()

    def welcome(connection: Any, event: Any) -> None:
        connection.join("#lobby")

    def motd(connection: Any, event: Any) -> None:
        print("banner", *event.arguments, flush=True)

    def names(connection: Any, event: Any) -> None:
        print("in", flush=True)

    def said(connection: Any, event: Any) -> None:
        text = event.arguments[0]
        print("heard", event.source.nick, text, flush=True)
        if text == f"go {name}":
            connection.privmsg("#lobby", f"hello from {name}")
        elif text == "the end":
            connection.quit("bye")

    def topic(connection: Any, event: Any) -> None:
        print("topic", event.arguments[-1], flush=True)

    def gone(connection: Any, event: Any) -> None:
        sys.exit()

    handlers = {
        "welcome": welcome,
        "motd": motd,
        "endofnames": names,
        "pubmsg": said,
        "topic": topic,
        "currenttopic": topic,
        "disconnect": gone,
    }
    for kind, handler in handlers.items():
        server.add_global_handler(kind, handler)
    server.connect("127.0.0.1", port, name, password=password, username=name)
    reactor.process_forever(0.05)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
