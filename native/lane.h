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

typedef struct {
    PyTypeObject *chain, *bridge, *unsent, *lane, *calls, *reference, *method;
    /* Set by `use`: the classes and objects of the Python code. */
    PyObject *pending, *promise, *bridge_class, *deadline, *first_credit;
    /* Names of attributes and methods. */
    PyObject *s_answered, *s_began, *s_begin_task, *s_beginning, *s_broker, *s_broker_reference, *s_call, *s_call_soon, *s_calls, *s_calls_made, *s_calls_received, *s_canceller_of, *s_context, *s_debug,
        *s_done, *s_enter, *s_function, *s_highest, *s_last, *s_luid, *s_make_call, *s_leading, *s_methods,
        *s_outcome_of, *s_plain_results, *s_raised, *s_result, *s_returned, *s_settled, *s_size, *s_transaction, *s_view;
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

extern PyType_Spec chain_spec, bridge_spec, unsent_spec, lane_spec, calls_spec, reference_spec, method_spec;

/* chain.c */
/* Return a new reference to the asyncio loop that runs in this thread, or to None. */
PyObject *running_loop(State *state);
int is_simple(PyObject *value);
/* Whether a Deferred has not fired, and nothing but a task that awaits it waits for it. */
int chain_is_plain(State *state, Chain *chain);
/* Fire such a Deferred with a simple value, and wake the task; 1, or -1 with an exception. */
int chain_fire(State *state, Chain *chain, PyObject *value, PyObject *loop);

/* lane.c: make a call. NULL: an exception; None: the Python code must do it; else the promise. `lane` is a Lane,
   and `kind` a class of promises. */
PyObject *lane_call(PyObject *lane, PyObject *kind, PyObject *perspective, PyObject *target, PyObject *name,
                    PyObject *const *args, Py_ssize_t count);

/* calls.c: the same, if the call can be made now and nothing is asked for besides; and have it written. */
PyObject *calls_quickly(State *state, PyObject *calls, PyObject *kind, PyObject *view, PyObject *target,
                        PyObject *name, PyObject *const *args, Py_ssize_t count);

/* reference.c: the same, for a RemoteReference. */
PyObject *reference_call(State *state, PyObject *reference, PyObject *kind, PyObject *name, PyObject *const *args,
                         Py_ssize_t count);

/* unsent.c: room for so many bytes at the end of the buffer; NULL with an exception. */
char *unsent_room(Unsent *unsent, Py_ssize_t size);

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
