"""The options of ``pb serve`` for failed logins: how many are allowed, and where they are logged.

The options are ``--allow-failures`` and ``--audit-log``.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from logging.handlers import WatchedFileHandler
from typing import Any, NamedTuple

import click

from broker.errors import ConfigError
from broker.login.throttle import LoginThrottle
from broker.token_bucket import Rate

__all__ = ["Failures", "read_failures", "throttle_of", "write_audit"]

_KINDS = ("account", "source", "connection")
_RATE = re.compile(r"(\d{1,9})/(\d{1,9}(?:\.\d{1,3})?)", re.ASCII)


class Failures(NamedTuple):
    """The value of one ``--allow-failures``.

    Attributes:
        kind: what is limited: account, source or connection.
        rate: how many failures; None for any number.
    """

    kind: str
    rate: Rate | None


def read_failures(
    context: click.Context, parameter: click.Parameter, texts: Sequence[str]
) -> tuple[Failures, ...]:
    """The option's callback: return the meaning of ``KIND=N/SECONDS`` and ``KIND=any``.

    Raises:
        BadParameter: a value is not valid, or allows no failure.
    """
    try:
        return tuple(map(_parse, texts))
    except ValueError as exc:
        raise click.BadParameter(str(exc), ctx=context, param=parameter) from exc


def _parse(text: str) -> Failures:
    kind, _, number = text.partition("=")
    found = _RATE.fullmatch(number)
    if kind not in _KINDS or (found is None and number != "any"):
        raise ValueError(
            f"{text!r} is not valid; write account=10/30 for ten, and then one in 30 seconds, or"
            f" account=any; the kinds are {', '.join(_KINDS)}"
        )
    return Failures(kind, found and Rate(int(found[1]), float(found[2])))


def throttle_of(failures: Sequence[Failures]) -> LoginThrottle | None:
    """Return the limits of the options; None, for the default limits, without options.

    Raises:
        UsageError: one kind is named twice.
    """
    if not failures:
        return None
    kinds = [each.kind for each in failures]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise click.UsageError(f"--allow-failures names {kind} twice")
    limits: dict[str, Any] = dict(failures)
    return LoginThrottle(**limits)


def write_audit(path: str) -> None:
    """Append the audit log to a file that only its owner can read, instead of the general log.

    If the file is moved away it is created again, so that another program may rotate it.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        handler = _PrivateFileHandler(path, encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"cannot write the audit log {path}: {exc.strerror}") from exc
    logger = logging.getLogger("broker.audit")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


class _PrivateFileHandler(WatchedFileHandler):
    """Creates its file with mode 0600."""

    def _open(self) -> Any:
        number = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return os.fdopen(number, self.mode, encoding=self.encoding)
