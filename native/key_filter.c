/* KeyFilter: which keys of a journal may have come before, as adapters.journal.keys.KeyFilterInPython says it.
 *
 * All bits of one key lie in one cache line, and lines are asked for some keys ahead: a question seldom waits for
 * memory. */

#include "orders.h"

#include <string.h>

#define LINE_BYTES 64
#define LINE_BITS_POWER 9
#define LINES_POWER 16
#define BITS_A_KEY 3
#define BIT_MASK ((1U << LINE_BITS_POWER) - 1)
#define LINE_MASK ((1U << LINES_POWER) - 1)
#define AHEAD 16

typedef struct {
    PyObject_HEAD
    uint8_t *lines;
} KeyFilter;

/* A key that is asked about; `key` is owned. */
typedef struct {
    PyObject *key;
    uint64_t hash;
} Asked;

static uint8_t *line_of(const KeyFilter *self, uint64_t hash)
{
    return self->lines + (size_t)((hash >> (BITS_A_KEY * LINE_BITS_POWER)) & LINE_MASK) * LINE_BYTES;
}

static bool see(const KeyFilter *self, uint64_t hash)
{
    uint8_t *line = line_of(self, hash);
    bool seen = true;
    for (int i = 0; i < BITS_A_KEY; i++, hash >>= LINE_BITS_POWER) {
        uint8_t bit = (uint8_t)(1U << (hash & 7));
        uint8_t *byte = line + ((hash & BIT_MASK) >> 3);
        seen = seen && (*byte & bit) != 0;
        *byte |= bit;
    }
    return seen;
}

/* Sees those that wait; drops them all. False with an exception set. */
static bool see_waiting(const KeyFilter *self, Asked *waiting, int count, PyObject *found)
{
    bool well = true;
    for (int i = 0; i < count; i++) {
        well = well && (!see(self, waiting[i].hash) || PyList_Append(found, waiting[i].key) == 0);
        Py_DECREF(waiting[i].key);
    }
    return well;
}

static bool see_all(const KeyFilter *self, PyObject *sets, PyObject *found)
{
    Asked waiting[AHEAD];
    int count = 0;
    PyObject *each_set = PyObject_GetIter(sets);
    for (PyObject *keys; each_set != NULL && (keys = PyIter_Next(each_set)) != NULL;) {
        PyObject *each = PyAnySet_Check(keys) && PySet_GET_SIZE(keys) == 0 ? NULL : PyObject_GetIter(keys);
        Py_DECREF(keys);
        for (PyObject *key; each != NULL && (key = PyIter_Next(each)) != NULL;) {
            Py_hash_t hash = PyObject_Hash(key);
            if (hash == -1) {
                Py_DECREF(key);
                break;
            }
            __builtin_prefetch(line_of(self, (uint64_t)hash), 1);
            waiting[count++] = (Asked){key, (uint64_t)hash};
            if (count == AHEAD) {
                count = 0;
                if (!see_waiting(self, waiting, AHEAD, found)) {
                    break;
                }
            }
        }
        Py_XDECREF(each);
        if (PyErr_Occurred()) {
            break;
        }
    }
    Py_XDECREF(each_set);
    if (PyErr_Occurred()) {
        for (int i = 0; i < count; i++) {
            Py_DECREF(waiting[i].key);
        }
        return false;
    }
    return see_waiting(self, waiting, count, found);
}

static PyObject *filter_see(KeyFilter *self, PyObject *sets)
{
    PyObject *found = PyList_New(0);
    if (found != NULL && !see_all(self, sets, found)) {
        Py_CLEAR(found);
    }
    return found;
}

static PyObject *filter_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    if (PyTuple_GET_SIZE(args) != 0 || (named != NULL && PyDict_GET_SIZE(named) > 0)) {
        PyErr_SetString(PyExc_TypeError, "KeyFilter takes nothing");
        return NULL;
    }
    KeyFilter *self = (KeyFilter *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    /* Pages that no key has touched take no memory. */
    self->lines = PyMem_RawCalloc((size_t)1 << LINES_POWER, LINE_BYTES);
    if (self->lines == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void filter_dealloc(KeyFilter *self)
{
    PyMem_RawFree(self->lines);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef methods[] = {
    {"see", (PyCFunction)filter_see, METH_O, PyDoc_STR("see(sets of keys): those that it may have seen before.")},
    {NULL, NULL, 0, NULL},
};

PyTypeObject KeyFilter_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._orders.KeyFilter",
    .tp_doc = PyDoc_STR("KeyFilter(): has seen no key."),
    .tp_basicsize = sizeof(KeyFilter),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = filter_new,
    .tp_methods = methods,
    .tp_dealloc = (destructor)filter_dealloc,
};
