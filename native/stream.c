/* SourceBase and StreamBase: how bytes go from a socket to the protocol of its connection, and back.

   The Python forms are in broker/net/stream_base.py. The descriptor is used only while the socket still has it: a
   program that has the socket may close it, and its number may then be that of another file. */
#include "lane.h"

#ifdef MS_WINDOWS
#include <winsock2.h>
#define TAKES_DESCRIPTOR 0   /* the socket's methods are used */
#else
#include <errno.h>
#include <sys/socket.h>
#define TAKES_DESCRIPTOR 1
#endif

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0       /* Python ignores the signal SIGPIPE */
#endif

/* ---- A socket that does not block: the number of bytes; -1: none now; -2: an exception, which is an OSError. */

#if TAKES_DESCRIPTOR
/* Whether the socket is used by its descriptor, which it has since the source was made; -1 with an exception. A
   program's own class of sockets may have other methods. */
static int has_descriptor(State *state, PyObject *self, PyObject *sock, int *descriptor) {
    if (Py_TYPE(sock) != state->sockets[0] && Py_TYPE(sock) != state->sockets[1]) return 0;
    PyObject *number = get_field(&state->fields.source__fd, self);
    PyObject *now = number == NULL ? NULL : PyObject_CallMethodNoArgs(sock, state->s_fileno);
    int failed = now == NULL, is_same = 0;
    if (!failed) {
        long first = PyLong_AsLong(number), second = PyLong_AsLong(now);
        failed = (first == -1 || second == -1) && PyErr_Occurred() != NULL;
        is_same = first == second && first >= 0;
        *descriptor = (int)first;
    }
    Py_XDECREF(number);
    Py_XDECREF(now);
    return failed ? -1 : is_same;
}

static Py_ssize_t outcome(Py_ssize_t count) {
    if (count >= 0) return count;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return -1;
    PyErr_SetFromErrno(PyExc_OSError);
    return -2;
}
#endif

/* The same by a method of the socket. */
static Py_ssize_t by_method(PyObject *sock, PyObject *name, PyObject *buffer) {
    PyObject *count = PyObject_CallMethodOneArg(sock, name, buffer);
    Py_ssize_t size = count == NULL ? -1 : PyLong_AsSsize_t(count);
    Py_XDECREF(count);
    if (size >= 0) return size;
    if (!PyErr_ExceptionMatches(PyExc_BlockingIOError) && !PyErr_ExceptionMatches(PyExc_InterruptedError)) return -2;
    PyErr_Clear();
    return -1;
}

static Py_ssize_t receive(State *state, PyObject *self, PyObject *sock, PyObject *buffer) {
#if TAKES_DESCRIPTOR
    int descriptor, is_own = has_descriptor(state, self, sock, &descriptor);
    if (is_own < 0) return -2;
    if (is_own) {
        Py_buffer view;
        if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) return -2;
        Py_ssize_t count = recv(descriptor, view.buf, (size_t)view.len, 0);
        count = outcome(count);
        PyBuffer_Release(&view);
        return count;
    }
#endif
    return by_method(sock, state->s_recv_into, buffer);
}

static Py_ssize_t transmit(State *state, PyObject *self, PyObject *sock, PyObject *data) {
#if TAKES_DESCRIPTOR
    int descriptor, is_own = has_descriptor(state, self, sock, &descriptor);
    if (is_own < 0) return -2;
    if (is_own) return outcome(send(descriptor, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data), MSG_NOSIGNAL));
#endif
    return by_method(sock, state->s_send, data);
}

/* Call a method with the exception that is set, unless it is to end the program. */
static PyObject *report(PyObject *self, PyObject *method) {
    if (ends_program()) return NULL;
    PyObject *error = caught(), *result = PyObject_CallMethodOneArg(self, method, error);
    Py_DECREF(error);
    return result;
}

/* ---- SourceBase. */

static PyObject *source_readable(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    State *state = state_of(Py_TYPE(self));
    if (state == NULL) return NULL;
    const Fields *fields = &state->fields;
    PyObject *closing = get_field(&fields->source__is_closing, self);
    Py_XDECREF(closing);
    if (closing != Py_False) return closing == NULL ? NULL : Py_NewRef(Py_None);
    PyObject *receiver = get_field(&fields->source__receiver, self), *sock = NULL, *buffer = NULL, *result = NULL;
    Py_ssize_t count = -2;
    if (receiver == NULL) return NULL;
    if ((buffer = PyObject_CallMethodOneArg(receiver, state->s_get_buffer, state->any_size)) == NULL) goto end;
    if ((sock = get_field(&fields->source__sock, self)) == NULL) goto end;
    if ((count = receive(state, self, sock, buffer)) > 0) {
        PyObject *size = PyLong_FromSsize_t(count);
        if (size != NULL) result = PyObject_CallMethodOneArg(receiver, state->s_buffer_updated, size);
        Py_XDECREF(size);
    } else if (count == 0) {
        result = PyObject_CallMethodNoArgs(self, state->s_peer_ended);
    } else if (count == -1) {
        result = Py_NewRef(Py_None);
    } else if (PyErr_ExceptionMatches(PyExc_OSError)) {
        result = report(self, state->s_cut);
    }
    if (result == NULL && count >= 0) result = report(self, state->s_failed);
end:
    Py_DECREF(receiver);
    Py_XDECREF(buffer);
    Py_XDECREF(sock);
    if (result == NULL) return NULL;
    Py_DECREF(result);
    Py_RETURN_NONE;
}

/* Whether a field is False, or the int 0. */
static int is_clear(const Field *field, PyObject *self) {
    PyObject *value = get_field(field, self);
    int is_true = value == NULL ? -1 : PyObject_IsTrue(value);
    Py_XDECREF(value);
    return is_true < 0 ? -1 : !is_true;
}

static PyObject *source_write(PyObject *self, PyObject *given) {
    State *state = state_of(Py_TYPE(self));
    if (state == NULL) return NULL;
    const Fields *fields = &state->fields;
    int is_plain = PyBytes_CheckExact(given);
    if (is_plain) is_plain = is_clear(&fields->source__is_half_closed, self);
    if (is_plain > 0) is_plain = is_clear(&fields->source__is_over, self);
    if (is_plain < 0) return NULL;
    PyObject *data = is_plain ? Py_NewRef(given) : PyObject_CallMethodOneArg(self, state->s_allowed, given);
    if (data == NULL || data == Py_None) return data;
    if (!PyBytes_CheckExact(data)) {
        Py_DECREF(data);
        PyErr_SetString(PyExc_TypeError, "a source writes bytes");
        return NULL;
    }
    Py_ssize_t sent = 0;
    PyObject *result = NULL;
    int is_first = is_clear(&fields->source__unsent, self);
    if (is_first > 0) {
        PyObject *sock = get_field(&fields->source__sock, self);
        sent = sock == NULL ? -2 : transmit(state, self, sock, data);
        Py_XDECREF(sock);
    }
    if (is_first < 0) {
        result = NULL;
    } else if (sent == -2) {
        result = PyErr_ExceptionMatches(PyExc_OSError) ? report(self, state->s_cut) : NULL;
    } else if (is_first && sent == PyBytes_GET_SIZE(data)) {
        result = Py_NewRef(Py_None);
    } else {
        PyObject *number = PyLong_FromSsize_t(sent < 0 ? 0 : sent);
        PyObject *stack[] = {self, data, number};
        if (number != NULL) result = PyObject_VectorcallMethod(state->s_keep, stack, 3, NULL);
        Py_XDECREF(number);
    }
    Py_DECREF(data);
    return result;
}

/* ---- StreamBase. */

/* Return the buffer of the connection, or that of this thread; NULL with an exception. */
static PyObject *buffer_of(State *state, PyObject *self, int is_large) {
    PyObject *own = get_field(&state->fields.stream__own_buffer, self);
    if (own != Py_None) return own;
    Py_DECREF(own);
    if (state->scratch == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "broker._lane is not in use");
        return NULL;
    }
    return PyObject_GetAttr(state->scratch, is_large ? state->s_large : state->s_view);
}

static PyObject *stream_get_buffer(PyObject *self, PyObject *Py_UNUSED(hint)) {
    State *state = state_of(Py_TYPE(self));
    if (state == NULL) return NULL;
    int is_small = is_clear(&state->fields.stream_reads_ahead, self);
    return is_small < 0 ? NULL : buffer_of(state, self, !is_small);
}

/* Return the first bytes of the buffer. */
static PyObject *read_bytes(State *state, PyObject *self, Py_ssize_t size) {
    PyObject *buffer = buffer_of(state, self, 0), *data = NULL;
    Py_buffer view;
    if (buffer == NULL) return NULL;
    if (PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE) == 0) {
        if (size <= view.len) data = PyBytes_FromStringAndSize(view.buf, size);
        else PyErr_SetString(PyExc_ValueError, "the buffer has not so many bytes");
        PyBuffer_Release(&view);
    }
    Py_DECREF(buffer);
    return data;
}

static PyObject *stream_buffer_updated(PyObject *self, PyObject *number) {
    State *state = state_of(Py_TYPE(self));
    Py_ssize_t size = state == NULL ? -1 : PyLong_AsSsize_t(number);
    if (size < 0) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "a number of bytes is not negative");
        return NULL;
    }
    if (size > state->slice_size) return PyObject_CallMethodOneArg(self, state->s_take_slices, number);
    int is_taken = is_clear(&state->fields.stream_disconnecting, self);
    if (is_taken < 0) return NULL;
    PyObject *protocol = get_field(&state->fields.stream_protocol, self), *result = NULL;
    if (protocol == NULL) return NULL;
    if (!is_taken || protocol == Py_None) {
        result = PyObject_CallMethodOneArg(self, state->s_drop, number);
    } else {
        PyObject *data = read_bytes(state, self, size);
        if (data != NULL) {
            result = PyObject_CallMethodOneArg(protocol, state->s_dataReceived, data);
            Py_DECREF(data);
            if (result == NULL) result = report(self, state->s_protocol_raised);
        }
    }
    Py_DECREF(protocol);
    if (result == NULL) return NULL;
    Py_DECREF(result);
    Py_RETURN_NONE;
}

/* write(data): a published method, whose argument may be named. */
static PyObject *stream_write(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    if (count + named != 1 || (named && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "data") != 0)) {
        PyErr_SetString(PyExc_TypeError, "write(data) takes one argument");
        return NULL;
    }
    PyObject *data = args[0];
    State *state = state_of(Py_TYPE(self));
    int is_open = state == NULL ? -1 : is_clear(&state->fields.stream_is_closing, self);
    if (is_open < 0) return NULL;
    if (!is_open) return PyObject_CallMethodNoArgs(self, state->s_check_forked);
    PyObject *source = get_field(&state->fields.stream__source, self);
    PyObject *result = source == NULL ? NULL : PyObject_CallMethodOneArg(source, state->s_write, data);
    Py_XDECREF(source);
    if (result == NULL) return NULL;
    Py_DECREF(result);
    Py_RETURN_NONE;
}

PyObject *use_sockets(PyObject *module, PyObject *args) {
    State *state = PyModule_GetState(module);
    PyObject *scratch, *first, *second;
    Py_ssize_t slice_size;
    if (!PyArg_ParseTuple(args, "OnO!O!:use_sockets", &scratch, &slice_size, &PyType_Type, &first, &PyType_Type,
                          &second)) return NULL;
    Py_XSETREF(state->scratch, Py_NewRef(scratch));
    Py_XSETREF(state->sockets[0], (PyTypeObject *)Py_NewRef(first));
    Py_XSETREF(state->sockets[1], (PyTypeObject *)Py_NewRef(second));
    state->slice_size = slice_size;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(write_doc,
"write($self, data)\n--\n\n"
"Send bytes after earlier writes; see broker.net.stream_base.");

static PyMethodDef source_methods[] = {
    {"_readable", source_readable, METH_NOARGS, "Read, and deliver; see broker.net.stream_base."},
    {"write", source_write, METH_O, "Send bytes after earlier writes; see broker.net.stream_base."},
    {NULL}};

static PyMethodDef stream_methods[] = {
    {"get_buffer", stream_get_buffer, METH_O, "Return the buffer of this thread."},
    {"buffer_updated", stream_buffer_updated, METH_O, "Deliver the bytes that were read into the buffer."},
    {"write", (PyCFunction)(void (*)(void))stream_write, METH_FASTCALL | METH_KEYWORDS, write_doc},
    {NULL}};

static PyType_Slot source_slots[] = {
    {Py_tp_doc, "The methods of a source for each piece of bytes; see broker.net.stream_base."},
    {Py_tp_dealloc, dealloc_plain},
    {Py_tp_methods, source_methods},
    {0, NULL}};

static PyType_Slot stream_slots[] = {
    {Py_tp_doc, "The methods of a stream for each piece of bytes; see broker.net.stream_base."},
    {Py_tp_dealloc, dealloc_plain},
    {Py_tp_methods, stream_methods},
    {0, NULL}};

PyType_Spec source_spec = {
    .name = "broker._lane.SourceBase", .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, .slots = source_slots};

PyType_Spec stream_spec = {
    .name = "broker._lane.StreamBase", .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, .slots = stream_slots};
