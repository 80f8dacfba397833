"""broker.login.attempts: a login of a front end has the steps of a login of PB."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from support.line_front_end import IGuest, Records, audited, heed, realm_of
from zope.interface import Interface, implementer

import broker
import cred
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.login.attempts import check_mechanism
from broker.login.portal_logins import PortalLogins
from cred import LoginDenied, LoginFailed, Portal, Token, UsernamePassword
from cred.checkers import ICredentialsChecker
from cred.interfaces import IBearerToken, IUsernamePassword
from cred.workers import QueueFull

SOURCE = ("192.0.2.1", 4000)


@implementer(ICredentialsChecker)
class Checker:
    """Notes the credentials; answers or raises."""

    credentialInterfaces = (IUsernamePassword, IBearerToken)

    def __init__(self, answer: Any = "alice"):
        self.answer = answer
        self.seen: list[Any] = []

    def requestAvatarId(self, credentials: Any) -> Any:
        """Answer."""
        self.seen.append(credentials)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def made(answer: Any = "alice", policy: Policy = STRICT) -> tuple[Checker, PortalLogins]:
    """The logins of a portal with one checker."""
    checker = Checker(answer)
    return checker, PortalLogins(Portal(realm_of(Records()), [checker]), policy=policy)


async def tried(logins: PortalLogins, credentials: Any, is_private: bool = True) -> Any:
    """Log in on a visit of its own; return the login, or the error."""
    async with logins.arrive(SOURCE, is_private=is_private) as visit:
        try:
            return await visit.login(credentials, None, IGuest, mechanism="web")
        except Exception as error:
            return error


@pytest.mark.parametrize(
    ("policy", "given", "seen"),
    [
        (STRICT, ("alice", "pw"), ("alice", b"pw")),
        (STRICT, (b"alice", b"pw"), ("alice", b"pw")),
        (PUBLISHED, ("alice", b"pw"), ("alice", b"pw")),
        (PUBLISHED, (b"alice", "pw"), (b"alice", "pw")),
    ],
)
async def test_types(policy: Policy, given: Any, seen: Any) -> None:
    """A checker gets a name and a password in the types of the policy, as from PB."""
    checker, logins = made(policy=policy)
    await tried(logins, UsernamePassword(*given))
    assert [(each.username, each.password) for each in checker.seen] == [seen]


@pytest.mark.parametrize(
    ("credentials", "text", "reason"),
    [
        (UsernamePassword("a" * 257, "pw"), "wrong user name or password", "no possible user name"),
        (UsernamePassword(b"\xff", "pw"), "wrong user name or password", "no possible user name"),
        (UsernamePassword(5, "pw"), "wrong user name or password", "no possible user name"),  # type: ignore[arg-type]
        (UsernamePassword("a", "p" * 1025), "wrong user name or password", "no possible password"),
        (UsernamePassword("a", None), "wrong user name or password", "no possible password"),  # type: ignore[arg-type]
    ],
)
async def test_malformed(
    credentials: Any, text: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Malformed credentials are wrong ones: no checker sees them, and they count."""
    heed(caplog)
    checker, logins = made(policy=STRICT)
    for _ in range(30):
        error = await tried(logins, credentials)
        if isinstance(error, broker.TooManyAttempts):
            break
        assert (type(error), str(error)) == (cred.UnauthorizedLogin, text)
    else:
        assert isinstance(await tried(logins, credentials), broker.TooManyAttempts)
    assert checker.seen == []
    assert audited(caplog)[0][3] == reason


@implementer(IUsernamePassword)
class Other:
    """Credentials of another package."""

    def __init__(self, username: str, password: str):
        self.username, self.password = username, password


class Pin:
    """Credentials without an interface of ours."""

    username = "alice"
    password = "1234"


@pytest.mark.parametrize(
    ("credentials", "kind"),
    [
        (UsernamePassword("alice", "pw"), "passwords"),
        (Other("alice", "pw"), "passwords"),
        (Pin(), "passwords"),
        (Token("t"), "tokens"),
    ],
)
async def test_secrets_on_an_open_connection(
    credentials: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A secret is refused where others can read it; this is not a guess, and no checker sees it."""
    heed(caplog)
    checker, logins = made()
    text = f"{kind} are taken inside TLS or on this machine only"
    for _ in range(40):
        error = await tried(logins, credentials, is_private=False)
        assert (type(error), str(error)) == (LoginFailed, text)
    assert checker.seen == []
    assert audited(caplog)[0] == ("refused", None, "web", text)


@pytest.mark.parametrize(
    ("answer", "kind", "counts", "line"),
    [
        (cred.UnauthorizedLogin("no"), cred.UnauthorizedLogin, True, ("refused", "no")),
        (LoginDenied("later"), LoginDenied, False, ("refused", "later")),
        (QueueFull("login queue full"), broker.ServerBusy, False, ("refused", "login queue full")),
        (OSError("/etc/x"), OSError, False, ("failed", "OSError")),
        (b"\xff", TypeError, False, ("failed", "TypeError")),
        (cred.Identity("a", (), 1.0), broker.LoginExpired, False, None),
    ],
)
async def test_refusals(
    answer: Any, kind: type[Exception], counts: bool, line: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Only wrong credentials count; the error of a checker is passed on, ServerBusy for a full
    queue. There is one line in the audit log, and a warning of what is an error of the application.
    """
    heed(caplog)
    _, logins = made(answer)
    error = await tried(logins, UsernamePassword("alice", "pw"))
    assert isinstance(error, kind)
    assert isinstance(error, LoginFailed) == (kind not in (OSError, TypeError, broker.LoginExpired))
    assert bool(logins.throttle._buckets["source"].expires_at) == counts
    line = line or ("refused", "token expired; log in again")
    assert audited(caplog) == [(line[0], "alice", "web", line[1])]
    found = [each for each in caplog.records if each.name == "broker.login"]
    assert [each.levelno for each in found] == [logging.WARNING] * (line[0] == "failed")
    assert not any("/etc/x" in each.getMessage() for each in found)


async def test_refusals_without_an_audit_log(caplog: pytest.LogCaptureFixture) -> None:
    """A refusal is a warning then."""
    caplog.set_level(logging.WARNING)
    _, logins = made(LoginDenied("later"))
    await tried(logins, UsernamePassword("alice", "pw"))
    assert [(each.levelname, each.name) for each in caplog.records] == [("WARNING", "broker.login")]


async def test_a_kind_that_nobody_takes() -> None:
    """Credentials that no checker takes are refused, and do not count."""
    _, logins = made()
    error = await tried(logins, cred.Anonymous())
    assert type(error) is cred.UnhandledCredentials


class Doors(Portal):
    """A portal with a login of its own."""

    def login(self, credentials: Any, mind: Any, *interfaces: Any) -> Any:
        """Refuse one user; else as usual."""
        if credentials.username == "mallory":
            raise LoginDenied("not you")
        if credentials.username == "direct":
            return (interfaces[0], object(), lambda: None)
        return super().login(credentials, mind, *interfaces)


async def test_a_portal_with_its_own_login(caplog: pytest.LogCaptureFixture) -> None:
    """A portal that overrides ``login`` is asked through it."""
    heed(caplog)
    logins = PortalLogins(Doors(realm_of(Records()), [Checker(cred.Identity("alice", ["staff"]))]))
    assert isinstance(await tried(logins, UsernamePassword("mallory", "pw")), LoginDenied)
    login = await tried(logins, UsernamePassword("alice", "pw"))
    assert (login.avatar_id, login.groups) == ("alice", {"staff"})
    direct = await tried(logins, UsernamePassword("direct", "pw"))
    assert (direct.avatar_id, direct.groups, direct.expires) == (None, frozenset(), None)
    assert [line[0] for line in audited(caplog)] == ["refused", "accepted", "accepted"]


async def test_a_cancelled_login_counts(caplog: pytest.LogCaptureFixture) -> None:
    """A peer that disconnects during a login is counted like others; an avatar that comes then is
    logged out.
    """
    heed(caplog)
    answers: list[asyncio.Future[Any]] = []

    @implementer(ICredentialsChecker)
    class Slow:
        credentialInterfaces = (IUsernamePassword,)

        async def requestAvatarId(self, credentials: Any) -> Any:
            answers.append(asyncio.get_running_loop().create_future())
            return await answers[-1]

    records = Records()
    logins = PortalLogins(Portal(realm_of(records), [Slow()]))
    for _ in range(2):
        task = asyncio.ensure_future(tried(logins, UsernamePassword("alice", "guess")))
        while len(answers) < 1 or answers[-1].done():
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if len(answers) == 1:
            answers[0].set_exception(cred.UnauthorizedLogin("no"))
        else:
            answers[1].set_result("alice")
        while len(audited(caplog)) < len(answers):
            await asyncio.sleep(0)
    while records.gone != ["lines alice"]:
        await asyncio.sleep(0)
    assert [line[0] for line in audited(caplog)] == ["refused", "accepted"]
    assert logins.visits == ()
    assert logins.throttle._buckets["source"].expires_at


class INothing(Interface):  # type: ignore[misc]
    """An interface that no realm knows."""


async def test_an_interface_of_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """An interface without avatars is an error of the program; none at all is refused at once."""
    heed(caplog)
    _, logins = made()
    async with logins.arrive(SOURCE, is_private=True) as visit:
        alice = UsernamePassword("alice", "pw")
        with pytest.raises(NotImplementedError, match=r"makes avatars for IPerspective, IGuest$"):
            await visit.login(alice, None, INothing, mechanism="web")
        with pytest.raises(broker.WrongType, match=r"^login takes interfaces"):
            await visit.login(alice, None, mechanism="web")
    assert audited(caplog) == [("failed", "alice", "web", "NotImplementedError")]


@pytest.mark.parametrize("name", ["i", "irc", "IRC-over-TLS/2", "x" * 32])
def test_names(name: str) -> None:
    """A mechanism is 1 to 32 characters of ASCII."""
    assert check_mechanism(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "x" * 33, "a b", "a\n", "\u00e9", "password", "Token", "SCRAM-SHA-256-PLUS", 5, None],
)
def test_names_that_are_refused(name: Any) -> None:
    """It is not a name of PB's, so that the audit log tells them apart."""
    with pytest.raises(broker.ConfigError):
        check_mechanism(name)
