"""Plant bugs into copies of the module in C, and say which test finds each one, and how soon.

``python -m fuzz.lane_bugs`` builds the module once for each bug, with sanitizers for the fuzz
target ``lane`` and without for the tests. It needs gcc or clang, and a second or two for most bugs.
``--only NAME`` takes one of them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from project import sanitized
from support import programs
from support.folders import ROOT

from fuzz.run import fuzz

__all__ = ["BUGS", "Bug", "find", "main"]

_FUZZ_SECONDS = 4.0
_TESTS = (
    "tests/broker/core/test_unsent.py",
    "tests/broker/connection/test_lane.py",
    "tests/broker/connection/test_direct_wake.py",
    "tests/broker/defer",
    "tests/properties/test_lane.py",
    "tests/broker/connection/test_lane_memory.py",
)


@dataclass(frozen=True)
class Bug:
    """A change of one file of ``native``.

    Attributes:
        name: what is wrong.
        file: which one.
        before, after: the text, which the file has once, and what it becomes.
    """

    name: str
    file: str
    before: str
    after: str

    def plant(self, folder: Path) -> None:
        """Change the file in a folder.

        Raises:
            ValueError: the text is not there once.
        """
        path = folder / self.file
        text = path.read_text("utf-8")
        if text.count(self.before) != 1:
            raise ValueError(f"{self.name}: the text stands {text.count(self.before)} times")
        path.write_text(text.replace(self.before, self.after), "utf-8")


BUGS = (
    # Lengths.
    Bug("a text may be longer than the frame", "values.c",
        "return size <= (uint64_t)(reader->end - reader->next) ? (Py_ssize_t)size : -1;", "return (Py_ssize_t)size;"),
    Bug("numbers are read without looking at the end", "values.c",
        "    if (reader->end - reader->next < width) return 0;\n", ""),
    Bug("a list is made as long as it says", "values.c",
        "depth == 0 || size > (uint64_t)(reader->end - reader->next - reader->owed)) return NULL;\n    reader->owed += (Py_ssize_t)size;",
        "depth == 0) return NULL;\n    reader->owed += (Py_ssize_t)size;"),
    Bug("open containers are not reckoned", "values.c", "    reader->owed += (Py_ssize_t)size;\n", ""),
    Bug("any depth is read", "values.c",
        "depth == 0 || size > (uint64_t)(reader->end - reader->next - reader->owed)) return NULL;\n    reader->owed += (Py_ssize_t)size;",
        "size > (uint64_t)(reader->end - reader->next - reader->owed)) return NULL;\n    reader->owed += (Py_ssize_t)size;"),
    Bug("a frame may end behind the bytes", "lane.c", "if (length > size - self->position - 4 || length < 0) break;", "if (length < 0) break;"),
    Bug("long frames are taken", "lane.c", "if (length > self->most_in || length < 4) break;", "if (length < 4) break;"),
    Bug("names of any length are kept", "values.c",
        "size <= LONGEST_NAME && is_name ? kept_text", "is_name ? kept_text"),
    Bug("names of any length are looked up", "values.c", "if (size < 0 || (is_name && size > LONGEST_NAME)) return NULL;", "if (size < 0) return NULL;"),
    Bug("keys of any length are kept", "values.c", "key = length <= LONGEST_NAME ? kept_text", "key = length ? kept_text"),
    Bug("bytes behind an answer", "lane.c", "else if (reader->next != reader->end) done = 0;", ""),
    Bug("bytes behind a call", "lane.c", "return reader->end - reader->next == 1 && *reader->next == 0x80;", "return reader->end - reader->next >= 1 && *reader->next == 0x80;"),
    Bug("keywords are forgotten", "lane.c", "return reader->end - reader->next == 1 && *reader->next == 0x80;", "return reader->end - reader->next >= 1;"),
    # Values.
    Bug("True is 1", "values.c", "case 0xc3: Py_RETURN_TRUE;", "case 0xc3: return PyLong_FromLong(1);"),
    Bug("a large int is negative", "values.c", "PyLong_FromUnsignedLongLong(number) : NULL;", "PyLong_FromLongLong((long long)number) : NULL;"),
    Bug("a small negative int is positive", "values.c", "case 0xd0: return take(reader, 1, &number) ? PyLong_FromLong((int8_t)number) : NULL;", "case 0xd0: return take(reader, 1, &number) ? PyLong_FromLong((long)number) : NULL;"),
    Bug("numbers over 2**63 are ids", "values.c", " || found > LARGEST) return 0;", ") return 0;"),
    Bug("kept names are compared by their sizes", "values.c", "&& memcmp(name->text, text, size) == 0) return", ") return"),
    Bug("-32 takes two bytes", "values.c", "if (number >= -0x20) return", "if (number > -0x20) return"),
    Bug("128 takes one byte", "values.c", "if (found < 0x80) return write_wide(writer, (unsigned char)found, 0, 0);", "if (found <= 0x80) return write_wide(writer, (unsigned char)found, 0, 0);"),
    Bug("65,536 takes three bytes", "values.c", "if (found < 0x10000) return write_wide", "if (found <= 0x10000) return write_wide"),
    Bug("a bool is an int", "values.c", "    if (type == &PyBool_Type) return write_byte(writer, value == Py_True ? 0xc3 : 0xc2);\n", "    if (type == &PyBool_Type) return write_byte(writer, value == Py_True);\n"),
    Bug("a subclass of list is a list", "values.c", "if (type == &PyList_Type) {", "if (PyList_Check(value)) {"),
    Bug("a subclass of str is a str", "values.c", "    if (type == &PyUnicode_Type) return write_text(writer, value);", "    if (PyUnicode_Check(value)) return write_text(writer, value);"),
    Bug("lone surrogates are sent", "values.c", "if (point >= 0xd800 && point < 0xe000) return -1;", ""),
    Bug("a text of 32 bytes has a short head", "values.c", "int done = write_head(writer, 0xa0, 31, 0xda, size);", "int done = write_head(writer, 0xa0, 32, 0xda, size);"),
    Bug("a list of 16 has a short head", "values.c", "write_head(writer, 0x90, 15, 0xdc, size)", "write_head(writer, 0x90, 16, 0xdc, size)"),
    Bug("the rule of one reference is inverted", "values.c", "if (Py_REFCNT(value) == 1) return 1;", "if (Py_REFCNT(value) != 1) return 1;"),
    Bug("two references are one", "values.c", "if (Py_REFCNT(value) == 1) return 1;", "if (Py_REFCNT(value) <= 2) return 1;"),
    Bug("shared containers are not remembered", "values.c", "    writer->seen[writer->shared++] = value;\n", ""),
    Bug("one shared container too many", "values.c", "if (writer->shared == MOST_SHARED) return 0;", "if (writer->shared > MOST_SHARED) return 0;"),
    Bug("seven levels are sent", "values.c", "        if (depth == 0 || size > writer->left || !is_new(writer, value)) return 0;\n        writer->left -= size;\n        if ((done = write_head(writer, 0x90", "        if (depth < 0 || size > writer->left || !is_new(writer, value)) return 0;\n        writer->left -= size;\n        if ((done = write_head(writer, 0x90"),
    Bug("a large answer is sent at once", "lane.c", "writer.left = MOST_VALUES;", "writer.left = PY_SSIZE_T_MAX;"),
    Bug("keys of any type are sent", "values.c", "            if (Py_TYPE(key) != &PyUnicode_Type) return 0;\n", "            if (!PyUnicode_Check(key)) return 0;\n"),
    Bug("a frame that is dropped is kept", "values.c", "void drop_frame(Writer *writer) { writer->unsent->used = writer->start; }", "void drop_frame(Writer *writer) { (void)writer; }"),
    Bug("a long frame is not checked", "values.c", "if (size - 4 > most) {", "if (size - 4 > most + 1000000) {"),
    Bug("sizes are not counted", "values.c", "    unsent->size += size;\n", ""),
    # Order and state.
    Bug("rows 1 and 2 are mixed up", "lane.c", "enum { CALL = 1, SEND = 2,", "enum { CALL = 2, SEND = 1,"),
    Bug("rows 5 and 6 are mixed up", "lane.c", "ANSWER = 5, TUPLE = 6", "ANSWER = 6, TUPLE = 5"),
    Bug("a closed lane goes on", "lane.c", "while (self->is_open && size - self->position >= 4) {", "while (size - self->position >= 4) {"),
    Bug("most is ignored", "lane.c", "if (self->handled == most || (self->handled", "if ((self->handled"),
    Bug("the high water mark is ignored", "lane.c", "|| (self->handled && self->unsent->size > self->high_water)) {", ") {"),
    Bug("max_calls is ignored", "lane.c", " || PyDict_GET_SIZE(self->running) >= self->max_calls) return 0;", ") return 0;"),
    Bug("a request id in use is taken", "lane.c", "        if (is_running) return 0;\n", "        if (is_running < 0) return 0;\n"),
    Bug("a transaction is ignored", "lane.c", "    return transaction != Py_None;", "    return 0;"),
    Bug("an answer is not counted", "lane.c", "        self->position = after;\n        self->handled++;\n        self->received++;", "        self->position = after;\n        self->handled++;"),
    Bug("the highest request is not kept", "lane.c", "if (call.wants_answer && call.number > self->highest) self->highest = call.number;", ""),
    Bug("KeyboardInterrupt is an answer", "lane.c", "if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) || PyErr_ExceptionMatches(PyExc_SystemExit)) return -1;", ""),
    Bug("a one-way call is answered", "lane.c", "if (!call->wants_answer) done = result == Py_None;\n    else if", "if"),
    Bug("a closed connection is written to", "lane.c", "    else if (self->unsent->is_closed) done = 0;\n", ""),
    Bug("an answer leaves its call open", "lane.c", "(promise == NULL && PyErr_Occurred()) || PyDict_DelItem(self->open, request_id) < 0", "(promise == NULL && PyErr_Occurred())"),
    Bug("an answer leaves its promise waiting", "lane.c", "if (PyDict_DelItem(self->waiting, request_id) < 0) done = -1;\n            else done", "done"),
    Bug("callbacks are not seen", "chain.c", "(self->items == NULL || PyList_GET_SIZE(self->items) == 0) &&", "1 &&"),
    Bug("a paused Deferred is fired", "chain.c", "return !self->called && !self->paused && !self->is_running &&", "return !self->called && !self->is_running &&"),
    Bug("names over 32 characters are called", "lane.c", "if (PyUnicode_GET_LENGTH(name) > LONGEST_NAME || self->unsent->is_closed) Py_RETURN_NONE;", "if (self->unsent->is_closed) Py_RETURN_NONE;"),
    Bug("a refused call stays in the tables", "lane.c", "if (PyDict_DelItem(i ? self->open : self->waiting, request_id) < 0) PyErr_Clear();", "if (i > 2) PyErr_Clear();"),
    Bug("the last id is not kept", "lane.c", "PyObject_SetAttr(self->open_calls, state->s_last, request_id) < 0 ||", ""),
    # References.
    Bug("an argument has too few references", "lane.c", "        call->stack[call->used++] = Py_NewRef(PyTuple_GET_ITEM(call->leading, i));", "        call->stack[call->used++] = PyTuple_GET_ITEM(call->leading, i);"),
    Bug("a result is kept", "lane.c", "    Py_DECREF(result);\n    return done;\n}\n\nstatic int take_call", "    return done;\n}\n\nstatic int take_call"),
    Bug("a value of an answer is kept", "lane.c", "    Py_XDECREF(promise);\n    Py_XDECREF(value);\n", "    Py_XDECREF(promise);\n"),
    Bug("a kept name has no reference of its own", "values.c", "        name->str = Py_NewRef(str);\n", "        name->str = str;\n"),
    Bug("a key is kept", "values.c", "        Py_XDECREF(key);\n", ""),
    Bug("a list that fails is kept", "values.c", "if (value == NULL) { Py_DECREF(list); return NULL; }", "if (value == NULL) return NULL;"),
    Bug("the Deferred of an awaiter is not owned", "chain.c", "    bridge->deferred = Py_NewRef(self);\n", "    bridge->deferred = (PyObject *)self;\n"),
    Bug("the result of a Deferred is not owned", "chain.c", "    self->result = Py_NewRef(value);\n", "    self->result = value;\n"),
    Bug("the owner of a call is hidden from the collector", "chain.c", "    Py_VISIT(self->owner);\n", ""),
    Bug("a taken buffer is used again", "unsent.c", "    self->queued = self->size = 0;\n    free_buffer(self);\n    Py_XDECREF(pieces);", "    self->queued = self->size = 0;\n    Py_XDECREF(pieces);"),
    Bug("long messages overtake short ones", "unsent.c", "        if (seal(self) < 0) return NULL;\n", "        if (make_pieces(self) < 0) return NULL;\n"),
    Bug("the buffer grows too little", "unsent.c", "2 * (self->used + size)", "self->used + size - 1"),
)  # fmt: skip


def find(bug: Bug, folder: Path, chosen: Sequence[str] = ()) -> str | None:
    """Return what finds a bug, and after how many seconds; None if nothing does.

    Args:
        bug: the bug.
        folder: an empty one, where the module is built.
        chosen: options of pytest.
    """
    sources = folder / "native"
    sources.mkdir(parents=True)
    for path in (ROOT / "native").iterdir():
        (sources / path.name).write_bytes(path.read_bytes())
    bug.plant(sources)
    built = sanitized.build(folder / "sanitized", sorted(sources.glob("*.c")))
    begun = time.perf_counter()
    if built is not None:
        found = folder / "found"
        found.mkdir()
        result = fuzz("lane", "random", _FUZZ_SECONDS, 1, folder / "corpus", found, built)
        if result["findings"]:
            seconds = time.perf_counter() - begun
            text = next(iter(result["findings"]))
            return f"fuzz, {seconds:.0f} s of {result['executions']:,} inputs: {text:.100}"
    plain = folder / "plain"
    plain.mkdir()
    output = plain / f"_lane{EXTENSION_SUFFIXES[0]}"
    command = ["gcc", "-O1", "-shared", "-fPIC", "-I", sysconfig.get_path("include")]
    subprocess.run([*command, *map(str, sorted(sources.glob("*.c"))), "-o", output], check=True)
    begun = time.perf_counter()
    command = programs.command("project.sanitized", str(plain), "pytest", "-x", "-q")
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-W", "ignore:Module already imported", *chosen, *_TESTS],
        cwd=ROOT, env=programs.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return None
    lines = (done.stdout + done.stderr).splitlines()
    told = [line for line in lines if line.startswith(("FAILED", "ERROR", "Fatal"))]
    return f"tests, {time.perf_counter() - begun:.0f} s: {(told or [done.returncode])[-1]!s:.140}"


def main() -> int:
    """Look for each bug; return 1 if one was not found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a part of the name of a bug")
    parser.add_argument("chosen", nargs="*", help="options of pytest, behind --")
    options = parser.parse_args()
    bugs = [bug for bug in BUGS if options.only in bug.name]
    missed = 0
    for bug in bugs:
        with tempfile.TemporaryDirectory() as folder:
            found = find(bug, Path(folder), options.chosen)
        missed += found is None
        print(f"{bug.name} | {found or 'NOT FOUND'}", flush=True)
    print(f"{len(bugs) - missed} of {len(bugs)} found")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
