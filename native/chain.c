/* ChainBase and BridgeBase: the fields of a Deferred, and how a task awaits it.

   The Python classes on top of them, in broker/defer, have all that is not used for each call. The
   Python forms of these two are in broker/defer/fields.py, which has the documentation. */
#include "lane.h"

int is_simple(PyObject *value) {
    PyTypeObject *type = Py_TYPE(value);
    return type == &PyUnicode_Type || type == &PyLong_Type || value == Py_None || type == &PyBool_Type ||
           type == &PyDict_Type || type == &PyList_Type || type == &PyFloat_Type || type == &PyBytes_Type ||
           type == &PyTuple_Type;
}

/* ---- Chain. */

static int chain_traverse(Chain *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->only);
    Py_VISIT(self->items);
    Py_VISIT(self->canceller);
    Py_VISIT(self->owner);
    Py_VISIT(self->unhandled);
    Py_VISIT(self->label);
    Py_VISIT(self->result);
    return 0;
}

static int chain_clear(Chain *self) {
    Py_CLEAR(self->only);
    Py_CLEAR(self->items);
    Py_CLEAR(self->canceller);
    Py_CLEAR(self->owner);
    Py_CLEAR(self->unhandled);
    Py_CLEAR(self->label);
    Py_CLEAR(self->result);
    return 0;
}

static void chain_dealloc(Chain *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) PyObject_ClearWeakRefs((PyObject *)self);
    chain_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static int refuse_delete(PyObject *value) {
    if (value != NULL) return 0;
    PyErr_SetString(PyExc_AttributeError, "this attribute cannot be deleted");
    return -1;
}

static PyObject *get_items(Chain *self, void *Py_UNUSED(closure)) {
    if (self->only != NULL) {
        PyObject *items = PyList_New(1);
        if (items == NULL) return NULL;
        /* Asked again: to make a list may start the garbage collector, whose finalizers may use this Deferred. */
        if (self->only == NULL) {
            Py_DECREF(items);
        } else {
            PyList_SET_ITEM(items, 0, self->only);
            self->only = NULL;
            Py_XSETREF(self->items, items);
        }
    }
    return Py_NewRef(self->items != NULL ? self->items : Py_None);
}

static int set_items(Chain *self, PyObject *value, void *Py_UNUSED(closure)) {
    if (refuse_delete(value) < 0) return -1;
    if (value != Py_None && !PyList_CheckExact(value)) {
        PyErr_SetString(PyExc_TypeError, "the items of a Deferred are a list or None");
        return -1;
    }
    Py_CLEAR(self->only);
    Py_XSETREF(self->items, value == Py_None ? NULL : Py_NewRef(value));
    return 0;
}

static PyObject *get_canceller(Chain *self, void *Py_UNUSED(closure)) {
    if (self->owner != NULL) {
        State *state = state_of(Py_TYPE(self));
        if (state == NULL) return NULL;
        PyObject *number = PyLong_FromLongLong(self->number);
        if (number == NULL) return NULL;
        PyObject *canceller = PyObject_CallMethodOneArg(self->owner, state->s_canceller_of, number);
        Py_DECREF(number);
        return canceller;
    }
    return Py_NewRef(self->canceller != NULL ? self->canceller : Py_None);
}

static int set_canceller(Chain *self, PyObject *value, void *Py_UNUSED(closure)) {
    if (refuse_delete(value) < 0) return -1;
    Py_CLEAR(self->owner);
    Py_XSETREF(self->canceller, value == Py_None ? NULL : Py_NewRef(value));
    return 0;
}

static PyObject *get_unhandled(Chain *self, void *Py_UNUSED(closure)) {
    return Py_NewRef(self->unhandled != NULL ? self->unhandled : Py_None);
}

static int set_unhandled(Chain *self, PyObject *value, void *Py_UNUSED(closure)) {
    if (refuse_delete(value) < 0) return -1;
    Py_XSETREF(self->unhandled, value == Py_None ? NULL : Py_NewRef(value));
    return 0;
}

/* A flag: any object is true or false. `closure` is where the flag is. */
static PyObject *get_flag(PyObject *self, void *closure) { return PyBool_FromLong(((char *)self)[(uintptr_t)closure]); }

static int set_flag(PyObject *self, PyObject *value, void *closure) {
    if (refuse_delete(value) < 0) return -1;
    int flag = PyObject_IsTrue(value);
    if (flag < 0) return -1;
    ((char *)self)[(uintptr_t)closure] = (char)flag;
    return 0;
}

static int is_settled(Chain *self) { return self->called && !self->paused && !self->is_running; }

static int chain_append(Chain *self, PyObject *item) {
    if (self->only == NULL && self->items == NULL) {
        self->only = Py_NewRef(item);
        return 0;
    }
    PyObject *items = get_items(self, NULL);
    if (items == NULL) return -1;
    int failed = PyList_Append(items, item);
    Py_DECREF(items);
    return failed;
}

#ifdef _MSC_VER
#define THREAD_LOCAL __declspec(thread)
#else
#define THREAD_LOCAL _Thread_local
#endif

/* While this thread steps a task: the loop of the task, which runs, and the module that steps it; else NULL. */
static THREAD_LOCAL PyObject *stepping_loop;
static THREAD_LOCAL State *stepping_state;

PyObject *running_loop(State *state) {
    if (stepping_loop != NULL && stepping_state == state) return Py_NewRef(stepping_loop);
    return PyObject_CallNoArgs(state->running_loop);
}

static int bridge_deliver(State *state, Bridge *self, PyObject *result, PyObject *loop);

int chain_is_plain(State *state, Chain *self) {
    return !self->called && !self->paused && !self->is_running &&
           (self->items == NULL || PyList_GET_SIZE(self->items) == 0) &&
           (self->only == NULL || Py_TYPE(self->only) == (PyTypeObject *)state->bridge_class);
}

int chain_fire(State *state, Chain *self, PyObject *value, PyObject *loop) {
    self->called = 1;
    PyObject *bridge = self->only, *owner = self->owner, *canceller = self->canceller, *old = self->result;
    self->only = self->owner = self->canceller = NULL;
    self->result = Py_NewRef(value);
    int failed = bridge != NULL && bridge_deliver(state, (Bridge *)bridge, value, loop) < 0;
    Py_XDECREF(bridge);
    Py_XDECREF(owner);
    Py_XDECREF(canceller);
    Py_XDECREF(old);
    return failed ? -1 : 1;
}

int chain_has_pairs(Chain *self) {
    return !self->called && !self->paused && !self->is_running && self->only == NULL && self->items != NULL &&
           PyList_GET_SIZE(self->items) > 0 && PyTuple_CheckExact(PyList_GET_ITEM(self->items, 0));
}

#define MOST_PASSED 8        /* arguments of a callback that are passed without a tuple */

/* Call the callback of a pair with the result, and return what it returns. */
static PyObject *call_back(PyObject *result, PyObject *pair) {
    PyObject *args = PyTuple_GET_ITEM(pair, 1), *keywords = PyTuple_GET_ITEM(pair, 2), *returned = NULL;
    if (!PyTuple_CheckExact(args) || !PyDict_CheckExact(keywords)) {
        PyErr_SetString(PyExc_TypeError, "a callback has a tuple and a dict of arguments");
        return NULL;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(args);
    PyObject *stack[1 + MOST_PASSED] = {result}, *all = NULL;
    if (count <= MOST_PASSED) {
        for (Py_ssize_t i = 0; i < count; i++) stack[1 + i] = PyTuple_GET_ITEM(args, i);
        return PyObject_VectorcallDict(PyTuple_GET_ITEM(pair, 0), stack, (size_t)(1 + count), keywords);
    }
    if ((all = PyTuple_New(1 + count)) == NULL) return NULL;
    PyTuple_SET_ITEM(all, 0, Py_NewRef(result));
    for (Py_ssize_t i = 0; i < count; i++) PyTuple_SET_ITEM(all, 1 + i, Py_NewRef(PyTuple_GET_ITEM(args, i)));
    returned = PyObject_Call(PyTuple_GET_ITEM(pair, 0), all, keywords);
    Py_DECREF(all);
    return returned;
}

#define DONE 2

/* Call the first callback, if the next item is a pair. DONE: there is none left; 1: the next one can be called; 0: the
   Python code must go on; -1: an exception that is not that of a callback. */
static int call_first(State *state, Chain *self) {
    if (self->only != NULL) return 0;
    if (self->items == NULL || PyList_GET_SIZE(self->items) == 0) return self->unhandled == NULL ? DONE : 0;
    PyObject *pair = Py_NewRef(PyList_GET_ITEM(self->items, 0)), *taken = NULL;
    if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 6) {
        Py_DECREF(pair);
        return 0;
    }
    int done = PyList_SetSlice(self->items, 0, 1, NULL) < 0 ? -1 : 1;
    if (done > 0 && PyTuple_GET_ITEM(pair, 0) != Py_None) {
        PyObject *result = Py_NewRef(self->result), *returned = call_back(result, pair);
        Py_DECREF(result);
        if (returned != NULL && is_simple(returned)) {
            Py_XSETREF(self->result, Py_NewRef(returned));
        } else if (returned != NULL) {
            taken = PyObject_CallMethodOneArg((PyObject *)self, state->s_took_result, returned);
            done = taken == NULL ? -1 : 0;
        } else {
            PyObject *error = caught();
            taken = PyObject_CallMethodOneArg((PyObject *)self, state->s_caught, error);
            done = taken == NULL ? -1 : 0;
            Py_DECREF(error);
        }
        Py_XDECREF(returned);
        Py_XDECREF(taken);
    }
    Py_DECREF(pair);
    return done > 0 && self->paused ? 0 : done;
}

int chain_fire_pairs(State *state, Chain *self, PyObject *value, PyObject *loop) {
    PyObject *owner = self->owner, *canceller = self->canceller, *old = self->result;
    int done = 1;
    Py_INCREF(self);
    self->called = self->is_running = 1;
    self->owner = self->canceller = NULL;
    self->result = Py_NewRef(value);
    Py_XDECREF(owner);
    Py_XDECREF(canceller);
    Py_XDECREF(old);
    while (done == 1) done = call_first(state, self);
    self->is_running = 0;
    /* The end of the chain, other items, and results that are not simple. */
    if (done == 0) {
        PyObject *ran = PyObject_CallMethodOneArg((PyObject *)self, state->s_run, loop);
        if (ran == NULL) done = -1;
        Py_XDECREF(ran);
    }
    Py_DECREF(self);
    return done < 0 ? -1 : 1;
}

/* Return the awaiter of one `await`. It joins the chain in its first step. */
static PyObject *chain_await(Chain *self) {
    State *state = state_of(Py_TYPE(self));
    if (state == NULL) return NULL;
    if (state->bridge_class == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "broker._lane is not in use");
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)state->bridge_class;
    Bridge *bridge = (Bridge *)type->tp_alloc(type, 0);
    if (bridge == NULL) return NULL;
    bridge->deferred = Py_NewRef(self);
    bridge->outcome = Py_NewRef(state->pending);
    bridge->state = state;
    bridge->blocking = 1;
    return (PyObject *)bridge;
}

static PyMethodDef chain_methods[] = {
    {"__await__", (PyCFunction)chain_await, METH_NOARGS, "Wait for the result; raise the exception of a failure."},
    {"__iter__", (PyCFunction)chain_await, METH_NOARGS, "The same, for ``yield from``."},
    {NULL}};

#define FLAG(name, field) {name, get_flag, set_flag, NULL, (void *)offsetof(Chain, field)}
static PyGetSetDef chain_getset[] = {
    {"_items", (getter)get_items, (setter)set_items, NULL, NULL},
    {"_canceller", (getter)get_canceller, (setter)set_canceller, NULL, NULL},
    {"_unhandled", (getter)get_unhandled, (setter)set_unhandled, NULL, NULL},
    FLAG("called", called),
    FLAG("_is_running", is_running),
    FLAG("_swallows_one", swallows_one),
    {NULL}};

static PyMemberDef chain_members[] = {
    {"paused", T_INT, offsetof(Chain, paused), 0, NULL},
    {"label", T_OBJECT_EX, offsetof(Chain, label), 0, NULL},
    {"result", T_OBJECT_EX, offsetof(Chain, result), 0, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Chain, weakrefs), READONLY, NULL},
    {NULL}};

static PyType_Slot chain_slots[] = {
    {Py_tp_doc, "The fields of a Deferred; see broker.defer.fields."},
    {Py_tp_traverse, chain_traverse},
    {Py_tp_clear, chain_clear},
    {Py_tp_dealloc, chain_dealloc},
    {Py_tp_methods, chain_methods},
    {Py_tp_getset, chain_getset},
    {Py_tp_members, chain_members},
    {Py_am_await, chain_await},
    {Py_tp_iter, chain_await},
    {0, NULL}};

PyType_Spec chain_spec = {
    .name = "broker._lane.ChainBase", .basicsize = sizeof(Chain),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, .slots = chain_slots};

/* ---- Bridge. */

static int bridge_traverse(Bridge *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->deferred);
    Py_VISIT(self->outcome);
    Py_VISIT(self->loop);
    Py_VISIT(self->callback);
    Py_VISIT(self->context);
    Py_VISIT(self->wakeups);
    return 0;
}

static int bridge_clear(Bridge *self) {
    Py_CLEAR(self->deferred);
    Py_CLEAR(self->outcome);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->callback);
    Py_CLEAR(self->context);
    Py_CLEAR(self->wakeups);
    return 0;
}

static void bridge_dealloc(Bridge *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    bridge_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static int bridge_init(Bridge *self, PyObject *args, PyObject *kw) {
    static char *names[] = {"deferred", NULL};
    State *state = state_of(Py_TYPE(self));
    PyObject *deferred;
    if (state == NULL || !PyArg_ParseTupleAndKeywords(args, kw, "O!:Bridge", names, state->chain, &deferred)) return -1;
    if (self->began) {
        PyErr_SetString(PyExc_RuntimeError, "a Bridge is made once");
        return -1;
    }
    if (state->pending == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "broker._lane is not in use");
        return -1;
    }
    Py_XSETREF(self->deferred, Py_NewRef(deferred));
    Py_XSETREF(self->outcome, Py_NewRef(state->pending));
    self->state = state;
    self->blocking = self->began = 1;
    return chain_append((Chain *)deferred, (PyObject *)self);
}

/* Whether it has been made as it should: one that was made by ``object.__new__`` has no Deferred. */
static int is_made(Bridge *self) {
    if (self->state != NULL && self->deferred != NULL && self->outcome != NULL) return 1;
    PyErr_SetString(PyExc_RuntimeError, "this Bridge has no Deferred");
    return 0;
}

static int call_soon(State *state, PyObject *loop, PyObject *callback, PyObject *self, PyObject *context) {
    PyObject *call = PyObject_GetAttr(loop, state->s_call_soon);
    if (call == NULL) return -1;
    PyObject *stack[] = {callback, self, context};
    PyObject *handle = PyObject_Vectorcall(call, stack, 2, state->context_names);
    Py_DECREF(call);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

/* Return what a wakeup is called with: the Bridge, or a future that is done, if the wakeup is that of a task in C.

   Such a task only asks for an exception, and a future in C answers that without a call. The result it takes from
   the Bridge, in its next step; a subclass may pass it in another way. The object that is returned is borrowed. */
static PyObject *awaited_of(State *state, Bridge *self, PyObject *callback) {
    int is_result = Py_TYPE(self) == (PyTypeObject *)state->bridge_class && self->outcome != NULL && is_simple(self->outcome);
    if (!is_result || state->task == NULL || !PyCFunction_CheckExact(callback)) return (PyObject *)self;
    PyObject *task = PyCFunction_GET_SELF(callback);
    if (task == NULL || Py_TYPE(task) != state->task) return (PyObject *)self;
    return strcmp(((PyCFunctionObject *)callback)->m_ml->ml_name, "task_wakeup") ? (PyObject *)self : state->done;
}

/* Wake one awaiter: a task of the loop `stepped` now, other tasks by their loop. */
static int wake(State *state, Bridge *self, PyObject *callback, PyObject *context, PyObject *stepped) {
    PyObject *loop = self->loop;
    if (loop == NULL || loop == Py_None) {
        PyObject *result = PyObject_CallOneArg(callback, (PyObject *)self);
        Py_XDECREF(result);
        return result == NULL ? -1 : 0;
    }
    if (stepped == loop && PyContext_CheckExact(context)) {
        if (PyContext_Enter(context) == 0) {
            PyObject *outer_loop = stepping_loop;
            State *outer_state = stepping_state;
            stepping_loop = Py_NewRef(loop);
            stepping_state = state;
            PyObject *awaited = Py_NewRef(awaited_of(state, self, callback));
            PyObject *result = PyObject_CallOneArg(callback, awaited);
            Py_DECREF(awaited);
            stepping_loop = outer_loop;
            stepping_state = outer_state;
            Py_DECREF(loop);
            PyObject *type, *value, *traceback;
            PyErr_Fetch(&type, &value, &traceback);
            int failed = PyContext_Exit(context) < 0;
            if (result == NULL) {
                PyErr_Restore(type, value, traceback);
                return -1;
            }
            Py_DECREF(result);
            return failed ? -1 : 0;
        }
        /* The context is in use: this callback of the loop runs in the task's context. */
        if (!PyErr_ExceptionMatches(PyExc_RuntimeError)) return -1;
        PyErr_Clear();
    }
    return call_soon(state, loop, callback, (PyObject *)self, context);
}

static int wake_all(State *state, Bridge *self, PyObject *stepped) {
    PyObject *callback = self->callback, *context = self->context, *wakeups = self->wakeups;
    int failed = 0;
    self->callback = self->context = self->wakeups = NULL;
    Py_INCREF(self);
    if (callback != NULL) failed = wake(state, self, callback, context, stepped) < 0;
    for (Py_ssize_t i = 0; wakeups != NULL && !failed && i < PyList_GET_SIZE(wakeups); i++) {
        PyObject *pair = Py_NewRef(PyList_GET_ITEM(wakeups, i));
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "a wakeup is a pair");
            failed = 1;
        } else {
            failed = wake(state, self, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1), stepped) < 0;
        }
        Py_DECREF(pair);
    }
    Py_XDECREF(callback);
    Py_XDECREF(context);
    Py_XDECREF(wakeups);
    Py_DECREF(self);
    return failed ? -1 : 0;
}

static int bridge_deliver(State *state, Bridge *self, PyObject *result, PyObject *loop) {
    if (self->outcome != state->pending) return 0;
    Py_SETREF(self->outcome, Py_NewRef(result));
    return self->callback == NULL && self->wakeups == NULL ? 0 : wake_all(state, self, loop);
}

static PyObject *bridge_deliver_method(Bridge *self, PyObject *const *args, Py_ssize_t count) {
    if (!is_made(self)) return NULL;
    if (count < 1 || count > 2) {
        PyErr_SetString(PyExc_TypeError, "deliver(result, loop=None)");
        return NULL;
    }
    if (bridge_deliver(self->state, self, args[0], count == 2 ? args[1] : Py_None) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *bridge_wake_method(Bridge *self, PyObject *Py_UNUSED(ignored)) {
    if (!is_made(self) || wake_all(self->state, self, Py_None) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *bridge_get_loop(Bridge *self, PyObject *Py_UNUSED(ignored)) {
    if (!is_made(self)) return NULL;
    if (self->loop == NULL || self->loop == Py_None) {
        PyObject *loop = running_loop(self->state);
        if (loop == NULL) return NULL;
        if (loop == Py_None) return loop;
        Py_XSETREF(self->loop, loop);
    }
    return Py_NewRef(self->loop);
}

/* Make the list of wakeups. That may start the garbage collector, whose finalizers may use this Bridge. */
static int make_wakeups(Bridge *self) {
    if (self->wakeups != NULL) return 0;
    PyObject *wakeups = PyList_New(0);
    if (wakeups == NULL) return -1;
    if (self->wakeups == NULL) self->wakeups = wakeups;
    else Py_DECREF(wakeups);
    return 0;
}

static PyObject *bridge_add_done_callback(Bridge *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    if (!is_made(self)) return NULL;
    State *state = self->state;
    Py_ssize_t keywords = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    if (count != 1 || keywords > 1 ||
        (keywords == 1 && PyUnicode_Compare(PyTuple_GET_ITEM(names, 0), state->s_context) != 0)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "add_done_callback(callback, *, context=None)");
        return NULL;
    }
    PyObject *callback = args[0], *context = keywords ? args[1] : Py_None;
    if (self->callback == NULL && self->wakeups == NULL) {
        self->callback = Py_NewRef(callback);
        self->context = Py_NewRef(context);
    } else {
        PyObject *pair = PyTuple_Pack(2, callback, context);
        int failed = pair == NULL || make_wakeups(self) < 0 || PyList_Append(self->wakeups, pair) < 0;
        Py_XDECREF(pair);
        if (failed) return NULL;
    }
    PyObject *loop = bridge_get_loop(self, NULL);
    if (loop == NULL) return NULL;
    Py_DECREF(loop);
    if (self->outcome != state->pending && wake_all(state, self, Py_None) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *bridge_result(Bridge *self, PyObject *Py_UNUSED(ignored)) {
    if (!is_made(self)) return NULL;
    if (self->outcome != NULL && is_simple(self->outcome)) return Py_NewRef(self->outcome);
    return PyObject_CallMethodNoArgs((PyObject *)self, self->state->s_outcome_of);
}

/* Replace a StopIteration, which a coroutine would take for the result, as the end of an iterator. */
static void refuse_stop(void) {
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) return;
    PyObject *stop = caught();
    PyErr_SetString(PyExc_RuntimeError, "a Deferred raised StopIteration");
    PyObject *error = caught();
    /* Both take the reference that they are given. */
    PyException_SetCause(error, Py_NewRef(stop));
    PyException_SetContext(error, stop);
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(error)), error, NULL);
}

static PySendResult bridge_send(Bridge *self, PyObject *Py_UNUSED(value), PyObject **result) {
    *result = NULL;
    if (!is_made(self)) return PYGEN_ERROR;
    if (!self->began) {
        Chain *chain = (Chain *)self->deferred;
        if (is_settled(chain)) {
            if (chain->result != NULL && is_simple(chain->result)) {
                *result = Py_NewRef(chain->result);
            } else {
                *result = PyObject_CallMethodNoArgs((PyObject *)chain, self->state->s_settled);
            }
            if (*result == NULL) refuse_stop();
            return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
        }
        if (chain_append(chain, (PyObject *)self) < 0) return PYGEN_ERROR;
        self->began = 1;
        *result = Py_NewRef(self);
        return PYGEN_NEXT;
    }
    if (self->outcome == self->state->pending) {
        /* A driver that has not waited: the coroutine gets an error, and waits no longer. */
        PyObject *closed = PyObject_CallMethod((PyObject *)self, "close", NULL);
        if (closed == NULL) return PYGEN_ERROR;
        Py_DECREF(closed);
    }
    *result = bridge_result(self, NULL);
    if (*result == NULL) refuse_stop();
    return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
}

/* Raise StopIteration with a value, as a generator does to return it. */
static void raise_stop(PyObject *value) {
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
    if (stop == NULL) return;
    PyErr_SetObject(PyExc_StopIteration, stop);
    Py_DECREF(stop);
}

static PyObject *bridge_next(Bridge *self) {
    PyObject *result;
    PySendResult kind = bridge_send(self, Py_None, &result);
    if (kind != PYGEN_RETURN) return result;
    if (result != Py_None) raise_stop(result);
    Py_DECREF(result);
    return NULL;
}

void bridge_use(PyTypeObject *type) {
    if (type->tp_iternext == (iternextfunc)bridge_next) type->tp_as_async->am_send = (sendfunc)bridge_send;
}

static PyObject *bridge_send_method(Bridge *self, PyObject *value) {
    PyObject *result;
    PySendResult kind = bridge_send(self, value, &result);
    if (kind != PYGEN_RETURN) return result;
    raise_stop(result);
    Py_DECREF(result);
    return NULL;
}

static PyObject *get_wakeups(Bridge *self, void *Py_UNUSED(closure)) {
    if (self->callback != NULL) {
        PyObject *pair = PyTuple_Pack(2, self->callback, self->context);
        int failed = pair == NULL || make_wakeups(self) < 0;
        if (!failed && self->callback == PyTuple_GET_ITEM(pair, 0)) {
            failed = PyList_Insert(self->wakeups, 0, pair) < 0;
            if (!failed) {
                Py_CLEAR(self->callback);
                Py_CLEAR(self->context);
            }
        }
        Py_XDECREF(pair);
        if (failed) return NULL;
    }
    return Py_NewRef(self->wakeups != NULL ? self->wakeups : Py_None);
}

static int set_wakeups(Bridge *self, PyObject *value, void *Py_UNUSED(closure)) {
    if (refuse_delete(value) < 0) return -1;
    if (value != Py_None && !PyList_CheckExact(value)) {
        PyErr_SetString(PyExc_TypeError, "wakeups are a list or None");
        return -1;
    }
    Py_CLEAR(self->callback);
    Py_CLEAR(self->context);
    Py_XSETREF(self->wakeups, value == Py_None ? NULL : Py_NewRef(value));
    return 0;
}

static PyMethodDef bridge_methods[] = {
    {"deliver", (PyCFunction)(void (*)(void))bridge_deliver_method, METH_FASTCALL, "See broker.defer.fields."},
    {"_wake", (PyCFunction)bridge_wake_method, METH_NOARGS, "See broker.defer.fields."},
    {"get_loop", (PyCFunction)bridge_get_loop, METH_NOARGS, "Return the running loop."},
    {"add_done_callback", (PyCFunction)(void (*)(void))bridge_add_done_callback, METH_FASTCALL | METH_KEYWORDS,
     "Let the loop call a function with this Bridge when there is an outcome."},
    {"result", (PyCFunction)bridge_result, METH_NOARGS, "Return the result or raise the exception."},
    {"send", (PyCFunction)bridge_send_method, METH_O, "Take a step as the awaiter: a value is ignored."},
    {NULL}};

static PyGetSetDef bridge_getset[] = {
    {"_wakeups", (getter)get_wakeups, (setter)set_wakeups, NULL, NULL},
    {"_asyncio_future_blocking", get_flag, set_flag, NULL, (void *)offsetof(Bridge, blocking)},
    {NULL}};

static PyMemberDef bridge_members[] = {
    {"_deferred", T_OBJECT, offsetof(Bridge, deferred), READONLY, NULL},
    {"_loop", T_OBJECT, offsetof(Bridge, loop), 0, NULL},
    {"outcome", T_OBJECT, offsetof(Bridge, outcome), 0, NULL},
    {NULL}};

static PyType_Slot bridge_slots[] = {
    {Py_tp_doc, "One awaiter of one Deferred; see broker.defer.fields."},
    {Py_tp_init, bridge_init},
    {Py_tp_traverse, bridge_traverse},
    {Py_tp_clear, bridge_clear},
    {Py_tp_dealloc, bridge_dealloc},
    {Py_tp_methods, bridge_methods},
    {Py_tp_getset, bridge_getset},
    {Py_tp_members, bridge_members},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, bridge_next},
    {Py_am_send, bridge_send},
    {0, NULL}};

PyType_Spec bridge_spec = {
    .name = "broker._lane.BridgeBase", .basicsize = sizeof(Bridge),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, .slots = bridge_slots};
