"""The variants that are measured against each other, and the processes that run them.

A variant is ``NAME=CHECKOUT[#PYTHON]`` with marks such as ``+pb`` behind it, or ``twisted``. What
measures comes from the checkout of this file; what is measured comes from the variant's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from support.programs import command, environment

from bench.identities import write_identities
from bench.one_process import Order
from bench.operations import OPERATIONS, Operation, names
from bench.side import Options

__all__ = ["Conditions", "Failure", "Variant", "add_arguments", "given_conditions", "runs"]

PATIENCE = 900.0
"""Seconds that one start of a variant may take."""
TWISTED = "twisted"
MARKS = {"uvloop", "pure", "general", "pb", "ws", "metrics", "observer"}
FORM = "NAME=CHECKOUT[#PYTHON][+uvloop][+pure][+general][+pb][+ws][+metrics][+observer]"


class Failure(Exception):
    """A variant has failed; the text is the last line of its error."""


@dataclass(frozen=True)
class Conditions:
    """How the two ends talk to each other.

    Attributes:
        certificates: the folder of `bench.identities`.
        dialect: what both ends of this library speak.
        tls: whether every workload is over TLS.
    """

    certificates: str
    dialect: str = "msgpack/1"
    tls: bool = False


@dataclass(frozen=True)
class Variant:
    """A version of the code.

    Attributes:
        name: how tables call it.
        checkout: the folder that has its ``broker``; None for Twisted.
        python: the interpreter.
        uvloop: whether it runs in uvloop.
        pure: whether it is told by ``BROKER_PURE`` to use no compiled code.
        general: whether its connections have no lane; see `bench.general_path`.
        pb: whether both ends speak the dialect ``pb``, whatever the conditions say.
        ws: whether its connections are WebSockets.
        metrics: whether the server counts calls for `broker.prometheus`.
        observer: whether it has an observer whose methods of calls do nothing.
    """

    name: str
    checkout: Path | None = None
    python: str = sys.executable
    uvloop: bool = False
    pure: bool = False
    general: bool = False
    pb: bool = False
    ws: bool = False
    metrics: bool = False
    observer: bool = False

    @classmethod
    def parse(cls, text: str) -> Variant:
        """Return the variant that a text describes.

        Raises:
            argparse.ArgumentTypeError: the text has another form, or there is no such checkout.
        """
        described, *marks = text.split("+")
        name, _, where = described.partition("=")
        folder, _, python = where.partition("#")
        if name.partition("#")[0] == TWISTED and not where and not marks:
            return cls(TWISTED, python=name.partition("#")[2] or sys.executable)
        if not name or not folder or set(marks) - MARKS:
            form = f"{FORM} or twisted"
            raise argparse.ArgumentTypeError(f"{text!r} is not of the form {form}")
        checkout = Path(folder).resolve()
        if not (checkout / "broker" / "__init__.py").is_file():
            raise argparse.ArgumentTypeError(f"there is no package broker in {folder}")
        return cls(
            "+".join([name, *marks]),
            checkout,
            python=python or sys.executable,
            uvloop="uvloop" in marks,
            pure="pure" in marks,
            general="general" in marks,
            pb="pb" in marks,
            ws="ws" in marks,
            metrics="metrics" in marks,
            observer="observer" in marks,
        )

    @property
    def library(self) -> str:
        """The key of `bench.one_process.LIBRARIES`."""
        return TWISTED if self.checkout is None else "ours"

    def count(self, operation: Operation) -> int:
        """Return the steps of a round; 0 if the variant cannot do the operation."""
        return operation.twisted if self.checkout is None else operation.count

    def options(self, operation: Operation, conditions: Conditions) -> Options:
        """Return what the sides are to be."""
        with_tls = conditions.tls or operation.tls
        return Options(
            dialect="pb" if self.pb or self.checkout is None else conditions.dialect,
            uvloop=self.uvloop,
            general=self.general,
            ws=self.ws,
            metrics=self.metrics,
            observer=self.observer,
            login=operation.login,
            certificates=conditions.certificates if with_tls else None,
        )

    def start(
        self, module: str, arguments: Sequence[str], seed: int, before: Sequence[str] = ()
    ) -> tuple[Any, str]:
        """Run a program of this package in a fresh process of the variant.

        Args:
            module: the program, which says one JSON value.
            arguments: what it is given.
            seed: of hashes, ``PYTHONHASHSEED``.
            before: the beginning of the command line, such as that of valgrind.

        Returns:
            What it said, and its standard error.

        Raises:
            Failure: it ended without a value, or took too long.
        """
        program = command(module, *arguments)[1:]
        # Not the current folder: it may be another checkout.
        made = {"PYTHONHASHSEED": str(seed), "PYTHONSAFEPATH": "1"}
        made["PYTHONPATH"] = "" if self.checkout is None else str(self.checkout)
        made |= {"BROKER_PURE": "1"} if self.pure else {}
        try:
            ended = subprocess.run(
                [*before, self.python, *program],
                env=environment(**made),
                capture_output=True, text=True, check=False, timeout=PATIENCE,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Failure(f"it took more than {PATIENCE:g} s") from None
        except OSError as error:
            raise Failure(str(error)) from None
        lines = ended.stdout.splitlines()
        if ended.returncode or not lines:
            raise Failure(last_line(ended.stderr) or f"it ended with status {ended.returncode}")
        return json.loads(lines[-1]), ended.stderr

    def obey(
        self, order: Order, conditions: Conditions, seed: int, before: Sequence[str] = ()
    ) -> tuple[Any, str]:
        """Run `bench.one_process`; return and raise what `start` does."""
        options = self.options(OPERATIONS[order.operation], conditions)
        arguments = (options.written(), order.written())
        return self.start("bench.one_process", arguments, seed, before)


def last_line(text: str) -> str:
    """Return the last line that is not empty and not from valgrind, which begins with ``==``."""
    said = [line for line in text.splitlines() if line.strip() and not line.startswith("==")]
    return said[-1] if said else ""


def runs(variants: Sequence[Variant], name: str) -> list[Variant]:
    """Return the variants that can do an operation: Twisted has no streams."""
    return [each for each in variants if each.count(OPERATIONS[name])]


def variants(text: str) -> list[Variant]:
    """Return the variants of a list with commas.

    Raises:
        argparse.ArgumentTypeError: one has another form, or two have one name.
    """
    found = [Variant.parse(each) for each in text.split(",")]
    if len({each.name for each in found}) < len(found):
        raise argparse.ArgumentTypeError("two variants have the same name")
    return found


def add_arguments(parser: argparse.ArgumentParser, who: str, what: str) -> None:
    """Add the arguments that all commands have: variants, workloads and conditions.

    Args:
        parser: of the command.
        who: the variants that are measured unless others are asked for.
        what: the workloads.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    form = f"{FORM} or twisted, with commas"
    parser.add_argument("--variants", type=variants, default=variants(who), help=form)
    choices = f"with commas, of {', '.join(OPERATIONS)}"
    parser.add_argument("--workloads", type=names, default=names(what), help=choices)
    parser.add_argument("--count", type=int, help="steps of a round, instead of the usual number")
    parser.add_argument("--tls", action="store_true", help="every workload over TLS")
    parser.add_argument(
        "--dialect", choices=["msgpack/1", "pb"], default="msgpack/1", help="of this library"
    )


@contextmanager
def given_conditions(options: argparse.Namespace) -> Iterator[Conditions]:
    """Make the conditions that the arguments ask for, with certificates in a temporary folder."""
    with TemporaryDirectory(prefix="variants-") as folder:
        write_identities(Path(folder))
        yield Conditions(folder, options.dialect, options.tls)
