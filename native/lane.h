/* What the parts of broker._lane share: the module's state, and the types.

   Rules for all files here:
   - The names of CPython's private API are not used.
   - All lengths of a peer are compared with the bytes that are left before they are used.
   - Recursion goes as deep as DEPTH and the arguments, whatever a peer sends.
   - An object that is used after user code has run is owned.
   - The GIL is held throughout. */
#ifndef BROKER_LANE_H
#define BROKER_LANE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdint.h>
#include <string.h>

#define DEPTH 6              /* most levels of containers in a plain value: core/wire/values.py */
#define LONGEST_NAME 32      /* most bytes of a name that the lane takes: connection/lane.py */
#define MOST_VALUES 20000    /* most values in the containers of an answer: msgpack/writer.py */
#define LARGEST INT64_MAX    /* the largest number of a request or object: jelly/numbers.py */
#define MOST_SHARED 64       /* containers that one message may have and others refer to */
#define NAMES 256            /* strings of names and keys that are kept, for the whole module */

typedef struct {
    char text[LONGEST_NAME];
    uint8_t size;
    PyObject *str;           /* NULL in an empty place */
} Name;

/* The names of attributes and methods of Python code that the state keeps; the second ones begin with `_`. */
#define NAMES_OF_STATE(X) \
    X(answered) X(began) X(begin_task) X(buffer_updated) X(call) X(call_soon) X(calls) X(canceller_of) \
    X(context) X(dataReceived) X(debug) X(done) X(fileno) X(flush_later) X(get_buffer) X(large) X(make_call) \
    X(plain_results) X(pump) X(queued) X(raised) X(recv_into) X(result) X(returned) X(send) X(stepped_loop) X(take) X(took) \
    X(view) X(write)
#define PRIVATE_NAMES_OF_STATE(X) \
    X(allowed) X(broker_reference) X(caught) X(check_forked) X(cut) X(drop) X(failed) X(go_on) X(keep) X(outcome_of) \
    X(peer_ended) X(protocol_raised) X(regulate) X(run) X(settled) X(take_slices) \
    X(tell_blocked) X(took_result)

/* The attributes of Python classes that are read and written where their class keeps them; see fields.c. */
#define FIELDS(X) \
    X(answers, size) X(entry, enter) X(entry, leading) X(entry, methods) X(inbox, _running_lane) X(inbox, _stats) \
    X(inbox, has_more) X(inbox, is_idle) X(inbox, lane) X(inbox, wants_data) X(incoming, beginning) \
    X(incoming, highest) X(method, function) X(open_calls, last) X(open_calls, open) X(outbox, _behind) \
    X(outbox, _dropped) X(outbox, _last_written) X(outbox, _open_calls) X(outbox, _stats) X(outbox, sizes) \
    X(outbox, unsent) X(reader, buffer) X(reference, broker) X(reference, luid) X(reference, view) X(releases, notes) \
    X(runner, last) X(source, _fd) X(source, _is_closing) X(source, _is_half_closed) X(source, _is_over) \
    X(source, _receiver) X(source, _sock) X(source, _unsent) X(stats, bytes_received) X(stats, bytes_sent) \
    X(stats, calls_made) X(stats, calls_received) X(stream, _own_buffer) X(stream, _source) X(stream, disconnecting) \
    X(stream, is_closing) X(stream, protocol) X(stream, reads_ahead) X(translator, transaction)

typedef struct {
    PyTypeObject *type;      /* the class, or NULL */
    Py_ssize_t offset;       /* in an object of it */
    PyObject *name;
} Field;

typedef struct {
#define PLACE(class, attribute) Field class##_##attribute;
    FIELDS(PLACE)
#undef PLACE
} Fields;

/* Return a new reference to the value of an attribute, or NULL with an exception. */
static inline PyObject *get_field(const Field *field, PyObject *object) {
    if (Py_TYPE(object) == field->type) {
        PyObject *value = *(PyObject **)((char *)object + field->offset);
        if (value != NULL) return Py_NewRef(value);
    }
    return PyObject_GetAttr(object, field->name);
}

static inline int set_field(const Field *field, PyObject *object, PyObject *value) {
    if (Py_TYPE(object) != field->type) return PyObject_SetAttr(object, field->name, value);
    PyObject **place = (PyObject **)((char *)object + field->offset), *old = *place;
    *place = Py_NewRef(value);
    Py_XDECREF(old);
    return 0;
}

typedef struct {
    PyTypeObject *chain, *bridge, *unsent, *lane, *calls, *reference, *method, *pump, *source, *stream;
    Fields fields;
    /* Set by `use`: the classes and objects of the Python code. */
    PyObject *pending, *promise, *bridge_class, *deadline, *first_credit;
#define NAME(name) PyObject *s_##name;
    NAMES_OF_STATE(NAME)
    PRIVATE_NAMES_OF_STATE(NAME)
#undef NAME
    PyObject *no_bytes;      /* b"" */
    PyObject *any_size;      /* -1: what a buffer is asked for with */
    PyObject *scratch;       /* broker.net.read_buffer.scratch */
    PyTypeObject *sockets[2]; /* classes whose objects are used by their descriptor */
    Py_ssize_t slice_size;   /* most bytes that a protocol gets at a time */
    PyTypeObject *task;      /* asyncio.Task */
    PyObject *done;          /* a future that is done, with None */
    PyObject *limit;         /* the int 1 << 64 */
    PyObject *context_names; /* ("context",), for calls with that keyword */
    PyObject *running_loop;  /* asyncio's function; before `use_calls`, broker.defer.awaiting.running_loop */
    Name names[NAMES];
} State;

State *state_of(PyTypeObject *type);

/* Chain: the fields of a Deferred. Zero in every field is a Deferred that has just been made. */
typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    PyObject *only;          /* a Bridge that is the only item, or NULL */
    PyObject *items;         /* a list, or NULL */
    PyObject *canceller;     /* or NULL */
    PyObject *owner;         /* PendingCalls of a remote call, which makes its canceller when it is asked for */
    long long number;        /* the id of that call */
    PyObject *unhandled, *label, *result;
    int paused;
    char called, is_running, swallows_one;
} Chain;

/* Bridge: one awaiter of one Deferred. */
typedef struct {
    PyObject_HEAD
    PyObject *deferred, *outcome, *loop;
    PyObject *callback, *context;  /* the only wakeup, or NULL */
    PyObject *wakeups;       /* a list of pairs, or NULL */
    State *state;
    char blocking;           /* what asyncio reads to see that it is a future */
    char began;              /* whether it is in the chain */
} Bridge;

/* Unsent: the messages that wait to be written. */
typedef struct {
    PyObject_HEAD
    PyObject *pieces;        /* a list of complete pieces that come first, or NULL */
    char *buffer;            /* has `used` of `room` bytes in use, behind those pieces; or NULL */
    Py_ssize_t used, room, queued, size;
    char is_closed;
} Unsent;

/* Calls: the calls of one connection that have no answer yet. */
typedef struct {
    PyObject_HEAD
    PyObject *lane, *loop, *waiting, *stepped_loop, *flush;
    char is_open;            /* whether calls can be made */
    char is_batched;         /* whether what is sent now is written soon, without `flush` */
    char has_stepped;
} Calls;

/* For a class whose objects have no fields of their own in C. */
static inline void dealloc_plain(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

extern PyType_Spec chain_spec, bridge_spec, unsent_spec, lane_spec, calls_spec, reference_spec, method_spec, pump_spec,
    source_spec, stream_spec;

/* stream.c */
PyObject *use_sockets(PyObject *module, PyObject *args);

/* errors.c */
/* Return the exception that is set, with its traceback, and clear it; NULL if none is set. */
PyObject *caught(void);
/* Whether the exception that is set is to end the program. */
int ends_program(void);

/* fields.c */
PyObject *use_classes(PyObject *module, PyObject *args, PyObject *classes);
/* Make the names of all fields; 0, or -1 with an exception. */
int make_fields(State *state);
void forget_classes(State *state);
void clear_fields(State *state);
/* Add to an attribute that is an int; 0, or -1 with an exception. */
int add_to_field(const Field *field, PyObject *object, Py_ssize_t count);

/* chain.c */
/* Return a new reference to the asyncio loop that runs in this thread, or to None. */
PyObject *running_loop(State *state);
int is_simple(PyObject *value);
/* Have coroutines step awaiters of this class directly: CPython's classes do not inherit `am_send`, and each result
   would be a StopIteration. */
void bridge_use(PyTypeObject *type);
/* Whether a Deferred has not fired, and nothing but a task that awaits it waits for it. */
int chain_is_plain(State *state, Chain *chain);
/* Fire such a Deferred with a simple value, and wake the task; 1, or -1 with an exception. */
int chain_fire(State *state, Chain *chain, PyObject *value, PyObject *loop);
/* Whether a Deferred has not fired, and a pair of callbacks comes first. */
int chain_has_pairs(Chain *chain);
/* Fire such a Deferred with a simple value, and call its callbacks; 1, or -1 with an exception. */
int chain_fire_pairs(State *state, Chain *chain, PyObject *value, PyObject *loop);

/* lane.c: make a call. NULL: an exception; None: the Python code must do it; else the promise. `lane` is a Lane,
   and `kind` a class of promises. */
PyObject *lane_call(PyObject *lane, PyObject *kind, PyObject *perspective, PyObject *target, PyObject *name,
                    PyObject *const *args, Py_ssize_t count);

/* lane.c, for a pump: handle one frame of the next bytes; 0, or -1 with an exception. */
int lane_take(PyObject *lane, PyObject *data);
PyObject *lane_reader(PyObject *lane);
Py_ssize_t lane_position(PyObject *lane);

/* calls.c: the same, if the call can be made now and nothing is asked for besides; and have it written. */
PyObject *calls_quickly(State *state, PyObject *calls, PyObject *kind, PyObject *view, PyObject *target,
                        PyObject *name, PyObject *const *args, Py_ssize_t count);

/* reference.c: the same, for a RemoteReference. */
PyObject *reference_call(State *state, PyObject *reference, PyObject *kind, PyObject *name, PyObject *const *args,
                         Py_ssize_t count);

/* unsent.c: room for so many bytes at the end of the buffer; NULL with an exception. */
char *unsent_room(Unsent *unsent, Py_ssize_t size);
/* Remove all messages, and return their bytes. */
PyObject *unsent_take(Unsent *unsent);

/* values.c */
typedef struct {
    State *state;
    const unsigned char *next, *end;
    Py_ssize_t owed;         /* least bytes of the values that the open containers still have */
} Reader;

/* Return a value, or NULL: without an exception if it is not plain, with one if memory is missing. */
PyObject *read_value(Reader *reader, int depth);
PyObject *read_whole_value(Reader *reader, int depth);
PyObject *read_text(Reader *reader, int is_name);
int read_number(Reader *reader, long long *number);

typedef struct {
    State *state;
    Unsent *unsent;
    Py_ssize_t start;        /* of the message, in the buffer */
    Py_ssize_t left;         /* values that its containers may still have */
    int shared;
    PyObject *seen[MOST_SHARED];
} Writer;

/* Return 1; 0 if the value is not plain, without an exception; -1 with one. */
int write_value(Writer *writer, PyObject *value, int depth);
int write_argument(Writer *writer, PyObject *value);
int write_text(Writer *writer, PyObject *text);
int write_head(Writer *writer, unsigned char fixed, int fixed_most, unsigned char kind, Py_ssize_t size);
int write_number(Writer *writer, long long number);
int write_byte(Writer *writer, unsigned char byte);
int begin_frame(Writer *writer, State *state, Unsent *unsent, Py_ssize_t left);
/* Set the length. 1: the frame is queued; 0: it is too long, and was removed. */
int end_frame(Writer *writer, Py_ssize_t most);
void drop_frame(Writer *writer);

#endif
