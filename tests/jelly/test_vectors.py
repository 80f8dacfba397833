"""jelly and banana against the golden vectors that were recorded from Twisted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from vectors import graphs, notation

import jelly
from jelly import banana, codec
from jelly.errors import BananaError, DecodeError, EncodeError, InsecureJelly
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

VOCABULARY = {"pb": PB_VOCABULARY, "none": NONE_VOCABULARY}


def cases(file: str, **having: str) -> list[Any]:
    """The vectors of a file that have these fields, as parameters of a test."""
    return [
        pytest.param(case, id="-".join(filter(None, (case["name"], case.get("dialect")))))
        for case in notation.load(file)
        if all(case.get(field) == value for field, value in having.items())
    ]


def writer(dialect: str) -> codec.Writer:
    """A writer of a dialect under the default limits."""
    return codec.Writer(Limits(), VOCABULARY[dialect])


def read_all(reader: codec.Reader) -> Iterator[Any]:
    """The expressions of a reader, one at a time, so that those before an error are seen."""
    while found := reader.read(1):
        yield found[0]


def assert_bytes(case: Any, data: bytes) -> None:
    """Compare with the bytes, or with their length, beginning and digest."""
    if "hex" in case:
        assert data.hex() == case["hex"]
        return
    assert (len(data), data[:32].hex()) == (case["length"], case["begins"])
    assert hashlib.sha256(data).hexdigest() == case["sha256"]


def as_lists(expression: Any) -> Any:
    """What a reader gives for what a writer took."""
    if isinstance(expression, list | tuple):
        return [as_lists(item) for item in expression]
    return int(expression) if isinstance(expression, bool) else expression


@pytest.mark.parametrize("case", cases("banana"))
def test_banana_writes_what_twisted_writes(case: Any) -> None:
    """Each expression has Twisted's bytes, and what Twisted refuses is refused."""
    expression = notation.from_json(case["expression"])
    if "error" in case:
        with pytest.raises(EncodeError):
            writer(case["dialect"]).encode(expression)
        return
    data = writer(case["dialect"]).encode(expression)
    assert_bytes(case, data)
    reader = codec.Reader(Limits(), VOCABULARY[case["dialect"]])
    reader.feed(data)
    (back,) = reader.read()
    assert repr(back) == repr(as_lists(expression))
    assert reader.is_between_expressions


@pytest.mark.parametrize("case", cases("banana", dialect="none"))
def test_published_encode_and_decode_speak_none(case: Any) -> None:
    """The functions of the module write and read the none dialect."""
    expression = notation.from_json(case["expression"])
    if "error" not in case:
        assert_bytes(case, banana.encode(expression))
        assert repr(banana.decode(banana.encode(expression))) == repr(as_lists(expression))


@pytest.mark.parametrize("case", cases("banana_decoder"))
def test_banana_reads_what_twisted_reads(case: Any) -> None:
    """Odd bytes give the expressions that Twisted takes from them, and errors where it has them."""
    reader = codec.Reader(Limits(), VOCABULARY[case["dialect"]])
    reader.feed(bytes.fromhex(case["hex"]))
    received = []
    if "error" in case:
        with pytest.raises(BananaError):
            received.extend(read_all(reader))
    else:
        received.extend(read_all(reader))
        assert reader.is_between_expressions is not case["waiting"]
    assert repr(received) == repr(notation.from_json(case["expressions"]))


CLASSES = graphs.make_classes(
    SimpleNamespace(
        Jellyable=jelly.Jellyable,
        Unjellyable=jelly.Unjellyable,
        Copyable=jelly.Jellyable,
        RemoteCopy=jelly.Unjellyable,
    )
)
NAMES = graphs.namespace(CLASSES)

CLEARER = {
    "module": [b"module", b"datetime"],
    "function": [b"function", b"graphs.greet"],
    "method": [
        b"method",
        b"method",
        [b"graphs.Plain", [b"dictionary", [[b"unicode", b"x"], 1]]],
        [b"class", b"graphs.Plain"],
    ],
}
"""Names that Twisted jellies as str, which its banana refuses; ours are bytes, which cross."""

REFUSED_HERE = {"instance_not_allowed", "instance_in_list_not_allowed"}
"""Twisted sends ``unpersistable`` instead; ours tells the caller."""

BYTES_HERE = {"object_of_a_builtin_type": b"x"}
"""Twisted sends ``unpersistable`` instead; ours sends the bytes of a bytearray."""

STRICTER_HERE = {"dereference_dangling", "dereference_before_reference", "datetime_short"}
"""No jellier says these; Twisted guesses, or hands out a placeholder of its own."""

WHOLE_HERE = {"instance_empty_card"}
"""An empty Copyable outside a connection: Twisted 26 sends no state, and cannot read it back."""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the classes of the vectors in, for one test."""
    defaults = jelly.registry.defaults
    monkeypatch.setattr(defaults, "published", jelly.registry.Registry(defaults.published))
    monkeypatch.setattr(defaults, "security", jelly.SecurityOptions())
    defaults.security.allowBasicTypes()
    for cls in (CLASSES.Point, CLASSES.Card, CLASSES.Node):
        jelly.setUnjellyableForClass(cls, cls)


def security(name: str) -> Any:
    """The security options that a vector names."""
    if name == "dummy":
        return jelly.DummySecurityOptions()
    options = jelly.SecurityOptions()
    if name != "nothing":
        options.allowBasicTypes()
    if name == "function":
        options.allowTypes("function")
    if name == "module":
        options.allowInstancesOf(graphs.Plain)
    return options


def persistence(case: Any, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keywords of jelly and unjelly for the vector that has a store."""
    if "persistent" not in case:
        return {}, {}

    def store(found: Any, _jellier: Any) -> bytes | None:
        return b"seven" if found.x == 7 else None

    def load(identity: bytes, _unjellier: Any) -> Any:
        return value[0] if identity == b"seven" else None

    return {"persistentStore": store}, {"persistentLoad": load}


@pytest.mark.parametrize("case", cases("jelly"))
def test_jelly_says_what_twisted_says(case: Any) -> None:
    """Each value has Twisted's expression and bytes, and comes back as the same graph."""
    value = eval(case["value"], NAMES)
    outward, inward = persistence(case, value)
    if case["name"] in REFUSED_HERE:
        with pytest.raises(EncodeError):
            jelly.jelly(value, security(case["security"]), **outward)
        return
    expression = jelly.jelly(value, security(case["security"]), **outward)
    if case["name"] in BYTES_HERE:
        assert expression == BYTES_HERE[case["name"]]
        return
    expected = CLEARER.get(case["name"], notation.from_json(case["expression"]))
    if case["name"] not in WHOLE_HERE:
        assert repr(expression) == repr(expected)
    if "hex" in case and case["name"] not in WHOLE_HERE:
        assert writer("pb").encode(expression).hex() == case["hex"]
    back = jelly.unjelly(expression, security(case["security"]), **inward)
    if "back" in case:
        assert repr(graphs.portrait(back)) == case["back"]
    else:
        assert graphs.portrait(back) == graphs.portrait(value)


@pytest.mark.parametrize("case", cases("jelly_errors", way="jelly"))
def test_jelly_refuses_what_twisted_refuses(case: Any) -> None:
    """A value that Twisted cannot send is an EncodeError here."""
    with pytest.raises(EncodeError):
        writer("pb").encode(jelly.jelly(eval(case["value"], NAMES), security(case["security"])))


@pytest.mark.parametrize("case", cases("jelly_errors", way="unjelly"))
def test_unjelly_of_odd_expressions(case: Any) -> None:
    """What Twisted refuses is a DecodeError here, InsecureJelly where it is that."""
    expression = notation.from_json(case["expression"])
    name = case["name"]
    if "back" in case and name not in STRICTER_HERE:
        back = jelly.unjelly(expression, security(case["security"]))
        if name == "unpersistable":
            assert repr(back) == "Unpersistable('Unpersistable data: no way')"
        elif name == "persistent_without_loader":
            assert isinstance(back, jelly.Unpersistable)
        else:
            assert repr(graphs.portrait(back)) == case["back"]
        return
    with pytest.raises(DecodeError) as caught:
        jelly.unjelly(expression, security(case["security"]))
    if "error" in case and case["error"]["type"] == "InsecureJelly":
        assert isinstance(caught.value, InsecureJelly)
