/* The definition of the extension module broker._lane. */
#include "lane.h"

/* What this module and the Python code expect of each other. broker/native.py has the same number. */
#define LANE_VERSION 3

static struct PyModuleDef definition;

State *state_of(PyTypeObject *type) {
    PyObject *module = PyType_GetModuleByDef(type, &definition);
    return module == NULL ? NULL : PyModule_GetState(module);
}

static int make_names(State *state) {
#define MAKE(name) if ((state->s_##name = PyUnicode_InternFromString(#name)) == NULL) return -1;
#define MAKE_PRIVATE(name) if ((state->s_##name = PyUnicode_InternFromString("_" #name)) == NULL) return -1;
    NAMES_OF_STATE(MAKE)
    PRIVATE_NAMES_OF_STATE(MAKE_PRIVATE)
    state->any_size = PyLong_FromLong(-1);
    state->no_bytes = PyBytes_FromStringAndSize(NULL, 0);
    state->context_names = PyTuple_Pack(1, state->s_context);
    state->limit = PyLong_FromString("10000000000000000", NULL, 16);
    return state->any_size == NULL || state->no_bytes == NULL || state->context_names == NULL || state->limit == NULL ? -1 : 0;
}

static int make_type(PyObject *module, PyTypeObject **place, PyType_Spec *spec) {
    *place = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *place == NULL ? -1 : PyModule_AddType(module, *place);
}

static int execute(PyObject *module) {
    State *state = PyModule_GetState(module);
    if (make_names(state) < 0 || make_fields(state) < 0 || make_type(module, &state->chain, &chain_spec) < 0 ||
        make_type(module, &state->bridge, &bridge_spec) < 0 || make_type(module, &state->unsent, &unsent_spec) < 0 ||
        make_type(module, &state->lane, &lane_spec) < 0 || make_type(module, &state->calls, &calls_spec) < 0 ||
        make_type(module, &state->reference, &reference_spec) < 0 ||
        make_type(module, &state->method, &method_spec) < 0 || make_type(module, &state->pump, &pump_spec) < 0 ||
        make_type(module, &state->source, &source_spec) < 0 || make_type(module, &state->stream, &stream_spec) < 0) return -1;
    return PyModule_AddIntConstant(module, "VERSION", LANE_VERSION);
}

static void set(PyObject **place, PyObject *value) { Py_XSETREF(*place, Py_NewRef(value)); }

static PyObject *use_bridge(PyObject *module, PyObject *args) {
    State *state = PyModule_GetState(module);
    PyObject *bridge, *pending, *running_loop;
    if (!PyArg_ParseTuple(args, "O!OO:use_bridge", &PyType_Type, &bridge, &pending, &running_loop)) return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)bridge, state->bridge)) {
        PyErr_SetString(PyExc_TypeError, "a subclass of BridgeBase is needed");
        return NULL;
    }
    bridge_use((PyTypeObject *)bridge);
    set(&state->bridge_class, bridge);
    set(&state->pending, pending);
    set(&state->running_loop, running_loop);
    Py_RETURN_NONE;
}

static PyObject *use_calls(PyObject *module, PyObject *args) {
    State *state = PyModule_GetState(module);
    PyObject *promise, *deadline, *first_credit, *running_loop;
    if (!PyArg_ParseTuple(args, "O!O!O!O:use_calls", &PyType_Type, &promise, &PyContextVar_Type, &deadline,
                          &PyContextVar_Type, &first_credit, &running_loop)) return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)promise, state->chain)) {
        PyErr_SetString(PyExc_TypeError, "a subclass of ChainBase is needed");
        return NULL;
    }
    set(&state->promise, promise);
    set(&state->deadline, deadline);
    set(&state->first_credit, first_credit);
    set(&state->running_loop, running_loop);
    Py_RETURN_NONE;
}

static PyObject *use_tasks(PyObject *module, PyObject *args) {
    State *state = PyModule_GetState(module);
    PyObject *task, *done;
    if (!PyArg_ParseTuple(args, "O!O:use_tasks", &PyType_Type, &task, &done)) return NULL;
    set((PyObject **)&state->task, task);
    set(&state->done, done);
    Py_RETURN_NONE;
}

static int traverse(PyObject *module, visitproc visit, void *arg) {
    State *state = PyModule_GetState(module);
    Py_VISIT(state->chain);
    Py_VISIT(state->bridge);
    Py_VISIT(state->unsent);
    Py_VISIT(state->lane);
    Py_VISIT(state->calls);
    Py_VISIT(state->reference);
    Py_VISIT(state->method);
    Py_VISIT(state->pump);
    Py_VISIT(state->source);
    Py_VISIT(state->stream);
    Py_VISIT(state->scratch);
    Py_VISIT(state->sockets[0]);
    Py_VISIT(state->sockets[1]);
#define VISIT(class, attribute) Py_VISIT(state->fields.class##_##attribute.type);
    FIELDS(VISIT)
#undef VISIT
    Py_VISIT(state->deadline);
    Py_VISIT(state->first_credit);
    Py_VISIT(state->pending);
    Py_VISIT(state->promise);
    Py_VISIT(state->bridge_class);
    Py_VISIT(state->running_loop);
    Py_VISIT(state->task);
    Py_VISIT(state->done);
    return 0;
}

static int clear(PyObject *module) {
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->chain);
    Py_CLEAR(state->bridge);
    Py_CLEAR(state->unsent);
    Py_CLEAR(state->lane);
    Py_CLEAR(state->calls);
    Py_CLEAR(state->reference);
    Py_CLEAR(state->method);
    Py_CLEAR(state->pump);
    Py_CLEAR(state->source);
    Py_CLEAR(state->stream);
    Py_CLEAR(state->scratch);
    Py_CLEAR(state->sockets[0]);
    Py_CLEAR(state->sockets[1]);
    forget_classes(state);
    Py_CLEAR(state->deadline);
    Py_CLEAR(state->first_credit);
    Py_CLEAR(state->pending);
    Py_CLEAR(state->promise);
    Py_CLEAR(state->bridge_class);
    Py_CLEAR(state->running_loop);
    Py_CLEAR(state->task);
    Py_CLEAR(state->done);
    return 0;
}

static void release(void *module) {
    State *state = PyModule_GetState((PyObject *)module);
    clear((PyObject *)module);
#define CLEAR(name) Py_CLEAR(state->s_##name);
    NAMES_OF_STATE(CLEAR)
    PRIVATE_NAMES_OF_STATE(CLEAR)
#undef CLEAR
    clear_fields(state);
    Py_CLEAR(state->any_size);
    Py_CLEAR(state->no_bytes);
    Py_CLEAR(state->context_names);
    Py_CLEAR(state->limit);
    for (int i = 0; i < NAMES; i++) Py_CLEAR(state->names[i].str);
}

static PyMethodDef methods[] = {
    {"use_bridge", use_bridge, METH_VARARGS, "Take the class of awaiters, what stands for no outcome, and a function."},
    {"use_calls", use_calls, METH_VARARGS,
     "Take the class of what a remote call returns, two context variables, and the function that returns the loop."},
    {"use_tasks", use_tasks, METH_VARARGS, "Take the class of tasks, and a future that is done."},
    {"use_sockets", use_sockets, METH_VARARGS,
     "Take the buffers that are read into, the most bytes of a piece, and two classes of sockets."},
    {"use_classes", (PyCFunction)(void (*)(void))use_classes, METH_VARARGS | METH_KEYWORDS,
     "Take Python classes, whose slots are then read and written directly."},
    {NULL}};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
#ifdef Py_MOD_PER_INTERPRETER_GIL_SUPPORTED
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "broker._lane",
    .m_doc = "The parts of broker that are written in C.",
    .m_size = sizeof(State),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = release};

PyMODINIT_FUNC PyInit__lane(void) { return PyModuleDef_Init(&definition); }
