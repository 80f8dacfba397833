"""Logging in: what becomes of a refusal."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.policy import PUBLISHED
from broker.defer import Deferred, fail
from broker.flavors.failures import CopiedFailure
from broker.login import login
from cred.credentials import Anonymous, UsernamePassword
from cred.error import LoginFailed


def copied(kind: str) -> CopiedFailure:
    """Return a failure as it comes from a peer."""
    failure = CopiedFailure.__new__(CopiedFailure)
    failure.setCopyableState({"type": kind, "value": "", "parents": [kind], "traceback": ""})
    return failure


class RefusingBroker:
    """The client's side of a connection whose server refuses everything, as told."""

    policy = PUBLISHED

    def __init__(self, **answers: CopiedFailure) -> None:
        self.answers = answers

    def remoteForName(self, name: bytes) -> Any:
        """Return the root: itself."""
        return self

    def callRemote(self, name: str, *args: Any) -> Deferred[Any]:
        """Fail as told."""
        return fail(self.answers[name])


@pytest.mark.parametrize("credentials", [Anonymous(), UsernamePassword("alice", "sesame")])
def test_a_refusal_reaches_errbacks_as_it_came(credentials: Any) -> None:
    """What the realm raised can be trapped by its name, also where its class is not known."""
    no_method, refusal = copied("twisted.spread.flavors.NoSuchMethod"), copied("realm.Closed")
    broker: Any = RefusingBroker(mechanisms=no_method, login=refusal, loginAnonymous=refusal)
    seen: list[Any] = []
    login(broker, credentials).addErrback(seen.append)
    assert [refusal] == seen
    assert refusal.check("realm.Closed") == "realm.Closed"


@pytest.mark.parametrize("credentials", [Anonymous(), UsernamePassword("alice", "sesame")])
def test_a_server_without_login_says_so(credentials: Any) -> None:
    """A root that has no login methods is a LoginFailed, which says what to do."""
    no_method = copied("twisted.spread.flavors.NoSuchMethod")
    broker: Any = RefusingBroker(mechanisms=no_method, login=no_method, loginAnonymous=no_method)
    seen: list[Any] = []
    login(broker, credentials).addErrback(seen.append)
    (failure,) = seen
    assert LoginFailed is failure.type
    assert "without credentials" in failure.getErrorMessage()
