"""Finds weak settings of a server: each with its weakness and its fix.

A finding is about a setting that works, but may let an attacker log in or read data, or may stop
the server one day. A setting that does not work at all is an error of the command.
"""

from __future__ import annotations

import datetime
import os
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from broker.commands.settings import Settings
from broker.login.portal_logins import PortalLogins
from broker.net.schemes import Location, scheme_of
from broker.net.socket_addresses import is_loopback
from broker.net.tls.pem import read_certificates
from broker.server_addresses import http_location
from cred.certificates import CertificateChecker
from cred.checkers import (
    FilePasswordDB,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from cred.portal import Portal

__all__ = ["SOON", "Finding", "weaknesses"]

SOON = datetime.timedelta(days=30)
"""A certificate that expires earlier should be renewed."""

_SHORT_KEY = 2048
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_NEW_STORE = "run: pb users add NAME --store file:users.db, and use --checker file:users.db"


class Finding(NamedTuple):
    """A weak setting.

    Attributes:
        about: the option, address or file.
        weakness: the weakness.
        fix: how to fix it.
    """

    about: str
    weakness: str
    fix: str


def weaknesses(
    settings: Settings, locations: Iterable[Location], target: object, now: datetime.datetime
) -> Iterator[Finding]:
    """Yield the weak settings of a server.

    Args:
        settings: the settings on the command line.
        locations: the addresses that it would listen at.
        target: the Root, Portal or PortalLogins that it would serve; None if that is not known.
        now: the time, with its zone.

    Raises:
        ConfigError: a certificate cannot be read, or the address of --http is wrong.
    """
    open_ones = [location for location in locations if scheme_of(location).is_public(location)]
    yield from _of_plaintext(settings, open_ones)
    if settings.challenge_login:
        yield Finding(
            "--challenge-login",
            "accepts MD5 logins: an eavesdropper can guess the passwords, and the server keeps"
            " them in plaintext",
            "omit it when no Twisted client is left",
        )
    if ("account", None) in settings.failures:
        yield Finding(
            "--allow-failures account=any",
            "sets no limit for guessing passwords from many addresses at once",
            "set a number, such as account=100/1",
        )
    policy = settings.policy()
    for name, weakness in _OF_POLICY.items():
        if getattr(policy, name):
            yield Finding(f"[policy] {name}", weakness, "omit it")
    checkers = _checkers_of(target)
    has_login = target is None or isinstance(target, Portal | PortalLogins)
    if open_ones and not has_login and settings.client_ca is None:
        yield Finding(
            str(open_ones[0]),
            "there is no login: every client that connects can call every method",
            "set --checker; use --checker anonymous to accept every client",
        )
    for checker in checkers:
        for kind, finder in _OF_CHECKERS.items():
            if isinstance(checker, kind):
                yield from finder(checker)
    yield from _of_files(settings, checkers, now)


def _of_plaintext(settings: Settings, open_ones: list[Location]) -> Iterator[Finding]:
    plain = [location for location in open_ones if not scheme_of(location).is_tls]
    for location in plain:
        secure = scheme_of(location).as_tls(location)
        yield Finding(
            str(location),
            "an attacker on the network can read and change all data",
            "use pbs://"
            if secure is None
            else f"use {secure.scheme}://, with --tls-cert and --tls-key: {secure}",
        )
    pages = http_location(settings.http, settings.policy().but(insecure_plaintext=True))
    has_open_pages = pages is not None and not is_loopback(pages.host)
    if has_open_pages:
        yield Finding(
            f"--http {settings.http}",
            "shows operators' data, without a login, to everyone who can connect",
            "use http://127.0.0.1, or let only your own machines connect",
        )
    if settings.insecure_plaintext and not (plain or has_open_pages):
        yield Finding("--insecure-plaintext", "is not needed by any of the addresses", "omit it")


def _of_memory(checker: object) -> Iterator[Finding]:
    yield Finding(
        "passwords in memory",
        "are in plaintext in the program, or on the command line, where every process can read"
        " them",
        _NEW_STORE,
    )


def _of_password_file(checker: FilePasswordDB) -> Iterator[Finding]:
    name = os.fsdecode(checker.filename)
    if checker.hash is None:
        yield Finding(name, "holds plaintext passwords", _NEW_STORE)
    yield from _of_modes(name, _OTHERS, "600")


# Attributes of Policy for the development of a program.
_OF_POLICY = {
    "show_all_errors": "sends clients the text of every exception, which may have secrets in it",
    "unsafe_tracebacks": "sends clients tracebacks, which have names of files and lines of code",
}

_OF_CHECKERS: dict[type, Callable[[Any], Iterator[Finding]]] = {
    InMemoryUsernamePasswordDatabaseDontUse: _of_memory,
    FilePasswordDB: _of_password_file,
}


def _checkers_of(target: object) -> list[object]:
    """Return the checkers of a portal, each once."""
    portal = target.portal if isinstance(target, PortalLogins) else target
    checkers = portal.checkers.values() if isinstance(portal, Portal) else ()
    return list({id(checker): checker for checker in checkers}.values())


def _of_files(
    settings: Settings, checkers: list[object], now: datetime.datetime
) -> Iterator[Finding]:
    if settings.tls_key is not None:
        yield from _of_modes(settings.tls_key, _OTHERS, "600")
    authorities = [each.ca for each in checkers if isinstance(each, CertificateChecker)]
    paths = dict.fromkeys([settings.tls_cert, settings.client_ca, *authorities])
    for path in paths:
        if isinstance(path, str | os.PathLike):
            name = os.fspath(path)
            yield from _of_modes(name, _OTHERS_WRITE, "go-w")
            for certificate in read_certificates(name, "certificate"):
                yield from _of_certificate(name, certificate, now)


def _of_modes(path: str, forbidden: int, fix: str) -> Iterator[Finding]:
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        # A missing file is reported by the code that needs it.
        return
    if mode & forbidden:
        what = "read" if mode & forbidden & _OTHERS_READ else "written"
        yield Finding(
            path,
            f"can be {what} by others (mode {mode:04o})",
            f"run: chmod {fix} {shlex.quote(path)}",
        )


def _of_certificate(
    path: str, certificate: x509.Certificate, now: datetime.datetime
) -> Iterator[Finding]:
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    renew = "renew it; a running server loads the new files by itself"
    if last < now:
        yield Finding(path, f"expired on {last:%Y-%m-%d}", renew)
    elif last - now < SOON:
        days = (last - now).days
        yield Finding(path, f"expires on {last:%Y-%m-%d}, in {days} days", renew)
    if first > now:
        yield Finding(path, f"is not valid before {first:%Y-%m-%d}", "set the clock, or wait")
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _SHORT_KEY:
        yield Finding(
            path, f"has an RSA key of {key.key_size} bits", "make one with P-256: pb cert server"
        )
    algorithm = certificate.signature_hash_algorithm
    if algorithm is not None and algorithm.name in ("md5", "sha1"):
        yield Finding(path, f"is signed with {algorithm.name.upper()}", "have it signed again")
