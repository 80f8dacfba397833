"""Costs: what checking the passwords of a store's users takes, and what an unknown user takes.

Theory of operation. How long the refusal of a password takes must not tell whether there is such a
user, nor which of several costs the user's verifier has. So a user who is unknown is given a decoy
that looks like the verifier of some user, chosen by the name and the store's secret: the same each
time, and among many names as frequent as among the users. And every check does as much work as the
most expensive verifier of the store takes, of Argon2id and of SCRAM: what a cheaper one leaves is
done for nothing.

That takes a list of all verifiers. It is made again when the store has changed, but takes up no
more than a hundredth of the time: a store of many users is not listed at each login. What a login
meets meanwhile that is not in the list counts at once.
"""

from __future__ import annotations

import hmac
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import accumulate
from threading import Lock
from typing import Any, Final, Generic, TypeVar

from cred.passwords import Profile, ScramShape, Shape, Work, decoy_of, shape_of, spend, work_of
from cred.scram_verifier import ITERATIONS, SALT_SIZE
from cred.users import User, UserStore

__all__ = ["Costs", "Listing"]

Kind = TypeVar("Kind", bound=Shape)

_QUICK: Final = 0.01
"""Seconds that a list may take to be made at any time."""

_SHARE: Final = 100
"""A list that takes longer is made again after so many times as long."""

_USUAL: Final = ScramShape(ITERATIONS, SALT_SIZE)


class Costs:
    """The costs of one store; its methods are called in the threads of `cred.workers`.

    Args:
        store: whose users. If it has a method ``stamp()``, that returns what is another value
            whenever the users have changed, or None where it cannot tell.
        profile: what a password costs where there are no users.
        clock: the time in seconds; only differences count.
    """

    def __init__(
        self, store: UserStore, profile: Profile, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._profile = profile
        self._clock = clock
        self._lock = Lock()
        self._listing = Listing(profile)
        self._stamp: Any = None
        self._next = float("-inf")

    def now(self, verifier: str | None = None) -> Listing:
        """Return the costs as they are; they do not change during one login.

        Args:
            verifier: of the user who logs in, which counts in any case; None if there is none.
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

    def _stamp_now(self) -> Any:
        stamp = getattr(self._store, "stamp", None)
        return None if stamp is None else stamp()

    def _make(self, stamp: Any) -> None:
        began = self._clock()
        made = Listing(self._profile)
        for user in self._store.users():
            made.count(user)
        self._listing, self._stamp = made, stamp
        ended = self._clock()
        took = ended - began
        self._next = ended + (took * _SHARE if took > _QUICK else 0.0)


class Listing:
    """The verifiers of a store at one time: what they look like, and how many look so.

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
        """Return another that can be added to."""
        made = Listing(self._profile)
        made.models.update(self.models)
        made._counts.update(self._counts)
        made._scram_counts.update(self._scram_counts)
        made._decoys.update(self._decoys)
        made._most, made._memory = self._most, self._memory
        return made

    def count(self, user: User) -> None:
        """Take in a user."""
        shape = _shape(user.verifier)
        if shape is not None and user.verifier is not None:
            self.add(shape, user.verifier, not user.is_disabled)

    def add(self, shape: Shape, verifier: str, is_enabled: bool) -> None:
        """Take in a verifier; SCRAM shows that of a user who is enabled."""
        if shape not in self.models:
            self._weigh(shape)
            self.models[shape] = verifier
        self._counts[shape] += 1
        if is_enabled and isinstance(shape, ScramShape):
            self._scram_counts[shape] += 1
        self._chances = self._scram_chances = None

    def _weigh(self, shape: Shape) -> None:
        # What costs where there are no users counts no more when there are.
        work, most = work_of(shape), self._most if self.models else Work()
        if isinstance(shape, Profile) and work.memory > most.memory:
            self._memory = shape.memory
        self._most = Work(*map(max, work, most))

    def decoy(self, secret: bytes, name: bytes) -> str:
        """Return a verifier that no password fits, by the name."""
        if self._chances is None:
            self._chances = _Chances(self._counts)
        shape = self._chances.choose(secret, b"cost:" + name)
        if shape not in self._decoys:
            model = None if shape is None else self.models[shape]
            self._decoys[shape] = decoy_of(model, self._profile)
        return self._decoys[shape]

    def scram_shape(self, secret: bytes, name: bytes) -> ScramShape:
        """Return the shape of some SCRAM verifier, by the name."""
        if self._scram_chances is None:
            self._scram_chances = _Chances(self._scram_counts)
        return self._scram_chances.choose(secret, b"scram:" + name) or _USUAL

    def fill_up(self, verifier: str) -> None:
        """Do the work that checking a password lacks of the most.

        Args:
            verifier: what the password has been checked against; what is damaged was not tried.
        """
        shape = _shape(verifier)
        done = Work() if shape is None else work_of(shape)
        spend(
            Work(*(most - part for most, part in zip(self._most, done, strict=True))), self._memory
        )


class _Chances(Generic[Kind]):
    """Chooses as often as something is counted."""

    def __init__(self, counts: Mapping[Kind, int]) -> None:
        # In an order of their own, so that it does not matter who was added when.
        self._of = sorted(counts, key=repr)
        self._sums = list(accumulate(counts[each] for each in self._of))

    def choose(self, secret: bytes, name: bytes) -> Kind | None:
        """Return one, the same for the same name; None where there is none."""
        if not self._of:
            return None
        number = int.from_bytes(hmac.digest(secret, name, "sha256")[:8], "big")
        return self._of[bisect_right(self._sums, number * self._sums[-1] >> 64)]


def _shape(verifier: str | None) -> Shape | None:
    """Return what a verifier looks like; None if it is damaged, or none."""
    try:
        return None if verifier is None else shape_of(verifier)
    except ValueError:
        return None
