"""cred.strcred: checkers by string."""

from __future__ import annotations

import logging
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import twisted.cred.strcred
from zope.interface import implementer

from cred import factories, strcred
from cred.checkers import AllowAnonymousAccess
from cred.credentials import (
    IAnonymous,
    ICredentials,
    IUsernameHashedPassword,
    IUsernamePassword,
    UsernamePassword,
)
from cred.strcred import (
    ICheckerFactory,
    InvalidAuthArgumentString,
    InvalidAuthType,
    StrcredException,
    UnsupportedInterfaces,
    describe_scheme,
    describe_schemes,
    findCheckerFactories,
    findCheckerFactory,
    make_supported_checker,
    makeChecker,
    notSupportedWarning,
)

Outcome = Callable[[Any], Any]
KNOWN = ", ".join(strcred.BUILT_IN)
Install = Callable[[str, str, str], None]

PLUGIN = '''
class TicketFactory:
    """Declares nothing; has what is needed."""

    authType = "ticket"
    argStringFormat = "a number"
    authHelp = "Lets the holder of a ticket in."
    credentialInterfaces = ()

    def generateChecker(self, argstring):
        """Return what shows that this was called."""
        return "checker of " + argstring


ticket = TicketFactory()
other = TicketFactory()


class Nameless:
    authType = "nameless"


def broken():
    pass
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """A function that installs a package with one module and the entry points given."""

    def write(package: str, entry_points: str, source: str = PLUGIN) -> None:
        (tmp_path / f"{package}.py").write_text(source)
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[cred.checkers]\n{entry_points}\n")
        monkeypatch.delitem(sys.modules, package, raising=False)

    monkeypatch.syspath_prepend(str(tmp_path))
    return write


@pytest.mark.parametrize(
    "name",
    [
        "StrcredException",
        "InvalidAuthType",
        "InvalidAuthArgumentString",
        "UnsupportedInterfaces",
    ],
)
def test_errors_are_the_published_ones(name: str) -> None:
    """Each error is a StrcredException, as with Twisted, and those below it a ValueError too."""
    ours, theirs = getattr(strcred, name), getattr(twisted.cred.strcred, name)
    names = [cls.__name__ for cls in ours.__mro__ if cls is not ValueError]
    assert names == [cls.__name__ for cls in theirs.__mro__]
    assert issubclass(ours, ValueError) == (ours is not StrcredException)


def test_factory_interface_asks_what_the_published_one_asks() -> None:
    """ICheckerFactory has the names of Twisted's."""
    ours, theirs = set(ICheckerFactory.names()), set(twisted.cred.strcred.ICheckerFactory.names())
    assert ours == theirs == set(strcred.PARTS)


# The built-in schemes.


def test_memory_by_string(outcome: Outcome) -> None:
    """`memory:alice:secret` makes a checker that lets alice in with her password."""
    checker = makeChecker("memory:alice:secret")
    login = checker.requestAvatarId(UsernamePassword("alice", "secret"))
    assert outcome(login) == "alice"


def test_anonymous_by_string() -> None:
    """`anonymous`, with or without the colon, makes AllowAnonymousAccess."""
    for description in ("anonymous", "anonymous:"):
        assert type(makeChecker(description)) is AllowAnonymousAccess


def test_file_by_string(tmp_path: Path, outcome: Outcome) -> None:
    """`file:path` makes a checker of that file; the path may hold colons."""
    path = tmp_path / "users:of:today"
    path.write_text("alice:secret\n")
    login = makeChecker(f"file:{path}").requestAvatarId(UsernamePassword(b"alice", b"secret"))
    assert outcome(login) == b"alice"


@pytest.mark.parametrize(
    ("description", "scheme"),
    [
        ("unix", "unix"),
        ("unix:alice:secret", "unix"),
        ("", ""),
        (":alice", ""),
        ("Memory:alice:secret", "Memory"),
        (" memory:alice:secret", " memory"),
    ],
)
def test_unknown_scheme_is_told_what_is_known(description: str, scheme: str) -> None:
    """The error names the scheme that was asked for and those that there are, no argument."""
    with pytest.raises(InvalidAuthType) as caught:
        makeChecker(description)
    assert str(caught.value) == (f"there is no checker {scheme!r}; known are {KNOWN}")


def test_bad_argument_is_the_factory_s_error() -> None:
    """What the factory says of its argument reaches the caller."""
    with pytest.raises(InvalidAuthArgumentString, match=r"^memory: the last user has no password"):
        makeChecker("memory:alice")


def test_built_in_schemes_need_no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any installed metadata the built-in schemes are there, in their order."""
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: ())
    found = list(findCheckerFactories())
    assert [factory.authType for factory in found] == list(strcred.BUILT_IN)
    assert set(factories.__all__) <= {type(factory).__name__ for factory in found}
    assert findCheckerFactory("file").authType == "file"


def test_built_in_schemes_are_declared_for_other_tools() -> None:
    """The entry points of pyproject.toml are the built-in schemes, and each can be loaded."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    declared = tomllib.loads(text)["project"]["entry-points"][strcred.GROUP]
    assert declared == strcred.BUILT_IN
    for scheme, value in declared.items():
        assert EntryPoint(scheme, value, strcred.GROUP).load().authType == scheme


# The others.


@pytest.mark.parametrize("target", ["ticket", "TicketFactory"])
def test_entry_point_adds_a_scheme(target: str, install: Install) -> None:
    """An installed package adds a scheme by an entry point, for a factory or a class of it."""
    install("cred_plugin_one", f"ticket = cred_plugin_one:{target}")
    assert makeChecker("ticket:7:of:9") == "checker of 7:of:9"
    schemes = [factory.authType for factory in findCheckerFactories()]
    assert schemes == [*strcred.BUILT_IN, "ticket"]
    with pytest.raises(InvalidAuthType, match=rf"known are {KNOWN}, ticket$"):
        makeChecker("unknown")


def test_package_is_imported_only_when_asked_for(install: Install) -> None:
    """Making a checker of another scheme does not import the packages that add schemes."""
    install("cred_plugin_two", "ticket = cred_plugin_two:ticket")
    makeChecker("anonymous")
    with pytest.raises(InvalidAuthType):
        makeChecker("unknown")
    assert "cred_plugin_two" not in sys.modules
    makeChecker("ticket")
    assert "cred_plugin_two" in sys.modules


def test_built_in_scheme_cannot_be_replaced(install: Install) -> None:
    """An installed package that claims a built-in scheme does not get it."""
    install("cred_plugin_three", "anonymous = cred_plugin_three:ticket")
    assert type(makeChecker("anonymous")) is AllowAnonymousAccess
    assert len(list(findCheckerFactories())) == len(strcred.BUILT_IN)


def test_scheme_of_two_packages_is_refused(install: Install) -> None:
    """Where two packages declare a scheme, neither is taken: the search path decides nothing."""
    install("cred_plugin_a", "ticket = cred_plugin_a:ticket")
    install("cred_plugin_b", "ticket = cred_plugin_b:ticket")
    with pytest.raises(InvalidAuthType) as caught:
        makeChecker("ticket")
    assert str(caught.value) == (
        "the checker 'ticket' is declared more than once,"
        " for cred_plugin_a:ticket and for cred_plugin_b:ticket"
    )


def test_scheme_declared_twice_alike_is_one(install: Install) -> None:
    """A package that the search path has twice declares its scheme once."""
    install("cred_plugin_c", "ticket = cred_plugin_c:ticket")
    install("cred_plugin_d", "ticket = cred_plugin_c:ticket")
    assert makeChecker("ticket:1") == "checker of 1"


@pytest.mark.parametrize(
    ("entry_point", "text"),
    [
        (
            "gone = cred_plugin_nowhere:x",
            "cannot be loaded: ModuleNotFoundError: No module named 'cred_plugin_nowhere'",
        ),
        (
            "gone = cred_plugin_bad:x",
            "cannot be loaded: AttributeError: module 'cred_plugin_bad' has no attribute 'x'",
        ),
        (
            "gone = cred_plugin_bad:Nameless",
            "is not a factory: it lacks authHelp, argStringFormat, credentialInterfaces,"
            " generateChecker",
        ),
        (
            "gone = cred_plugin_bad:broken",
            "is not a factory: it lacks authType, authHelp, argStringFormat, credentialInterfaces,"
            " generateChecker",
        ),
        ("gone = cred_plugin_bad:ticket", "calls itself 'ticket'"),
    ],
)
def test_scheme_that_cannot_be_loaded(
    entry_point: str, text: str, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken entry point is an error where it is asked for, a warning where all are listed."""
    install("cred_plugin_bad", entry_point)
    with pytest.raises(InvalidAuthType) as caught:
        findCheckerFactory("gone")
    assert str(caught.value).startswith("the checker 'gone', cred_plugin_")
    assert str(caught.value).endswith(text)
    assert [factory.authType for factory in findCheckerFactories()] == list(strcred.BUILT_IN)
    assert [(record.name, record.levelno) for record in caplog.records] == [
        ("broker.cred", logging.WARNING)
    ]
    assert caplog.records[0].getMessage() == str(caught.value)


# What the application can use.


def test_supported_checker_is_made() -> None:
    """A checker that takes one of the application's kinds, or a more general one, is made."""
    kinds = [IAnonymous, IUsernameHashedPassword]
    for description in ("memory:alice:secret", "anonymous"):
        assert type(make_supported_checker(description, kinds)) is type(makeChecker(description))


def test_general_checker_is_supported(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checker for any credentials is of use to an application that has one kind of them."""

    @implementer(ICheckerFactory)
    class Anything(factories.AnonymousCheckerFactory):
        def generateChecker(self, argstring: str = "") -> Any:
            checker = AllowAnonymousAccess()
            checker.credentialInterfaces = (ICredentials,)
            return checker

    monkeypatch.setattr(factories, "AnonymousCheckerFactory", Anything)
    checker = make_supported_checker("anonymous", iter([IUsernamePassword]))
    assert checker.credentialInterfaces == (ICredentials,)


def test_unsupported_checker_is_told_what_is_needed() -> None:
    """The error names the kinds that the checker takes and those that the application has."""
    with pytest.raises(UnsupportedInterfaces) as caught:
        make_supported_checker("memory:alice:secret", iter([IAnonymous]))
    assert str(caught.value) == (
        "the checker 'memory' takes IUsernamePassword, IUsernameHashedPassword;"
        " this application needs one for IAnonymous"
    )
    with pytest.raises(UnsupportedInterfaces, match=r"needs one for none$"):
        make_supported_checker("anonymous", [])
    with pytest.raises(InvalidAuthType):
        make_supported_checker("unknown", [IAnonymous])


# Help.


def test_help_lists_the_schemes(install: Install) -> None:
    """Each scheme has a line with the form of its argument, in columns; others come last."""
    install("cred_plugin_e", "ticket = cred_plugin_e:ticket")
    listed = describe_schemes().splitlines()
    assert [line.split()[0] for line in listed] == [*strcred.BUILT_IN, "ticket"]
    assert listed[0] == "anonymous  no argument"
    assert listed[-1] == "ticket     a number"


def test_help_lists_what_the_application_can_use() -> None:
    """Given the application's kinds, only schemes for one of them are listed."""
    assert describe_schemes(iter([IAnonymous])) == "anonymous  no argument"
    listed = describe_schemes([IUsernameHashedPassword]).splitlines()
    assert [line.split()[0] for line in listed] == ["file", "memory"]
    assert describe_schemes([]) == ""


@pytest.mark.parametrize("scheme", strcred.BUILT_IN)
def test_help_of_one_scheme(scheme: str) -> None:
    """The help of a scheme has the form of its argument, then all of its own help."""
    factory = findCheckerFactory(scheme)
    expected = f"{scheme}: {factory.argStringFormat}\n\n{factory.authHelp}"
    assert describe_scheme(scheme) == expected
    assert describe_scheme(scheme, factory.credentialInterfaces) == expected
    assert describe_scheme(scheme, []) == f"{expected}\n\n{notSupportedWarning}"


def test_help_of_an_unknown_scheme() -> None:
    """There is no help for a scheme that does not exist, but a list of those that do."""
    with pytest.raises(InvalidAuthType, match=rf"known are {KNOWN}$"):
        describe_scheme("unknown")
