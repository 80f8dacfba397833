"""Bearer tokens: a checker for JWTs of another issuer (RFC 7519, RFC 8725).

The issuer of the tokens, an identity provider or a program of your own, keeps the private keys.
This server has the public keys, in a file with a JSON Web Key Set, and needs no other service. A
token must name its audience, its expiry time and its user. Needs the extra ``jwt``.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from zope.interface import implementer

from broker.config_error import ConfigError
from broker.file_stamp import stamp_at
from cred.checkers import ICredentialsChecker
from cred.error import UnauthorizedLogin
from cred.identity import Identity
from cred.interfaces import IBearerToken
from cred.octets import shown
from cred.strcred import ICheckerFactory, InvalidAuthArgumentString

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LONGEST_TOKEN", "TokenChecker", "TokenCheckerFactory"]

logger = logging.getLogger("broker.cred")

LONGEST_TOKEN: Final = 8192
"""The most characters of a token; a longer one is refused without decoding."""

MOST_LEEWAY: Final = 60.0
"""The most seconds by which the clocks of issuer and server may differ."""

LONGEST_LIFE: Final = 24 * 3600.0
"""The longest lifetime of a token in seconds."""

_MOST_GROUPS = 1000
# Seconds since 1970: the end of the year 9999.
_LATEST = 253_402_300_800


@implementer(ICredentialsChecker)
class TokenChecker:
    """Accepts any client with a token that is signed with one of the keys.

    The avatar id is an `Identity`: with the groups that the token names, and its expiry time, at
    which the connection is closed.

    Args:
        keys: the path of a file with a JSON Web Key Set, or the set itself, as read from JSON. The
            file is read again when it has changed. If the new file is wrong, an error is logged,
            and the old keys stay in use.
        issuer: the required value of ``iss``.
        audience: the required value of ``aud``, or of one of its elements.
        user_claim: the claim with the avatar id.
        groups_claim: the claim with the list of groups; a token may lack it.
        leeway: seconds by which clocks may differ, at most 60; a token is valid this much longer.
        clock: returns the time, in seconds since 1970.

    Raises:
        ConfigError: joserfc is not installed, the keys cannot be read, or an argument is wrong.
    """

    credentialInterfaces = (IBearerToken,)

    def __init__(
        self,
        keys: str | os.PathLike[str] | Mapping[str, object],
        *,
        issuer: str,
        audience: str,
        user_claim: str = "sub",
        groups_claim: str = "groups",
        leeway: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not issuer or not audience:
            raise ConfigError("tokens need issuer= and audience=: whose are believed, and for whom")
        if not 0 <= leeway <= MOST_LEEWAY:
            raise ConfigError(f"leeway= is from 0 to {MOST_LEEWAY:g} seconds")
        self._issuer = issuer
        self._audience = audience
        self._user_claim = user_claim
        self._groups_claim = groups_claim
        self._leeway = leeway
        self._clock = clock
        # Imported here: most programs take no tokens.
        from pathlib import Path

        source = keys if isinstance(keys, Mapping) else Path(keys)
        self._path = source if isinstance(source, Path) else None
        # Before it is read: what changes in between is seen the next time.
        self._stamp = None if self._path is None else stamp_at(self._path)
        self._keys = _load(source)

    def requestAvatarId(self, credentials: Any) -> Identity:
        """Return the user of the token.

        Raises:
            UnauthorizedLogin: it is not valid; the text says why, which does not help to forge one.
        """
        token = credentials.token
        if not isinstance(token, str) or len(token) > LONGEST_TOKEN:
            raise UnauthorizedLogin(f"a token is text of {LONGEST_TOKEN} characters at most")
        self._refresh()
        claims = self._keys.verify(token)
        expires = self._check_times(claims)
        self._check_parties(claims)
        user = claims.get(self._user_claim)
        if not isinstance(user, str) or not user or not _is_text(user):
            raise UnauthorizedLogin(f"token names no user ({self._user_claim})")
        return Identity(user, self._groups(claims), expires)

    def _check_times(self, claims: dict[str, object]) -> float:
        """Return the expiry time, with the leeway."""
        now, leeway = self._clock(), self._leeway
        expires = _time(claims, "exp")
        if expires is None:
            raise UnauthorizedLogin("token says not until when it holds (exp)")
        if now >= expires + leeway:
            raise UnauthorizedLogin("token expired; get a new one")
        not_before, issued = _time(claims, "nbf"), _time(claims, "iat")
        if max(not_before or 0, issued or 0) > now + leeway:
            raise UnauthorizedLogin("token is not valid yet")
        since = next((start for start in (issued, not_before) if start is not None), now)
        if expires - since > LONGEST_LIFE:
            raise UnauthorizedLogin(f"token is made for more than {LONGEST_LIFE / 3600:g} hours")
        return expires + leeway

    def _check_parties(self, claims: dict[str, object]) -> None:
        if claims.get("iss") != self._issuer:
            raise UnauthorizedLogin("token is from another issuer (iss)")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise UnauthorizedLogin("token is for another audience (aud)")

    def _groups(self, claims: dict[str, Any]) -> list[str]:
        groups = claims.get(self._groups_claim, [])
        named = groups if isinstance(groups, list) else [groups]
        if len(named) > _MOST_GROUPS or not all(
            isinstance(group, str) and _is_text(group) for group in named
        ):
            raise UnauthorizedLogin(f"token has no list of names as groups ({self._groups_claim})")
        # Some issuers write no groups as one empty name.
        return [group for group in named if group]

    def _refresh(self) -> None:
        if self._path is None:
            return
        stamp = stamp_at(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = _load(self._path)
        except ConfigError as error:
            logger.error("%s; still using the old keys", shown(error))


@implementer(ICheckerFactory)
class TokenCheckerFactory:
    """``jwt:keys.json?issuer=…&audience=…``: a `TokenChecker`."""

    authType = "jwt"
    argStringFormat = "keys.json?issuer=URL&audience=NAME"
    authHelp = """\
Tokens (JWT) that are signed with a key of the file, which is a JSON Web Key Set: EdDSA, ES256 or
RS256. The issuer and the audience are those that each token must name. May be added, with &:
user=CLAIM (sub unless given), groups=CLAIM (groups), leeway=SECONDS (10, at most 60).
Needs the extra: pip install 'perspective-broker[jwt]'"""
    credentialInterfaces = (IBearerToken,)

    def generateChecker(self, argstring: str) -> TokenChecker:
        """Return the checker.

        Raises:
            InvalidAuthArgumentString: the argument is not what is described above.
            ConfigError: the keys cannot be read, or joserfc is not installed.
        """
        path, _, query = argstring.partition("?")
        names = {"issuer", "audience", "user", "groups", "leeway"}
        try:
            options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True))
            leeway = float(options.get("leeway", "10"))
        except ValueError:
            raise InvalidAuthArgumentString(f"jwt: it takes {self.argStringFormat}") from None
        if not path or not {"issuer", "audience"} <= options.keys() <= names:
            raise InvalidAuthArgumentString(f"jwt: it takes {self.argStringFormat}")
        return TokenChecker(
            path,
            issuer=options["issuer"],
            audience=options["audience"],
            user_claim=options.get("user", "sub"),
            groups_claim=options.get("groups", "groups"),
            leeway=leeway,
        )


def _load(keys: Path | Mapping[str, object]) -> Any:
    try:
        key_set = import_module("cred.jws").KeySet
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "joserfc":
            raise
        raise ConfigError("tokens need joserfc: pip install 'perspective-broker[jwt]'") from None
    if isinstance(keys, Mapping):
        return key_set(keys)
    # Imported here, as above.
    import json

    try:
        jwks = json.loads(keys.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read the keys {keys}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{keys} is not JSON; it must be a JSON Web Key Set") from None
    return key_set(jwks, str(keys))


def _time(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # The comparison is False for NaN, too.
    if not is_number or not -_LATEST <= value <= _LATEST:
        raise UnauthorizedLogin(f"token has a time that is not valid ({name})")
    return float(value)


def _is_text(text: str) -> bool:
    """Return whether text has a UTF-8 form; JSON can have a lone surrogate, which has none."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
