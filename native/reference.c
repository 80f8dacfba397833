/* ReferenceBase: the method that calls a remote object; the Python form is in broker/flavors/reference.py. */
#include "lane.h"

/* What a reference names. All objects are owned. */
typedef struct {
    PyObject *calls, *view, *target;
} Named;

static void release(Named *named) {
    Py_XDECREF(named->calls);
    Py_XDECREF(named->view);
    Py_XDECREF(named->target);
}

/* Read the attributes of a reference. 0, or -1 with an exception; `release` is needed in both cases. */
static int read_named(State *state, PyObject *self, Named *named) {
    const Fields *fields = &state->fields;
    PyObject *broker = get_field(&fields->reference_broker, self);
    if (broker == NULL) return -1;
    named->calls = PyObject_GetAttr(broker, state->s_calls);
    Py_DECREF(broker);
    if (named->calls == NULL || (named->view = get_field(&fields->reference_view, self)) == NULL) return -1;
    return (named->target = get_field(&fields->reference_luid, self)) == NULL ? -1 : 0;
}

/* Make the call by the method of the calls, as the Python form does. Without a kind, that of the method is used. */
static PyObject *call_by_method(State *state, PyObject *self, PyObject *kind, PyObject *name, PyObject *args, PyObject *kw) {
    Named named = {0};
    PyObject *promise = NULL;
    if (read_named(state, self, &named) == 0) {
        PyObject *stack[] = {named.calls, named.view, named.target, name, args, kw, Py_False, kind};
        promise = PyObject_VectorcallMethod(state->s_call, stack, kind == NULL ? 6 : 8, NULL);
    }
    release(&named);
    return promise;
}

/* Make the call with a tuple and a dict of these arguments. */
static PyObject *call_slowly(State *state, PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyObject *tuple = PyTuple_New(count - 1), *keywords = PyDict_New(), *promise = NULL;
    int failed = tuple == NULL || keywords == NULL;
    for (Py_ssize_t i = 1; !failed && i < count; i++) PyTuple_SET_ITEM(tuple, i - 1, Py_NewRef(args[i]));
    for (Py_ssize_t i = 0; !failed && names != NULL && i < PyTuple_GET_SIZE(names); i++)
        failed = PyDict_SetItem(keywords, PyTuple_GET_ITEM(names, i), args[count + i]) < 0;
    if (!failed) promise = call_by_method(state, self, NULL, args[0], tuple, keywords);
    Py_XDECREF(tuple);
    Py_XDECREF(keywords);
    return promise;
}

PyObject *reference_call(State *state, PyObject *self, PyObject *kind, PyObject *name, PyObject *const *args,
                         Py_ssize_t count) {
    Named named = {0};
    PyObject *promise = NULL;
    if (read_named(state, self, &named) == 0)
        promise = calls_quickly(state, named.calls, kind, named.view, named.target, name, args, count);
    release(&named);
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
    return call_by_method(state, self, args[0], args[1], args[2], args[3]);
}

PyDoc_STRVAR(call_remote_doc,
"callRemote($self, _name, /, *args, **kw)\n--\n\n"
"Call a method of the object; see ``broker.flavors.reference``.");

static PyMethodDef reference_methods[] = {
    {"callRemote", (PyCFunction)(void (*)(void))call_remote, METH_FASTCALL | METH_KEYWORDS, call_remote_doc},
    {"call_as", (PyCFunction)(void (*)(void))call_as, METH_FASTCALL, "See ``broker.flavors.reference``."},
    {NULL}};

static PyType_Slot reference_slots[] = {
    {Py_tp_doc, "The method that calls a remote object; see broker.flavors.reference."},
    {Py_tp_dealloc, dealloc_plain},
    {Py_tp_methods, reference_methods},
    {0, NULL}};

PyType_Spec reference_spec = {
    .name = "broker._lane.ReferenceBase", .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, .slots = reference_slots};
