"""Names of code: nothing is imported or made unless security names the module and the class."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

import jelly
from jelly import code
from jelly.errors import InsecureJelly, MalformedJelly
from jelly.security import SecurityOptions
from jelly.unjellier import Unjellier

MODULE = __name__.encode()


class Known:
    """A class that the tests allow."""

    data = 5

    def method(self) -> str:
        """Tell that it was called."""
        return "called"


class Stateful:
    """A class with a __setstate__ of its own."""

    def __setstate__(self, state: Any) -> None:
        self.seen = state


class Other:
    """A class that nobody allows."""


def function() -> None:
    """Do nothing."""


def options() -> SecurityOptions:
    """Security that allows Known and Stateful, and functions and methods by name."""
    security = SecurityOptions()
    security.allowInstancesOf(Known, Stateful)
    security.allowTypes("function", "method")
    return security


def read(tag: bytes, *fields: Any, security: Any = None) -> Any:
    """Unjelly one expression."""
    return Unjellier(security or options()).unjellyFull([tag, *fields])


def test_every_tag_has_a_reader() -> None:
    """The tags of code are these five."""
    assert set(code.READERS) == {b"class", b"module", b"function", b"method", b"instance"}


def test_what_has_a_writer() -> None:
    """Classes of any metaclass, modules, functions and methods are code; an instance is not."""
    for value in (Known, type("Meta", (type,), {})("Special", (), {}), sys, read, Known().method):
        assert code.writer_of(type(value)) is not None
    for value in (Known(), 5, len):
        assert code.writer_of(type(value)) is None


def test_what_is_allowed() -> None:
    """Class, module, function, method and instance are found by their names."""
    assert read(b"class", MODULE + b".Known") is Known
    assert read(b"module", MODULE).Known is Known
    assert read(b"function", MODULE + b".function") is function
    kind = [b"class", MODULE + b".Known"]
    instance = [b"instance", kind, [b"dictionary", [[b"unicode", b"a"], 1]]]
    made = read(*instance)
    assert (type(made), made.a) == (Known, 1)
    bound = read(b"method", b"method", instance, kind)
    assert bound() == "called"
    assert read(b"method", b"method", [b"None"], kind) is Known.method
    kept = read(b"instance", [b"class", MODULE + b".Stateful"], [b"list", 1])
    assert kept.seen == [1]


def test_a_dotted_tag() -> None:
    """A tag that is the name of an allowed class makes an ordinary instance."""
    state = [b"dictionary", [[b"unicode", b"a"], [b"list"]]]
    assert read(MODULE + b".Known", state).a == []
    assert read(MODULE + b".Stateful", 5).seen == 5
    assert vars(read(MODULE + b".Known", [b"None"])) == {}
    with pytest.raises(MalformedJelly, match="state of Known is not a dictionary"):
        read(MODULE + b".Known", 5)


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        (b"class", b"os.path"),
        (b"class", b"os"),
        (b"class", b"xml.dom.minidom.Document"),
        (b"module", b"xml.dom.minidom"),
        (b"function", b"os.system"),
        (b"xml.dom.minidom.Document", b""),
        (b"os.path", b""),
    ],
)
def test_what_is_not_allowed(tag: bytes, name: bytes) -> None:
    """Nothing of a module that is not listed is found, nor is the module imported."""
    sys.modules.pop("xml.dom.minidom", None)
    before = set(sys.modules)
    with pytest.raises(InsecureJelly):
        read(tag, name)
    with pytest.raises(InsecureJelly):
        jelly.unjelly([tag, name])
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    ("tag", "name", "text"),
    [
        (b"class", b".Other", "is not registered"),
        (b"class", b".Missing", "does not exist"),
        (b"class", b".function", "is not a class"),
        (b"class", b".Known.data", "is not registered"),
        (b"function", b".Known", "is not a function"),
        (b"function", b".MODULE", "is not a function"),
    ],
)
def test_other_names_of_an_allowed_module(tag: bytes, name: bytes, text: str) -> None:
    """An allowed module gives out its allowed classes, and its functions, as what they are."""
    with pytest.raises(InsecureJelly, match=text):
        read(tag, MODULE + name)


def test_an_instance_of_another_class() -> None:
    """A class that is no allowed one makes no instances, whatever its expression is."""
    for kind in ([b"list"], [b"class", MODULE + b".Other"], 5):
        with pytest.raises(InsecureJelly):
            read(b"instance", kind, [b"dictionary"])


@pytest.mark.parametrize(
    "expression",
    [
        [b"class"],
        [b"class", 5],
        [b"class", b"\xff"],
        [b"module"],
        [b"function", [b"list"]],
        [b"method"],
        [b"method", b"method", [b"None"]],
        [b"method", b"method", 5, [b"class", MODULE + b".Known"]],
        [b"method", b"method", [b"None"], 5],
        [b"instance"],
        [b"instance", [b"class", MODULE + b".Known"]],
    ],
)
def test_malformed(expression: list[Any]) -> None:
    """Wrong fields are MalformedJelly."""
    with pytest.raises(MalformedJelly):
        read(*expression)


def test_a_method_that_is_none() -> None:
    """Only functions that the class itself defines are its methods."""
    kind = [b"class", MODULE + b".Known"]
    for name in (b"data", b"__class__", b"missing", b"__init__"):
        with pytest.raises(InsecureJelly, match="is not defined by Known"):
            read(b"method", name, [b"None"], kind)


def test_a_module_that_fails_to_import() -> None:
    """A listed module that is not there is refused, in words that name it."""
    security = options()
    security.allowModules("no_such_module")
    with pytest.raises(InsecureJelly, match="'no_such_module' cannot be imported"):
        read(b"module", b"no_such_module", security=security)
    assert isinstance(read(b"module", MODULE), types.ModuleType)
