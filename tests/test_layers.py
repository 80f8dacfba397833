"""The layers of the packages hold, and each module has its tests."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]

TESTED_ELSEWHERE = {
    "broker/__main__.py": ("broker/commands/test_group.py", "the command itself, as a process"),
    "broker/commands/asking.py": ("broker/commands/test_call.py", "questions and exit statuses"),
    "broker/commands/identity.py": ("broker/commands/test_call.py", "the options of a client"),
    "broker/commands/inspecting.py": (
        "broker/commands/test_operating.py",
        "how the commands reach a server",
    ),
    "broker/commands/prompt.py": ("broker/commands/test_shell.py", "typed at a terminal"),
    "broker/commands/top_screen.py": ("broker/commands/test_top.py", "the screen of the command"),
    "broker/commands/weaknesses.py": (
        "broker/commands/test_check_config.py",
        "what the command finds",
    ),
    "broker/net/tls/contexts.py": (
        "broker/net/tls/test_settings.py",
        "the contexts that settings make",
    ),
    "broker/connection/open_call.py": ("behaviour/test_promises.py", "calls on promises"),
    "broker/connection/promises/called.py": ("behaviour/test_promises.py", "calls on promises"),
    "broker/connection/promises/lines.py": ("behaviour/test_promises.py", "calls on promises"),
    "broker/connection/promises/path.py": ("behaviour/test_promises.py", "calls on promises"),
    "broker/connection/promises/waiting_call.py": (
        "behaviour/test_promises.py",
        "calls on promises",
    ),
    "broker/connection/published.py": ("broker/connection/test_broker.py", "half of Broker"),
    "broker/connection/senders.py": ("broker/test_propagation.py", "interfaces without code"),
    "broker/core/events.py": ("broker/core/test_session.py", "records without behaviour"),
    "broker/core/host.py": ("broker/core/test_session.py", "what a session asks of its host"),
    "broker/defer/errors.py": (
        "broker/test_twisted_bases.py",
        "classes, and their published names",
    ),
    "broker/defer/twisted_view.py": (
        "broker/defer/test_foreign.py",
        "ours where Twisted waits for it",
    ),
    "broker/demo/certificates.py": ("broker/test_demo.py", "the demonstration as a whole"),
    "broker/demo/command.py": ("broker/test_demo.py", "the demonstration as a whole"),
    "broker/demo/contract.py": ("broker/test_demo.py", "the demonstration as a whole"),
    "broker/demo/office.py": ("broker/test_demo.py", "the demonstration as a whole"),
    "broker/demo/part.py": ("broker/test_demo.py", "the demonstration as a whole"),
    "broker/running_server.py": ("broker/test_server.py", "what serve gives"),
    "broker/demo/stage.py": ("broker/test_demo.py", "the demonstration as a whole"),
    "broker/demo/steps.py": ("broker/test_demo.py", "the demonstration as a whole"),
    "broker/demo/visitor.py": ("broker/test_demo.py", "the demonstration as a whole"),
    "broker/cluster/asking.py": ("broker/cluster/test_cluster.py", "a directory that is away"),
    "broker/cluster/exported.py": ("broker/cluster/test_cluster.py", "names that were withdrawn"),
    "broker/cluster/holding.py": ("broker/cluster/test_cluster.py", "half of Cluster"),
    "broker/cluster/settings.py": ("broker/cluster/test_cluster.py", "wrong arguments"),
    "broker/topics/directory.py": (
        "broker/topics/engines/test_directories.py",
        "an interface and its records, over each engine",
    ),
    "broker/topics/engines/memory_directory.py": (
        "broker/topics/engines/test_directories.py",
        "one suite for all directories",
    ),
    "broker/topics/engines/nats_directory.py": (
        "broker/topics/engines/test_directories.py",
        "one suite for all directories",
    ),
    "broker/topics/engines/postgres_directory.py": (
        "broker/topics/engines/test_directories.py",
        "one suite for all directories",
    ),
    "broker/net/web_pages.py": (
        "broker/net/websocket/test_door.py",
        "records without behaviour",
    ),
    "broker/topics/contract.py": (
        "broker/topics/test_view.py",
        "a contract, and what implements it",
    ),
    "broker/topics/engine.py": (
        "broker/topics/engines/test_engines.py",
        "an interface and its records, over each engine",
    ),
    "broker/topics/engines/nats_connection.py": (
        "broker/topics/engines/test_engines.py",
        "one suite for all engines",
    ),
    "broker/topics/engines/postgres_tables.py": (
        "broker/topics/engines/test_engines.py",
        "one suite for all engines",
    ),
    "broker/topics/engines/postgres.py": (
        "broker/topics/engines/test_engines.py",
        "one suite for all engines",
    ),
    "broker/topics/groups.py": ("broker/topics/test_hub.py", "the subscriptions of one pattern"),
    "broker/topics/items.py": ("broker/topics/test_view.py", "records without behaviour"),
    "broker/testing/ends.py": ("broker/testing/test_connected_pair.py", "both ends of a pair"),
    "broker/testing/flow.py": ("broker/testing/test_network.py", "one direction of the network"),
    "broker/testing/published_ends.py": (
        "broker/testing/test_connected_pair.py",
        "the ends of a pair in the published face",
    ),
    "broker/testing/login.py": ("broker/testing/test_connected_pair.py", "a login in a pair"),
    "broker/testing/sockets.py": ("broker/testing/test_network.py", "the ends of the network"),
    "broker/errors.py": (
        "broker/flavors/test_failures_of_calls.py",
        "each error as a peer sees it",
    ),
    "broker/flavors/contracts/plans.py": (
        "broker/flavors/contracts/test_values.py",
        "records without behaviour",
    ),
    "broker/flavors/paging.py": ("interop/test_field.py", "pages between both libraries"),
    "broker/folders/open_files.py": (
        "broker/folders/test_folder.py",
        "the files that a folder opens",
    ),
    "broker/inspection/notes.py": (
        "broker/inspection/test_manhole.py",
        "the records of what operators do",
    ),
    "broker/link/functions.py": (
        "broker/link/test_recipes.py",
        "recipes that are functions",
    ),
    "broker/link/kept.py": ("broker/link/test_calls.py", "the calls that a link keeps"),
    "broker/link/made.py": ("broker/link/test_recipes.py", "recipes on one connection"),
    "broker/link/waiting.py": ("broker/link/test_calls.py", "the calls that wait"),
    "broker/link/rounds.py": ("broker/link/test_link.py", "the connections of a link"),
    "broker/inspection/census.py": (
        "broker/inspection/test_inspector.py",
        "counts against what is there",
    ),
    "broker/inspection/contract.py": (
        "broker/inspection/test_inspector.py",
        "records without behaviour",
    ),
    "broker/inspection/tap.py": ("broker/inspection/test_inspector.py", "what a tap tells"),
    "broker/server_connections.py": ("broker/test_server.py", "half of Server"),
    "broker/server_log.py": (
        "broker/commands/test_log_formats.py",
        "the records of connections, with their facts",
    ),
    "broker/net/web_scheme.py": ("broker/net/test_schemes.py", "the rows of ws:// and wss://"),
    "broker/login/mechanisms/anonymous.py": (
        "broker/login/mechanisms/test_mechanisms.py",
        "all mechanisms alike",
    ),
    "broker/login/mechanisms/certificate.py": (
        "broker/login/mechanisms/test_over_tls.py",
        "certificates need TLS",
    ),
    "broker/login/mechanisms/challenge.py": (
        "broker/login/mechanisms/test_malformed.py",
        "all mechanisms alike",
    ),
    "broker/login/mechanisms/mechanism.py": (
        "broker/login/mechanisms/test_mechanisms.py",
        "what all have",
    ),
    "broker/login/mechanisms/password.py": (
        "broker/login/mechanisms/test_mechanisms.py",
        "all mechanisms alike",
    ),
    "broker/login/mechanisms/token.py": (
        "broker/login/mechanisms/test_over_tls.py",
        "tokens need TLS",
    ),
    "broker/net/proxies/refusal.py": (
        "broker/net/proxies/test_asking.py",
        "the reasons of refusals, as errors",
    ),
    "broker/net/locations.py": ("broker/net/test_schemes.py", "addresses, with their schemes"),
    "broker/net/socket_options.py": ("broker/net/test_tcp_keepalive.py", "options of real sockets"),
    "broker/porting/findings.py": ("broker/porting/test_scan.py", "records without behaviour"),
    "broker/porting/names.py": (
        "broker/porting/test_warnings.py",
        "the names that a program imports",
    ),
    "broker/porting/reasons.py": ("test_vocabulary.py", "a table, checked against both libraries"),
    "broker/porting/replacements.py": (
        "broker/porting/test_locations.py",
        "a table, checked against both libraries",
    ),
    "broker/reactor/asyncioreactor.py": (
        "broker/reactor/test_field_reactors.py",
        "as programs choose it",
    ),
    "broker/reactor/epollreactor.py": (
        "broker/reactor/test_field_reactors.py",
        "as programs choose it",
    ),
    "broker/reactor/kqreactor.py": (
        "broker/reactor/test_field_reactors.py",
        "as programs choose it",
    ),
    "broker/reactor/pollreactor.py": (
        "broker/reactor/test_field_reactors.py",
        "as programs choose it",
    ),
    "broker/reactor/selectreactor.py": (
        "broker/reactor/test_field_reactors.py",
        "as programs choose it",
    ),
    "broker/reactor/base.py": ("test_vocabulary.py", "a published place of names"),
    "broker/reactor/interfaces.py": ("test_vocabulary.py", "a published place of names"),
    "broker/reactor/main.py": ("test_vocabulary.py", "a published place of names"),
    "broker/reactor/threadpool.py": ("test_vocabulary.py", "a published place of names"),
    "broker/reactor/unix.py": ("test_vocabulary.py", "a published place of names"),
    "broker/reactor/endpoints/classes.py": (
        "broker/reactor/test_endpoints.py",
        "with their strings",
    ),
    "broker/reactor/endpoints/strings.py": (
        "broker/reactor/test_endpoints.py",
        "with their classes",
    ),
    "broker/reactor/engine/descriptors.py": (
        "broker/reactor/test_field_reactors.py",
        "as programs use it",
    ),
    "broker/reactor/engine/installed.py": (
        "broker/reactor/test_field_reactors.py",
        "as programs choose it",
    ),
    "broker/reactor/engine/loop_threads.py": (
        "broker/reactor/engine/test_mainloop.py",
        "the base of the main loop",
    ),
    "broker/reactor/engine/protocol_bases.py": (
        "broker/reactor/test_protocol.py",
        "with their published module",
    ),
    "broker/reactor/engine/provided.py": (
        "broker/reactor/test_field_reactors.py",
        "which interfaces it has",
    ),
    "broker/reactor/engine/reactor.py": (
        "broker/reactor/engine/test_mainloop.py",
        "the reactor as a whole",
    ),
    "broker/reactor/adbapi/arguments.py": (
        "broker/reactor/adbapi/test_pool.py",
        "what a pool is given",
    ),
    "broker/reactor/process.py": ("broker/reactor/engine/test_steps.py", "the steps of a loop"),
    "broker/reactor/service/network.py": (
        "broker/reactor/test_service.py",
        "with the other services",
    ),
    "broker/reactor/ssl/options.py": ("broker/reactor/test_ssl.py", "TLS on sockets"),
    "broker/reactor/service/interfaces.py": ("broker/reactor/test_service.py", "declarations"),
    "broker/reactor/typed.py": ("test_typing.py", "types for checkers alone"),
    "broker/reactor/strports.py": ("broker/reactor/test_field_reactors.py", "as programs use it"),
    "broker/reactor/threads.py": (
        "broker/reactor/engine/test_waiting_threads.py",
        "who waits for them",
    ),
    "jelly/interfaces.py": ("jelly/test_bases.py", "declarations"),
    "jelly/jellier_walk.py": ("jelly/test_jellier.py", "half of the jellier"),
    "jelly/unjellier_walk.py": ("jelly/test_unjellier.py", "half of the unjellier"),
    "jelly/visited.py": ("jelly/test_jellier.py", "records of its walk"),
    "jelly/vocabulary.py": ("jelly/test_vectors.py", "a table that is recorded"),
}
"""Modules without a test file of their own name: which file in tests/ tests them, and why."""

MIRRORED = ["broker", "jelly"]
"""Packages of which each module has a test file of its name."""

NAMED_AFTER_MODULES = ["jelly", "jelly/codec", "broker/core", "broker/flavors"]
"""Folders of which each test file is named after a module."""


def test_the_contracts_hold() -> None:
    """import-linter finds no import that the contracts in pyproject.toml forbid."""
    linter = Path(sysconfig.get_path("scripts")) / "lint-imports"
    run = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def modules(folder: str, pattern: str = "*.py") -> list[Path]:
    """The modules of a folder, as paths from the root."""
    found = (ROOT / folder).glob(pattern)
    return sorted(path.relative_to(ROOT) for path in found if path.name != "__init__.py")


def mirror_of(module: Path) -> Path:
    """The test file of a module's name, in the same place."""
    return ROOT / "tests" / module.parent / f"test_{module.name}"


def test_each_module_has_its_tests() -> None:
    """Each module has a test file of its own name, or another one in the table above."""
    found = [module for package in MIRRORED for module in modules(package, "**/*.py")]
    missing = [str(module) for module in found if not mirror_of(module).exists()]
    assert [name for name in missing if name not in TESTED_ELSEWHERE] == []


def test_the_reasons_are_needed() -> None:
    """No module in the table has gone, or has got a test file; and the other file exists."""
    for name, (elsewhere, _) in TESTED_ELSEWHERE.items():
        assert (ROOT / name).exists(), name
        assert not mirror_of(Path(name)).exists(), name
        assert (ROOT / "tests" / elsewhere).exists(), elsewhere


def test_each_test_file_has_its_module() -> None:
    """A test file has the name of a module that exists, or one that begins with it.

    So the tests of ``cacheable`` may be in test_cacheable.py and test_cacheable_ends.py.
    """
    others = {"test_jelly.py", "test_copied_failure.py"}
    strays = [
        str(test.relative_to(ROOT))
        for folder in NAMED_AFTER_MODULES
        for test in (ROOT / "tests" / folder).glob("test_*.py")
        if test.name not in others
        and not test.name.startswith("test_vectors")
        and not any(is_named_after(test, module) for module in modules(folder))
    ]
    assert strays == []


def is_named_after(test: Path, module: Path) -> bool:
    """Tell whether a test file has the name of a module, perhaps with more words behind it."""
    return f"{test.stem}_".startswith(f"test_{module.stem}_")
