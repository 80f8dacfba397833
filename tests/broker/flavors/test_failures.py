"""What a peer gets to see of an exception of ours."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.policy import PUBLISHED, STRICT
from broker.errors import Error, NoSuchMethod, WrongArguments
from broker.flavors.failures import shown_error

BUILTINS = ["builtins.Exception", "builtins.BaseException", "builtins.object"]


class Refused(Error):
    """An error of the application that no registry knows."""


class RefusedToday(Refused):
    """One more of them, on a base that no registry knows either."""


def shown(error: Exception, policy: Any = STRICT) -> dict[str, Any]:
    """Return the state that is sent of an exception."""
    failure, _ = shown_error(error, policy)
    state: dict[str, Any] = failure.getStateToCopy()
    return state


@pytest.mark.parametrize(
    ("error", "parents"),
    [
        (
            WrongArguments("two"),
            ["broker.errors.WrongArguments", "builtins.TypeError", *BUILTINS],
        ),
        (
            NoSuchMethod("none"),
            ["twisted.spread.flavors.NoSuchMethod", "builtins.AttributeError", *BUILTINS],
        ),
        (
            Refused("no"),
            [f"{__name__}.Refused", "twisted.spread.pb.Error", *BUILTINS],
        ),
    ],
    ids=["wrong arguments", "no such method", "unregistered pb.Error"],
)
def test_builtin_bases_are_shown(error: Exception, parents: list[str]) -> None:
    """Under the strict policy a peer can trap an error by its builtin base too."""
    state = shown(error)
    assert (parents, parents[0].encode(), str(error)) == (
        state["parents"],
        state["type"],
        state["value"],
    )


def test_bases_that_are_not_registered_are_not_shown() -> None:
    """Of a registered error, a base that is neither registered nor a builtin stays at home."""
    parents = [f"{__name__}.RefusedToday", "twisted.spread.pb.Error", *BUILTINS]
    assert parents == shown(RefusedToday("no"))["parents"]


def test_a_hidden_error_is_a_remote_error() -> None:
    """Of an exception that is not registered a peer sees a RemoteError, which is an Exception."""
    state = shown(ZeroDivisionError("secret"))
    assert ["twisted.spread.pb.RemoteError", *BUILTINS] == state["parents"]
    assert state["type"] == b"twisted.spread.pb.RemoteError"
    assert "secret" not in str(state)


def test_the_published_policy_shows_all_bases() -> None:
    """The published policy shows every exception as it is."""
    state = shown(ZeroDivisionError("by zero"), PUBLISHED)
    assert ["builtins.ZeroDivisionError", "builtins.ArithmeticError", *BUILTINS] == state["parents"]
    assert state["value"] == "by zero"
