"""The module in C with sanitizers: it is built, it runs, and a fault in it is found."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from fuzz.run import fuzz
from project import sanitized

from broker.native import VERSION

MODULE = """
#include <Python.h>
#include <limits.h>

static PyObject *
read_past(PyObject *self, PyObject *size)
{
    char *volatile memory = calloc(PyLong_AsSize_t(size), 1);
    long found = memory[16];
    free(memory);
    return PyLong_FromLong(found);
}

static PyObject *
read_freed(PyObject *self, PyObject *unused)
{
    char *volatile memory = calloc(16, 1);
    free(memory);
    return PyLong_FromLong(memory[0]);
}

static PyObject *
add_one(PyObject *self, PyObject *number)
{
    return PyLong_FromLong((int)PyLong_AsLong(number) + 1);
}

static PyMethodDef methods[] = {
    {"read_past", read_past, METH_O, NULL},
    {"read_freed", read_freed, METH_NOARGS, NULL},
    {"add_one", add_one, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static int
add_version(PyObject *module)
{
    return PyModule_AddIntConstant(module, "VERSION", %d);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, add_version}, {0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_lane", .m_methods = methods, .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__lane(void)
{
    return PyModuleDef_Init(&definition);
}
"""
RIGHT = ["add_one(1)", "read_past(17)"]
FAULTS = {
    "add_one(0x7fffffff)": "signed integer overflow: 2147483647 + 1 cannot be represented in type"
    " 'int' in faulty.c, add_one",
    "read_past(16)": "heap-buffer-overflow in faulty.c, read_past",
    "read_freed()": "heap-use-after-free in faulty.c, read_freed",
}


@pytest.fixture(scope="module")
def has_sanitizers(tmp_path_factory: pytest.TempPathFactory) -> bool:
    """Whether a compiler here makes programs with sanitizers that run."""
    folder = tmp_path_factory.mktemp("sanitizers")
    (folder / "program.c").write_text("int main(void) { return 0; }", "ascii")
    options = "-fsanitize=address,undefined program.c -o program && ./program"
    command = f"clang {options} || gcc {options}"
    ran = subprocess.run(command, shell=True, cwd=folder, capture_output=True, check=False)
    return ran.returncode == 0


def test_faults_are_found(tmp_path: Path, has_sanitizers: bool) -> None:
    """A fault in the module ends the process with its name and place; what is right goes on."""
    source = tmp_path / "faulty.c"
    source.write_text(MODULE % VERSION, "ascii")
    made = sanitized.build(tmp_path / "built", [source])
    assert (made is not None) is has_sanitizers
    calls = [*RIGHT, *FAULTS] if made is not None else []
    for call in calls:
        (tmp_path / "program.py").write_text(
            f"from broker.native import native\nassert native.{call} in (0, 2)\nprint('right')"
        )
        ran = subprocess.run(
            made.command("program"),
            env=made.environment(PYTHONPATH=str(tmp_path)),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        fault = FAULTS.get(call)
        expected = ("right\n", None) if fault is None else ("", f"sanitizer: {fault}")
        assert (ran.stdout, sanitized.fault_in(ran.stderr)) == expected, ran.stderr


def test_a_module_that_cannot_be_compiled(tmp_path: Path, has_sanitizers: bool) -> None:
    """A mistake in the C code is an error with the compiler's text, where one was tried."""
    source = tmp_path / "mistaken.c"
    source.write_text("int mistake(", "ascii")
    try:
        made = sanitized.build(tmp_path / "built", [source])
    except RuntimeError as error:
        assert "mistaken.c" in str(error)
        assert has_sanitizers
    else:
        assert made is None
        assert not has_sanitizers


def test_fuzzing_with_it(tmp_path: Path, has_sanitizers: bool) -> None:
    """A target of the fuzzer runs with our module and sanitizers, and finds nothing."""
    made = sanitized.build(tmp_path / "built")
    assert (made is not None) is has_sanitizers
    place = [tmp_path / "corpus", tmp_path / "found"]
    result = fuzz("session-msgpack", "random", 0.5, 1, *place, made)
    assert result["executions"] >= 64, json.dumps(result)
    assert result["findings"] == {}


def test_without_the_module(tmp_path: Path) -> None:
    """A folder without the module that is asked for is an error: nothing else runs in its place."""
    made = sanitized.Build(tmp_path, "none", [])
    ran = subprocess.run(
        made.command("program"),
        env=made.environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 1
    assert f"the module in {tmp_path} is not in use" in ran.stderr


@pytest.mark.parametrize(
    ("errors", "fault"),
    [
        ("", None),
        ("Traceback (most recent call last):\n  KeyError: 1", None),
        (
            "==1==ERROR: AddressSanitizer: SEGV on unknown address\n"
            "    #0 0x7f in PyTuple_Size (/usr/lib/libpython.so+0x1)\n"
            "    #1 0x7f in read_frame /x/native/lane.c:12\n"
            "    #2 0x7f in run /x/native/lane.c:90\n",
            "sanitizer: SEGV in lane.c, read_frame",
        ),
        ("lane.c:9:3: runtime error: null pointer", "sanitizer: null pointer"),
    ],
)
def test_the_name_of_a_fault(errors: str, fault: str | None) -> None:
    """A fault has the name that the sanitizer gives it, and the first function of C there."""
    assert sanitized.fault_in(errors) == fault
