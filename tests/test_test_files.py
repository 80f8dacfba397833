"""The tests themselves: each can fail, each is an async def if it is async, and none is long."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

TESTS = Path(__file__).parent
HELPERS = TESTS / "helpers"
LONGEST = 500

LOOPS_OF_THEIR_OWN = {
    "broker/topics/engines/test_memory.py": "each example of Hypothesis has a loop",
    "broker/topics/test_mailbox.py": "each example of Hypothesis has a loop",
    "broker/connection/test_broker_ends.py": "a reference that outlives its loop",
    "broker/connection/test_direct_wake.py": "an interrupt that ends the loop, which goes on",
    "broker/flavors/test_posted.py": "a call that is awaited in another loop than its own",
    "broker/net/test_forks.py": "the loop of a child after a fork",
    "broker/reactor/adbapi/test_ending.py": "pools that end with their loop",
    "broker/reactor/engine/test_mainloop_as_guest.py": "a reactor before and after loops",
    "broker/reactor/engine/test_system_events.py": "a reactor whose events are set before a loop",
    "broker/reactor/engine/test_waiting_threads.py": "threads that wait for a loop that ends",
    "broker/test_loops.py": "connections of a loop that has ended, or that stands still",
    "broker/testing/test_clock.py": "a clock with a loop of its own, and one without",
    "broker/testing/test_connected_pair.py": "a pair in the simulated loop",
    "broker/testing/test_loop.py": "the simulated loop itself",
    "broker/testing/test_network.py": "the network in the simulated loop",
    "cred/test_workers.py": "work whose loop has ended",
}
"""Files that run loops themselves, with what they test about these."""

FAILS_BY_ITSELF = {
    "test_any_bytes": "an error other than ours",
    "test_any_bytes_raise_only_our_errors": "an error other than ours",
    "test_any_expression_raises_only_our_errors": "an error other than ours",
    "test_closing_twice": "an error of the second close",
    "test_depth_in_expressions_raises_no_recursion_error": "a RecursionError",
    "test_exchange": "the helper that makes the exchange, and a refusal",
    "test_a_password_is_prepared": "a refusal",
    "test_instances_that_hold_themselves": "a refusal, or the limit of time",
    "test_mutated_bytes_raise_only_our_errors": "an error other than ours",
    "test_mutated_frames": "an error other than ours",
    "test_only_our_errors": "an error other than ours",
    "test_plain_keys_are_taken": "a refusal",
    "test_right_answer_is_accepted": "a refusal",
    "test_the_owners_alone": "a refusal",
}
"""Tests without an assertion: what fails them."""

PATH_CHANGES = ("sys.path.append(", "sys.path.insert(", "sys.path[:0] =", "sys.path.extend(")

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def source_files(pattern: str = "*.py") -> list[Path]:
    """The files of the tests and of their helpers."""
    return sorted(path for path in TESTS.rglob(pattern) if "__pycache__" not in path.parts)


def parsed() -> Iterator[tuple[str, ast.Module]]:
    """The test files, each by its path in tests/."""
    for path in source_files("test_*.py"):
        yield path.relative_to(TESTS).as_posix(), ast.parse(path.read_text("utf-8"))


def cases_of(tree: ast.Module) -> list[Function]:
    """The tests of a file."""
    found = [node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]
    return [node for node in found if node.name.startswith("test_")]


def runs_of_a_loop(test: Function) -> list[str]:
    """The inner functions of a test that it runs in a loop."""
    inner = {node.name for node in ast.walk(test) if isinstance(node, ast.AsyncFunctionDef)}
    ways = {"run", "runner", "runner.run", "asyncio.run", "uvloop.run", "loop.run_until_complete"}
    found: list[str] = []
    for call in ast.walk(test):
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ways and call.args:
            ran = {node.id for node in ast.walk(call.args[0]) if isinstance(node, ast.Name)}
            found += ran & inner
    return found


def conditions(test: ast.expr) -> Iterator[ast.expr]:
    """An assertion's test, and the parts of it that are tests of their own."""
    yield test
    parts = test.values if isinstance(test, ast.BoolOp) else []
    parts = [test.operand] if isinstance(test, ast.UnaryOp) else parts
    for part in parts:
        yield from conditions(part)


def is_constant(node: ast.expr) -> bool:
    """Tell whether a condition is always true or always false."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        pairs = list(zip(sides, node.ops, sides[1:], strict=False))
        return any(holds(*pair) for pair in pairs)
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
        return isinstance(node.args[0], ast.Constant)
    literals = (ast.Constant, ast.Lambda, ast.JoinedStr, ast.GeneratorExp)
    collections = (ast.Tuple, ast.List, ast.Set, ast.Dict)
    return isinstance(node, (*literals, *collections))


def holds(left: ast.expr, op: ast.cmpop, right: ast.expr) -> bool:
    """Tell whether a comparison is true because one side is a part of the other."""
    if isinstance(op, ast.In):
        return isinstance(right, (ast.Tuple, ast.List, ast.Set)) and is_one_of(left, right.elts)
    if ast.unparse(left.func if isinstance(left, ast.Call) else left) == "len":
        return isinstance(op, ast.GtE) and ast.unparse(right) == "0"
    if not isinstance(op, (ast.Eq, ast.Is, ast.LtE, ast.GtE)):
        return False
    return is_one_of(left, outcomes(right)) or is_one_of(right, outcomes(left))


def outcomes(node: ast.expr) -> list[ast.expr]:
    """What an expression may be, if it chooses, and itself if it calls nothing."""
    if isinstance(node, ast.IfExp):
        return [node.body, node.orelse]
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func).rpartition(".")[2]
        has_default = len(node.args) == {"getattr": 3, "get": 2, "pop": 2}.get(name)
        return node.args[-1:] if has_default else []
    return [] if any(isinstance(part, ast.Call) for part in ast.walk(node)) else [node]


def is_one_of(node: ast.expr, others: list[ast.expr]) -> bool:
    """Tell whether an expression, other than a constant, is among others."""
    text = ast.dump(node)
    return not isinstance(node, ast.Constant) and any(text == ast.dump(each) for each in others)


@pytest.mark.parametrize(
    "test",
    [
        "f() or True", "not (1, 2)", "x == x", "x is x", "len(x) >= 0", "x in (x, y)", "[f(x)]",
        "found == (1 if known else found)", "getattr(x, 'name', name) == name",
        "name == names.get(key, name)", "isinstance(5, int)", "(x == 1 or x >= x) and y",
    ],
)  # fmt: skip
def test_what_cannot_fail_is_found(test: str) -> None:
    """An assertion that is true whatever the code does is found."""
    assert any(map(is_constant, conditions(ast.parse(test, mode="eval").body)))


@pytest.mark.parametrize(
    "test",
    [
        "f(x) == x", "x[0] is x", "f() is f()", "x == sorted(x)", "x == (y or b'')", "len(x) >= 1",
        "x != x", "found == whole[: len(found)]", "x == getattr(y, 'name', z)", "x in y",
    ],
)  # fmt: skip
def test_what_can_fail_is_let_pass(test: str) -> None:
    """An assertion that wrong code breaks is none of these."""
    assert not any(map(is_constant, conditions(ast.parse(test, mode="eval").body)))


def test_no_assertion_is_true_by_itself() -> None:
    """No test asserts a constant, or compares something with what may be itself."""
    found = [
        f"{name}:{node.lineno}: {ast.unparse(node)}"
        for name, tree in parsed()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert) and any(map(is_constant, conditions(node.test)))
    ]
    assert found == []


def asserting(tree: ast.Module, known: set[str]) -> set[str]:
    """The functions of a file that assert something, by themselves or by others that do."""
    functions = [node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]
    found: set[str] = set()
    while True:
        more = {
            function.name
            for function in functions
            if any(asserts(node, found | known) for node in ast.walk(function))
        }
        if more == found:
            return found
        found = more


def asserts(node: ast.AST, known: set[str]) -> bool:
    """Tell whether a statement or a call fails a test."""
    if isinstance(node, ast.Call):
        checks = any(each.arg == "check" and is_true(each.value) for each in node.keywords)
        name = ast.unparse(node.func).rpartition(".")[2]
        return checks or name in {"raises", "warns", "fail"} or name in known
    return isinstance(node, (ast.Assert, ast.Raise))


def is_true(node: ast.expr) -> bool:
    """Tell whether an argument is the constant True."""
    return isinstance(node, ast.Constant) and node.value is True


def test_each_test_asserts_something() -> None:
    """Each test has an assertion, or what fails it stands in the table above."""
    known = {"trapped"}
    found = {
        f"{test.name}"
        for _, tree in parsed()
        for asserted in [asserting(tree, known)]
        for test in cases_of(tree)
        if test.name not in asserted
    }
    assert found - set(FAILS_BY_ITSELF) == set()
    assert set(FAILS_BY_ITSELF) - found == set()


def test_an_async_test_is_an_async_def() -> None:
    """No test runs an inner function in a loop: the hook in conftest.py runs async tests."""
    found = {
        name: runs
        for name, tree in parsed()
        if (runs := [run for test in cases_of(tree) for run in runs_of_a_loop(test)])
    }
    assert {name: runs for name, runs in found.items() if name not in LOOPS_OF_THEIR_OWN} == {}
    assert set(LOOPS_OF_THEIR_OWN) - set(found) == set()
    assert [name for name, runs in found.items() if "main" in runs] == []


def test_no_file_is_long() -> None:
    """A file of tests, or of helpers, has at most 500 lines."""
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in source_files()}
    assert [path for path, count in lengths.items() if count > LONGEST] == []


def test_helpers_are_in_packages() -> None:
    """No test imports a module beside it, and none changes the path for imports."""
    packages = {path.parent.name for path in HELPERS.glob("*/__init__.py")}
    assert packages == {path.name for path in HELPERS.iterdir() if path.name != "__pycache__"}
    paths = [*source_files("test_*.py"), *source_files("conftest.py"), *HELPERS.rglob("*.py")]
    found = []
    for path in paths:
        siblings = {each.stem for each in path.parent.glob("*.py")} - packages
        tree = ast.parse(path.read_text("utf-8"))
        for node in (each for each in ast.walk(tree) if isinstance(each, ast.stmt)):
            names = imported_by(node) & siblings
            if names or ast.unparse(node).startswith(PATH_CHANGES):
                found.append(f"{path.relative_to(TESTS)}:{node.lineno}")
    assert found == []


def imported_by(node: ast.AST) -> set[str]:
    """The top names that an import has."""
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").partition(".")[0]}
    aliases = node.names if isinstance(node, ast.Import) else []
    return {alias.name.partition(".")[0] for alias in aliases}
