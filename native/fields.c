/* Fields: attributes of Python objects, read and written where their class keeps them.

   The classes have slots. `use_classes` finds where each slot is; an object of exactly that class is then read and
   written there. For any other object the attribute is used, with the same effect. */
#include "lane.h"

/* Find where a class keeps an attribute. 0, or -1 with an exception. */
static int find(Field *field, PyTypeObject *type) {
    PyObject *found = PyObject_GetAttr((PyObject *)type, field->name);
    if (found == NULL) return -1;
    int is_slot = Py_TYPE(found) == &PyMemberDescr_Type;
    if (is_slot) {
        PyMemberDescrObject *slot = (PyMemberDescrObject *)found;
        is_slot = slot->d_member->type == T_OBJECT_EX && PyType_IsSubtype(type, PyDescr_TYPE(slot));
        field->offset = slot->d_member->offset;
    }
    Py_DECREF(found);
    if (!is_slot) {
        PyErr_Format(PyExc_TypeError, "%.100s.%U is not a slot", type->tp_name, field->name);
        return -1;
    }
    Py_XSETREF(field->type, (PyTypeObject *)Py_NewRef((PyObject *)type));
    return 0;
}

int make_fields(State *state) {
#define MAKE(class, attribute) \
    if ((state->fields.class##_##attribute.name = PyUnicode_InternFromString(#attribute)) == NULL) return -1;
    FIELDS(MAKE)
#undef MAKE
    return 0;
}

PyObject *use_classes(PyObject *module, PyObject *args, PyObject *classes) {
    static const struct { const char *class; size_t place; } table[] = {
#define ROW(class, attribute) {#class, offsetof(Fields, class##_##attribute)},
        FIELDS(ROW)
#undef ROW
    };
    State *state = PyModule_GetState(module);
    if (PyTuple_GET_SIZE(args) || classes == NULL) {
        PyErr_SetString(PyExc_TypeError, "use_classes(NAME=class, …)");
        return NULL;
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        PyObject *class = PyDict_GetItemString(classes, table[i].class);
        if (class == NULL) continue;
        if (!PyType_Check(class)) {
            PyErr_SetString(PyExc_TypeError, "use_classes takes classes");
            return NULL;
        }
        Field *field = (Field *)((char *)&state->fields + table[i].place);
        if (find(field, (PyTypeObject *)class) < 0) return NULL;
    }
    Py_RETURN_NONE;
}

void forget_classes(State *state) {
#define CLEAR(class, attribute) Py_CLEAR(state->fields.class##_##attribute.type);
    FIELDS(CLEAR)
#undef CLEAR
}

void clear_fields(State *state) {
    forget_classes(state);
#define CLEAR(class, attribute) Py_CLEAR(state->fields.class##_##attribute.name);
    FIELDS(CLEAR)
#undef CLEAR
}

int add_to_field(const Field *field, PyObject *object, Py_ssize_t count) {
    PyObject *before = get_field(field, object), *more = PyLong_FromSsize_t(count), *sum = NULL;
    if (before != NULL && more != NULL) sum = PyNumber_Add(before, more);
    Py_XDECREF(before);
    Py_XDECREF(more);
    if (sum == NULL) return -1;
    int failed = set_field(field, object, sum);
    Py_DECREF(sum);
    return failed;
}
