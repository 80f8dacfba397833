/* Unsent: the messages of one connection that wait to be written; see broker/core/unsent.py.

   Small messages are put one behind the other into a buffer, which is freed when it is taken: nothing is kept when
   nothing is due. */
#include "lane.h"

#define FIRST 480            /* bytes of a new buffer: below the largest block of Python's own allocator */
#define LOOSE 1024           /* a longer message is kept as it is */

static void free_buffer(Unsent *self) {
    PyMem_Free(self->buffer);
    self->buffer = NULL;
    self->used = self->room = 0;
}

/* Make the list of pieces. That may start the garbage collector, whose finalizers may send a message. */
static int make_pieces(Unsent *self) {
    if (self->pieces != NULL) return 0;
    PyObject *pieces = PyList_New(0);
    if (pieces == NULL) return -1;
    if (self->pieces == NULL) self->pieces = pieces;
    else Py_DECREF(pieces);
    return 0;
}

/* Make a piece of what is in the buffer, if anything is. If memory is missing, nothing is lost. */
static int seal(Unsent *self) {
    if (make_pieces(self) < 0) return -1;
    if (self->used == 0) return 0;
    PyObject *piece = PyBytes_FromStringAndSize(self->buffer, self->used);
    if (piece == NULL) return -1;
    int failed = PyList_Append(self->pieces, piece);
    Py_DECREF(piece);
    if (failed < 0) return -1;
    free_buffer(self);
    return 0;
}

char *unsent_room(Unsent *self, Py_ssize_t size) {
    if (size > PY_SSIZE_T_MAX / 4 - self->used) { PyErr_NoMemory(); return NULL; }
    if (self->buffer == NULL || self->room - self->used < size) {
        Py_ssize_t room = self->used + size <= FIRST ? FIRST : 2 * (self->used + size);
        char *buffer = PyMem_Realloc(self->buffer, room);
        if (buffer == NULL) { PyErr_NoMemory(); return NULL; }
        self->buffer = buffer;
        self->room = room;
    }
    return self->buffer + self->used;
}

static PyObject *unsent_append(Unsent *self, PyObject *piece) {
    if (!PyBytes_Check(piece)) {
        PyErr_Format(PyExc_TypeError, "a message is bytes, not %.100s", Py_TYPE(piece)->tp_name);
        return NULL;
    }
    if (self->is_closed) Py_RETURN_NONE;
    Py_ssize_t size = PyBytes_GET_SIZE(piece);
    if (size > LOOSE) {
        if (seal(self) < 0) return NULL;
        if (PyList_Append(self->pieces, piece) < 0) return NULL;
    } else {
        char *room = unsent_room(self, size);
        if (room == NULL) return NULL;
        if (size) memcpy(room, PyBytes_AS_STRING(piece), size);
        self->used += size;
    }
    self->queued++;
    self->size += size;
    Py_RETURN_NONE;
}

/* Return the pieces and the buffer, joined. No object is made that the garbage collector knows. */
static PyObject *joined(Unsent *self) {
    Py_ssize_t count = self->pieces == NULL ? 0 : PyList_GET_SIZE(self->pieces);
    if (count == 1 && self->used == 0) return Py_NewRef(PyList_GET_ITEM(self->pieces, 0));
    PyObject *data = PyBytes_FromStringAndSize(NULL, self->size);
    if (data == NULL) return NULL;
    char *place = PyBytes_AS_STRING(data);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *piece = PyList_GET_ITEM(self->pieces, i);
        memcpy(place, PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece));
        place += PyBytes_GET_SIZE(piece);
    }
    if (self->used) memcpy(place, self->buffer, self->used);
    return data;
}

PyObject *unsent_take(Unsent *self) {
    PyObject *data = joined(self), *pieces = self->pieces;
    if (data == NULL) return NULL;
    self->pieces = NULL;
    self->queued = self->size = 0;
    free_buffer(self);
    Py_XDECREF(pieces);
    return data;
}

static PyObject *unsent_take_method(Unsent *self, PyObject *Py_UNUSED(ignored)) { return unsent_take(self); }

static PyObject *unsent_close(Unsent *self, PyObject *Py_UNUSED(ignored)) {
    self->is_closed = 1;
    self->queued = self->size = 0;
    free_buffer(self);
    Py_CLEAR(self->pieces);
    Py_RETURN_NONE;
}

static int unsent_init(Unsent *Py_UNUSED(self), PyObject *args, PyObject *kw) {
    if (PyTuple_GET_SIZE(args) || (kw && PyDict_GET_SIZE(kw))) {
        PyErr_SetString(PyExc_TypeError, "Unsent takes no arguments");
        return -1;
    }
    return 0;
}

static void unsent_dealloc(Unsent *self) {
    PyTypeObject *type = Py_TYPE(self);
    free_buffer(self);
    Py_CLEAR(self->pieces);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef unsent_methods[] = {
    {"append", (PyCFunction)unsent_append, METH_O, "Add a message, unless it is dropped."},
    {"take", (PyCFunction)unsent_take_method, METH_NOARGS, "Remove all messages, and return their bytes."},
    {"close", (PyCFunction)unsent_close, METH_NOARGS, "Drop all messages, and those that are added later."},
    {NULL}};

static PyMemberDef unsent_members[] = {
    {"queued", T_PYSSIZET, offsetof(Unsent, queued), 0, NULL},
    {"size", T_PYSSIZET, offsetof(Unsent, size), READONLY, NULL},
    {"is_closed", T_BOOL, offsetof(Unsent, is_closed), READONLY, NULL},
    {NULL}};

static PyType_Slot unsent_slots[] = {
    {Py_tp_doc, "The messages of one connection that wait to be written."},
    {Py_tp_init, unsent_init},
    {Py_tp_dealloc, unsent_dealloc},
    {Py_tp_methods, unsent_methods},
    {Py_tp_members, unsent_members},
    {0, NULL}};

PyType_Spec unsent_spec = {
    .name = "broker._lane.Unsent", .basicsize = sizeof(Unsent), .flags = Py_TPFLAGS_DEFAULT, .slots = unsent_slots};
