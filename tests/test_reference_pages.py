"""The reference pages of errors, limits and policies: their tables are what the code says."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from support.memory import BrokerPair

import broker
import jelly
from broker import errors, traces
from broker.core.calls.once import OnceKey
from broker.core.objects.tables import ExportTable, Numbers, OpenCalls
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.core.wire.messages import RequestId
from broker.core.wire.terms import BASELINE
from broker.flavors.failures import MOST_TEXT_SHOWN
from broker.flavors.referenceable import Referenceable, Root
from broker.history import History
from broker.net import log_throttle
from broker.replies import KeptReplies, Replies
from cred import error as cred_error
from jelly.codec import Reader, Writer
from jelly.limits import Limits
from jelly.registry import defaults
from jelly.unjellier import Unjellier

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"


def rows(page: str) -> dict[str, list[str]]:
    """The rows of a page's tables whose first cell is a name in code, by that name."""
    found = {}
    for line in (REFERENCE / page).read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" |")]
        name = re.match(r"`([\w.]+)`", cells[0])
        if line.startswith("|") and name:
            assert name[1] not in found, name[1]
            found[name[1]] = cells
    return found


def code(cell: str) -> str:
    """The text that a cell has in code."""
    return cell.strip("`")


LIMITS = rows("limits.md")
ERRORS = rows("errors.md")
POLICY = rows("policy.md")
ERROR_CLASSES = {
    name: found
    for module in (errors, cred_error)
    for name in module.__all__
    if isinstance(found := getattr(module, name), type) and issubclass(found, Exception)
}


class Shop(Root):
    """What is called."""

    def remote_buy(self, what: str) -> str:
        """Sell."""
        return {"milk": "milk"}[what]


def read(data: bytes) -> Any:
    """Read bytes in banana, under the default limits."""
    reader = Reader(Limits(), {})
    reader.feed(data)
    return reader.read()


def called(name: str, *args: Any, **options: Any) -> Any:
    """Raise what a call of a Shop fails with."""
    failure = BrokerPair(Shop(), **options).call(name, *args)
    raise failure.value if isinstance(failure.value, Exception) else failure.as_exception()


def head(number: int, code: bytes) -> bytes:
    """A prefix and a type byte."""
    digits = b""
    while number:
        digits += bytes([number & 127])
        number >>= 7
    return digits + code


def nested_key(depth: int) -> Any:
    """A tuple whose parts are shared, 2 ** depth as a tree."""
    expression: Any = [b"reference", 1, [b"tuple", 1, 1]]
    for number in range(1, depth):
        again = [b"dereference", number]
        expression = [b"reference", number + 1, [b"tuple", expression, again]]
    return [b"set", expression]


def many_references() -> None:
    """Hand over more objects than may live at once."""
    table = ExportTable(Numbers(), STRICT.max_refs)
    for number in range(STRICT.max_refs + 1):
        table.add(Referenceable(), number)


def after_the_end() -> None:
    """Call on a connection that has ended."""
    pair = BrokerPair(Shop())
    pair.cut()
    pair.root.callRemote("buy", "milk")


def decimal(number: int, exponent: int) -> Any:
    """Read a Decimal."""
    return jelly.unjelly([b"decimal", number, exponent])


def lost_result() -> None:
    """Ask again for the result of a call whose client has said that it has it."""
    KeptReplies(Replies()).find(None, OnceKey("nonce", 1, 1), "buy", 0.0)


TOO_MUCH: dict[str, Callable[[], Any]] = {
    "max_prefix": lambda: read(b"\x01" * 65),
    "max_string": lambda: read(head(700_000, b"\x82")),
    "max_list": lambda: read(head(700_000, b"\x80")),
    "max_depth": lambda: read(b"\x01\x80" * 101),
    "max_expression": lambda: read(
        head(30, b"\x80") + (head(600_000, b"\x82") + bytes(600_000)) * 30
    ),
    "max_nodes": lambda: read(head(600_000, b"\x80") * 2),
    "max_expanded": lambda: Unjellier().unjellyFull(nested_key(20)),
    "max_key_nodes": lambda: jelly.unjelly(nested_key(14)),
    "max_decimal_digits": lambda: decimal(10**1000, 0),
    "max_decimal_exponent": lambda: decimal(1, 10_000),
    "max_refs": many_references,
}

RAISED: dict[str, Callable[[], Any]] = {
    "EncodeError": lambda: Writer(Limits(), {}).encode("text"),  # type: ignore[arg-type]
    "CannotJelly": lambda: jelly.jelly(object(), jelly.globalSecurity),
    "TooLarge": lambda: Writer(Limits(), {}).encode(bytes(700_000)),
    "MalformedJelly": lambda: jelly.unjelly([b"dereference", 77]),
    "InsecureJelly": lambda: jelly.unjelly([b"os.path"]),
    "ProtocolError": lambda: OpenCalls().take(RequestId(12345)),
    "BananaError": lambda: read(b"\x90"),
    "LimitExceeded": TOO_MUCH["max_depth"],
    "DeadReferenceError": after_the_end,
    "RemoteError": lambda: called("buy", "bread", policy=PUBLISHED),
    "NoSuchMethod": lambda: called("frobnicate"),
    "WrongArguments": lambda: called("buy"),
    "ConfigError": lambda: broker.serve(Shop(), "pb://0.0.0.0:8787"),
    "ResultLost": lost_result,
}


@pytest.mark.parametrize("name", [field.name for field in structs.fields(Limits)])
def test_limits_of_a_message(name: str) -> None:
    """Each size has its row, with the default."""
    assert code(LIMITS[name][1]) == str(getattr(Limits(), name))


def test_limits_of_a_login() -> None:
    """The row has each size that is smaller than that of other messages, with its value."""
    login = STRICT.login_limits
    smaller = [
        f"`{field.name}` {getattr(login, field.name)}"
        for field in structs.fields(Limits)
        if getattr(login, field.name) != getattr(STRICT.limits, field.name)
    ]
    assert sorted(LIMITS["login_limits"][1].split(", ")) == sorted(smaller)


def test_limits_of_a_connection() -> None:
    """Each number of a Policy, of Replies and of a History has its row; so has each size."""
    numbers = {
        field.name: f"{getattr(STRICT, field.name):g}"
        if isinstance(getattr(STRICT, field.name), float)
        else str(getattr(STRICT, field.name))
        for field in structs.fields(Policy)
        if type(getattr(STRICT, field.name)) in (int, float)
    }
    terms = {name: str(getattr(BASELINE, name)) for name in ("frame", "nodes")}
    sizes = {"login_limits", *(field.name for field in structs.fields(Limits))}
    assert {name: row[1] for name, row in LIMITS.items() if name not in sizes} == {
        **numbers,
        **terms,
        **{f"replies.{name}": str(value) for name, value in structs.asdict(Replies()).items()},
        **{f"History.{name}": str(value) for name, value in structs.asdict(History()).items()},
    }


@pytest.mark.parametrize("name", TOO_MUCH)
def test_texts_of_limits(name: str) -> None:
    """What goes beyond a limit is refused in the words of the page."""
    with pytest.raises(broker.BananaError) as caught:
        TOO_MUCH[name]()
    assert str(caught.value) == code(LIMITS[name][3])


def test_every_size_is_exceeded_above() -> None:
    """No size has been left out."""
    assert {field.name for field in structs.fields(Limits)} < set(TOO_MUCH)


def test_published_names_of_limits() -> None:
    """What the published names set is what the page says they are at first."""
    assert (defaults.prefix_limit, defaults.size_limit) == (64, 655360)
    assert "The published policy has 1024 for" in (REFERENCE / "limits.md").read_text("utf-8")
    assert PUBLISHED.max_refs == defaults.max_broker_refs == 1024


def test_every_error_has_its_row() -> None:
    """The tables have each error once, and no others."""
    assert set(ERRORS) == set(ERROR_CLASSES)


@pytest.mark.parametrize("name", ERRORS)
def test_bases_of_errors(name: str) -> None:
    """The second column has the bases of the class."""
    bases = [base.__name__ for base in ERROR_CLASSES[name].__bases__]
    assert [code(base) for base in ERRORS[name][1].split(", ")] == bases


@pytest.mark.parametrize("name", RAISED)
def test_texts_of_errors(name: str) -> None:
    """An error of that class has the text of the last column."""
    with pytest.raises(ERROR_CLASSES[name]) as caught:
        RAISED[name]()
    assert type(caught.value) is ERROR_CLASSES[name]
    assert str(caught.value) == code(ERRORS[name][3])


@pytest.mark.parametrize("name", ["ConnectionDone", "ConnectionLost", "ConnectError", "UserError"])
def test_texts_of_transports(name: str) -> None:
    """An error without a text of its own says what the page says."""
    assert str(ERROR_CLASSES[name]()) == code(ERRORS[name][3])


def test_the_differences_of_the_policies() -> None:
    """The table has each setting in which the two policies differ, with both values."""
    shown = {name: tuple(map(code, row[2:])) for name, row in POLICY.items() if len(row) == 4}
    found = {
        field.name: (getattr(STRICT, field.name), getattr(PUBLISHED, field.name))
        for field in structs.fields(Policy)
        if field.name != "limits" and getattr(STRICT, field.name) != getattr(PUBLISHED, field.name)
    }
    for limits in structs.fields(Limits):
        both = tuple(getattr(policy.limits, limits.name) for policy in (STRICT, PUBLISHED))
        if both[0] != both[1]:
            found[limits.name] = both
    assert found.pop("registry")[0] is defaults.declared
    assert found.pop("security")[1] is defaults.security
    assert shown.pop("registry") == ("register", "all")
    assert shown.pop("security") == ("plain", "globalSecurity")
    assert shown == {name: tuple(map(str, values)) for name, values in found.items()}


def test_what_the_policies_have_in_common() -> None:
    """Each other setting that is no number stands in the second table, with its value."""
    shown = {name: code(row[2]) for name, row in POLICY.items() if len(row) == 3}
    found = {
        field.name: str(getattr(STRICT, field.name))
        for field in structs.fields(Policy)
        if type(getattr(STRICT, field.name)) is bool
        and getattr(STRICT, field.name) == getattr(PUBLISHED, field.name)
    }
    assert shown == found


def test_decimals_are_the_largest() -> None:
    """What the limits of Decimals still allow comes in."""
    assert decimal(10**999, 0) == Decimal(10**999)


def test_sizes_and_rates_of_the_log() -> None:
    """The page on logging has the numbers of the code."""
    text = (REFERENCE / "logging.md").read_text("utf-8")
    numbers = {
        "a record without a traceback": log_throttle.LONGEST,
        "the message of a record with one": traces.MOST_MESSAGE,
        "a traceback": traces.MOST,
        "from one source": log_throttle.EACH,
        "from all sources |": log_throttle.MOST,
        "from all sources, text": log_throttle.MOST_BYTES,
        "from one connection that has logged in": log_throttle.OWN,
        "from one such connection, text": log_throttle.MOST_BYTES,
    }
    for what, number in numbers.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {what}")]
        assert re.findall(r"\| (\d+)[^|]*\|$", line) == [str(number)]
    assert f"the {traces.MOST_FRAMES} innermost frames" in " ".join(text.split())
    assert MOST_TEXT_SHOWN == 65536
