"""Passwords: the text that a store keeps in the place of one, and checking one against it.

Two kinds are known by how they begin: Argon2id (RFC 9106), for passwords that reach the server, and
`cred.scram_verifier`, for SCRAM, against which a password in clear can be checked too. Hashing and
checking take long and much memory, on purpose: `cred.workers` is where to do it.
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
# What is hashed for nothing.
_NO_PASSWORD: Final = b"nobody's password"
_NO_SALT: Final = b"nobody's salt..."
MOST_MEMORY: Final = 1024 * 1024
MOST_PASSES: Final = 10
MOST_LANES: Final = 8


@dataclass(frozen=True, slots=True)
class Profile:
    """What hashing a password with Argon2id costs.

    Attributes:
        memory: KiB that it takes; at most 1,048,576.
        passes: over that memory; at most 10.
        lanes: that could be worked on side by side; at most 8.

    Raises:
        ValueError: one of them is out of range.
    """

    memory: int
    passes: int
    lanes: int

    def __post_init__(self) -> None:
        # They are read from stores: what costs a minute or all memory must not be tried.
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
        """Return whether it takes less memory or fewer passes; lanes make nothing stronger."""
        return self.memory < other.memory or self.passes < other.passes


STANDARD: Final = Profile(19_456, 2, 1)
"""19 MiB, twice: what OWASP recommends at least."""

HIGH: Final = Profile(65_536, 3, 4)
"""64 MiB, three times: RFC 9106, section 4, the second recommendation."""


def hash_password(password: Text, profile: Profile = STANDARD) -> str:
    """Return what to keep of a password: ``$argon2id$v=19$m=…,t=…,p=…$salt$hash``.

    Args:
        password: str, or its UTF-8 bytes; 1 to 1,024 bytes. It is prepared by SASLprep, so that any
            keyboard will do.
        profile: the cost.

    Raises:
        ValueError: the password is empty, too long, or has control characters.
    """
    return _hash(_prepare(password), profile)


def verify_password(password: Text, verifier: str) -> None:
    """Check a password against what a store keeps.

    Raises:
        UnauthorizedLogin: it is not the one, or can be no password at all.
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
    """Return what to keep from now on of a password that has just been verified.

    Returns:
        A verifier of the same kind with today's cost, or None where the old one is strong enough.
    """
    return _kind_of(verifier).upgrade(_prepare(password), verifier, profile)


def decoy_of(verifier: str | None, profile: Profile = STANDARD) -> str:
    """Return a verifier that no password fits, and that costs as much to try as the given one.

    Args:
        verifier: how those of known users look; None where there are none.
        profile: the cost where there are none.

    Raises:
        ValueError: the verifier is of no known kind.
    """
    if verifier is None:
        return _random_argon2(profile)
    return _kind_of(verifier).decoy(verifier)


def is_possible(password: Text) -> bool:
    """Return whether this can be a password at all; what cannot is checked against nothing."""
    try:
        _prepare(password)
    except ValueError:
        return False
    return True


class ScramShape(NamedTuple):
    """What a client is shown of a SCRAM verifier, but for the salt itself.

    Attributes:
        iterations: of the verifier.
        salt_size: bytes of its salt.
    """

    iterations: int
    salt_size: int


Shape: TypeAlias = Profile | ScramShape


class Work(NamedTuple):
    """What checking a password takes.

    Attributes:
        memory: KiB times passes, of Argon2id.
        iterations: of SCRAM.
    """

    memory: int = 0
    iterations: int = 0


def shape_of(verifier: str) -> Shape:
    """Return what a verifier looks like, without its secrets.

    Raises:
        ValueError: it is of no known kind, damaged, or costs more than is allowed.
    """
    return _kind_of(verifier).shape(verifier)


def work_of(shape: Shape) -> Work:
    """Return what checking a password against a verifier takes."""
    if isinstance(shape, ScramShape):
        return Work(iterations=shape.iterations)
    return Work(memory=shape.memory * shape.passes)


def spend(work: Work, memory: int) -> None:
    """Do as much work as checking a password takes, for nothing.

    Args:
        work: how much; what is not positive is not done.
        memory: KiB to take at a time.
    """
    if work.iterations > 0:
        salted_password(_NO_PASSWORD, _NO_SALT, work.iterations)
    for size, passes in _runs(work.memory, memory):
        function = Argon2id(
            salt=_NO_SALT, length=_HASH_SIZE, iterations=passes, lanes=1, memory_cost=size
        )
        function.derive(_NO_PASSWORD)


def _runs(left: int, memory: int) -> list[tuple[int, int]]:
    """Divide work into runs: the memory of each, and its passes."""
    if left < _LEAST_MEMORY:
        return []
    passes, rest = divmod(left, memory)
    last = [(rest, 1)] if rest else []
    if passes and 0 < rest < _LEAST_MEMORY:
        # Too little for a run of its own.
        passes, last = passes - 1, [(memory + rest, 1)]
    return [(memory, passes), *last] if passes else last


def _prepare(password: Text) -> bytes:
    prepared = saslprep_octets(password, LONGEST_PASSWORD)
    if not prepared:
        raise ValueError("a password is not empty")
    return prepared


class _Kind(NamedTuple):
    """What is done with the verifiers of one kind; passwords are prepared."""

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
    # Not the hash of anything that is known: to make one would take as long as to check one.
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
