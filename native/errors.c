/* The exception that is set, as an object. */
#include "lane.h"

PyObject *caught(void) {
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    if (type == NULL) return NULL;
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL && PyException_SetTraceback(error, traceback) < 0) PyErr_Clear();
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return error;
}

int ends_program(void) {
    return PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) || PyErr_ExceptionMatches(PyExc_SystemExit);
}
