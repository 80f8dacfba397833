"""The costs of checks of passwords in a store, which are the same for unknown users.

Theory of operation. The time of a refusal must not tell whether the user exists, nor which of
several costs the verifier of the user has. So an unknown user gets a decoy of the form of a real
verifier. The form is chosen by the name and the secret of the store: the same each time, and as
frequent among many names as among the users. And every check does as much work as the most
expensive verifier of the store needs, of Argon2id and of SCRAM: after a cheaper check the rest of
the work is done too, and its result ignored.

This needs a list of all verifiers. It is made again when the store has changed, but takes at most a
hundredth of the time: a store with many users is not listed at each login. A verifier that a login
finds, and that is not in the list yet, is added at once.
"""

from __future__ import annotations

import hmac
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import accumulate
from threading import Lock
from typing import Final, Generic, TypeVar

from cred.passwords import Profile, ScramShape, Shape, Work, decoy_of, shape_of, spend, work_of
from cred.scram_verifier import ITERATIONS, SALT_SIZE
from cred.users import User, UserStore

__all__ = ["Costs", "Listing"]

Kind = TypeVar("Kind", bound=Shape)

_QUICK: Final = 0.01
"""A list that takes at most these seconds may be made at any time."""

_SHARE: Final = 100
"""A list that takes longer is made again after this many times its duration."""

_USUAL: Final = ScramShape(ITERATIONS, SALT_SIZE)


class Costs:
    """The costs of one store; its methods are called in the threads of `cred.workers`.

    Args:
        store: the store of users. If it has a method ``stamp()``, that returns a value that differs
            after every change of the users, or None if it cannot tell.
        profile: the cost without users.
        clock: returns the time in seconds; only differences count.
    """

    def __init__(
        self, store: UserStore, profile: Profile, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._profile = profile
        self._clock = clock
        self._lock = Lock()
        self._listing = Listing(profile)
        self._stamp: object = None
        self._next = float("-inf")

    def now(self, verifier: str | None = None) -> Listing:
        """Return the current costs, which do not change during one login.

        Args:
            verifier: that of the user who logs in, which always counts; None without a verifier.
        """
        shape = _shape(verifier)
        with self._lock:
            if self._clock() >= self._next:
                stamp = self._stamp_now()
                if stamp is None or stamp != self._stamp:
                    self._make(stamp)
            if verifier is not None and shape is not None and shape not in self._listing.models:
                listing = self._listing.copy()
                listing.add(shape, verifier, is_enabled=True)
                self._listing = listing
            return self._listing

    def _stamp_now(self) -> object:
        stamp = getattr(self._store, "stamp", None)
        return None if stamp is None else stamp()

    def _make(self, stamp: object) -> None:
        began = self._clock()
        made = Listing(self._profile)
        for user in self._store.users():
            made.count(user)
        self._listing, self._stamp = made, stamp
        ended = self._clock()
        took = ended - began
        self._next = ended + (took * _SHARE if took > _QUICK else 0.0)


class Listing:
    """The verifiers of a store at one time: their shapes, and how many have each shape.

    Attributes:
        models: one verifier of each shape.
    """

    def __init__(self, profile: Profile) -> None:
        self.models: dict[Shape, str] = {}
        self._profile = profile
        self._counts: Counter[Shape] = Counter()
        self._scram_counts: Counter[ScramShape] = Counter()
        self._decoys: dict[Shape | None, str] = {}
        self._most = work_of(profile)
        self._memory = profile.memory
        self._chances: _Chances[Shape] | None = None
        self._scram_chances: _Chances[ScramShape] | None = None

    def copy(self) -> Listing:
        """Return a copy that can be changed."""
        made = Listing(self._profile)
        made.models.update(self.models)
        made._counts.update(self._counts)
        made._scram_counts.update(self._scram_counts)
        made._decoys.update(self._decoys)
        made._most, made._memory = self._most, self._memory
        return made

    def count(self, user: User) -> None:
        """Add the verifier of a user."""
        shape = _shape(user.verifier)
        if shape is not None and user.verifier is not None:
            self.add(shape, user.verifier, not user.is_disabled)

    def add(self, shape: Shape, verifier: str, is_enabled: bool) -> None:
        """Add a verifier; SCRAM shows only those of enabled users."""
        if shape not in self.models:
            self._weigh(shape)
            self.models[shape] = verifier
        self._counts[shape] += 1
        if is_enabled and isinstance(shape, ScramShape):
            self._scram_counts[shape] += 1
        self._chances = self._scram_chances = None

    def _weigh(self, shape: Shape) -> None:
        # With the first user, the cost without users does not count any more.
        work, most = work_of(shape), self._most if self.models else Work()
        if isinstance(shape, Profile) and work.memory > most.memory:
            self._memory = shape.memory
        self._most = Work(*map(max, work, most))

    def decoy(self, secret: bytes, name: bytes) -> str:
        """Return a verifier that no password matches, chosen by the name."""
        if self._chances is None:
            self._chances = _Chances(self._counts)
        shape = self._chances.choose(secret, b"cost:" + name)
        if shape not in self._decoys:
            model = None if shape is None else self.models[shape]
            self._decoys[shape] = decoy_of(model, self._profile)
        return self._decoys[shape]

    def scram_shape(self, secret: bytes, name: bytes) -> ScramShape:
        """Return the shape of one of the SCRAM verifiers, chosen by the name."""
        if self._scram_chances is None:
            self._scram_chances = _Chances(self._scram_counts)
        return self._scram_chances.choose(secret, b"scram:" + name) or _USUAL

    def fill_up(self, verifier: str) -> None:
        """After a check, do the rest of the work of the most expensive check.

        Args:
            verifier: the verifier of the check; a damaged one was not tried.
        """
        shape = _shape(verifier)
        done = Work() if shape is None else work_of(shape)
        spend(
            Work(*(most - part for most, part in zip(self._most, done, strict=True))), self._memory
        )


class _Chances(Generic[Kind]):
    """Chooses a shape, with a probability proportional to its count."""

    def __init__(self, counts: Mapping[Kind, int]) -> None:
        # Sorted, so that the order of the users does not matter.
        self._of = sorted(counts, key=repr)
        self._sums = list(accumulate(counts[each] for each in self._of))

    def choose(self, secret: bytes, name: bytes) -> Kind | None:
        """Return a shape, the same for the same name; None without shapes."""
        if not self._of:
            return None
        number = int.from_bytes(hmac.digest(secret, name, "sha256")[:8], "big")
        return self._of[bisect_right(self._sums, number * self._sums[-1] >> 64)]


def _shape(verifier: str | None) -> Shape | None:
    """Return the shape of a verifier; None if it is damaged or None."""
    try:
        return None if verifier is None else shape_of(verifier)
    except ValueError:
        return None
