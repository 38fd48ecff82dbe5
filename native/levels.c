/* Levels: (tick, lots) pairs as 16 bytes each, for whoever reads them in C; to Python they look like a list of tuples.
 * Immutable, holds no Python object. Also reads lists of pairs into the same shape. */

#include "marketdata.h"

#include <string.h>

bool number_of(PyObject *object, int64_t *number)
{
    if (!PyLong_Check(object)) { /* __index__ is not asked: it could run Python code */
        PyErr_Format(PyExc_TypeError, "an int is needed, not %.80s", Py_TYPE(object)->tp_name);
        return false;
    }
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (value == -1 && !overflow && PyErr_Occurred()) {
        return false;
    }
    if (overflow || value >= NUMBER_LIMIT || value <= -NUMBER_LIMIT) {
        PyErr_SetString(PyExc_OverflowError, "a number of 2**62 or more");
        return false;
    }
    *number = value;
    return true;
}

PyObject *level_pair(int64_t tick, int64_t lots)
{
    PyObject *pair = PyTuple_New(2);
    if (pair == NULL) {
        return NULL;
    }
    PyObject *first = PyLong_FromLongLong(tick);
    PyObject *second = PyLong_FromLongLong(lots);
    if (first == NULL || second == NULL) {
        Py_XDECREF(first);
        Py_XDECREF(second);
        Py_DECREF(pair);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, first);
    PyTuple_SET_ITEM(pair, 1, second);
    return pair;
}

PyObject *levels_new(const Level *items, Py_ssize_t count)
{
    Levels *self = PyObject_NewVar(Levels, &Levels_Type, count);
    if (self != NULL && count > 0) {
        memcpy(self->items, items, (size_t)count * sizeof(Level));
    }
    return (PyObject *)self;
}

/* --- Reading Python's pairs --------------------------------------------------------------------- */

static bool read_pairs(PyObject *const *pairs, Py_ssize_t count, Level *into)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *pair = pairs[i];
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "a level is a tuple (tick, lots)");
            return false;
        }
        if (!number_of(PyTuple_GET_ITEM(pair, 0), &into[i].tick) ||
            !number_of(PyTuple_GET_ITEM(pair, 1), &into[i].lots)) {
            return false;
        }
    }
    return true;
}

bool levels_view(PyObject *object, LevelsView *view)
{
    *view = (LevelsView){0};
    if (Py_TYPE(object) == &Levels_Type) {
        view->items = ((Levels *)object)->items;
        view->count = Py_SIZE(object);
        return true;
    }
    if (!PyList_Check(object) && !PyTuple_Check(object)) {
        PyErr_Format(PyExc_TypeError, "levels are a list or tuple of pairs, not %.80s", Py_TYPE(object)->tp_name);
        return false;
    }
    Py_ssize_t count = PySequence_Fast_GET_SIZE(object);
    if (count == 0) {
        return true;
    }
    view->copy = PyMem_New(Level, count);
    if (view->copy == NULL) {
        PyErr_NoMemory();
        return false;
    }
    if (!read_pairs(PySequence_Fast_ITEMS(object), count, view->copy)) {
        levels_view_free(view);
        return false;
    }
    view->items = view->copy;
    view->count = count;
    return true;
}

void levels_view_free(LevelsView *view)
{
    PyMem_Free(view->copy);
    *view = (LevelsView){0};
}

typedef struct {
    Level level;
    Py_ssize_t place;
} Placed;

static int by_tick_and_place(const void *one, const void *other)
{
    const Placed *a = one, *b = other;
    if (a->level.tick != b->level.tick) {
        return a->level.tick < b->level.tick ? -1 : 1;
    }
    return a->place < b->place ? -1 : 1;
}

static bool strictly_ordered(const Level *items, Py_ssize_t count)
{
    if (count < 2) {
        return true;
    }
    Py_ssize_t i = 1;
    if (items[1].tick > items[0].tick) {
        while (i < count && items[i].tick > items[i - 1].tick) {
            i++;
        }
    }
    else {
        while (i < count && items[i].tick < items[i - 1].tick) {
            i++;
        }
    }
    return i == count;
}

bool levels_view_distinct(LevelsView *view)
{
    /* Venues send each tick once and in order: anything else is rare and may cost a sort. */
    Py_ssize_t count = view->count;
    if (strictly_ordered(view->items, count)) {
        return true;
    }
    Placed *placed = PyMem_New(Placed, count);
    Level *kept = PyMem_New(Level, count);
    if (placed == NULL || kept == NULL) {
        PyMem_Free(placed);
        PyMem_Free(kept);
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        placed[i] = (Placed){view->items[i], i};
    }
    qsort(placed, (size_t)count, sizeof(Placed), by_tick_and_place);
    Py_ssize_t n = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (i + 1 == count || placed[i + 1].level.tick != placed[i].level.tick) {
            kept[n++] = placed[i].level;
        }
    }
    PyMem_Free(placed);
    PyMem_Free(view->copy);
    *view = (LevelsView){kept, n, kept};
    return true;
}

/* --- The sequence ------------------------------------------------------------------------------- */

static PyObject *levels_make(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)type;
    PyObject *pairs = NULL;
    static char *names[] = {"", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Levels", names, &pairs)) {
        return NULL;
    }
    LevelsView view;
    if (!levels_view(pairs, &view)) {
        return NULL;
    }
    PyObject *self = levels_new(view.items, view.count);
    levels_view_free(&view);
    return self;
}

static void levels_dealloc(PyObject *self)
{
    Py_TYPE(self)->tp_free(self);
}

static Py_ssize_t levels_length(PyObject *self)
{
    return Py_SIZE(self);
}

static PyObject *levels_item(PyObject *self, Py_ssize_t index)
{
    if (index < 0 || index >= Py_SIZE(self)) {
        PyErr_SetString(PyExc_IndexError, "Levels index out of range");
        return NULL;
    }
    const Level *level = &((Levels *)self)->items[index];
    return level_pair(level->tick, level->lots);
}

static PyObject *levels_list(PyObject *self)
{
    PyObject *list = PyList_New(Py_SIZE(self));
    for (Py_ssize_t i = 0; list != NULL && i < Py_SIZE(self); i++) {
        PyObject *pair = levels_item(self, i);
        if (pair == NULL) {
            Py_CLEAR(list);
        }
        else {
            PyList_SET_ITEM(list, i, pair);
        }
    }
    return list;
}

static PyObject *levels_subscript(PyObject *self, PyObject *key)
{
    if (PyIndex_Check(key)) {
        Py_ssize_t index = PyNumber_AsSsize_t(key, PyExc_IndexError);
        if (index == -1 && PyErr_Occurred()) {
            return NULL;
        }
        return levels_item(self, index < 0 ? index + Py_SIZE(self) : index);
    }
    PyObject *list = levels_list(self); /* a slice is a list; whatever else it is, a list refuses it */
    PyObject *found = list != NULL ? PyObject_GetItem(list, key) : NULL;
    Py_XDECREF(list);
    return found;
}

static PyObject *levels_compare(PyObject *self, PyObject *other, int op)
{
    if ((op != Py_EQ && op != Py_NE) || Py_TYPE(self) != &Levels_Type) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (Py_TYPE(other) == &Levels_Type) {
        size_t bytes = (size_t)Py_SIZE(self) * sizeof(Level);
        bool equal = Py_SIZE(self) == Py_SIZE(other) &&
                     (bytes == 0 || memcmp(((Levels *)self)->items, ((Levels *)other)->items, bytes) == 0);
        return PyBool_FromLong(equal == (op == Py_EQ));
    }
    if (!PyList_Check(other)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *list = levels_list(self);
    PyObject *answer = list != NULL ? PyObject_RichCompare(list, other, op) : NULL;
    Py_XDECREF(list);
    return answer;
}

static PyObject *levels_repr(PyObject *self)
{
    PyObject *list = levels_list(self);
    PyObject *text = list != NULL ? PyObject_Repr(list) : NULL;
    Py_XDECREF(list);
    return text;
}

static PySequenceMethods levels_sequence = {
    .sq_length = levels_length,
    .sq_item = levels_item,
};

static PyMappingMethods levels_mapping = {
    .mp_length = levels_length,
    .mp_subscript = levels_subscript,
};

PyTypeObject Levels_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._marketdata.Levels",
    .tp_doc = PyDoc_STR("Levels(pairs)\n--\n\nAn immutable sequence of (tick, lots); equal to the list of the same pairs."),
    .tp_basicsize = offsetof(Levels, items),
    .tp_itemsize = sizeof(Level),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_SEQUENCE,
    .tp_new = levels_make,
    .tp_dealloc = levels_dealloc,
    .tp_repr = levels_repr,
    .tp_hash = PyObject_HashNotImplemented,
    .tp_richcompare = levels_compare,
    .tp_as_sequence = &levels_sequence,
    .tp_as_mapping = &levels_mapping,
};
