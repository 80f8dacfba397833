/* PumpBase: a turn of the loop in which all received bytes are handled at once, and the writes of a connection.

   The Python form is in broker/connection/pump_base.py. This one does what a lane in C can do. All else is left to
   the methods of the Python class: `_go_on` ends a turn, and the outbox joins the bytes. */
#include "lane.h"

#define TOO_LONG 1.0         /* seconds: connection/pump.py */
#define BATCH 32             /* messages: connection/pump_base.py */

typedef struct {
    PyObject_HEAD
    State *state;
    PyObject *calls, *inbox, *outbox, *open_calls, *translator, *runner, *port, *scheduler, *now;
    Py_ssize_t write_budget;
    char is_running, has_flush;
} Pump;

#define OBJECTS 9            /* fields of a Pump, from `calls` on */

static int pump_traverse(Pump *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    for (int i = 0; i < OBJECTS; i++) Py_VISIT((&self->calls)[i]);
    return 0;
}

static int pump_clear(Pump *self) {
    for (int i = 0; i < OBJECTS; i++) Py_CLEAR((&self->calls)[i]);
    return 0;
}

static void pump_dealloc(Pump *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    pump_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *pump_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kw)) {
    State *state = state_of(type);
    Pump *self = state == NULL ? NULL : (Pump *)type->tp_alloc(type, 0);
    if (self != NULL) self->state = state;
    return (PyObject *)self;
}

/* Whether all parts are there: not before the Python class has set them, nor after the garbage collector. */
static int is_usable(Pump *self) {
    int has_all = self->calls != NULL && PyObject_TypeCheck(self->calls, self->state->calls);
    for (int i = 0; has_all && i < OBJECTS; i++) has_all = (&self->calls)[i] != NULL;
    if (!has_all) PyErr_SetString(PyExc_RuntimeError, "this pump has not begun");
    return has_all;
}

static int call(PyObject *self, PyObject *name) {
    PyObject *result = PyObject_CallMethodNoArgs(self, name);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* ---- Bytes out. */

/* Return the bytes to send, or NULL: with an exception, or if there are none. */
static PyObject *take(State *state, PyObject *outbox) {
    const Fields *fields = &state->fields;
    PyObject *unsent = get_field(&fields->outbox_unsent, outbox), *data = NULL;
    PyObject *behind = unsent == NULL ? NULL : get_field(&fields->outbox__behind, outbox);
    PyObject *sizes = behind == NULL ? NULL : get_field(&fields->outbox_sizes, outbox);
    PyObject *dropped = sizes == NULL ? NULL : get_field(&fields->outbox__dropped, outbox);
    PyObject *notes = dropped == NULL ? NULL : get_field(&fields->releases_notes, dropped);
    if (notes == NULL) goto end;
    int is_plain = Py_TYPE(unsent) == state->unsent && sizes == Py_None && PyList_CheckExact(behind) &&
                   PyList_GET_SIZE(behind) == 0 && PyList_CheckExact(notes) && PyList_GET_SIZE(notes) == 0;
    if (!is_plain) {
        data = PyObject_CallMethodNoArgs(outbox, state->s_take);
        if (data != NULL && (!PyBytes_Check(data) || PyBytes_GET_SIZE(data) == 0)) Py_CLEAR(data);
    } else if (!((Unsent *)unsent)->is_closed && ((Unsent *)unsent)->size) {
        PyObject *open_calls = get_field(&fields->outbox__open_calls, outbox), *stats = NULL, *last = NULL;
        if (open_calls != NULL) last = get_field(&fields->open_calls_last, open_calls);
        if (last != NULL) stats = get_field(&fields->outbox__stats, outbox);
        if (stats != NULL) data = unsent_take((Unsent *)unsent);
        if (data != NULL && (set_field(&fields->outbox__last_written, outbox, last) < 0 ||
                             add_to_field(&fields->stats_bytes_sent, stats, PyBytes_GET_SIZE(data)) < 0)) Py_CLEAR(data);
        Py_XDECREF(open_calls);
        Py_XDECREF(last);
        Py_XDECREF(stats);
    }
end:
    Py_XDECREF(unsent);
    Py_XDECREF(behind);
    Py_XDECREF(sizes);
    Py_XDECREF(dropped);
    Py_XDECREF(notes);
    return data;
}

static int flush_now(Pump *self) {
    State *state = self->state;
    self->has_flush = 0;
    if (self->port == Py_None) return 0;
    PyObject *port = Py_NewRef(self->port), *closing = get_field(&state->fields.stream_is_closing, port), *data = NULL;
    int failed = closing == NULL ? -1 : PyObject_IsTrue(closing);
    Py_XDECREF(closing);
    if (failed == 0 && (data = take(state, self->outbox)) != NULL) {
        PyObject *stack[] = {port, data}, *result = PyObject_VectorcallMethod(state->s_write, stack, 2, NULL);
        Py_XDECREF(result);
        /* Since the last check the unsent bytes have grown by at most the bytes written. */
        self->write_budget -= PyBytes_GET_SIZE(data);
        failed = result == NULL || (self->write_budget < 0 && call((PyObject *)self, state->s_regulate) < 0) ? -1 : 0;
        Py_DECREF(data);
    }
    Py_DECREF(port);
    return failed < 0 || PyErr_Occurred() ? -1 : 0;
}

static PyObject *pump_flush(Pump *self, PyObject *Py_UNUSED(ignored)) {
    if (self->port == NULL || self->outbox == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this pump has no outbox");
        return NULL;
    }
    if (flush_now(self) < 0) return NULL;
    Py_RETURN_NONE;
}

/* Return the number of messages that wait to be written; -1 with an exception. */
static Py_ssize_t queued_of(Pump *self) {
    PyObject *unsent = get_field(&self->state->fields.outbox_unsent, self->outbox), *count = NULL;
    if (unsent == NULL) return -1;
    Py_ssize_t queued = -1;
    if (Py_TYPE(unsent) == self->state->unsent) queued = ((Unsent *)unsent)->queued;
    else if ((count = PyObject_GetAttr(unsent, self->state->s_queued)) != NULL) queued = PyLong_AsSsize_t(count);
    Py_DECREF(unsent);
    Py_XDECREF(count);
    return queued;
}

/* Whether what waits is written now, and not at the end of this turn of the loop; -1 with an exception. */
static int is_due(Pump *self) {
    Py_ssize_t queued = queued_of(self);
    if (queued != 1) return queued < 0 ? -1 : queued >= BATCH;
    PyObject *open = get_field(&self->state->fields.open_calls_open, self->open_calls);
    Py_ssize_t calls = open == NULL ? -1 : PyObject_Size(open);
    Py_XDECREF(open);
    return calls < 0 ? -1 : calls <= 1;
}

static PyObject *pump_soon_flush(Pump *self, PyObject *Py_UNUSED(ignored)) {
    if (self->translator == NULL || self->open_calls == NULL || self->outbox == NULL || self->port == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this pump has no outbox");
        return NULL;
    }
    if (self->is_running) Py_RETURN_NONE;
    PyObject *transaction = get_field(&self->state->fields.translator_transaction, self->translator);
    Py_XDECREF(transaction);
    if (transaction != Py_None) return transaction == NULL ? NULL : Py_NewRef(Py_None);
    int due = is_due(self);
    if (due > 0) due = flush_now(self);
    else if (due == 0 && !self->has_flush) due = call((PyObject *)self, self->state->s_flush_later);
    if (due < 0) return NULL;
    Py_RETURN_NONE;
}

/* ---- Messages in. */

/* Set what holds for the time of a turn. */
static int begin(Pump *self) {
    Calls *calls = (Calls *)self->calls;
    if (set_field(&self->state->fields.runner_last, self->runner, Py_None) < 0) return -1;
    calls->has_stepped = 0;
    if (calls->waiting != NULL && PyDict_CheckExact(calls->waiting) && PyDict_GET_SIZE(calls->waiting) &&
        self->scheduler != Py_None) {
        PyObject *loop = PyObject_CallMethodNoArgs(self->scheduler, self->state->s_stepped_loop);
        if (loop == NULL) return -1;
        Py_XSETREF(calls->stepped_loop, loop);
    }
    self->is_running = calls->is_batched = 1;
    return 0;
}

static void end(Pump *self) {
    self->is_running = 0;
    if (self->calls == NULL || !PyObject_TypeCheck(self->calls, self->state->calls)) return;
    Calls *calls = (Calls *)self->calls;
    calls->is_batched = 0;
    Py_CLEAR(calls->stepped_loop);
}

/* Have the inbox do something with so many arguments, and the Python code end the turn. */
static PyObject *go_on(Pump *self, PyObject *began, PyObject *name, PyObject *const *args, int count) {
    PyObject *method = PyObject_GetAttr(self->inbox, name);
    if (method == NULL) { end(self); return NULL; }
    PyObject *stack[6] = {(PyObject *)self, began, method};
    for (int i = 0; i < count; i++) stack[3 + i] = args[i];
    PyObject *result = PyObject_VectorcallMethod(self->state->s_go_on, stack, 3 + count, NULL);
    Py_DECREF(method);
    return result;
}

/* Let the lane handle one frame of the next bytes, for an inbox that is idle. -1: it has raised. */
static int run_lane(Pump *self, PyObject *lane, PyObject *data) {
    const Fields *fields = &self->state->fields;
    if (lane_reader(lane) == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this Lane has no session");
        return -1;
    }
    PyObject *stats = get_field(&fields->inbox__stats, self->inbox);
    if (stats == NULL) return -1;
    int failed = add_to_field(&fields->stats_bytes_received, stats, PyBytes_GET_SIZE(data)) < 0 ||
                 set_field(&fields->inbox_is_idle, self->inbox, Py_False) < 0 ||
                 set_field(&fields->reader_buffer, lane_reader(lane), data) < 0 ||
                 set_field(&fields->inbox__running_lane, self->inbox, lane) < 0;
    Py_DECREF(stats);
    return failed ? -1 : lane_take(lane, data);
}

/* Whether the lane has handled all, and nothing has closed it; -1 with an exception. The inbox is idle then. */
static int is_done(Pump *self, PyObject *lane, PyObject *data) {
    State *state = self->state;
    PyObject *running = get_field(&state->fields.inbox__running_lane, self->inbox);
    PyObject *more = running == NULL ? NULL : get_field(&state->fields.inbox_has_more, self->inbox);
    int done = more == NULL ? -1
                            : running == lane && more == Py_False && lane_position(lane) == PyBytes_GET_SIZE(data);
    Py_XDECREF(running);
    Py_XDECREF(more);
    if (done <= 0) return done;
    if (set_field(&state->fields.inbox__running_lane, self->inbox, Py_None) < 0 ||
        set_field(&state->fields.reader_buffer, lane_reader(lane), state->no_bytes) < 0 ||
        set_field(&state->fields.inbox_is_idle, self->inbox, Py_True) < 0) return -1;
    return 1;
}

/* Log a method that has taken too long, if one was called. */
static int tell_blocked(Pump *self, PyObject *began) {
    PyObject *last = get_field(&self->state->fields.runner_last, self->runner);
    Py_XDECREF(last);
    if (last == NULL || last == Py_None) return last == NULL ? -1 : 0;
    PyObject *now = PyObject_CallNoArgs(self->now);
    PyObject *taken = now == NULL ? NULL : PyNumber_Subtract(now, began);
    Py_XDECREF(now);
    if (taken == NULL) return -1;
    double seconds = PyFloat_AsDouble(taken);
    int failed = seconds == -1.0 && PyErr_Occurred();
    if (!failed && seconds > TOO_LONG) {
        PyObject *one = PyLong_FromLong(1);
        PyObject *stack[] = {(PyObject *)self, one, taken};
        PyObject *told = one == NULL ? NULL : PyObject_VectorcallMethod(self->state->s_tell_blocked, stack, 3, NULL);
        failed = told == NULL;
        Py_XDECREF(one);
        Py_XDECREF(told);
    }
    Py_DECREF(taken);
    return failed ? -1 : 0;
}

/* What follows a turn that has handled all: the answers are written, and too many bytes are noted. */
static int settle(Pump *self) {
    State *state = self->state;
    Py_ssize_t queued = queued_of(self);
    if (queued < 0 || (queued && flush_now(self) < 0)) return -1;
    PyObject *wants_data = get_field(&state->fields.inbox_wants_data, self->inbox);
    Py_XDECREF(wants_data);
    if (wants_data == NULL) return -1;
    return self->write_budget < 0 || wants_data != Py_True ? call((PyObject *)self, state->s_regulate) : 0;
}

static PyObject *take_turn(Pump *self, PyObject *began, PyObject *data) {
    State *state = self->state;
    PyObject *lane = get_field(&state->fields.inbox_lane, self->inbox), *result = NULL;
    if (lane == NULL) { end(self); return NULL; }
    if (Py_TYPE(lane) != state->lane || !PyBytes_CheckExact(data)) {
        result = go_on(self, began, state->s_take, &data, 1);
    } else {
        int done = run_lane(self, lane, data);
        if (done >= 0) done = is_done(self, lane, data);
        if (done > 0) {
            done = tell_blocked(self, began);
            end(self);
            if (done >= 0 && settle(self) >= 0) result = Py_NewRef(Py_None);
        } else {
            PyObject *stack[] = {lane, data, caught()};
            result = go_on(self, began, state->s_took, stack, stack[2] == NULL ? 2 : 3);
            Py_XDECREF(stack[2]);
        }
    }
    Py_DECREF(lane);
    return result;
}

static PyObject *pump_run(Pump *self, PyObject *const *args, Py_ssize_t count) {
    if (!is_usable(self)) return NULL;
    if (count > 2) {
        PyErr_SetString(PyExc_TypeError, "run(began=None, data=None)");
        return NULL;
    }
    if (self->is_running) Py_RETURN_NONE;
    PyObject *began = count && args[0] != Py_None ? Py_NewRef(args[0]) : PyObject_CallNoArgs(self->now), *result = NULL;
    if (began == NULL) return NULL;
    Py_INCREF(self);
    if (begin(self) == 0) {
        if (count == 2 && args[1] != Py_None) {
            PyObject *data = Py_NewRef(args[1]);
            result = take_turn(self, began, data);
            Py_DECREF(data);
        } else {
            PyObject *one = PyLong_FromLong(1);
            if (one != NULL) result = go_on(self, began, self->state->s_pump, &one, 1);
            else end(self);
            Py_XDECREF(one);
        }
    }
    Py_DECREF(began);
    Py_DECREF(self);
    return result;
}

static PyMethodDef pump_methods[] = {
    {"run", (PyCFunction)(void (*)(void))pump_run, METH_FASTCALL, "See broker.connection.pump_base."},
    {"flush", (PyCFunction)pump_flush, METH_NOARGS, "See broker.connection.pump_base."},
    {"soon_flush", (PyCFunction)pump_soon_flush, METH_NOARGS, "See broker.connection.pump_base."},
    {NULL}};

static PyMemberDef pump_members[] = {
    {"_calls", T_OBJECT_EX, offsetof(Pump, calls), 0, NULL},
    {"_inbox", T_OBJECT_EX, offsetof(Pump, inbox), 0, NULL},
    {"_outbox", T_OBJECT_EX, offsetof(Pump, outbox), 0, NULL},
    {"_open_calls", T_OBJECT_EX, offsetof(Pump, open_calls), 0, NULL},
    {"_translator", T_OBJECT_EX, offsetof(Pump, translator), 0, NULL},
    {"_runner", T_OBJECT_EX, offsetof(Pump, runner), 0, NULL},
    {"_port", T_OBJECT_EX, offsetof(Pump, port), 0, NULL},
    {"_scheduler", T_OBJECT_EX, offsetof(Pump, scheduler), 0, NULL},
    {"_now", T_OBJECT_EX, offsetof(Pump, now), 0, NULL},
    {"_write_budget", T_PYSSIZET, offsetof(Pump, write_budget), 0, NULL},
    {"_is_running", T_BOOL, offsetof(Pump, is_running), 0, NULL},
    {"_has_flush", T_BOOL, offsetof(Pump, has_flush), 0, NULL},
    {NULL}};

static PyType_Slot pump_slots[] = {
    {Py_tp_doc, "A turn of the loop, and the writes of a connection; see broker.connection.pump_base."},
    {Py_tp_new, pump_new},
    {Py_tp_traverse, pump_traverse},
    {Py_tp_clear, pump_clear},
    {Py_tp_dealloc, pump_dealloc},
    {Py_tp_methods, pump_methods},
    {Py_tp_members, pump_members},
    {0, NULL}};

PyType_Spec pump_spec = {
    .name = "broker._lane.PumpBase", .basicsize = sizeof(Pump),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, .slots = pump_slots};
