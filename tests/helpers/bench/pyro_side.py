"""Pyro5 with its msgpack serializer: blocking calls, and a thread for each connection.

Its calls are awaited like those of the others, but each is over when it returns. A hundred calls in
flight are a batch, which is one message; it has nothing else for that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import MappingProxyType
from typing import Any

import Pyro5.api
import Pyro5.core
import Pyro5.server

from bench import answers, workloads
from bench.contract import Bench
from bench.side import Options, play

USER = ["alice", "secret"]


@Pyro5.server.expose
class Service(answers.Answers):
    """Answers, and tells its subscribers of events."""

    # What a class inherits is not exposed with it.
    echo = answers.Answers.echo
    length = answers.Answers.length

    def __init__(self) -> None:
        self._subscribers: list[Pyro5.api.Proxy] = []

    def subscribe(self, listener: str) -> None:
        """Tell the listener of events from now on."""
        self._subscribers.append(Pyro5.api.Proxy(listener))

    def publish(self, count: int) -> None:
        """Send events, one subscriber after the other; each answers before the next is called."""
        self._send("event", count)

    def tell(self, count: int) -> None:
        """Send events, and wait for nobody."""
        self._send("told", count)

    def _send(self, method: str, count: int) -> None:
        for each in self._subscribers:
            each._pyroClaimOwnership()
        for number in range(count):
            for each in self._subscribers:
                getattr(each, method)(number, answers.TEXT)


@Pyro5.server.expose
class Listener:
    """Hears events."""

    # A call that is not answered has a thread of its own.
    _lock = threading.Lock()

    def __init__(self, hear: Callable[[int, str], object]):
        self._hear = hear

    def event(self, number: int, text: str) -> None:
        """Hear one."""
        self._hear(number, text)

    @Pyro5.server.oneway
    def told(self, number: int, text: str) -> None:
        """Hear one that is not answered."""
        with self._lock:
            self._hear(number, text)


class Door(Pyro5.server.Daemon):
    """A daemon that lets in who knows the password, where one is asked for."""

    login = False

    def validateHandshake(self, connection: object, data: object) -> str:
        """Accept a connection, or raise."""
        if self.login and data != USER:
            raise PermissionError("wrong user name or password")
        return "welcome"


class Client:
    """Calls what the server serves over one connection."""

    def __init__(self, proxy: Pyro5.api.Proxy, ears: Pyro5.server.Daemon):
        self.proxy = proxy
        self._ears = ears

    async def call(self, name: str, *args: Any) -> Any:
        """Call, and wait here."""
        return getattr(self.proxy, name)(*args)

    def subscribe(self, hear: Callable[[int, str], object]) -> Awaitable[Any]:
        """Have a function hear events."""
        return self.call("subscribe", str(self._ears.register(Listener(hear))))


async def batches(bench: Bench, client: Client, seconds: float) -> int:
    """Call in batches of a hundred."""
    until = time.perf_counter() + seconds
    count = 0
    while time.perf_counter() < until:
        batch = Pyro5.api.BatchProxy(client.proxy)
        for _ in range(workloads.IN_FLIGHT):
            batch.echo("hello")
        count += len(list(batch()))
    return count


class Promise:
    """An event of another thread, which is waited for here."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def fire(self, result: object) -> None:
        """End the waiting."""
        self._event.set()

    def __await__(self) -> Generator[None, None, None]:
        workloads.check(self._event.wait(60), True)
        return
        yield


class PyroSide:
    """Pyro5."""

    workloads = MappingProxyType(
        {
            **workloads.WORKLOADS,
            "W2": workloads.pipelined(batches),
            "W8": workloads.pipelined(batches),
        }
    )
    piece = 1024 * 1024
    form = ""

    def __init__(self, options: Options):
        self._options = options
        config = Pyro5.config
        config.SERIALIZER = "msgpack"
        config.THREADPOOL_SIZE = 3000
        # Off unless it is said: calls over TLS then wait for each other's acknowledgements.
        config.SOCK_NODELAY = True
        config.SSL = options.certificates is not None
        config.SSL_SERVERCERT = config.SSL_CACERTS = str(options.certificate)
        config.SSL_SERVERKEY = str(options.key)
        if options.server:
            self._ears = self._daemon()

    async def serve(self) -> int:
        """Serve in threads of its own."""
        daemon = self._daemon()
        daemon.login = bool(self._options.login)
        daemon.register(Service(), "bench")
        return int(daemon.locationStr.rpartition(":")[2])

    def _daemon(self) -> Door:
        daemon = Door(host="127.0.0.1")
        threading.Thread(target=daemon.requestLoop, daemon=True).start()
        return daemon

    async def connect(self, port: int) -> Client:
        """Connect; user name and password go with the handshake."""
        proxy = Pyro5.api.Proxy(f"PYRO:bench@127.0.0.1:{port}")
        proxy._pyroHandshake = USER
        proxy._pyroBind()
        return Client(proxy, self._ears)

    async def together(self, chains: list[Awaitable[Any]]) -> None:
        """Wait for one after the other."""
        for chain in chains:
            await chain

    def promise(self) -> tuple[Promise, Callable[[Any], object]]:
        """Return something to wait for, and what ends the waiting."""
        promise = Promise()
        return promise, promise.fire

    async def in_thread(self, function: Callable[[], object]) -> None:
        """Run a function in this thread: the daemon has its own."""
        function()


def run(program: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing but what blocks.

    Raises:
        RuntimeError: it does wait.
    """
    try:
        program.send(None)
    except StopIteration:
        return
    raise RuntimeError("there is no loop to wait in")


if __name__ == "__main__":
    options = Options.given()
    run(play(PyroSide(options), options))
