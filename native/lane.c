/* Lane: calls and answers with plain values, from bytes to bytes; see broker/core/lane.py.

   The specification is broker/connection/lane.py. This one takes fewer frames: the general path handles
   the others, and all that is not plain. What it takes has the same effects in the same order. */
#include "lane.h"

#define MOST_LEADING 4       /* arguments before those of the peer */
#define MOST_ARGUMENTS 15

enum { CALL = 1, SEND = 2, ANSWER = 5, TUPLE = 6 };

typedef struct {
    PyObject_HEAD
    State *state;
    PyObject *reader;
    PyObject *incoming, *running, *exports;      /* of the peer's calls; the last two are dicts */
    PyObject *open_calls, *open, *waiting;       /* of our calls; the last two are dicts */
    PyObject *stats, *answers, *runner, *translator;
    PyObject *last;                              /* what the runner has been told last, or NULL */
    Calls *calls;
    Unsent *unsent;
    Py_ssize_t position, handled, most_in, most_out, high_water, max_calls;
    Py_ssize_t made, received, answered;         /* calls, and bytes of answers, that are not counted yet */
    long long highest;
    char is_open, has_more;
} Lane;

static PyObject **objects_of(Lane *self, int *count) {
    *count = 12;
    return &self->reader;
}

static int lane_traverse(Lane *self, visitproc visit, void *arg) {
    int count;
    PyObject **objects = objects_of(self, &count);
    Py_VISIT(Py_TYPE(self));
    for (int i = 0; i < count; i++) Py_VISIT(objects[i]);
    Py_VISIT(self->calls);
    Py_VISIT(self->unsent);
    return 0;
}

static int lane_clear(Lane *self) {
    int count;
    PyObject **objects = objects_of(self, &count);
    self->is_open = 0;
    for (int i = 0; i < count; i++) Py_CLEAR(objects[i]);
    Py_CLEAR(self->calls);
    Py_CLEAR(self->unsent);
    return 0;
}

static void lane_dealloc(Lane *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    lane_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* Store the attribute of an object, given as a path with dots; of a type, unless that is NULL. */
static int fetch(PyObject **place, PyObject *from, const char *path, PyTypeObject *type) {
    PyObject *found = Py_NewRef(from);
    while (path != NULL && *path) {
        const char *dot = strchr(path, '.');
        PyObject *name = PyUnicode_FromStringAndSize(path, dot ? dot - path : (Py_ssize_t)strlen(path));
        if (name == NULL) { Py_DECREF(found); return -1; }
        /* Else the name, a new string each time, would take a place in the interpreter's cache of attributes. */
        PyUnicode_InternInPlace(&name);
        PyObject *next = PyObject_GetAttr(found, name);
        Py_DECREF(name);
        Py_DECREF(found);
        if (next == NULL) return -1;
        found = next;
        path = dot ? dot + 1 : NULL;
    }
    if (type != NULL && Py_TYPE(found) != type) {
        PyErr_Format(PyExc_TypeError, "%.100s expected, not %.100s", type->tp_name, Py_TYPE(found)->tp_name);
        Py_DECREF(found);
        return -1;
    }
    Py_XSETREF(*place, found);
    return 0;
}

static int fetch_size(Py_ssize_t *place, PyObject *from, const char *name) {
    PyObject *found = NULL;
    if (fetch(&found, from, name, NULL) < 0) return -1;
    *place = PyLong_AsSsize_t(found);
    Py_DECREF(found);
    return *place == -1 && PyErr_Occurred() ? -1 : 0;
}

static int lane_init(Lane *self, PyObject *args, PyObject *kw) {
    static char *names[] = {"session", "calls", "high_water", NULL};
    PyObject *session, *calls;
    Py_ssize_t high_water;
    State *state = self->state = state_of(Py_TYPE(self));
    if (state == NULL) return -1;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "OO!n:Lane", names, &session, state->calls, &calls, &high_water)) return -1;
    if (self->reader != NULL || state->promise == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a Lane is made once, when broker._lane is in use");
        return -1;
    }
    PyObject *writer = NULL;
    int failed =
        fetch(&self->reader, session, "inbox.reader", NULL) < 0 ||
        fetch(&self->incoming, session, "incoming", NULL) < 0 ||
        fetch(&self->running, session, "incoming.running", &PyDict_Type) < 0 ||
        fetch(&self->exports, session, "translator.exports.by_id", &PyDict_Type) < 0 ||
        fetch(&self->open_calls, session, "outgoing.open_calls", NULL) < 0 ||
        fetch(&self->open, session, "outgoing.open_calls.open", &PyDict_Type) < 0 ||
        fetch(&self->waiting, calls, "waiting", &PyDict_Type) < 0 ||
        fetch((PyObject **)&self->calls, calls, NULL, NULL) < 0 ||
        fetch(&self->stats, session, "stats", NULL) < 0 ||
        fetch(&self->answers, session, "incoming.answers", NULL) < 0 ||
        fetch(&self->runner, session, "incoming.runner", NULL) < 0 ||
        fetch(&self->translator, session, "translator", NULL) < 0 ||
        fetch((PyObject **)&self->unsent, session, "outbox.unsent", state->unsent) < 0 ||
        fetch(&writer, session, "outbox.writer", NULL) < 0 ||
        fetch_size(&self->most_out, writer, "most_unchecked") < 0 ||
        fetch_size(&self->most_in, self->reader, "most_unchecked") < 0 ||
        fetch_size(&self->max_calls, self->incoming, "max_calls") < 0;
    Py_XDECREF(writer);
    self->high_water = high_water;
    if (failed) return -1;
    Py_XSETREF(self->calls->lane, Py_NewRef((PyObject *)self));
    return 0;
}

/* Whether the lane can be used: not after the garbage collector has cleared it. */
static int is_usable(Lane *self) {
    if (self->unsent != NULL && self->translator != NULL) return 1;
    PyErr_SetString(PyExc_RuntimeError, "this Lane has no session");
    return 0;
}

/* Whether a message is being built, so that others wait behind it; -1 with an exception. */
static int has_transaction(Lane *self) {
    PyObject *transaction = get_field(&self->state->fields.translator_transaction, self->translator);
    if (transaction == NULL) return -1;
    Py_DECREF(transaction);
    return transaction != Py_None;
}

/* ---- Calls of this side. */

static int write_target(Writer *writer, PyObject *target) {
    if (PyLong_CheckExact(target)) {
        int overflow;
        long long number = PyLong_AsLongLongAndOverflow(target, &overflow);
        return overflow || number < 0 ? 0 : write_number(writer, number);
    }
    return PyUnicode_CheckExact(target) ? write_text(writer, target) : 0;
}

/* Return a new reference to the target of a call, with the name of an object as text; NULL with an exception. */
static PyObject *target_of(PyObject *target) {
    if (!PyBytes_CheckExact(target)) return Py_NewRef(target);
    PyObject *text = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(target), PyBytes_GET_SIZE(target), "strict");
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        return Py_NewRef(target);
    }
    return text;
}

/* Write the frame of a call. 1: it is queued; 0: it is not plain; -1: an exception. */
static int write_call(Lane *self, long long number, PyObject *target, PyObject *name, PyObject *const *args,
                      Py_ssize_t count) {
    Writer writer;
    if (begin_frame(&writer, self->state, self->unsent, PY_SSIZE_T_MAX) < 0) return -1;
    int done = write_byte(&writer, 0x96);
    if (done > 0) done = write_byte(&writer, CALL);
    if (done > 0) done = write_number(&writer, number);
    if (done > 0) done = write_target(&writer, target);
    if (done > 0) done = write_text(&writer, name);
    if (done > 0) done = write_head(&writer, 0x90, 15, 0xdc, count);
    for (Py_ssize_t i = 0; done > 0 && i < count; i++) done = write_argument(&writer, args[i]);
    if (done > 0) done = write_byte(&writer, 0x80);
    if (done > 0) return end_frame(&writer, self->most_out);
    drop_frame(&writer);
    return done;
}

PyObject *lane_call(PyObject *lane, PyObject *kind, PyObject *perspective, PyObject *target, PyObject *name,
                    PyObject *const *args, Py_ssize_t count) {
    Lane *self = (Lane *)lane;
    State *state = self->state;
    if (!is_usable(self)) return NULL;
    if (PyUnicode_GET_LENGTH(name) > LONGEST_NAME || self->unsent->is_closed) Py_RETURN_NONE;
    int is_busy = has_transaction(self);
    if (is_busy) return is_busy < 0 ? NULL : Py_NewRef(Py_None);
    PyTypeObject *type = (PyTypeObject *)kind;
    PyObject *debug = PyObject_GetAttr((PyObject *)type, state->s_debug);
    if (debug == NULL) return NULL;
    Py_DECREF(debug);
    if (debug != Py_False) Py_RETURN_NONE;
    Chain *promise = (Chain *)type->tp_alloc(type, 0);
    if (promise == NULL) return NULL;
    PyObject *text = target_of(target);
    if (text == NULL) { Py_DECREF(promise); return NULL; }
    /* Read after all that may start the garbage collector, since a finalizer may make a call. */
    PyObject *last = get_field(&state->fields.open_calls_last, self->open_calls), *request_id = NULL;
    long long number = last == NULL ? -1 : PyLong_AsLongLong(last);
    Py_XDECREF(last);
    if (number >= 0 && number < LARGEST) request_id = PyLong_FromLongLong(++number);
    else if (!PyErr_Occurred()) PyErr_SetString(PyExc_OverflowError, "no request id is left");
    if (request_id == NULL) { Py_DECREF(text); Py_DECREF(promise); return NULL; }
    promise->owner = Py_NewRef((PyObject *)self->calls);
    promise->number = number;
    promise->label = Py_NewRef(name);
    int done = PyDict_SetItem(self->open, request_id, perspective) < 0 ? -1 : 1;
    if (done > 0 && PyDict_SetItem(self->waiting, request_id, (PyObject *)promise) < 0) done = -1;
    if (done > 0) done = write_call(self, number, text, name, args, count);
    if (done > 0) {
        self->made++;
        if (set_field(&state->fields.open_calls_last, self->open_calls, request_id) < 0) done = -1;
    } else {
        PyObject *type_, *value, *traceback;
        PyErr_Fetch(&type_, &value, &traceback);
        for (int i = 0; i < 2; i++)
            if (PyDict_DelItem(i ? self->open : self->waiting, request_id) < 0) PyErr_Clear();
        PyErr_Restore(type_, value, traceback);
    }
    Py_DECREF(request_id);
    Py_DECREF(text);
    if (done > 0) return (PyObject *)promise;
    Py_DECREF(promise);
    return done < 0 ? NULL : Py_NewRef(Py_None);
}

/* Whether a promise takes a value as it is; -1 with an exception. One of a contract checks values that are not of some
   exact types. */
static int takes(State *state, PyObject *promise, PyObject *value) {
    PyObject *type = (PyObject *)Py_TYPE(promise);
    if (type == state->promise) return 1;
    if (!PyType_IsSubtype((PyTypeObject *)type, state->chain)) return 0;
    PyObject *plain = PyObject_GetAttr(type, state->s_plain_results);
    if (plain == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return -1;
        PyErr_Clear();
        return 0;
    }
    int found = PyFrozenSet_CheckExact(plain) ? PySet_Contains(plain, (PyObject *)Py_TYPE(value)) : 0;
    Py_DECREF(plain);
    return found;
}

/* ---- Frames of the peer. Each function returns 1: handled; 0: left to the general path; -1: an exception. */

static int take_answer(Lane *self, Reader *reader, int kind, Py_ssize_t after, PyObject *loop) {
    long long number;
    if (!read_number(reader, &number)) return 0;
    PyObject *request_id = PyLong_FromLongLong(number);
    if (request_id == NULL) return -1;
    int done = PyDict_Contains(self->open, request_id);
    PyObject *value = NULL, *promise = NULL;
    if (done > 0) {
        value = read_whole_value(reader, kind == TUPLE ? DEPTH + 1 : DEPTH);
        if (value != NULL && kind == TUPLE) {
            PyObject *tuple = PyList_CheckExact(value) ? PyList_AsTuple(value) : NULL;
            Py_SETREF(value, tuple);
        }
        if (value == NULL) done = PyErr_Occurred() ? -1 : 0;
        else if (reader->next != reader->end || !self->is_open) done = 0;
        /* Asked again: to read a container may start the garbage collector, and a finalizer may cancel the call. */
        else if (PyObject_IS_GC(value)) done = PyDict_Contains(self->open, request_id);
    }
    if (done > 0) {
        self->position = after;
        self->handled++;
        promise = Py_XNewRef(PyDict_GetItemWithError(self->waiting, request_id));
        if ((promise == NULL && PyErr_Occurred()) || PyDict_DelItem(self->open, request_id) < 0) done = -1;
    }
    if (done > 0 && promise != NULL) {
        State *state = self->state;
        Chain *chain = (Chain *)promise;
        done = takes(state, promise, value);
        int is_plain = done > 0 && chain_is_plain(state, chain);
        if (done > 0 && (is_plain || (is_simple(value) && chain_has_pairs(chain)))) {
            if (PyDict_DelItem(self->waiting, request_id) < 0) done = -1;
            else done = is_plain ? chain_fire(state, chain, value, loop) : chain_fire_pairs(state, chain, value, loop);
        } else if (done >= 0) {
            PyObject *stack[] = {(PyObject *)self->calls, request_id, value};
            PyObject *result = PyObject_VectorcallMethod(self->state->s_answered, stack, 3, NULL);
            Py_XDECREF(result);
            done = result == NULL ? -1 : 1;
        }
    }
    Py_XDECREF(promise);
    Py_XDECREF(value);
    Py_DECREF(request_id);
    return done;
}

/* A call that is being handled. All objects are owned. */
typedef struct {
    long long number;
    int wants_answer;
    PyObject *target, *name, *entry, *enter, *leading;
    /* enter, function, leading arguments, arguments; enter is called with the others. */
    PyObject *stack[2 + MOST_LEADING + MOST_ARGUMENTS];
    Py_ssize_t used, first;
} Incoming;

/* Tell the Python code what a call has raised or returned; it does the rest. */
static int hand_over(Lane *self, Incoming *call, PyObject *method, PyObject *outcome) {
    PyObject *number = PyLong_FromLongLong(call->number), *args = PyTuple_New(call->used - call->first), *result = NULL;
    if (number != NULL && args != NULL) {
        for (Py_ssize_t i = call->first; i < call->used; i++)
            PyTuple_SET_ITEM(args, i - call->first, Py_NewRef(call->stack[i]));
        PyObject *stack[] = {self->incoming, number, call->entry, call->name, args,
                             call->wants_answer ? Py_True : Py_False, outcome};
        result = PyObject_VectorcallMethod(method, stack, 7, NULL);
    }
    Py_XDECREF(number);
    Py_XDECREF(args);
    Py_XDECREF(result);
    return result == NULL ? -1 : 1;
}

static int raised(Lane *self, Incoming *call) {
    if (ends_program()) return -1;
    PyObject *error = caught();
    int done = hand_over(self, call, self->state->s_raised, error);
    Py_DECREF(error);
    return done;
}

/* Write the answer to a call. 1: it is queued; 0: the value is not plain; -1: an exception. */
static int write_answer(Lane *self, long long number, PyObject *value) {
    Writer writer;
    int is_tuple = PyTuple_CheckExact(value);
    if (begin_frame(&writer, self->state, self->unsent, is_tuple ? PY_SSIZE_T_MAX : MOST_VALUES) < 0) return -1;
    int done = write_byte(&writer, 0x93);
    if (done > 0) done = write_byte(&writer, is_tuple ? TUPLE : ANSWER);
    if (done > 0) done = write_number(&writer, number);
    if (is_tuple) {
        writer.left = MOST_VALUES;
        if (done > 0) done = write_head(&writer, 0x90, 15, 0xdc, PyTuple_GET_SIZE(value));
        for (Py_ssize_t i = 0; done > 0 && i < PyTuple_GET_SIZE(value); i++)
            done = write_value(&writer, PyTuple_GET_ITEM(value, i), DEPTH);
    } else if (done > 0) {
        done = write_value(&writer, value, DEPTH);
    }
    if (done > 0) {
        Py_ssize_t before = self->unsent->size;
        done = end_frame(&writer, self->most_out);
        self->answered += self->unsent->size - before;
        return done;
    }
    drop_frame(&writer);
    return done;
}

/* Read a call, and find its method. */
static int read_call(Lane *self, Reader *reader, Incoming *call) {
    const Fields *fields = &self->state->fields;
    if (!read_number(reader, &call->number) || reader->next >= reader->end) return 0;
    unsigned char head = *reader->next;
    if (head < 0x80 || (head >= 0xcc && head <= 0xcf)) {
        long long number;
        if (!read_number(reader, &number)) return 0;
        call->target = PyLong_FromLongLong(number);
    } else {
        call->target = read_text(reader, 1);
    }
    if (call->target == NULL) return 0;
    call->entry = Py_XNewRef(PyDict_GetItemWithError(self->exports, call->target));
    if (call->entry == NULL || PyDict_GET_SIZE(self->running) >= self->max_calls) return 0;
    if (PyDict_GET_SIZE(self->running)) {
        PyObject *number = PyLong_FromLongLong(call->number);
        int is_running = number == NULL ? -1 : PyDict_Contains(self->running, number);
        Py_XDECREF(number);
        if (is_running) return 0;
    }
    if ((call->name = read_text(reader, 1)) == NULL) return 0;
    PyObject *methods = get_field(&fields->entry_methods, call->entry), *method = NULL;
    if (methods != NULL && PyDict_CheckExact(methods)) method = Py_XNewRef(PyDict_GetItemWithError(methods, call->name));
    Py_XDECREF(methods);
    if (method == NULL) return 0;
    PyObject *function = get_field(&fields->method_function, method);
    Py_DECREF(method);
    if (function == NULL) return 0;
    call->stack[call->used++] = function;
    if ((call->enter = get_field(&fields->entry_enter, call->entry)) == NULL) return 0;
    if ((call->leading = get_field(&fields->entry_leading, call->entry)) == NULL) return 0;
    if (!PyTuple_CheckExact(call->leading) || PyTuple_GET_SIZE(call->leading) > MOST_LEADING) return 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(call->leading); i++)
        call->stack[call->used++] = Py_NewRef(PyTuple_GET_ITEM(call->leading, i));
    call->first = call->used;
    if (reader->next >= reader->end || (*reader->next & 0xf0) != 0x90) return 0;
    for (int left = *reader->next++ & 0x0f; left; left--) {
        PyObject *value = read_whole_value(reader, DEPTH);
        if (value == NULL) return 0;
        call->stack[call->used++] = value;
    }
    return reader->end - reader->next == 1 && *reader->next == 0x80;
}

/* Tell which method takes its first step, for who asks meanwhile; NULL: none. An exception that is set is kept. */
static int note_beginning(Lane *self, Incoming *call) {
    PyObject *type, *value, *traceback, *noted = Py_NewRef(Py_None);
    PyErr_Fetch(&type, &value, &traceback);
    if (call != NULL) {
        PyObject *number = PyLong_FromLongLong(call->number);
        Py_SETREF(noted, number == NULL ? NULL : PyTuple_Pack(2, number, call->name));
        Py_XDECREF(number);
    }
    int failed = noted == NULL || set_field(&self->state->fields.incoming_beginning, self->incoming, noted) < 0;
    Py_XDECREF(noted);
    if (!failed) PyErr_Restore(type, value, traceback);
    return failed ? -1 : 0;
}

/* Start a coroutine method as a task that takes its first step now. Most end in it, and are answered here.
   1: done; 0: it cannot be started so; -1: an exception. */
static int begin_coroutine(Lane *self, Incoming *call, PyObject *coroutine) {
    State *state = self->state;
    PyObject *context = PyCFunction_Check(call->enter) ? PyCFunction_GET_SELF(call->enter) : NULL;
    if (context == NULL || !PyContext_CheckExact(context)) return 0;
    PyObject *begin = PyObject_GetAttr((PyObject *)self->calls, state->s_begin_task);
    if (begin == NULL || begin == Py_None) {
        Py_XDECREF(begin);
        return begin == NULL ? -1 : 0;
    }
    PyObject *copy = PyContext_Copy(context), *task = NULL, *result = NULL, *is_done = NULL;
    int done = -1;
    if (copy != NULL && note_beginning(self, call) == 0) {
        PyObject *stack[] = {coroutine, copy};
        task = PyObject_Vectorcall(begin, stack, 1, state->context_names);
        if (note_beginning(self, NULL) < 0) Py_CLEAR(task);
    }
    if (task != NULL) is_done = PyObject_CallMethodNoArgs(task, state->s_done);
    /* If the lane was closed meanwhile, others may wait for the end of the call: the Python code tells them. */
    if (is_done == Py_True && self->is_open && !self->unsent->is_closed) {
        if ((result = PyObject_CallMethodNoArgs(task, state->s_result)) == NULL) {
            if (ends_program()) goto end;
            PyErr_Clear();
        }
    }
    if (is_done != NULL) done = result == NULL ? 0 : write_answer(self, call->number, result);
    if (done == 0) done = hand_over(self, call, state->s_began, task);
end:
    Py_DECREF(begin);
    Py_XDECREF(copy);
    Py_XDECREF(task);
    Py_XDECREF(result);
    Py_XDECREF(is_done);
    return done;
}

static int run_call(Lane *self, Incoming *call) {
    PyObject *result = PyObject_Vectorcall(call->enter, call->stack, call->used, NULL);
    if (result == NULL) return raised(self, call);
    int done = 0;
    if (call->wants_answer && PyCoro_CheckExact(result) && (done = begin_coroutine(self, call, result)) != 0) {
        Py_DECREF(result);
        return done;
    }
    if (!call->wants_answer) done = result == Py_None;
    else if (self->unsent->is_closed) done = 0;
    else done = write_answer(self, call->number, result);
    if (done == 0) done = hand_over(self, call, self->state->s_returned, result);
    Py_DECREF(result);
    return done;
}

/* Tell the runner which method is called, for who asks what has taken long. */
static int note_last(Lane *self, Incoming *call) {
    PyObject *class = call->first > 1 ? (PyObject *)Py_TYPE(call->stack[1]) : Py_None;
    PyObject *wants = call->wants_answer ? Py_True : Py_False, *last = self->last;
    /* The same as before, most of the time. */
    if (last == NULL || PyTuple_GET_ITEM(last, 0) != call->name || PyTuple_GET_ITEM(last, 1) != class ||
        PyTuple_GET_ITEM(last, 2) != wants) {
        if ((last = PyTuple_Pack(3, call->name, class, wants)) == NULL) return -1;
        Py_XSETREF(self->last, last);
    }
    return set_field(&self->state->fields.runner_last, self->runner, last);
}

static int take_call(Lane *self, Reader *reader, int kind, Py_ssize_t after) {
    Incoming call = {.wants_answer = kind == CALL};
    int done = read_call(self, reader, &call);
    /* To read the arguments may start the garbage collector, and a finalizer may close the lane. */
    if (done && self->is_open) {
        self->position = after;
        self->handled++;
        self->received++;
        if (call.wants_answer && call.number > self->highest) self->highest = call.number;
        if (note_last(self, &call) < 0) done = -1;
        if (done > 0) done = run_call(self, &call);
    } else if (done) {
        done = 0;
    } else if (PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_MemoryError)) done = -1;
        else PyErr_Clear();
    }
    for (Py_ssize_t i = 0; i < call.used; i++) Py_DECREF(call.stack[i]);
    Py_XDECREF(call.target);
    Py_XDECREF(call.name);
    Py_XDECREF(call.entry);
    Py_XDECREF(call.enter);
    Py_XDECREF(call.leading);
    return done;
}

static PyObject *lane_count(Lane *self, PyObject *Py_UNUSED(ignored)) {
    const Fields *fields = &self->state->fields;
    if (!is_usable(self)) return NULL;
    if (self->received) {
        PyObject *highest = get_field(&fields->incoming_highest, self->incoming);
        if (highest == NULL) return NULL;
        long long before = PyLong_AsLongLong(highest);
        Py_DECREF(highest);
        if (before == -1 && PyErr_Occurred()) return NULL;
        if (self->highest > before) {
            PyObject *number = PyLong_FromLongLong(self->highest);
            if (number == NULL) return NULL;
            int failed = set_field(&fields->incoming_highest, self->incoming, number);
            Py_DECREF(number);
            if (failed) return NULL;
        }
        if (add_to_field(&fields->stats_calls_received, self->stats, self->received) < 0) return NULL;
        self->received = 0;
    }
    if (self->made) {
        if (add_to_field(&fields->stats_calls_made, self->stats, self->made) < 0) return NULL;
        self->made = 0;
    }
    if (self->answered) {
        if (add_to_field(&fields->answers_size, self->answers, self->answered) < 0) return NULL;
        self->answered = 0;
    }
    Py_RETURN_NONE;
}

static PyObject *lane_retire(Lane *self, PyObject *Py_UNUSED(ignored)) {
    PyObject *counted = lane_count(self, NULL);
    if (counted != NULL && self->calls->lane == (PyObject *)self) Py_CLEAR(self->calls->lane);
    return counted;
}

static int run(Lane *self, const unsigned char *data, Py_ssize_t size, Py_ssize_t most) {
    PyObject *loop = Py_NewRef(self->calls->stepped_loop ? self->calls->stepped_loop : Py_None);
    int done = 1;
    while (self->is_open && size - self->position >= 4) {
        const unsigned char *frame = data + self->position;
        Py_ssize_t length = (Py_ssize_t)frame[0] << 24 | frame[1] << 16 | frame[2] << 8 | frame[3];
        if (length > size - self->position - 4 || length < 0) break;
        if (self->handled == most || (self->handled && self->unsent->size > self->high_water)) {
            self->has_more = 1;
            break;
        }
        if (length > self->most_in || length < 4) break;
        Py_ssize_t after = self->position + 4 + length;
        Reader reader = {.state = self->state, .next = frame + 6, .end = frame + 4 + length};
        int kind = frame[5];
        if (frame[4] == 0x96 && (kind == CALL || kind == SEND)) {
            done = take_call(self, &reader, kind, after);
        } else if (frame[4] == 0x93 && (kind == ANSWER || kind == TUPLE)) {
            self->calls->has_stepped = 1;
            done = take_answer(self, &reader, kind, after, loop);
        } else {
            done = 0;
        }
        if (done <= 0) break;
    }
    Py_DECREF(loop);
    return done < 0 ? -1 : 0;
}

/* Handle at most `most` frames of the data from `start`; 0, or -1 with an exception. The counters are up to date then. */
static int run_counted(Lane *self, PyObject *data, Py_ssize_t start, Py_ssize_t most) {
    if (!is_usable(self)) return -1;
    self->position = start;
    self->handled = 0;
    self->has_more = 0;
    int is_busy = has_transaction(self);
    if (is_busy) return is_busy < 0 ? -1 : 0;
    /* A method may end the connection, which drops the data and this lane. */
    Py_INCREF(data);
    Py_INCREF(self);
    int failed = run(self, (const unsigned char *)PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), most);
    Py_DECREF(data);
    PyObject *type, *value, *traceback, *counted;
    if (failed) PyErr_Fetch(&type, &value, &traceback);
    counted = self->unsent == NULL ? Py_NewRef(Py_None) : lane_count(self, NULL);
    Py_XDECREF(counted);
    if (failed) PyErr_Restore(type, value, traceback);
    Py_DECREF(self);
    return failed || counted == NULL ? -1 : 0;
}

static PyObject *lane_run(Lane *self, PyObject *const *args, Py_ssize_t count) {
    if (count != 3 || !PyBytes_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "run(data, start, most)");
        return NULL;
    }
    Py_ssize_t start = PyLong_AsSsize_t(args[1]);
    if (start == -1 && PyErr_Occurred()) return NULL;
    Py_ssize_t most = PyLong_AsSsize_t(args[2]);
    if (most == -1 && PyErr_Occurred()) return NULL;
    if (start < 0 || start > PyBytes_GET_SIZE(args[0])) {
        PyErr_SetString(PyExc_ValueError, "start is not in the data");
        return NULL;
    }
    if (run_counted(self, args[0], start, most) < 0) return NULL;
    Py_RETURN_NONE;
}

int lane_take(PyObject *lane, PyObject *data) {
    Lane *self = (Lane *)lane;
    self->is_open = 1;
    return run_counted(self, data, 0, 1);
}

PyObject *lane_reader(PyObject *lane) { return ((Lane *)lane)->reader; }

Py_ssize_t lane_position(PyObject *lane) { return ((Lane *)lane)->position; }

static PyMethodDef lane_methods[] = {
    {"run", (PyCFunction)(void (*)(void))lane_run, METH_FASTCALL, "See broker.core.lane."},
    {"retire", (PyCFunction)lane_retire, METH_NOARGS, "See broker.core.lane."},
    {"count", (PyCFunction)lane_count, METH_NOARGS, "See broker.core.lane."},
    {NULL}};

static PyMemberDef lane_members[] = {
    {"reader", T_OBJECT_EX, offsetof(Lane, reader), READONLY, NULL},
    {"is_open", T_BOOL, offsetof(Lane, is_open), 0, NULL},
    {"has_more", T_BOOL, offsetof(Lane, has_more), READONLY, NULL},
    {"position", T_PYSSIZET, offsetof(Lane, position), READONLY, NULL},
    {"handled", T_PYSSIZET, offsetof(Lane, handled), READONLY, NULL},
    {NULL}};

static PyType_Slot lane_slots[] = {
    {Py_tp_doc, "The lane of one session; see broker.core.lane."},
    {Py_tp_init, lane_init},
    {Py_tp_traverse, lane_traverse},
    {Py_tp_clear, lane_clear},
    {Py_tp_dealloc, lane_dealloc},
    {Py_tp_methods, lane_methods},
    {Py_tp_members, lane_members},
    {0, NULL}};

PyType_Spec lane_spec = {
    .name = "broker._lane.Lane", .basicsize = sizeof(Lane), .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = lane_slots};
