"""What is logged, at which level; the loggers are all below ``broker``."""

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

import broker
from broker.demo.certificates import write_certificates


@broker.register
class Closed(broker.Error):
    """Raised by the shop on purpose."""


class Shop(broker.Root):
    """Raises what it is asked to."""

    def remote_buy(self):
        """Refuse, on purpose."""
        raise Closed("come back tomorrow")

    def remote_break(self):
        """Fail, by mistake."""
        raise ValueError("the shop is on fire")


async def call(name):
    """Call a method that raises; return the error."""
    async with (
        broker.serve(Shop(), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        with pytest.raises(Exception) as caught:
            await connection.root.callRemote(name)
        return caught.value


def levels(caplog):
    """Return the levels of what was logged, from a warning upwards."""
    return [record.levelname for record in caplog.records if record.levelno >= logging.WARNING]


async def test_an_error_raised_on_purpose_is_no_warning(caplog):
    """An application's own registered Error reaches the caller and is nobody's fault in the log."""
    error = await call("buy")
    assert (Closed, "come back tomorrow") == (type(error), str(error))
    assert levels(caplog) == []


async def test_a_peers_fault_is_one_warning(caplog):
    """A call of a method that does not exist is a warning."""
    assert isinstance(await call("steal"), broker.NoSuchMethod)
    assert levels(caplog) == ["WARNING"]


async def test_an_unexpected_exception_is_an_error(caplog):
    """An exception that nobody registered is logged as ours, with its traceback."""
    assert isinstance(await call("break"), broker.RemoteError)
    assert levels(caplog) == ["ERROR"]
    assert "the shop is on fire" in caplog.text


HERE = str(Path(broker.__file__).parents[1])

ECHO = """
import asyncio, broker

class Echo(broker.Root):
    def remote_echo(self, text):
        raise ValueError("the wrong text")

async def main():
    async with broker.serve(Echo(), "pb://127.0.0.1:0") as server:
        async with broker.connect(server.addresses[0]) as connection:
            try:
                await connection.root.callRemote("echo", "hello")
            except broker.RemoteError as error:
                print(error)

asyncio.run(main())
"""

PUBLISHED_ECHO = """
from broker import pb
from broker import reactor

class Echo(pb.Root):
    def remote_echo(self, text):
        raise ValueError("the wrong text")

def failed(failure):
    print(failure.getErrorMessage())
    reactor.stop()

port = reactor.listenTCP(0, pb.PBServerFactory(Echo()), interface="127.0.0.1")
factory = pb.PBClientFactory()
reactor.connectTCP("127.0.0.1", port.getHost().port, factory)
root = factory.getRootObject()
root.addCallback(lambda echo: echo.callRemote("echo", "hello")).addErrback(failed)
reactor.run()
"""

RAISED = r"""remote method 'echo' raised( \(id [0-9a-f]{8}\))?
Traceback \(most recent call last\):
(  File "[^"]+", line \d+, in \w+
(    .+
)?)+ValueError: the wrong text
"""


def run(program):
    """Run a program that configures no logging; return what it wrote to both streams."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=HERE, capture_output=True, text=True, check=True
    )
    return done.stdout, done.stderr


def test_an_error_is_seen_without_configuration():
    """The traceback of a method is on standard error, under the id that the client is shown."""
    printed, log = run(ECHO)
    assert re.fullmatch(RAISED, log), log
    error_id = re.search(r"\(id ([0-9a-f]{8})\)", log)[1]
    text = f"internal error (id {error_id}); the server's log has it under that id"
    assert text in printed


def test_an_error_is_seen_in_a_published_program():
    """A program of the published names has the traceback on standard error, too."""
    printed, log = run(PUBLISHED_ECHO)
    assert (printed, "(id" in log) == ("the wrong text\n", False)
    assert re.fullmatch(RAISED, log), log


@pytest.mark.parametrize("file", ["sys.stderr", "sys.stdout"])
def test_an_error_is_seen_once_where_a_log_was_started(file):
    """Once a program has called `startLogging`, its file alone gets the traceback."""
    start = f"import sys; from broker.reactor import log; log.startLogging({file})\n"
    printed, log = run(start + PUBLISHED_ECHO)
    assert (printed + log).count("ValueError: the wrong text") == 1
    assert "ValueError" in (log if file == "sys.stderr" else printed)


@pytest.mark.parametrize(
    "name", ["broker.defer", "broker.jelly", "broker.server", "cred", "broker"]
)
def test_warnings_are_written_where_no_logging_is_configured(name):
    """Python's last resort writes warnings of every part to standard error, and nothing below."""
    log = f"import logging, broker.defer, jelly.banana; log = logging.getLogger({name!r})\n"
    assert run(log + "log.warning('noise'); log.info('less')") == ("", "noise\n")
    quiet = "logging.getLogger('broker').addHandler(logging.NullHandler())\n"
    assert run(log + quiet + "log.warning('noise')")[1] == ("noise\n" if name == "cred" else "")


@pytest.mark.parametrize("policy", [broker.STRICT, broker.PUBLISHED], ids=["strict", "published"])
async def test_debug(policy):
    """With debug the client is shown the error and its traceback; the log has it as well."""

    async def main():
        serving = broker.serve(Shop(), "pb://127.0.0.1:0", policy=policy, debug=True)
        async with serving as server, broker.connect(server.addresses[0]) as connection:
            with pytest.raises(broker.RemoteError, match="the shop is on fire") as caught:
                await connection.root.callRemote("break")
            return caught.value

    error = await main()
    assert error.remoteType == "builtins.ValueError"
    assert "in remote_break" in error.remoteTraceback


@pytest.mark.parametrize(
    "address", ["pb://0.0.0.0:0", "pbs://0.0.0.0:0", "pb://[::]:0", "pbs://example.com:1"]
)
@pytest.mark.parametrize("policy", [broker.STRICT, broker.PUBLISHED], ids=["strict", "published"])
def test_debug_is_for_this_machine(address, policy, tmp_path):
    """At an address that others can reach, debug is refused, whatever policy and TLS are."""
    write_certificates(tmp_path)
    tls = None
    if address.startswith("pbs"):
        tls = broker.TLS.server(tmp_path / "server.pem", tmp_path / "server.key")
    policy = policy.but(insecure_plaintext=True)
    with pytest.raises(broker.ConfigError, match="debug=True shows tracebacks"):
        broker.serve(Shop(), "pb://127.0.0.1:0", address, tls=tls, policy=policy, debug=True)
    with pytest.raises(broker.WrongType, match="debug= is True or False, not str"):
        broker.serve(Shop(), debug="yes")
