/* ReferenceBase: the method that calls a remote object; the Python form is in broker/flavors/reference.py. */
#include "lane.h"

static PyObject *attribute_of(PyObject *object, PyObject *name, PyObject *second) {
    PyObject *first = PyObject_GetAttr(object, name);
    if (first == NULL || second == NULL) return first;
    PyObject *found = PyObject_GetAttr(first, second);
    Py_DECREF(first);
    return found;
}

/* Make the call with a tuple and a dict, as the Python form does. */
static PyObject *call_slowly(State *state, PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyObject *tuple = PyTuple_New(count - 1), *keywords = PyDict_New(), *promise = NULL;
    int failed = tuple == NULL || keywords == NULL;
    for (Py_ssize_t i = 1; !failed && i < count; i++) PyTuple_SET_ITEM(tuple, i - 1, Py_NewRef(args[i]));
    for (Py_ssize_t i = 0; !failed && names != NULL && i < PyTuple_GET_SIZE(names); i++)
        failed = PyDict_SetItem(keywords, PyTuple_GET_ITEM(names, i), args[count + i]) < 0;
    if (!failed) {
        PyObject *calls = attribute_of(self, state->s_broker, state->s_calls), *view = NULL, *target = NULL;
        if (calls != NULL && (view = PyObject_GetAttr(self, state->s_view)) != NULL &&
            (target = PyObject_GetAttr(self, state->s_luid)) != NULL) {
            PyObject *stack[] = {calls, view, target, args[0], tuple, keywords};
            promise = PyObject_VectorcallMethod(state->s_call, stack, 6, NULL);
        }
        Py_XDECREF(calls);
        Py_XDECREF(view);
        Py_XDECREF(target);
    }
    Py_XDECREF(tuple);
    Py_XDECREF(keywords);
    return promise;
}

PyObject *reference_call(State *state, PyObject *self, PyObject *kind, PyObject *name, PyObject *const *args,
                         Py_ssize_t count) {
    PyObject *promise = NULL, *calls = attribute_of(self, state->s_broker, state->s_calls), *view = NULL, *target = NULL;
    if (calls != NULL && (view = PyObject_GetAttr(self, state->s_view)) != NULL &&
        (target = PyObject_GetAttr(self, state->s_luid)) != NULL)
        promise = calls_quickly(state, calls, kind, view, target, name, args, count);
    Py_XDECREF(calls);
    Py_XDECREF(view);
    Py_XDECREF(target);
    return promise;
}

static PyObject *call_remote(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    State *state = state_of(Py_TYPE(self));
    if (state == NULL) return NULL;
    if (count == 0) {
        PyErr_SetString(PyExc_TypeError, "callRemote() needs the name of a method");
        return NULL;
    }
    if (names == NULL || PyTuple_GET_SIZE(names) == 0) {
        PyObject *promise = reference_call(state, self, state->promise, args[0], args + 1, count - 1);
        if (promise != Py_None) return promise;
        Py_DECREF(promise);
    }
    return call_slowly(state, self, args, count, names);
}

/* call_as(kind, name, args, kw): the same, with a class of the promise. */
static PyObject *call_as(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    State *state = state_of(Py_TYPE(self));
    if (state == NULL) return NULL;
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "call_as(kind, name, args, kw)");
        return NULL;
    }
    PyObject *promise = NULL, *calls = attribute_of(self, state->s_broker, state->s_calls), *view = NULL, *target = NULL;
    if (calls != NULL && (view = PyObject_GetAttr(self, state->s_view)) != NULL &&
        (target = PyObject_GetAttr(self, state->s_luid)) != NULL) {
        PyObject *stack[] = {calls, view, target, args[1], args[2], args[3], Py_False, args[0]};
        promise = PyObject_VectorcallMethod(state->s_call, stack, 8, NULL);
    }
    Py_XDECREF(calls);
    Py_XDECREF(view);
    Py_XDECREF(target);
    return promise;
}

PyDoc_STRVAR(call_remote_doc,
"callRemote($self, _name, /, *args, **kw)\n--\n\n"
"Call a method of the object; see ``broker.flavors.reference``.");

static PyMethodDef reference_methods[] = {
    {"callRemote", (PyCFunction)(void (*)(void))call_remote, METH_FASTCALL | METH_KEYWORDS, call_remote_doc},
    {"call_as", (PyCFunction)(void (*)(void))call_as, METH_FASTCALL, "See ``broker.flavors.reference``."},
    {NULL}};

static void reference_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot reference_slots[] = {
    {Py_tp_doc, "The method that calls a remote object; see broker.flavors.reference."},
    {Py_tp_dealloc, reference_dealloc},
    {Py_tp_methods, reference_methods},
    {0, NULL}};

PyType_Spec reference_spec = {
    .name = "broker._lane.ReferenceBase", .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, .slots = reference_slots};
