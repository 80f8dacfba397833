/* The definition of the extension module broker._lane. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* What this module and the Python code expect of each other. broker/native.py has the same number. */
#define LANE_VERSION 1

static int
add_names(PyObject *module)
{
    return PyModule_AddIntConstant(module, "VERSION", LANE_VERSION);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, add_names},
#ifdef Py_MOD_PER_INTERPRETER_GIL_SUPPORTED
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "broker._lane",
    .m_doc = "The parts of broker that are written in C.",
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__lane(void)
{
    return PyModuleDef_Init(&definition);
}
