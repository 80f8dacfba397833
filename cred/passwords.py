"""Verifiers: the text that a store keeps instead of a password, and checks against it.

There are two kinds, which begin differently: Argon2id (RFC 9106), for passwords that are sent to
the server, and `cred.scram_verifier`, for SCRAM, which can check a password in clear too. Hashing
and checking take much time and memory, on purpose: run them in `cred.workers`.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from cred.error import wrong_login
from cred.octets import Text
from cred.saslprep import LONGEST_PASSWORD, saslprep_octets
from cred.scram_verifier import ITERATIONS, SCRAM, ScramVerifier, salted_password

__all__ = [
    "HIGH",
    "STANDARD",
    "Profile",
    "ScramShape",
    "Shape",
    "Work",
    "decoy_of",
    "hash_password",
    "is_possible",
    "shape_of",
    "spend",
    "upgraded",
    "verify_password",
    "work_of",
]

_SALT_SIZE: Final = 16
_HASH_SIZE: Final = 32
_PHC: Final = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,7}),t=([0-9]{1,2}),p=([0-9]{1,2})"
    r"\$[A-Za-z0-9+/]{11,88}\$[A-Za-z0-9+/]{16,88}"
)
_LEAST_MEMORY: Final = 8
# Hashed by `spend`, which ignores the result.
_NO_PASSWORD: Final = b"nobody's password"
_NO_SALT: Final = b"nobody's salt..."
MOST_MEMORY: Final = 1024 * 1024
MOST_PASSES: Final = 10
MOST_LANES: Final = 8


@dataclass(frozen=True, slots=True)
class Profile:
    """The cost of a hash with Argon2id.

    Attributes:
        memory: in KiB; at most 1,048,576.
        passes: over that memory; at most 10.
        lanes: that could be computed in parallel; at most 8.

    Raises:
        ValueError: one of them is out of range.
    """

    memory: int
    passes: int
    lanes: int

    def __post_init__(self) -> None:
        # Stores have these values: a hash that takes a minute or all memory must not be tried.
        if not (
            8 * self.lanes <= self.memory <= MOST_MEMORY
            and 1 <= self.passes <= MOST_PASSES
            and 1 <= self.lanes <= MOST_LANES
        ):
            raise ValueError(
                f"Argon2id with m={self.memory}, t={self.passes}, p={self.lanes}: m is at most"
                f" {MOST_MEMORY} and at least 8 for each of p, t at most {MOST_PASSES}, p at most"
                f" {MOST_LANES}"
            )

    def is_weaker_than(self, other: Profile) -> bool:
        """Return whether it takes less memory or fewer passes; lanes do not make it stronger."""
        return self.memory < other.memory or self.passes < other.passes


STANDARD: Final = Profile(19_456, 2, 1)
"""19 MiB, two passes: the minimum that OWASP recommends."""

HIGH: Final = Profile(65_536, 3, 4)
"""64 MiB, three passes: RFC 9106, section 4, the second recommendation."""


def hash_password(password: Text, profile: Profile = STANDARD) -> str:
    """Return the verifier of a password: ``$argon2id$v=19$m=…,t=…,p=…$salt$hash``.

    Args:
        password: str, or its UTF-8 bytes; 1 to 1,024 bytes. It is prepared by SASLprep, so that
            different keyboards give the same password.
        profile: the cost.

    Raises:
        ValueError: the password is empty, too long, or has control characters.
    """
    return _hash(_prepare(password), profile)


def verify_password(password: Text, verifier: str) -> None:
    """Check a password against a verifier.

    Raises:
        UnauthorizedLogin: it is the wrong password, or cannot be a password.
        ValueError: the verifier is of no known kind, damaged, or costs more than is allowed; it was
            not tried. The text does not repeat it.
    """
    kind = _kind_of(verifier)
    try:
        prepared = _prepare(password)
    except ValueError:
        raise wrong_login("wrong password") from None
    kind.verify(prepared, verifier)


def upgraded(password: Text, verifier: str, profile: Profile = STANDARD) -> str | None:
    """Return a new verifier for a password that has just been verified, if it needs one.

    Returns:
        A verifier of the same kind with the cost of now, or None if the old one is strong enough.
    """
    return _kind_of(verifier).upgrade(_prepare(password), verifier, profile)


def decoy_of(verifier: str | None, profile: Profile = STANDARD) -> str:
    """Return a verifier that no password matches, with the same cost as the given one.

    Args:
        verifier: a verifier of a known user; None without users.
        profile: the cost without users.

    Raises:
        ValueError: the verifier is of no known kind.
    """
    if verifier is None:
        return _random_argon2(profile)
    return _kind_of(verifier).decoy(verifier)


def is_possible(password: Text) -> bool:
    """Return whether this can be a password; if not, it is not checked against a verifier."""
    try:
        _prepare(password)
    except ValueError:
        return False
    return True


class ScramShape(NamedTuple):
    """The values of a SCRAM verifier that a client can see, without the salt itself.

    Attributes:
        iterations: the iterations of the verifier.
        salt_size: the bytes of its salt.
    """

    iterations: int
    salt_size: int


Shape: TypeAlias = Profile | ScramShape


class Work(NamedTuple):
    """The work of one check of a password.

    Attributes:
        memory: KiB times passes, of Argon2id.
        iterations: of SCRAM.
    """

    memory: int = 0
    iterations: int = 0


def shape_of(verifier: str) -> Shape:
    """Return the costs of a verifier, without its secrets.

    Raises:
        ValueError: it is of no known kind, damaged, or costs more than is allowed.
    """
    return _kind_of(verifier).shape(verifier)


def work_of(shape: Shape) -> Work:
    """Return the work of a check against a verifier of this shape."""
    if isinstance(shape, ScramShape):
        return Work(iterations=shape.iterations)
    return Work(memory=shape.memory * shape.passes)


def spend(work: Work, memory: int) -> None:
    """Do the work of a check of a password, and ignore the result.

    Args:
        work: the work to do; a part that is not positive is not done.
        memory: the KiB of memory of one hash.
    """
    if work.iterations > 0:
        salted_password(_NO_PASSWORD, _NO_SALT, work.iterations)
    for size, passes in _runs(work.memory, memory):
        function = Argon2id(
            salt=_NO_SALT, length=_HASH_SIZE, iterations=passes, lanes=1, memory_cost=size
        )
        function.derive(_NO_PASSWORD)


def _runs(left: int, memory: int) -> list[tuple[int, int]]:
    """Divide work into runs, each with its memory and passes."""
    if left < _LEAST_MEMORY:
        return []
    passes, rest = divmod(left, memory)
    last = [(rest, 1)] if rest else []
    if passes and 0 < rest < _LEAST_MEMORY:
        # The rest is too small for a run of its own.
        passes, last = passes - 1, [(memory + rest, 1)]
    return [(memory, passes), *last] if passes else last


def _prepare(password: Text) -> bytes:
    prepared = saslprep_octets(password, LONGEST_PASSWORD)
    if not prepared:
        raise ValueError("a password is not empty")
    return prepared


class _Kind(NamedTuple):
    """The functions for the verifiers of one kind; passwords are prepared."""

    verify: Callable[[bytes, str], None]
    upgrade: Callable[[bytes, str, Profile], str | None]
    decoy: Callable[[str], str]
    shape: Callable[[str], Shape]


def _hash(password: bytes, profile: Profile) -> str:
    function = Argon2id(
        salt=os.urandom(_SALT_SIZE),
        length=_HASH_SIZE,
        iterations=profile.passes,
        lanes=profile.lanes,
        memory_cost=profile.memory,
    )
    return function.derive_phc_encoded(password)


def _profile_of(verifier: str) -> Profile:
    match = _PHC.fullmatch(verifier)
    if match is None:
        raise ValueError("not an Argon2id hash; its form is $argon2id$v=19$m=…,t=…,p=…$salt$hash")
    return Profile(*map(int, match.groups()))


def _verify_argon2(password: bytes, verifier: str) -> None:
    _profile_of(verifier)
    try:
        Argon2id.verify_phc_encoded(password, verifier)
    except InvalidKey:
        raise wrong_login("wrong password") from None


def _upgrade_argon2(password: bytes, verifier: str, profile: Profile) -> str | None:
    return _hash(password, profile) if _profile_of(verifier).is_weaker_than(profile) else None


def _random_argon2(profile: Profile) -> str:
    # Random bytes, not the hash of a password: to make one would take as long as a check.
    salt, digest = (
        base64.b64encode(os.urandom(size)).decode().rstrip("=") for size in (_SALT_SIZE, _HASH_SIZE)
    )
    return f"$argon2id$v=19$m={profile.memory},t={profile.passes},p={profile.lanes}${salt}${digest}"


def _decoy_of_argon2(verifier: str) -> str:
    return _random_argon2(_profile_of(verifier))


def _verify_scram(password: bytes, verifier: str) -> None:
    ScramVerifier.parse(verifier).verify(password)


def _upgrade_scram(password: bytes, verifier: str, profile: Profile) -> str | None:
    if ScramVerifier.parse(verifier).iterations >= ITERATIONS:
        return None
    return str(ScramVerifier.of_password(password))


def _shape_of_scram(verifier: str) -> ScramShape:
    parsed = ScramVerifier.parse(verifier)
    return ScramShape(parsed.iterations, len(parsed.salt))


def _decoy_of_scram(verifier: str) -> str:
    iterations = ScramVerifier.parse(verifier).iterations
    return str(ScramVerifier.of_nobody(os.urandom(16), "", iterations))


_KINDS: Final = {
    "$argon2id$": _Kind(_verify_argon2, _upgrade_argon2, _decoy_of_argon2, _profile_of),
    f"{SCRAM}$": _Kind(_verify_scram, _upgrade_scram, _decoy_of_scram, _shape_of_scram),
}


def _kind_of(verifier: str) -> _Kind:
    for beginning, kind in _KINDS.items():
        if verifier.startswith(beginning):
            return kind
    raise ValueError(f"a verifier begins with {' or '.join(_KINDS)}")
