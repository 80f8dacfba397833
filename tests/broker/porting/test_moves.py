"""Imports: how statements are rewritten, and that the rest of a file stays unchanged."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from broker.porting.findings import Finding, Kind
from broker.porting.moves import Moves, apply
from broker.porting.names import Names
from broker.porting.sources import Source


def look(text: str, *, keep_reactor: bool = False, **hidden: str) -> tuple[str, list[Finding]]:
    """Move the imports of a text; return the new one, and the findings."""
    source = Source(Path("app.py"), text)
    files = {name: Path(file) for name, file in hidden.items()}
    moves = Moves(source, Names(source.tree), keep_reactor, files)
    return apply(text, moves.edits), moves.findings


def moved(text: str, **options: bool) -> str:
    """Move the imports of a text; the result is Python, and nothing more moves in it."""
    new, _ = look(text, **options)
    ast.parse(new)
    again, findings = look(new, **options)
    assert again == new
    assert Kind.MOVES not in [finding.kind for finding in findings]
    return new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # Whole modules
        ("from twisted.spread import pb", "from broker import pb"),
        ("from twisted.spread import flavors", "from broker import pb as flavors"),
        ("from twisted.spread import flavors as pb", "from broker import pb"),
        ("from twisted.spread import pb as perspective", "from broker import pb as perspective"),
        ("from twisted.spread import jelly", "import jelly"),
        ("from twisted.spread import jelly as j", "import jelly as j"),
        ("from twisted.spread import banana", "from jelly import banana"),
        ("from twisted.spread import pb, jelly", "from broker import pb\nimport jelly"),
        ("from twisted.internet import reactor, defer", "from broker import reactor, defer"),
        ("from twisted.cred import portal, checkers", "from cred import portal, checkers"),
        (
            "from twisted.internet import reactor, protocol",
            "from broker import reactor\nfrom broker.reactor import protocol",
        ),
        (
            "from twisted.application import internet, service",
            "from broker.reactor import service as internet, service",
        ),
        (
            "from twisted.python import log, failure",
            "from broker.reactor import log\nfrom broker import failure",
        ),
        # Names of modules
        (
            "from twisted.spread.pb import Root as R, Avatar",
            "from broker.pb import Root as R, Avatar",
        ),
        ("from twisted.spread.jelly import jelly", "from jelly import jelly"),
        ("from twisted.internet.defer import Deferred", "from broker.defer import Deferred"),
        ("from twisted.spread.pb import *", "from broker.pb import *"),
        # Imports of modules by their dotted names
        ("import twisted.spread.pb as pb", "import broker.pb as pb"),
        ("import twisted.spread.jelly as jelly", "import jelly"),
        ("import os, twisted.cred.portal as p, sys", "import os, cred.portal as p, sys"),
        (
            "import twisted.spread.pb\n\nclass A(twisted.spread.pb.Root): pass",
            "from broker import pb\n\nclass A(pb.Root): pass",
        ),
        (
            "import os, twisted.spread.pb, sys\ntwisted . spread.pb . Root",
            "import os, sys\nfrom broker import pb\npb . Root",
        ),
        (
            "import twisted.internet.reactor\ntwisted.internet.reactor.run()",
            "from broker import reactor\nreactor.run()",
        ),
        (
            "import twisted.spread.pb, twisted.spread.flavors\n"
            "twisted.spread.pb.Root, twisted.spread.flavors.Root",
            "from broker import pb\npb.Root, pb.Root",
        ),
        # Names that stay, beside names that move
        (
            "from twisted.internet import reactor, utils",
            "from broker import reactor\nfrom twisted.internet import utils",
        ),
        (
            "from twisted.python import usage, log, util",
            "from twisted.python import usage, util\nfrom broker.reactor import log",
        ),
        (
            "from twisted.internet.error import ConnectionLost, ConnectInProgressError",
            "from broker.reactor.error import ConnectionLost\n"
            "from twisted.internet.error import ConnectInProgressError",
        ),
        # What stays as it is
        ("from twisted.python import usage", "from twisted.python import usage"),
        ("from .twisted.spread import pb", "from .twisted.spread import pb"),
        ("from . import pb", "from . import pb"),
        ("import twisted", "import twisted"),
        ("from twistedcaldav import pb", "from twistedcaldav import pb"),
        ("import os", "import os"),
    ],
)
def test_statements(old: str, new: str) -> None:
    """Each statement imports the same names, from here, at any position."""
    assert moved(old) == new
    assert moved(f"{old}\n") == f"{new}\n"
    assert moved(f"# before\n{old}\n# after") == f"# before\n{new}\n# after"


def test_the_shape_stays() -> None:
    """If all names come from one module, only that is replaced: lines and comments stay."""
    old = (
        "from twisted.spread.pb import (  # noqa: F401\n"
        "    Root,   # what is asked for\n"
        "        Avatar,\n"
        "\n"
        "    # one more\n"
        "    Copyable\n"
        ")  # the end\n"
        "from  twisted.internet  import  reactor , \\\n"
        "    defer\n"
    )
    new = old.replace("twisted.spread.pb", "broker.pb").replace("twisted.internet", "broker")
    assert moved(old) == new


def test_comments_go_with_their_names() -> None:
    """A statement that is split keeps the comments inside it, each at its name."""
    old = (
        "from twisted.internet import (  # what runs\n"
        "    reactor,\n"
        "    utils,  # processes\n"
        "    # promises\n"
        "    defer,\n"
        ")  # noqa\n"
    )
    assert moved(old) == (
        "from broker import (\n"
        "    reactor,  # what runs\n"
        "    defer,  # promises\n"
        ")\n"
        "from twisted.internet import (\n"
        "    utils,  # processes\n"
        ")  # noqa\n"
    )


def test_long_lines() -> None:
    """A new statement that is too long for a line is written in several."""
    names = [f"reactor as a_rather_long_name_{number}" for number in range(4)]
    new = moved(f"from twisted.internet import utils, {', '.join(names)}\n")
    assert new.splitlines()[1] == "from broker import ("
    assert max(map(len, new.splitlines())) <= 88


def test_the_place_of_a_statement() -> None:
    """Indentation, tabs, other statements on the line and ends of lines stay what they are."""
    old = "if x:\n\tfrom twisted.internet import reactor, utils\n"
    assert moved(old) == (
        "if x:\n\tfrom broker import reactor\n\tfrom twisted.internet import utils\n"
    )
    old = "import os; from twisted.internet import reactor, utils; y = 1\n"
    assert moved(old) == (
        "import os; from broker import reactor; from twisted.internet import utils; y = 1\n"
    )
    old = "if x: from twisted.internet import reactor, utils\n"
    assert moved(old) == ("if x: from broker import reactor; from twisted.internet import utils\n")
    old = "x = 1\r\nfrom twisted.internet import reactor, utils\r\ny = '\\n'\r\n"
    assert moved(old) == (
        "x = 1\r\nfrom broker import reactor\r\nfrom twisted.internet import utils\r\ny = '\\n'\r\n"
    )


def test_inside_other_statements() -> None:
    """Imports in functions, in try and under TYPE_CHECKING move as well."""
    old = (
        "try:\n    from twisted.spread import pb\nexcept ImportError:\n    pb = None\n"
        "if TYPE_CHECKING:\n    from twisted.internet.defer import Deferred\n"
        "def f():\n    from twisted.cred import portal\n    return portal\n"
    )
    assert moved(old) == (
        "try:\n    from broker import pb\nexcept ImportError:\n    pb = None\n"
        "if TYPE_CHECKING:\n    from broker.defer import Deferred\n"
        "def f():\n    from cred import portal\n    return portal\n"
    )


def test_letters_before_a_name() -> None:
    """Letters of several bytes, before an import or a use, do not shift the edit."""
    old = "é = 'ü𝄞'; import twisted.spread.pb; x = 'ä', twisted.spread.pb.Root\n"
    assert moved(old) == "é = 'ü𝄞'; from broker import pb; x = 'ä', pb.Root\n"


def test_a_name_that_is_taken() -> None:
    """A dotted import gets another name if the program has its own pb, or broker."""
    old = "import twisted.spread.pb\npb = broker = 1\nx = twisted.spread.pb.Root\n"
    assert moved(old) == (
        "from broker import pb as broker_pb\npb = broker = 1\nx = broker_pb.Root\n"
    )
    old = "import twisted.spread.pb\ndef f(pb, broker_pb): return twisted.spread.pb.Root\n"
    assert "pb as broker_pb_\n" in moved(old)
    both = "import twisted.spread.pb\nfrom twisted.spread import pb\nx = twisted.spread.pb.Root\n"
    assert moved(both) == "from broker import pb\nfrom broker import pb\nx = pb.Root\n"


@pytest.mark.parametrize(
    "text",
    [
        # The package was a side effect of the import.
        "import twisted.spread.pb\nx = twisted.spread.pb.Root, twisted.version\n",
        "import twisted.spread.pb\nx = twisted.spread.flavors.Root\n",
        # A name of other code.
        "import twisted.spread.pb\ndef f(twisted): return twisted.spread.pb.Root\n",
        # It is not visible there.
        "def f():\n    import twisted.spread.pb\ndef g(): return twisted.spread.pb.Root\n",
        "class A:\n    import twisted.spread.pb\n    def f(self): return twisted.spread.pb.Root\n",
        "import twisted.spread.pb\ntwisted.spread.pb = None\n",
        "import twisted.spread.pb\ndel twisted\n",
    ],
)
def test_dotted_uses_that_cannot_move(text: str) -> None:
    """If one use of ``twisted`` would lose its import, all stay, and this is reported."""
    new, findings = look(text)
    assert new == text
    assert {finding.kind for finding in findings} == {Kind.LOOK}


def test_uses_in_a_function() -> None:
    """A dotted use moves with the import of its own function, or of the module."""
    old = "def f():\n    import twisted.spread.pb\n    return lambda: twisted.spread.pb.Root\n"
    assert moved(old) == "def f():\n    from broker import pb\n    return lambda: pb.Root\n"
    old = "class A:\n    import twisted.spread.pb\n    x = twisted.spread.pb.Root\n"
    assert moved(old) == "class A:\n    from broker import pb\n    x = pb.Root\n"


def test_in_an_f_string() -> None:
    """A use in an f-string moves if its position is known; otherwise none moves."""
    text = "import twisted.spread.pb\nprint(f'{twisted.spread.pb.portno}')\n"
    new, findings = look(text)
    there = [finding.kind for finding in findings]
    assert (new == text and there == [Kind.LOOK, Kind.LOOK]) or (
        new == "from broker import pb\nprint(f'{pb.portno}')\n" and there == [Kind.MOVES]
    )


def test_on_twisted_s_reactor() -> None:
    """With --keep-reactor, Perspective Broker, cred, Deferred and Failure still move."""
    old = (
        "from twisted.internet import reactor, defer, utils\n"
        "from twisted.spread import pb\nfrom twisted.python import log, failure\n"
        "from twisted.cred.portal import Portal\nfrom twisted.internet.task import LoopingCall\n"
    )
    assert moved(old, keep_reactor=True) == (
        "from twisted.internet import reactor, utils\nfrom broker import defer\n"
        "from broker import pb\nfrom twisted.python import log\nfrom broker import failure\n"
        "from cred.portal import Portal\nfrom twisted.internet.task import LoopingCall\n"
    )
    _, findings = look(old, keep_reactor=True)
    assert {finding.kind for finding in findings} == {Kind.MOVES, Kind.STAYS}


def test_a_module_that_hides_ours() -> None:
    """An import does not move to a package that a module of the program hides."""
    text = "from twisted.cred import portal\nfrom twisted.spread import pb\n"
    new, findings = look(text, cred="/app/cred.py")
    assert new == "from twisted.cred import portal\nfrom broker import pb\n"
    assert findings[0].kind is Kind.LOOK
    assert "cred.py of this program hides our package" in findings[0].text


def test_comments_without_a_place() -> None:
    """A statement that shares its line and has comments inside is reported for manual work."""
    text = "from twisted.internet import (reactor,  # one\n    utils); x = 1\n"
    new, findings = look(text)
    assert new == text
    assert Kind.LOOK in [finding.kind for finding in findings]


def test_the_report() -> None:
    """Each import is reported by its line: what moves where, stays or is absent, and why."""
    _, findings = look(
        "import os\n"
        "from twisted.internet import (\n"
        "    reactor,\n"
        "    utils,\n"
        ")\n"
        "from twisted.internet.defer import Deferred as D, DeferredFilesystemLock\n"
        "from twisted.python import usage\n"
        "import twisted.spread.jelly as j\n"
        "from twisted.spread import *\n"
        "from twisted.spread.ui import x\n"
        "from twisted.spread.pb import *\n"
    )
    told = [(finding.line, finding.kind, finding.text) for finding in findings]
    assert all(finding.path == "app.py" for finding in findings)
    runs = "runs on Twisted's reactor: replace it, or keep that reactor (--keep-reactor)"
    instead = "reactor.spawnProcess, or asyncio.create_subprocess_exec."
    lock = "A lock between processes; take one of the operating system's."
    assert told == [
        (
            4,
            Kind.LOOK,
            f"from twisted.internet import utils: {runs}; here: {instead}",
        ),
        (2, Kind.MOVES, "from twisted.internet import reactor -> from broker import reactor"),
        (
            6,
            Kind.ABSENT,
            f"from twisted.internet.defer import DeferredFilesystemLock: {lock}",
        ),
        (
            6,
            Kind.MOVES,
            "from twisted.internet.defer import Deferred as D"
            " -> from broker.defer import Deferred as D",
        ),
        (
            7,
            Kind.STAYS,
            "from twisted.python import usage: does not use a reactor or Deferred",
        ),
        (8, Kind.MOVES, "import twisted.spread.jelly as j -> import jelly as j"),
        (
            9,
            Kind.ABSENT,
            "from twisted.spread import *: not provided here, see Coming from Twisted",
        ),
        (
            10,
            Kind.ABSENT,
            "from twisted.spread.ui import x: not provided here, see Coming from Twisted",
        ),
        (11, Kind.MOVES, "from twisted.spread.pb import * -> from broker.pb import *"),
        (
            11,
            Kind.LOOK,
            "from twisted.spread.pb import *: brings the names that broker.pb lists; check"
            " that it has the used names",
        ),
    ]
