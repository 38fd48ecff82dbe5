/* LevelsParser: the levels of one side of a book, from their JSON bytes to Levels, where every byte is as usual.
 *
 * [["price","size",...],...] with a fixed number of texts a level, of which the first two count, and no spaces.
 * Everything else, whatever is wrong with it, is None: the codec in Python then decides, as it does where this is not
 * built, and its words are the ones that are heard. */

#include "wire.h"

typedef struct {
    PyObject_HEAD
    Scale ticks, lots;
    int texts;
    Level *scratch;
    Py_ssize_t capacity;
    long long quantities;
} LevelsParser;

static bool scratch_for_one_more(LevelsParser *self, Py_ssize_t used)
{
    if (used < self->capacity) {
        return true;
    }
    Py_ssize_t capacity = self->capacity > 0 ? 2 * self->capacity : 128;
    Level *scratch = self->scratch;
    PyMem_Resize(scratch, Level, capacity);
    if (scratch == NULL) {
        return false; /* Python's own path will say so if it cannot either */
    }
    self->scratch = scratch;
    self->capacity = capacity;
    return true;
}

static bool take_level(const LevelsParser *self, Cursor *c, Level *level)
{
    if (!take(c, '[') || !take_units(c, &self->ticks, &level->tick) || level->tick == 0 || !take(c, ',') ||
        !take_units(c, &self->lots, &level->lots)) {
        return false;
    }
    Slice ignored;
    for (int text = 2; text < self->texts; text++) {
        if (!take(c, ',') || !take_string(c, &ignored)) {
            return false;
        }
    }
    return take(c, ']');
}

/* How many levels were read into the scratch, or -1. */
static Py_ssize_t take_side(LevelsParser *self, Cursor *c)
{
    Py_ssize_t used = 0;
    if (!take(c, '[')) {
        return -1;
    }
    if (!take(c, ']')) {
        do {
            if (used == LEVELS_MAX || !scratch_for_one_more(self, used) || !take_level(self, c, &self->scratch[used])) {
                return -1;
            }
            used++;
        } while (take(c, ','));
        if (!take(c, ']')) {
            return -1;
        }
    }
    return c->at == c->end ? used : -1;
}

static PyObject *parser_levels(PyObject *object, PyObject *raw)
{
    LevelsParser *self = (LevelsParser *)object;
    Py_buffer view;
    if (PyObject_GetBuffer(raw, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    Cursor cursor = {view.buf, (const char *)view.buf + view.len};
    Py_ssize_t count = take_side(self, &cursor);
    PyBuffer_Release(&view);
    if (count < 0) {
        Py_RETURN_NONE;
    }
    PyObject *levels = levels_new(self->scratch, count);
    if (levels != NULL) {
        self->quantities += count;
    }
    return levels;
}

static PyObject *parser_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"tick", "lot", "texts", NULL};
    Scale ticks, lots;
    int texts;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "(iL)(iL)i:LevelsParser", names, &ticks.decimals, &ticks.multiple, &lots.decimals,
            &lots.multiple, &texts)) {
        return NULL;
    }
    if (ticks.decimals < 0 || ticks.multiple < 1 || lots.decimals < 0 || lots.multiple < 1 || texts < 2) {
        PyErr_SetString(PyExc_ValueError, "a step has 0 or more decimals and is above zero; a level has 2 or more texts");
        return NULL;
    }
    LevelsParser *self = (LevelsParser *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->ticks = ticks;
    self->lots = lots;
    self->texts = texts;
    if (!scratch_for_one_more(self, 0)) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void parser_dealloc(PyObject *object)
{
    PyMem_Free(((LevelsParser *)object)->scratch);
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef parser_methods[] = {
    {"levels", parser_levels, METH_O, PyDoc_STR("One side as Levels, or None for anything unusual.")},
    {0},
};

static PyObject *parser_quantities(PyObject *object, void *ignored)
{
    (void)ignored;
    return PyLong_FromLongLong(((LevelsParser *)object)->quantities);
}

static PyGetSetDef parser_getters[] = {
    {"quantities", parser_quantities, NULL, PyDoc_STR("How many quantities were converted."), NULL},
    {0},
};

PyTypeObject LevelsParser_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._marketdata.LevelsParser",
    .tp_doc = PyDoc_STR("LevelsParser(tick, lot, texts)\n--\n\nSides of one symbol's book; a step is (decimals, multiple)."),
    .tp_basicsize = sizeof(LevelsParser),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = parser_new,
    .tp_dealloc = parser_dealloc,
    .tp_methods = parser_methods,
    .tp_getset = parser_getters,
};
