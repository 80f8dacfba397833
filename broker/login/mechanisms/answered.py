"""Login methods want an answer: the avatar of a login without one is nobody's to drop."""

from __future__ import annotations

from broker.core.calls.dispatch import Route
from cred.error import LoginFailed

__all__ = ["answered_only"]


def answered_only(route: Route) -> Route:
    """Return a route that refuses calls which want no answer; the methods are this library's."""
    return route._replace(unanswered=_no_answer_wanted, is_ours=True)


def _no_answer_wanted() -> Exception:
    return LoginFailed("a login wants an answer: call without pbanswer=False")
