/* CallsBase: the quick way of a call of a remote method; the Python form is in broker/connection/lane.py. */
#include "lane.h"

static int calls_traverse(Calls *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->lane);
    Py_VISIT(self->loop);
    Py_VISIT(self->waiting);
    Py_VISIT(self->stepped_loop);
    Py_VISIT(self->flush);
    return 0;
}

static int calls_clear(Calls *self) {
    self->is_open = 0;
    Py_CLEAR(self->lane);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->waiting);
    Py_CLEAR(self->stepped_loop);
    Py_CLEAR(self->flush);
    return 0;
}

static void calls_dealloc(Calls *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    calls_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* Whether this code runs in the loop of the connection; -1 with an exception. */
static int is_in_loop(State *state, Calls *self) {
    PyObject *loop = running_loop(state);
    if (loop == NULL) return -1;
    Py_DECREF(loop);
    return loop == self->loop;
}

/* Whether a context variable has its default, None; -1 with an exception. */
static int is_unset(PyObject *variable) {
    PyObject *value;
    if (PyContextVar_Get(variable, Py_None, &value) < 0) return -1;
    Py_DECREF(value);
    return value == Py_None;
}

/* Whether a class of promises has no more fields than that of the others, and is made as it. */
static int is_kind(State *state, PyObject *kind) {
    if (kind == state->promise) return 1;
    if (kind == NULL || !PyType_Check(kind) || state->promise == NULL) return 0;
    PyTypeObject *type = (PyTypeObject *)kind, *promise = (PyTypeObject *)state->promise;
    return PyType_IsSubtype(type, promise) && type->tp_basicsize == promise->tp_basicsize &&
           type->tp_init == promise->tp_init && type->tp_new == promise->tp_new && type->tp_dictoffset == 0;
}

PyObject *calls_quickly(State *state, PyObject *calls, PyObject *kind, PyObject *view, PyObject *target,
                        PyObject *name, PyObject *const *args, Py_ssize_t count) {
    if (!PyObject_TypeCheck(calls, state->calls) || !is_kind(state, kind)) Py_RETURN_NONE;
    Calls *self = (Calls *)calls;
    if (!self->is_open || self->lane == NULL || !PyUnicode_CheckExact(name)) Py_RETURN_NONE;
    int is_quick = is_in_loop(state, self);
    if (is_quick > 0) is_quick = is_unset(state->deadline);
    if (is_quick > 0) is_quick = is_unset(state->first_credit);
    if (is_quick <= 0) return is_quick < 0 ? NULL : Py_NewRef(Py_None);
    PyObject *promise = lane_call(self->lane, kind, view, target, name, args, count);
    if (promise == NULL || promise == Py_None || self->is_batched) return promise;
    PyObject *flushed = PyObject_CallNoArgs(self->flush);
    Py_XDECREF(flushed);
    if (flushed == NULL) Py_CLEAR(promise);
    return promise;
}

static PyObject *calls_call(Calls *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    State *state = state_of(Py_TYPE(self));
    if (state == NULL) return NULL;
    if ((count == 5 || (count == 7 && args[5] == Py_False)) && names == NULL && PyTuple_CheckExact(args[3]) &&
        PyDict_CheckExact(args[4]) && PyDict_GET_SIZE(args[4]) == 0) {
        PyObject *kind = count == 7 ? args[6] : state->promise;
        PyObject *promise = calls_quickly(state, (PyObject *)self, kind, args[0], args[1], args[2],
                                          &PyTuple_GET_ITEM(args[3], 0), PyTuple_GET_SIZE(args[3]));
        if (promise != Py_None) return promise;
        Py_DECREF(promise);
    }
    PyObject *method = PyObject_GetAttr((PyObject *)self, state->s_make_call);
    if (method == NULL) return NULL;
    PyObject *promise = PyObject_Vectorcall(method, args, count, names);
    Py_DECREF(method);
    return promise;
}

static int set_lane(Calls *self, PyObject *value, void *Py_UNUSED(closure)) {
    State *state = state_of(Py_TYPE(self));
    if (state == NULL) return -1;
    if (value == NULL || (value != Py_None && Py_TYPE(value) != state->lane)) {
        PyErr_SetString(PyExc_TypeError, "a Lane or None is needed");
        return -1;
    }
    Py_XSETREF(self->lane, value == Py_None ? NULL : Py_NewRef(value));
    return 0;
}

static PyObject *get_lane(Calls *self, void *Py_UNUSED(closure)) { return Py_NewRef(self->lane ? self->lane : Py_None); }

static PyMethodDef calls_methods[] = {
    {"call", (PyCFunction)(void (*)(void))calls_call, METH_FASTCALL | METH_KEYWORDS, "Call a method of the peer."},
    {NULL}};

static PyGetSetDef calls_getset[] = {
    {"lane", (getter)get_lane, (setter)set_lane, NULL, NULL},
    {NULL}};

static PyMemberDef calls_members[] = {
    {"_flush", T_OBJECT_EX, offsetof(Calls, flush), 0, NULL},
    {"_loop", T_OBJECT, offsetof(Calls, loop), 0, NULL},
    {"waiting", T_OBJECT_EX, offsetof(Calls, waiting), 0, NULL},
    {"stepped_loop", T_OBJECT, offsetof(Calls, stepped_loop), 0, NULL},
    {"is_open", T_BOOL, offsetof(Calls, is_open), 0, NULL},
    {"is_batched", T_BOOL, offsetof(Calls, is_batched), 0, NULL},
    {"has_stepped", T_BOOL, offsetof(Calls, has_stepped), 0, NULL},
    {NULL}};

static PyType_Slot calls_slots[] = {
    {Py_tp_doc, "The quick way of a call; see broker.connection.lane."},
    {Py_tp_traverse, calls_traverse},
    {Py_tp_clear, calls_clear},
    {Py_tp_dealloc, calls_dealloc},
    {Py_tp_methods, calls_methods},
    {Py_tp_getset, calls_getset},
    {Py_tp_members, calls_members},
    {0, NULL}};

PyType_Spec calls_spec = {
    .name = "broker._lane.CallsBase", .basicsize = sizeof(Calls),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, .slots = calls_slots};
