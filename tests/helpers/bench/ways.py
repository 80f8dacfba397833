"""The ways of logging in to broker: what the server checks with, and what the client gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zope.interface import implementer

from bench.identities import AUDIENCE, ISSUER
from cred import (
    AllowAnonymousAccess,
    Anonymous,
    ClientCertificate,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
    IScramProof,
    Scram,
    Token,
    UsernamePassword,
)
from cred.certificates import CertificateChecker
from cred.scram import FEWEST_ITERATIONS
from cred.scram_verifier import ScramVerifier
from cred.tokens import TokenChecker

__all__ = ["WAYS", "Way"]

USER, PASSWORD = "alice", "secret"


@implementer(ICredentialsChecker)
class ScramUser:
    """Knows the SCRAM verifier of one user."""

    credentialInterfaces = (IScramProof,)

    def __init__(self) -> None:
        self._verifier = ScramVerifier.of_password(PASSWORD, FEWEST_ITERATIONS)

    def scramVerifier(self, username: Any) -> ScramVerifier:
        """Return the user's, whoever is asked for: nobody else asks."""
        return self._verifier

    def requestAvatarId(self, proof: Any) -> str:
        """Return who has proven to know the password."""
        return USER


@dataclass(frozen=True)
class Way:
    """A way of logging in.

    Attributes:
        checker: makes what the server checks with, from the folder of `identities`.
        credentials: makes what the client gives, from the same.
        with_certificate: whether the client has a TLS certificate.
    """

    checker: Callable[[Path], Any]
    credentials: Callable[[Path], Any]
    with_certificate: bool = False


WAYS: Mapping[str, Way] = MappingProxyType(
    {
        "password": Way(
            lambda folder: InMemoryUsernamePasswordDatabaseDontUse(**{USER: PASSWORD}),
            lambda folder: UsernamePassword(USER, PASSWORD),
        ),
        "certificate": Way(
            lambda folder: CertificateChecker(), lambda folder: ClientCertificate(), True
        ),
        "SCRAM": Way(lambda folder: ScramUser(), lambda folder: Scram(USER, PASSWORD)),
        "SCRAM-PLUS": Way(
            lambda folder: ScramUser(), lambda folder: Scram(USER, PASSWORD, bound=True)
        ),
        "token": Way(
            lambda folder: TokenChecker(folder / "keys.json", issuer=ISSUER, audience=AUDIENCE),
            lambda folder: Token((folder / "token.txt").read_text(encoding="ascii")),
        ),
        "anonymous": Way(lambda folder: AllowAnonymousAccess(), lambda folder: Anonymous()),
    }
)
