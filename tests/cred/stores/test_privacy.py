"""cred.stores.privacy: what file is its owner's alone."""

from __future__ import annotations

import os
import stat

import pytest

from broker.errors import ConfigError
from cred.stores.privacy import check_private


def status(mode: int, uid: int = 1000, kind: int = stat.S_IFREG) -> os.stat_result:
    """What a file of that mode, of that owner, would be."""
    return os.stat_result((kind | mode, 1, 1, 1, uid, 1000, 0, 0, 0, 0))


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_the_owners_alone(mode: int) -> None:
    """What only its owner can read is let pass."""
    check_private("users.db", status(mode), 1000)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            status(0o644),
            "users.db is readable by others (mode 0644); run: chmod 600 users.db",
        ),
        (
            status(0o640),
            "users.db is readable by others (mode 0640); run: chmod 600 users.db",
        ),
        (
            status(0o604),
            "users.db is readable by others (mode 0604); run: chmod 600 users.db",
        ),
        (
            status(0o620),
            "users.db is writable by others (mode 0620); run: chmod 600 users.db",
        ),
        (
            status(0o600, uid=1001),
            "users.db belongs to another user (uid 1001); run: chown 1000 users.db",
        ),
        (status(0o600, kind=stat.S_IFDIR), "users.db is not a regular file"),
        (status(0o600, kind=stat.S_IFIFO), "users.db is not a regular file"),
    ],
)
def test_what_is_refused(found: os.stat_result, text: str) -> None:
    """Each thing that is wrong has its text, with the command that puts it right."""
    with pytest.raises(ConfigError) as caught:
        check_private("users.db", found, 1000)
    assert str(caught.value) == text


def test_the_command_can_be_pasted() -> None:
    """A name with a space stands in quotes in the command."""
    with pytest.raises(ConfigError, match=r"; run: chmod 600 'my users\.db'$"):
        check_private("my users.db", status(0o644), 1000)
