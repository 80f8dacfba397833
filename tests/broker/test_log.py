"""What is logged, at which level; the loggers are all below ``broker``."""

import asyncio
import logging
import subprocess
import sys

import pytest

import broker


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


def test_an_error_raised_on_purpose_is_no_warning(caplog):
    """An application's own registered Error reaches the caller and is nobody's fault in the log."""
    error = asyncio.run(call("buy"))
    assert (Closed, "come back tomorrow") == (type(error), str(error))
    assert levels(caplog) == []


def test_a_peers_fault_is_one_warning(caplog):
    """A call of a method that does not exist is a warning."""
    assert isinstance(asyncio.run(call("steal")), broker.NoSuchMethod)
    assert levels(caplog) == ["WARNING"]


def test_an_unexpected_exception_is_an_error(caplog):
    """An exception that nobody registered is logged as ours, with its traceback."""
    assert isinstance(asyncio.run(call("break")), broker.RemoteError)
    assert levels(caplog) == ["ERROR"]
    assert "the shop is on fire" in caplog.text


def test_nothing_is_written_where_no_logging_is_configured():
    """A program that does not configure logging gets nothing on standard error."""
    program = "import broker, logging; logging.getLogger('broker.server').warning('noise')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
