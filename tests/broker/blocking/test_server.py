"""``blocking.serve``, and the server that it returns."""

from __future__ import annotations

import socket
import threading
import warnings
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.shop import DIALECTS, Shop, policy_of

import broker
from broker import blocking


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_server(dialect: str) -> None:
    """It serves from a thread of its own, has the attributes of the async one, and is closed."""
    policy = policy_of(dialect)
    with blocking.serve(Shop(), "pb://127.0.0.1:0", policy=policy) as server:
        (address,) = server.addresses
        assert repr(server) == f"<blocking.Server at {address}, 0 connections>"
        with blocking.connect(address, policy=policy) as connection:
            assert connection.root.callRemote("echo", 1) == 1
            (there,) = server.connections
            assert isinstance(there, blocking.Connection)
            assert server.stats.accepted == 1
            server.reload_certificates()
    assert repr(server) == f"<blocking.Server at {address}, closed>"
    assert server.server not in server._background.opened


def test_the_clients_objects() -> None:
    """The objects of clients can be called from any thread, by a Reference or by run."""
    here = Shop()
    with (
        blocking.serve(here, "pb://127.0.0.1:0") as server,
        blocking.connect(server.addresses[0]) as connection,
    ):
        connection.root.callRemote("keep", broker.callback(lambda number: number + 1))
        (there,) = here.kept
        assert server.run(there.callRemote("call", 1)) == 2
        assert blocking.Reference(there).callRemote("call", 2) == 3


def test_errors_of_serve() -> None:
    """The errors are those of broker.serve; nothing warns of an await that is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError):
            blocking.serve(Shop)
        with pytest.raises(broker.WrongType, match="replies= is a Replies"):
            blocking.serve(Shop(), replies=True)  # type: ignore[arg-type]
        in_use = pytest.raises(broker.CannotListenError)
        with blocking.serve(Shop(), "pb://127.0.0.1:0") as server, in_use:
            blocking.serve(Shop(), *server.addresses)


@pytest.mark.parametrize("drain", [0, 20])
def test_the_end_of_the_block(drain: int) -> None:
    """The end of the block waits for running calls, after an exception not at all."""
    here = Shop()
    done: list[Any] = []

    def work(address: str) -> None:
        try:
            with blocking.connect(address) as connection:
                done.append(connection.root.callRemote("slow"))
        except broker.Disconnected as error:
            done.append(error)

    server = blocking.serve(here, "pb://127.0.0.1:0", drain=drain)
    thread = threading.Thread(target=work, args=server.addresses)
    thread.start()
    here.until("began")
    with pytest.raises(KeyError), server:
        raise KeyError
    thread.join(20)
    assert isinstance(done[0], broker.PBConnectionLost)


def test_serve_forever() -> None:
    """serve_forever returns when another thread has closed the server; Ctrl-C is elsewhere."""
    server = blocking.serve(Shop(), "pb://127.0.0.1:0")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.close(drain=0)
    thread.join(20)
    assert not thread.is_alive()
    with pytest.raises(broker.ConfigError):
        server.close(drain=-1)


def test_observed_and_limited(tmp_path: Path) -> None:
    """The arguments of ``broker.serve`` for operators are there, too."""

    class Counter(broker.Observer):
        names: ClassVar[list[str]] = []

        def call_ended(self, token: Any, call: Any, outcome: Any, error: object) -> None:
            self.names.append(f"{call.name} {outcome.value}")

    class Shop(broker.Root):
        def remote_price(self) -> int:
            return 3

    limit = broker.RateLimit(calls=1, per=1000.0)
    with (
        socket.create_server(("127.0.0.1", 0)) as sock,
        blocking.serve(
            Shop(),
            sockets=[sock],
            admin=f"pb+unix://{tmp_path}/admin",
            observers=[Counter()],
            interceptors=[limit],
        ) as server,
        blocking.connect(server.addresses[0], observers=[Counter()]) as connection,
    ):
        assert connection.root.callRemote("price") == 3
        with pytest.raises(broker.ServerBusy):
            connection.root.callRemote("price")
        assert (tmp_path / "admin").is_socket()
    assert sorted(Counter.names) == ["price answered"] * 2 + ["price raised", "price refused"]
