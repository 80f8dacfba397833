"""StoreChecker: accepts the users of a store, with a password or by SCRAM.

Theory of operation. An unknown user, a wrong password and a disabled user get the same reply after
the same time. The password of a user without a verifier is checked against a decoy. Every check
does as much work as the most expensive verifier of the store needs. SCRAM continues with a verifier
of an unknown user; see `cred.store_costs`. The store and the hashing run in the threads of
`cred.workers`; methods whose names end in ``_in_thread`` are called there, perhaps two at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, Final, TypeVar

from zope.interface import implementer

from broker.config_error import ConfigError
from broker.defer import Deferred
from cred.checkers import ICredentialsChecker
from cred.error import LoginUnavailable, UnauthorizedLogin, wrong_login
from cred.identity import Identity
from cred.interfaces import IScramProof, IUsernamePassword
from cred.octets import Text, shown, to_octets
from cred.passwords import STANDARD, Profile, is_possible, upgraded, verify_password
from cred.saslprep import LONGEST_NAME, saslprep_octets
from cred.scram_verifier import SCRAM, ScramVerifier
from cred.store_costs import Costs
from cred.users import StoreError, User, UserStore
from cred.workers import LOGINS, Workers

__all__ = ["UNAVAILABLE", "StoreChecker"]

logger = logging.getLogger("broker.cred")

T = TypeVar("T")

UNAVAILABLE: Final = "the user store is not available; try again later"
"""The text of a login that fails because the store fails; the log tells why."""


@implementer(ICredentialsChecker)
class StoreChecker:
    """Accepts the users of a store, by a password in clear or by SCRAM.

    It returns a `cred.identity.Identity`: the user name of the store, with the groups of the user.
    A user who is disabled or removed later is logged out within two seconds, see `refused`. A
    password whose hash is weaker than `profile` is hashed again when the user logs in.

    SCRAM is offered only if no user has an Argon2id hash: a client prefers SCRAM to sending a
    password, and SCRAM cannot succeed with such a hash. This is decided when the checker is made,
    so keep verifiers of one kind in a store.

    Args:
        store: the store of users, as `cred.stores.open_store` returns it.
        profile: the cost of new hashes.
        workers: the threads for the store and the hashing.

    Attributes:
        credentialInterfaces: a password, and before it SCRAM if that is offered.

    Raises:
        ConfigError, StoreError: the store cannot be read.
    """

    def __init__(
        self, store: UserStore, *, profile: Profile = STANDARD, workers: Workers = LOGINS
    ) -> None:
        self.store = store
        takes_scram = all((user.verifier or SCRAM).startswith(SCRAM) for user in store.users())
        self.credentialInterfaces: tuple[object, ...] = (
            (IScramProof, IUsernamePassword) if takes_scram else (IUsernamePassword,)
        )
        self._profile = profile
        self._workers = workers
        # Of its own: those for logins have a queue, which strangers can fill.
        self._rechecks = Workers(threads=1)
        self._costs = Costs(store, profile)
        # The last error of the store; each error is logged once.
        self._trouble = ""

    def requestAvatarId(self, credentials: Any) -> Deferred[Identity]:
        """Check the credentials.

        Returns:
            A Deferred of an Identity. It fails with UnauthorizedLogin, the same for an unknown
            user, a wrong password and a disabled user; with LoginUnavailable if the store does not
            answer; and with `cred.workers.QueueFull` if too many logins wait.
        """
        if IScramProof.providedBy(credentials):
            return self._run(self._identify_in_thread, credentials.username, credentials.verifier)
        return self._run(self._check_in_thread, credentials.username, credentials.password)

    def scramVerifier(self, username: Text) -> Deferred[ScramVerifier]:
        """Return a Deferred of the SCRAM verifier of a user.

        For a user who is unknown, is disabled, or has an Argon2id hash, it is a verifier that no
        password matches; the same each time. It fails like `requestAvatarId`, but not with
        UnauthorizedLogin.
        """
        return self._run(self._scram_in_thread, username)

    def refused(self, names: Collection[str]) -> Deferred[frozenset[str]]:
        """Return a Deferred of those of these users who are disabled, or no longer in the store.

        A server asks each second for the users who are logged in, and ends the connections of those
        who are refused. A flood of logins does not delay the answer.

        Args:
            names: names of users, as in the store.

        Returns:
            A Deferred of a set of names. It fails with LoginUnavailable if the store does not
            answer.
        """
        return self._rechecks.run(self._reaching_the_store, self._refused_in_thread, names)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def _run(self, function: Callable[..., T], *args: object) -> Deferred[T]:
        return self._workers.run(self._reaching_the_store, function, *args)

    def _reaching_the_store(self, function: Callable[..., T], *args: object) -> T:
        try:
            result = function(*args)
        except (StoreError, ConfigError) as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                logger.error("no user can log in: %s", shown(error))
            raise LoginUnavailable(UNAVAILABLE) from None
        if self._trouble:
            self._trouble = ""
            logger.info("the user store is available again")
        return result

    def _refused_in_thread(self, names: Collection[str]) -> frozenset[str]:
        refused: Callable[[Collection[str]], Collection[str]] | None
        refused = getattr(self.store, "refused", None)
        if refused is not None:
            return frozenset(refused(names))
        return frozenset(name for name in names if _is_refused(self.store.find(name)))

    def _check_in_thread(self, username: Text, password: Text) -> Identity:
        name = _name_of(username)
        user = self.store.find(name)
        reason = _why_not(user)
        if not is_possible(password):
            raise wrong_login(reason or "wrong password")
        verifier = None if user is None else user.verifier
        costs = self._costs.now(verifier)
        if verifier is None:
            verifier = costs.decoy(self.store.secret(), name.encode())
        try:
            verify_password(password, verifier)
        except UnauthorizedLogin:
            reason = reason or "wrong password"
        except ValueError as error:
            name = "nobody" if user is None else repr(shown(user.name, 64))
            logger.error("the user %s cannot log in: %s", name, shown(error))
            reason = "damaged verifier"
        costs.fill_up(verifier)
        if user is None or reason:
            raise wrong_login(reason)
        self._upgrade_in_thread(user, verifier, password)
        return Identity(user.name, user.groups, checker=self)

    def _identify_in_thread(self, username: Text, verifier: ScramVerifier) -> Identity:
        # The proof was right, but the user may have changed since the exchange began.
        user = self.store.find(_name_of(username))
        reason = _why_not(user)
        if user is None or reason:
            raise wrong_login(reason)
        if user.verifier != str(verifier):
            raise wrong_login("password changed meanwhile")
        return Identity(user.name, user.groups, checker=self)

    def _scram_in_thread(self, username: Text) -> ScramVerifier:
        octets = to_octets(username)
        try:
            user = self.store.find(_name_of(octets))
            reason = _why_not(user)
        except UnauthorizedLogin as error:
            user, reason = None, error.reason
        kept = None if user is None or reason else user.verifier
        secret = self.store.secret()
        shape = self._costs.now(kept).scram_shape(secret, octets)
        nobody = ScramVerifier.of_nobody(secret, octets, *shape)
        try:
            verifier = nobody if kept is None else ScramVerifier.parse(kept)
        except ValueError:
            verifier, reason = nobody, "user without SCRAM verifier"
        return replace(verifier, reason=reason)

    def _upgrade_in_thread(self, user: User, verifier: str, password: Text) -> None:
        try:
            better = upgraded(password, verifier, self._profile)
            if better is not None:
                self.store.replace(replace(user, verifier=better), was=user)
        except (StoreError, ConfigError) as error:
            # The credentials are right, so the login succeeds; the next one tries this again.
            logger.warning("a password could not be hashed again: %s", shown(error))


def _is_refused(user: User | None) -> bool:
    return user is None or user.is_disabled


def _why_not(user: User | None) -> str:
    """Return why a user cannot log in with any password; empty if the user can."""
    if user is None:
        return "unknown user"
    if user.is_disabled:
        return "disabled user"
    return "" if user.verifier else "user without password"


def _name_of(username: Text) -> str:
    try:
        return saslprep_octets(to_octets(username), LONGEST_NAME).decode("utf-8")
    except (TypeError, ValueError):
        raise wrong_login("no possible user name") from None
