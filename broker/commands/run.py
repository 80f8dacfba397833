"""The command ``run``: runs a program whose file only defines its services."""

from __future__ import annotations

import logging
import os
import sys
from logging.handlers import SysLogHandler, WatchedFileHandler
from typing import Any

import click

from broker import reactor
from broker.commands.configuration import WrongFile, application_of
from broker.commands.tracing import traceback_of
from broker.errors import CannotListenError
from broker.reactor import log
from broker.reactor.service import IProcess, IService

__all__ = ["run"]

LINE = "%(asctime)s [%(name)s] %(message)s"
SYSTEM_LOGS = {"darwin": "/var/run/syslog"}


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--logfile", metavar="PATH", help="Append the log to this file.")
@click.option("--syslog", is_flag=True, help="Send the log to the system's log.")
@click.option(
    "--syslog-address",
    metavar="PATH|HOST:PORT",
    help="Send the log to this system log; default: that of this machine.",
)
def run(file: str, logfile: str | None, syslog: bool, syslog_address: str | None) -> None:
    """Run the application that FILE makes, until SIGTERM or SIGINT.

    FILE is Python, and makes an `application` with broker.reactor.service.Application("name"), to
    which services belong. Both signals stop the services, the last one first; then the command ends
    with status 0. The log goes to the standard output unless an option says otherwise.
    """
    if logfile is not None and (syslog or syslog_address):
        raise click.UsageError("--logfile and --syslog: choose one")
    try:
        application = application_of(file)
        handler = _handler(logfile, syslog, syslog_address)
    except WrongFile as exc:
        if exc.__cause__ is not None:
            click.echo(traceback_of(exc.__cause__), err=True)
        sys.exit(f"pb run: {exc}")
    except OSError as exc:
        sys.exit(f"pb run: cannot open the log: {exc}")
    observer: Any = log.ILogObserver(application, None)
    if observer is not None:
        log.addObserver(observer)
    else:
        handler.setFormatter(logging.Formatter(LINE))
        logging.basicConfig(level=logging.INFO, handlers=[handler])
    sys.exit(_serve(file, application))


def _serve(file: str, application: object) -> int:
    """Run until the end; return the exit status."""
    service: Any = IService(application)
    try:
        service.privilegedStartService()
        process: Any = IProcess(application, None)
        if process is not None:
            process.shed()
        service.startService()
    except Exception as exc:  # noqa: BLE001 - any error of a service is shown
        if not isinstance(exc, CannotListenError):
            log.err()
        click.echo(f"pb run: {file} cannot be started: {exc}", err=True)
        return 1
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    log.msg(f"running {service.name}, from {file}")
    reactor.run()
    log.msg("ended")
    return 0


def _handler(logfile: str | None, syslog: bool, address: str | None) -> logging.Handler:
    """Open the log.

    Raises:
        OSError: it cannot be opened.
    """
    if logfile is not None:
        return WatchedFileHandler(logfile)
    if not syslog and address is None:
        return logging.StreamHandler(sys.stdout)
    where = address or SYSTEM_LOGS.get(sys.platform, "/dev/log")
    host, colon, port = where.rpartition(":")
    is_remote = bool(colon) and port.isdigit()
    try:
        handler = SysLogHandler((host, int(port)) if is_remote else where)
        if not is_remote:
            # Without a system log the handler itself would continue silently.
            handler.socket.getpeername()  # type: ignore[attr-defined]
    except OSError as exc:
        raise OSError(f"no system log listens at {where}") from exc
    handler.ident = f"pb[{os.getpid()}]: "
    return handler
