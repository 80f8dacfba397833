/* Method: a method of a proxy of a contract, for calls whose arguments need no check.

   If all arguments are positional and have exactly the declared classes, the call is made here, as callRemote makes
   it. All else is done by a function in Python: it binds the arguments, checks them, and raises all errors. */
#include "lane.h"

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *dict;
    PyObject *function;      /* the function in Python */
    PyObject *name;          /* of the method */
    PyObject *classes;       /* a tuple: a frozenset for each parameter */
    PyObject *kind;          /* the class of the promise */
} Method;

/* Make the call: None if the function must do it, NULL with an exception. */
static PyObject *call_quickly(Method *self, State *state, PyObject *const *args, Py_ssize_t count) {
    for (Py_ssize_t i = 1; i < count; i++) {
        int fits = PySet_Contains(PyTuple_GET_ITEM(self->classes, i - 1), (PyObject *)Py_TYPE(args[i]));
        if (fits <= 0) return fits < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *reference = PyObject_GetAttr(args[0], state->s_broker_reference);
    if (reference == NULL) return NULL;
    PyObject *promise = PyObject_TypeCheck(reference, state->reference)
                            ? reference_call(state, reference, self->kind, self->name, args + 1, count - 1)
                            : Py_NewRef(Py_None);
    Py_DECREF(reference);
    return promise;
}

static PyObject *method_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names) {
    Method *self = (Method *)object;
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    if (self->function == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this method has no function");
        return NULL;
    }
    if (count == 1 + PyTuple_GET_SIZE(self->classes) && (names == NULL || PyTuple_GET_SIZE(names) == 0)) {
        State *state = state_of(Py_TYPE(self));
        PyObject *promise = state == NULL ? NULL : call_quickly(self, state, args, count);
        if (promise != Py_None) return promise;
        Py_DECREF(promise);
    }
    return PyObject_Vectorcall(self->function, args, flags, names);
}

static PyObject *method_new(PyTypeObject *type, PyObject *args, PyObject *kw) {
    static char *names[] = {"function", "name", "classes", "kind", NULL};
    PyObject *function, *name, *classes, *kind;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "OUO!O!:Method", names, &function, &name, &PyTuple_Type, &classes,
                                     &PyType_Type, &kind)) return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(classes); i++) {
        if (PyFrozenSet_CheckExact(PyTuple_GET_ITEM(classes, i))) continue;
        PyErr_SetString(PyExc_TypeError, "the classes of a parameter are a frozenset");
        return NULL;
    }
    Method *self = (Method *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->vectorcall = method_call;
    self->function = Py_NewRef(function);
    self->name = Py_NewRef(name);
    self->classes = Py_NewRef(classes);
    self->kind = Py_NewRef(kind);
    return (PyObject *)self;
}

static int method_traverse(Method *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->dict);
    Py_VISIT(self->function);
    Py_VISIT(self->name);
    Py_VISIT(self->classes);
    Py_VISIT(self->kind);
    return 0;
}

static int method_clear(Method *self) {
    Py_CLEAR(self->dict);
    Py_CLEAR(self->function);
    return 0;
}

static void method_dealloc(Method *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    method_clear(self);
    Py_CLEAR(self->name);
    Py_CLEAR(self->classes);
    Py_CLEAR(self->kind);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *method_get(PyObject *self, PyObject *object, PyObject *Py_UNUSED(type)) {
    return object == NULL || object == Py_None ? Py_NewRef(self) : PyMethod_New(self, object);
}

static PyObject *method_repr(Method *self) { return PyUnicode_FromFormat("<method %U of a contract>", self->name); }

static PyMemberDef method_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(Method, dict), READONLY, NULL},
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Method, vectorcall), READONLY, NULL},
    {NULL}};

static PyGetSetDef method_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL}};

static PyType_Slot method_slots[] = {
    {Py_tp_doc, "A method of a proxy of a contract; see broker.flavors.contracts.proxy."},
    {Py_tp_new, method_new},
    {Py_tp_traverse, method_traverse},
    {Py_tp_clear, method_clear},
    {Py_tp_dealloc, method_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, method_get},
    {Py_tp_repr, method_repr},
    {Py_tp_getset, method_getset},
    {Py_tp_members, method_members},
    {0, NULL}};

PyType_Spec method_spec = {
    .name = "broker._lane.Method", .basicsize = sizeof(Method),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .slots = method_slots};
