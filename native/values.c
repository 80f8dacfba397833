/* Plain values of msgpack/1: from bytes and to bytes.

   Between the beginning and the end of a message that is written, nothing is done that could run code of the
   application: no object is made that the garbage collector knows. So no other message can come in between.

   What is read here is a part of what the general path reads, with the same results; all else is left
   to it. What is written is, byte for byte, what the general path writes. */
#include "lane.h"

#define LARGE 16384          /* bytes of a value that is read without the garbage collector */

/* ---- From bytes. */

/* For each width by itself: a compiler makes one instruction of each, but not of a loop. */
static inline uint64_t number_at(const unsigned char *place, int width) {
#define BYTE(i) (uint64_t)place[i]
    switch (width) {
    case 1: return place[0];
    case 2: return BYTE(0) << 8 | BYTE(1);
    case 4: return BYTE(0) << 24 | BYTE(1) << 16 | BYTE(2) << 8 | BYTE(3);
    default: return BYTE(0) << 56 | BYTE(1) << 48 | BYTE(2) << 40 | BYTE(3) << 32 | BYTE(4) << 24 | BYTE(5) << 16 |
                    BYTE(6) << 8 | BYTE(7);
    }
#undef BYTE
}

/* Read the bytes of a length or number; 0 if they are not all there. */
static inline int take(Reader *reader, int width, uint64_t *number) {
    if (reader->end - reader->next < width) return 0;
    *number = number_at(reader->next, width);
    reader->next += width;
    return 1;
}

int read_number(Reader *reader, long long *number) {
    uint64_t found;
    if (reader->next >= reader->end) return 0;
    unsigned char head = *reader->next++;
    if (head < 0x80) { *number = head; return 1; }
    if (head < 0xcc || head > 0xcf || !take(reader, 1 << (head - 0xcc), &found) || found > LARGEST) return 0;
    *number = (long long)found;
    return 1;
}

/* Read the head of a text: its size, of which so many bytes are there; -1 if there is no text. */
static inline Py_ssize_t text_size(Reader *reader, unsigned char head) {
    uint64_t size;
    if ((head & 0xe0) == 0xa0) size = head & 0x1f;
    else if (head < 0xd9 || head > 0xdb || !take(reader, 1 << (head - 0xd9), &size)) return -1;
    return size <= (uint64_t)(reader->end - reader->next) ? (Py_ssize_t)size : -1;
}

static PyObject *text_of(const unsigned char *text, Py_ssize_t size) {
    PyObject *str = PyUnicode_DecodeUTF8((const char *)text, size, "strict");
    if (str == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) PyErr_Clear();
    return str;
}

/* Return a str that is kept for the next time: of a name or of a key. */
static PyObject *kept_text(State *state, const unsigned char *text, Py_ssize_t size) {
    uint32_t hash = (uint32_t)size;
    for (Py_ssize_t i = 0; i < size; i++) hash = hash * 31 + text[i];
    Name *name = &state->names[(hash ^ hash >> 8) % NAMES];
    if (name->str != NULL && name->size == size && memcmp(name->text, text, size) == 0) return Py_NewRef(name->str);
    PyObject *str = text_of(text, size);
    if (str != NULL) {
        memcpy(name->text, text, size);
        name->size = (uint8_t)size;
        PyObject *old = name->str;
        name->str = Py_NewRef(str);
        Py_XDECREF(old);
    }
    return str;
}

PyObject *read_text(Reader *reader, int is_name) {
    if (reader->next >= reader->end) return NULL;
    Py_ssize_t size = text_size(reader, *reader->next++);
    if (size < 0 || (is_name && size > LONGEST_NAME)) return NULL;
    const unsigned char *text = reader->next;
    reader->next += size;
    return size <= LONGEST_NAME && is_name ? kept_text(reader->state, text, size) : text_of(text, size);
}

static PyObject *read_list(Reader *reader, uint64_t size, int depth) {
    /* Each value has a byte at least: so what the open containers still need is there, and memory is taken in
       proportion to the bytes. `owed` is never more than the bytes that are left, unless reading has failed. */
    if (reader->owed > reader->end - reader->next) return NULL;
    if (depth == 0 || size > (uint64_t)(reader->end - reader->next - reader->owed)) return NULL;
    reader->owed += (Py_ssize_t)size;
    PyObject *list = PyList_New((Py_ssize_t)size);
    if (list == NULL) return NULL;
    for (Py_ssize_t i = 0; i < (Py_ssize_t)size; i++) {
        reader->owed--;
        PyObject *value = read_value(reader, depth - 1);
        if (value == NULL) { Py_DECREF(list); return NULL; }
        PyList_SET_ITEM(list, i, value);
    }
    return list;
}

static PyObject *read_dict(Reader *reader, uint64_t size, int depth) {
    if (reader->owed > reader->end - reader->next) return NULL;
    if (depth == 0 || size > (uint64_t)(reader->end - reader->next - reader->owed) / 2) return NULL;
    reader->owed += 2 * (Py_ssize_t)size;
    PyObject *dict = PyDict_New();
    if (dict == NULL) return NULL;
    for (; size; size--) {
        PyObject *key = NULL, *value = NULL;
        reader->owed -= 2;
        if (reader->next < reader->end) {
            Py_ssize_t length = text_size(reader, *reader->next++);
            if (length >= 0) {
                const unsigned char *text = reader->next;
                reader->next += length;
                key = length <= LONGEST_NAME ? kept_text(reader->state, text, length) : text_of(text, length);
            }
        }
        if (key != NULL) value = read_value(reader, depth - 1);
        int failed = value == NULL || PyDict_SetItem(dict, key, value) < 0;
        Py_XDECREF(key);
        Py_XDECREF(value);
        if (failed) { Py_DECREF(dict); return NULL; }
    }
    return dict;
}

PyObject *read_value(Reader *reader, int depth) {
    uint64_t number;
    if (reader->next >= reader->end) return NULL;
    unsigned char head = *reader->next++;
    if (head < 0x80) return PyLong_FromLong(head);
    if (head >= 0xe0) return PyLong_FromLong((signed char)head);
    if (head < 0x90) return read_dict(reader, head & 0x0f, depth);
    if (head < 0xa0) return read_list(reader, head & 0x0f, depth);
    if (head < 0xc0 || (head >= 0xd9 && head <= 0xdb)) {
        Py_ssize_t size = text_size(reader, head);
        if (size < 0) return NULL;
        const unsigned char *text = reader->next;
        reader->next += size;
        return text_of(text, size);
    }
    switch (head) {
    case 0xc0: Py_RETURN_NONE;
    case 0xc2: Py_RETURN_FALSE;
    case 0xc3: Py_RETURN_TRUE;
    case 0xcb: {
        double real;
        if (!take(reader, 8, &number)) return NULL;
        memcpy(&real, &number, sizeof real);
        return PyFloat_FromDouble(real);
    }
    case 0xcc: return take(reader, 1, &number) ? PyLong_FromLong((long)number) : NULL;
    case 0xcd: return take(reader, 2, &number) ? PyLong_FromLong((long)number) : NULL;
    case 0xce: return take(reader, 4, &number) ? PyLong_FromLongLong((long long)number) : NULL;
    case 0xcf: return take(reader, 8, &number) ? PyLong_FromUnsignedLongLong(number) : NULL;
    case 0xd0: return take(reader, 1, &number) ? PyLong_FromLong((int8_t)number) : NULL;
    case 0xd1: return take(reader, 2, &number) ? PyLong_FromLong((int16_t)number) : NULL;
    case 0xd2: return take(reader, 4, &number) ? PyLong_FromLong((int32_t)number) : NULL;
    case 0xd3: return take(reader, 8, &number) ? PyLong_FromLongLong((int64_t)number) : NULL;
    case 0xdc: return take(reader, 2, &number) ? read_list(reader, number, depth) : NULL;
    case 0xdd: return take(reader, 4, &number) ? read_list(reader, number, depth) : NULL;
    case 0xde: return take(reader, 2, &number) ? read_dict(reader, number, depth) : NULL;
    case 0xdf: return take(reader, 4, &number) ? read_dict(reader, number, depth) : NULL;
    default: return NULL;    /* bytes, extensions, floats of 32 bits, and 0xc1 */
    }
}

/* The same, for a value that is not inside of another. The garbage collector would scan a large one many times. */
PyObject *read_whole_value(Reader *reader, int depth) {
    if (reader->end - reader->next < LARGE) return read_value(reader, depth);
    int was_enabled = PyGC_Disable();
    PyObject *value = read_value(reader, depth);
    if (was_enabled) PyGC_Enable();
    return value;
}

/* ---- To bytes. */

static inline unsigned char *room(Writer *writer, Py_ssize_t size) {
    Unsent *unsent = writer->unsent;
    if (unsent->room - unsent->used >= size) return (unsigned char *)unsent->buffer + unsent->used;
    return (unsigned char *)unsent_room(unsent, size);
}

static inline void put_number(unsigned char *place, uint64_t number, int width) {
#define PUT(i) place[i] = (unsigned char)(number >> 8 * (width - 1 - (i)))
    switch (width) {
    case 0: break;
    case 1: PUT(0); break;
    case 2: PUT(0); PUT(1); break;
    case 4: PUT(0); PUT(1); PUT(2); PUT(3); break;
    default: PUT(0); PUT(1); PUT(2); PUT(3); PUT(4); PUT(5); PUT(6); PUT(7);
    }
#undef PUT
}

/* Write a byte and a number of so many bytes. */
static inline int write_wide(Writer *writer, unsigned char head, uint64_t number, int width) {
    unsigned char *place = room(writer, 9);
    if (place == NULL) return -1;
    place[0] = head;
    put_number(place + 1, number, width);
    writer->unsent->used += 1 + width;
    return 1;
}

int write_byte(Writer *writer, unsigned char byte) { return write_wide(writer, byte, 0, 0); }

static inline int write_natural(Writer *writer, uint64_t found) {
    if (found < 0x80) return write_wide(writer, (unsigned char)found, 0, 0);
    if (found < 0x100) return write_wide(writer, 0xcc, found, 1);
    if (found < 0x10000) return write_wide(writer, 0xcd, found, 2);
    if (found < 0x100000000) return write_wide(writer, 0xce, found, 4);
    return write_wide(writer, 0xcf, found, 8);
}

int write_number(Writer *writer, long long number) { return write_natural(writer, (uint64_t)number); }

/* Whether an int is small, as most are; then it is read without a call. */
static inline int is_small(PyObject *value, long long *number) {
#if PY_VERSION_HEX >= 0x030c0000
    PyLongObject *found = (PyLongObject *)value;
    if (!PyUnstable_Long_IsCompact(found)) return 0;
    *number = (long long)PyUnstable_Long_CompactValue(found);
#else
    Py_ssize_t digits = Py_SIZE(value);
    if (digits > 1 || digits < -1) return 0;
    *number = digits * (long long)((PyLongObject *)value)->ob_digit[0];
#endif
    return 1;
}

static inline int write_int(Writer *writer, PyObject *value) {
    int overflow = 0;
    long long number;
    if (is_small(value, &number)) {
        if (number >= 0) return write_natural(writer, (uint64_t)number);
    } else {
        number = PyLong_AsLongLongAndOverflow(value, &overflow);
    }
    if (overflow > 0) {
        /* Not asked by an exception, which may be an object that the garbage collector knows. */
        int is_wide = PyObject_RichCompareBool(value, writer->state->limit, Py_LT);
        return is_wide > 0 ? write_wide(writer, 0xcf, PyLong_AsUnsignedLongLongMask(value), 8) : is_wide;
    }
    if (overflow < 0) return 0;
    if (number == -1 && PyErr_Occurred()) return -1;
    if (number >= 0) return write_natural(writer, (uint64_t)number);
    if (number >= -0x20) return write_wide(writer, (unsigned char)number, 0, 0);
    if (number >= INT8_MIN) return write_wide(writer, 0xd0, (uint64_t)number, 1);
    if (number >= INT16_MIN) return write_wide(writer, 0xd1, (uint64_t)number, 2);
    if (number >= INT32_MIN) return write_wide(writer, 0xd2, (uint64_t)number, 4);
    return write_wide(writer, 0xd3, (uint64_t)number, 8);
}

/* Write the head of a text, list or dict: `kind` is the byte before a length of two bytes. */
int write_head(Writer *writer, unsigned char fixed, int fixed_most, unsigned char kind, Py_ssize_t size) {
    if (size <= fixed_most) return write_wide(writer, (unsigned char)(fixed | size), 0, 0);
    if (fixed == 0xa0 && size < 0x100) return write_wide(writer, (unsigned char)(kind - 1), (uint64_t)size, 1);
    if (size < 0x10000) return write_wide(writer, kind, (uint64_t)size, 2);
    if ((uint64_t)size > UINT32_MAX) return 0;
    return write_wide(writer, (unsigned char)(kind + 1), (uint64_t)size, 4);
}

/* Return the bytes that a text takes in UTF-8; -1 if it has a lone surrogate. */
static Py_ssize_t utf8_size(int kind, const void *data, Py_ssize_t length) {
    Py_ssize_t size = length;
    for (Py_ssize_t i = 0; i < length; i++) {
        Py_UCS4 point = PyUnicode_READ(kind, data, i);
        if (point >= 0xd800 && point < 0xe000) return -1;
        size += (point >= 0x80) + (point >= 0x800) + (point >= 0x10000);
    }
    return size;
}

static void put_utf8(unsigned char *place, int kind, const void *data, Py_ssize_t length) {
    for (Py_ssize_t i = 0; i < length; i++) {
        Py_UCS4 point = PyUnicode_READ(kind, data, i);
        if (point < 0x80) {
            *place++ = (unsigned char)point;
        } else {
            int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
            *place++ = (unsigned char)((more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0) | point >> 6 * more);
            while (more--) *place++ = (unsigned char)(0x80 | (point >> 6 * more & 0x3f));
        }
    }
}

/* Nothing is asked of CPython's encoder: PyUnicode_AsUTF8AndSize keeps a copy in the str of the application, and the
   exception of another function could start the garbage collector, whose finalizers might send a message. */
int write_text(Writer *writer, PyObject *text) {
    Py_ssize_t length = PyUnicode_GET_LENGTH(text), size = length;
    int kind = PyUnicode_KIND(text), is_ascii = PyUnicode_IS_ASCII(text);
    const void *data = PyUnicode_DATA(text);
    if (!is_ascii && (size = utf8_size(kind, data, length)) < 0) return 0;
    int done = write_head(writer, 0xa0, 31, 0xda, size);
    if (done <= 0) return done;
    unsigned char *place = room(writer, size);
    if (place == NULL) return -1;
    if (is_ascii) memcpy(place, data, size);
    else put_utf8(place, kind, data, length);
    writer->unsent->used += size;
    return 1;
}

/* Remember a container; whether it has not occurred in this message before, and can be remembered. */
static int remember(Writer *writer, PyObject *value) {
    for (int i = 0; i < writer->shared; i++) if (writer->seen[i] == value) return 0;
    if (writer->shared == MOST_SHARED) return 0;
    writer->seen[writer->shared++] = value;
    return 1;
}

/* Whether a container may occur in this message. One reference is that of the container that it is in. */
static int is_new(Writer *writer, PyObject *value) { return Py_REFCNT(value) == 1 || remember(writer, value); }

int write_argument(Writer *writer, PyObject *value) {
    /* Since Python 3.14 the caller's references to an argument need not be counted. */
    int is_container = Py_TYPE(value) == &PyList_Type || Py_TYPE(value) == &PyDict_Type;
    if (is_container && Py_REFCNT(value) == 1 && !remember(writer, value)) return 0;
    return write_value(writer, value, DEPTH);
}

int write_value(Writer *writer, PyObject *value, int depth) {
    PyTypeObject *type = Py_TYPE(value);
    int done;
    if (type == &PyUnicode_Type) return write_text(writer, value);
    if (type == &PyLong_Type) return write_int(writer, value);
    if (value == Py_None) return write_byte(writer, 0xc0);
    if (type == &PyBool_Type) return write_byte(writer, value == Py_True ? 0xc3 : 0xc2);
    if (type == &PyFloat_Type) {
        double real = PyFloat_AS_DOUBLE(value);
        uint64_t number;
        memcpy(&number, &real, sizeof number);
        return write_wide(writer, 0xcb, number, 8);
    }
    if (type == &PyList_Type) {
        Py_ssize_t size = PyList_GET_SIZE(value);
        if (depth == 0 || size > writer->left || !is_new(writer, value)) return 0;
        writer->left -= size;
        if ((done = write_head(writer, 0x90, 15, 0xdc, size)) <= 0) return done;
        for (Py_ssize_t i = 0; i < size; i++) {
            PyObject *item = PyList_GET_ITEM(value, i);
            done = PyLong_CheckExact(item) ? write_int(writer, item) : write_value(writer, item, depth - 1);
            if (done <= 0) return done;
        }
        return 1;
    }
    if (type == &PyDict_Type) {
        Py_ssize_t size = PyDict_GET_SIZE(value), place = 0;
        PyObject *key, *item;
        if (depth == 0 || size > writer->left || !is_new(writer, value)) return 0;
        writer->left -= size;
        if ((done = write_head(writer, 0x80, 15, 0xde, size)) <= 0) return done;
        while (PyDict_Next(value, &place, &key, &item)) {
            if (Py_TYPE(key) != &PyUnicode_Type) return 0;
            if ((done = write_text(writer, key)) <= 0) return done;
            if ((done = write_value(writer, item, depth - 1)) <= 0) return done;
        }
        return 1;
    }
    return 0;
}

int begin_frame(Writer *writer, State *state, Unsent *unsent, Py_ssize_t left) {
    writer->state = state;
    writer->unsent = unsent;
    writer->left = left;
    writer->shared = 0;
    writer->start = unsent->used;
    if (unsent_room(unsent, 4) == NULL) return -1;
    unsent->used += 4;
    return 0;
}

void drop_frame(Writer *writer) { writer->unsent->used = writer->start; }

int end_frame(Writer *writer, Py_ssize_t most) {
    Unsent *unsent = writer->unsent;
    Py_ssize_t size = unsent->used - writer->start;
    if (size - 4 > most) {
        drop_frame(writer);
        return 0;
    }
    put_number((unsigned char *)unsent->buffer + writer->start, (uint64_t)(size - 4), 4);
    unsent->queued++;
    unsent->size += size;
    return 1;
}
