/* DepthParser: Binance's depth diffs of one symbol, from bytes to DepthUpdate with Levels, where every byte is as usual;
 * DepthRoutes: a frame to the parser of its stream.
 *
 * It understands exactly one spelling: no spaces, no escapes, only the keys below, each once, plain decimal numbers on
 * the instrument's grid. Everything else, whatever is wrong with it, is None: adapters/binance/codec.py then decides, as
 * it does where this is not built, and its words are the ones that are heard. Never reads beyond the payload's end. */

#include "wire.h"

#define MS_MIN INT64_C(1000000000000)
#define MS_END INT64_C(4000000000000)
#define UNSTATED_MS MS_MIN
#define NS_PER_MS INT64_C(1000000)

typedef struct {
    PyObject_HEAD
    PyObject *symbol, *instrument_id, *update_type;
    const char *symbol_text;
    Py_ssize_t symbol_length;
    Scale ticks, lots;
    Level *scratch;
    Py_ssize_t capacity;
    long long quantities;
} DepthParser;

enum { KEY_EVENT = 1, KEY_TIME = 2, KEY_TRADED = 4, KEY_SYMBOL = 8, KEY_FIRST = 16, KEY_FINAL = 32, KEY_BIDS = 64 };
enum { KEY_ASKS = 128, KEY_PREVIOUS = 256, KEY_PAIR = 512 };
#define KEYS_NEEDED (KEY_EVENT | KEY_TIME | KEY_SYMBOL | KEY_FIRST | KEY_FINAL | KEY_BIDS | KEY_ASKS)

typedef struct {
    unsigned seen;
    int64_t event_ms, traded_ms, first, final, previous;
    Py_ssize_t bids_from, bids, asks_from, asks, used;
} Depth;

static PyObject *update_names;

/* --- Bytes -------------------------------------------------------------------------------------- */

/* A JSON integer of zero or more. */
static bool take_integer(Cursor *c, int64_t *number)
{
    const char *start = c->at;
    int64_t value = 0;
    while (at_digit(c)) {
        if (c->at - start == DIGITS_MAX) {
            return false;
        }
        value = value * 10 + (*c->at++ - '0');
    }
    Py_ssize_t digits = c->at - start;
    *number = value;
    return digits > 0 && (digits == 1 || *start != '0');
}

static bool take_ms(Cursor *c, int64_t *ms)
{
    return take_integer(c, ms) && *ms >= MS_MIN && *ms < MS_END;
}

/* --- The message -------------------------------------------------------------------------------- */

static bool scratch_for_one_more(DepthParser *self, Py_ssize_t used)
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

static bool take_levels(DepthParser *self, Cursor *c, Depth *m, Py_ssize_t *from, Py_ssize_t *count)
{
    *from = m->used;
    *count = 0;
    if (!take(c, '[')) {
        return false;
    }
    if (take(c, ']')) {
        return true;
    }
    do {
        if (m->used - *from == LEVELS_MAX || !scratch_for_one_more(self, m->used)) {
            return false;
        }
        Level *level = &self->scratch[m->used];
        if (!take(c, '[') || !take_units(c, &self->ticks, &level->tick) || level->tick == 0 || !take(c, ',') ||
            !take_units(c, &self->lots, &level->lots) || !take(c, ']')) {
            return false;
        }
        m->used++;
    } while (take(c, ','));
    *count = m->used - *from;
    return take(c, ']');
}

static unsigned key_of(Slice key)
{
    if (key.length == 1) {
        switch (key.text[0]) {
        case 'e':
            return KEY_EVENT;
        case 'E':
            return KEY_TIME;
        case 'T':
            return KEY_TRADED;
        case 's':
            return KEY_SYMBOL;
        case 'U':
            return KEY_FIRST;
        case 'u':
            return KEY_FINAL;
        case 'b':
            return KEY_BIDS;
        case 'a':
            return KEY_ASKS;
        default:
            return 0;
        }
    }
    if (is(key, "pu", 2)) {
        return KEY_PREVIOUS;
    }
    return is(key, "ps", 2) ? KEY_PAIR : 0;
}

static bool take_value(DepthParser *self, Cursor *c, unsigned key, Depth *m)
{
    Slice text;
    switch (key) {
    case KEY_EVENT:
        return take_string(c, &text) && is(text, "depthUpdate", 11);
    case KEY_SYMBOL:
        return take_string(c, &text) && is(text, self->symbol_text, self->symbol_length);
    case KEY_PAIR:
        return take_string(c, &text);
    case KEY_TIME:
        return take_ms(c, &m->event_ms);
    case KEY_TRADED:
        return take_ms(c, &m->traded_ms);
    case KEY_FIRST:
        return take_integer(c, &m->first);
    case KEY_FINAL:
        return take_integer(c, &m->final);
    case KEY_PREVIOUS:
        if (take(c, '-')) {
            m->previous = -1;
            return take(c, '1');
        }
        return take_integer(c, &m->previous);
    case KEY_BIDS:
        return take_levels(self, c, m, &m->bids_from, &m->bids);
    case KEY_ASKS:
        return take_levels(self, c, m, &m->asks_from, &m->asks);
    default:
        return false;
    }
}

static bool take_depth(DepthParser *self, Cursor *c, Depth *m)
{
    *m = (Depth){.traded_ms = UNSTATED_MS, .previous = -1};
    if (!take(c, '{')) {
        return false;
    }
    do {
        Slice name;
        if (!take_string(c, &name) || !take(c, ':')) {
            return false;
        }
        unsigned key = key_of(name);
        if ((m->seen & key) != 0 || !take_value(self, c, key, m)) {
            return false;
        }
        m->seen |= key;
    } while (take(c, ','));
    return take(c, '}') && (m->seen & KEYS_NEEDED) == KEYS_NEEDED && m->final >= m->first && m->final > m->previous;
}

/* {"stream":"...","data":{...}}, in either order. */
static bool take_frame(DepthParser *self, Cursor *c, Depth *m)
{
    bool named = false, filled = false;
    if (!take(c, '{')) {
        return false;
    }
    do {
        Slice name, ignored;
        if (!take_string(c, &name) || !take(c, ':')) {
            return false;
        }
        if (!named && is(name, "stream", 6)) {
            named = true;
            if (!take_string(c, &ignored)) {
                return false;
            }
        }
        else if (!filled && is(name, "data", 4)) {
            filled = true;
            if (!take_depth(self, c, m)) {
                return false;
            }
        }
        else {
            return false;
        }
    } while (take(c, ','));
    return filled && take(c, '}');
}

static PyObject *update_of(DepthParser *self, const Depth *m, PyObject *ts_recv_ns)
{
    int64_t stated_ms = m->traded_ms == UNSTATED_MS ? m->event_ms : m->traded_ms;
    PyObject *values[8] = {
        Py_NewRef(self->instrument_id),
        PyLong_FromLongLong(m->first),
        PyLong_FromLongLong(m->final),
        PyLong_FromLongLong(m->previous),
        levels_new(self->scratch + m->bids_from, m->bids),
        levels_new(self->scratch + m->asks_from, m->asks),
        PyLong_FromLongLong(stated_ms * NS_PER_MS),
        Py_NewRef(ts_recv_ns),
    };
    bool whole = true;
    for (int i = 0; i < 8; i++) {
        whole = whole && values[i] != NULL;
    }
    PyObject *update = whole ? PyObject_Vectorcall(self->update_type, values, 0, update_names) : NULL;
    for (int i = 0; i < 8; i++) {
        Py_XDECREF(values[i]);
    }
    if (update != NULL) {
        self->quantities += m->bids + m->asks;
    }
    return update;
}

typedef bool (*Taker)(DepthParser *, Cursor *, Depth *);

static PyObject *parse(PyObject *object, PyObject *const *args, Py_ssize_t given, Taker taker)
{
    if (given != 2) {
        PyErr_SetString(PyExc_TypeError, "payload and ts_recv_ns are needed");
        return NULL;
    }
    if (!PyBytes_CheckExact(args[0])) {
        Py_RETURN_NONE;
    }
    DepthParser *self = (DepthParser *)object;
    Cursor cursor = {PyBytes_AS_STRING(args[0]), PyBytes_AS_STRING(args[0]) + PyBytes_GET_SIZE(args[0])};
    Depth m;
    if (!taker(self, &cursor, &m) || cursor.at != cursor.end) {
        Py_RETURN_NONE;
    }
    return update_of(self, &m, args[1]);
}

static PyObject *parser_frame(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    return parse(self, args, given, take_frame);
}

static PyObject *parser_bare(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    return parse(self, args, given, take_depth);
}

/* --- Life --------------------------------------------------------------------------------------- */

static bool intern_update_names(void)
{
    if (update_names == NULL) {
        update_names = Py_BuildValue(
            "(ssssssss)", "instrument_id", "first_update_id", "final_update_id", "prev_final_update_id", "bids", "asks",
            "ts_event_ns", "ts_recv_ns");
        for (Py_ssize_t i = 0; update_names != NULL && i < PyTuple_GET_SIZE(update_names); i++) {
            PyUnicode_InternInPlace(&PyTuple_GET_ITEM(update_names, i));
        }
    }
    return update_names != NULL;
}

static PyObject *parser_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"symbol", "instrument_id", "tick", "lot", "update_type", NULL};
    PyObject *symbol, *instrument_id, *update_type;
    Scale ticks, lots;
    if (!intern_update_names() ||
        !PyArg_ParseTupleAndKeywords(
            args, kwargs, "UU(iL)(iL)O:DepthParser", names, &symbol, &instrument_id, &ticks.decimals, &ticks.multiple,
            &lots.decimals, &lots.multiple, &update_type)) {
        return NULL;
    }
    if (ticks.decimals < 0 || ticks.multiple < 1 || lots.decimals < 0 || lots.multiple < 1) {
        PyErr_SetString(PyExc_ValueError, "a step has 0 or more decimals and is above zero");
        return NULL;
    }
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(symbol, &length);
    DepthParser *self = text != NULL ? (DepthParser *)type->tp_alloc(type, 0) : NULL;
    if (self == NULL) {
        return NULL;
    }
    self->symbol = Py_NewRef(symbol);
    self->instrument_id = Py_NewRef(instrument_id);
    self->update_type = Py_NewRef(update_type);
    self->symbol_text = text;
    self->symbol_length = length;
    self->ticks = ticks;
    self->lots = lots;
    if (!scratch_for_one_more(self, 0)) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static int parser_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(((DepthParser *)object)->update_type);
    return 0;
}

static void parser_dealloc(PyObject *object)
{
    DepthParser *self = (DepthParser *)object;
    PyObject_GC_UnTrack(object);
    Py_XDECREF(self->symbol);
    Py_XDECREF(self->instrument_id);
    Py_XDECREF(self->update_type);
    PyMem_Free(self->scratch);
    Py_TYPE(object)->tp_free(object);
}

#define TAKES_ARRAY(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef parser_methods[] = {
    {"frame", TAKES_ARRAY(parser_frame), METH_FASTCALL,
     PyDoc_STR("A combined-stream frame as DepthUpdate, or None for anything unusual.")},
    {"bare", TAKES_ARRAY(parser_bare), METH_FASTCALL,
     PyDoc_STR("A message without a stream name as DepthUpdate, or None for anything unusual.")},
    {0},
};

static PyObject *parser_quantities(PyObject *object, void *ignored)
{
    (void)ignored;
    return PyLong_FromLongLong(((DepthParser *)object)->quantities);
}

static PyGetSetDef parser_getters[] = {
    {"quantities", parser_quantities, NULL, PyDoc_STR("How many quantities were converted."), NULL},
    {0},
};

PyTypeObject DepthParser_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._marketdata.DepthParser",
    .tp_doc = PyDoc_STR("DepthParser(symbol, instrument_id, tick, lot, update_type)\n--\n\n"
                        "Depth diffs of one symbol; a step is (decimals, multiple)."),
    .tp_basicsize = sizeof(DepthParser),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = parser_new,
    .tp_dealloc = parser_dealloc,
    .tp_traverse = parser_traverse,
    .tp_methods = parser_methods,
    .tp_getset = parser_getters,
};

/* --- DepthRoutes --------------------------------------------------------------------------------- */

enum { STREAM_FROM = 11, STREAM_TO = 120 }; /* a frame begins {"stream":"<name>" */

typedef struct {
    PyObject_HEAD
    PyObject *streams; /* dict: stream name -> DepthParser */
    PyObject *rest;    /* (payload, ts_recv_ns) in Python */
    Py_ssize_t bytes_max;
    vectorcallfunc call;
} DepthRoutes;

/* The parser of a frame's stream, borrowed; NULL, and maybe an exception, for anything else. */
static PyObject *parser_of(DepthRoutes *self, PyObject *payload)
{
    if (!PyBytes_CheckExact(payload)) {
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(payload), to = Py_MIN(size, STREAM_TO);
    if (size > self->bytes_max || to <= STREAM_FROM) {
        return NULL;
    }
    const char *name = PyBytes_AS_STRING(payload) + STREAM_FROM;
    const char *end = memchr(name, '"', to - STREAM_FROM);
    PyObject *key = end != NULL ? PyBytes_FromStringAndSize(name, end - name) : NULL;
    PyObject *parser = key != NULL ? PyDict_GetItemWithError(self->streams, key) : NULL;
    Py_XDECREF(key);
    return parser != NULL && Py_IS_TYPE(parser, &DepthParser_Type) ? parser : NULL;
}

static PyObject *routes_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    DepthRoutes *self = (DepthRoutes *)object;
    if (PyVectorcall_NARGS(flags) == 2 && (names == NULL || PyTuple_GET_SIZE(names) == 0)) {
        PyObject *parser = parser_of(self, args[0]);
        PyObject *update = parser != NULL ? parse(parser, args, 2, take_frame) : NULL;
        if (update != NULL && update != Py_None) {
            return update;
        }
        Py_XDECREF(update);
        PyErr_Clear(); /* what is wrong with it is said in Python */
    }
    return PyObject_Vectorcall(self->rest, args, flags, names);
}

static int routes_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(((DepthRoutes *)object)->streams);
    Py_VISIT(((DepthRoutes *)object)->rest);
    return 0;
}

static int routes_clear(PyObject *object)
{
    Py_CLEAR(((DepthRoutes *)object)->streams);
    Py_CLEAR(((DepthRoutes *)object)->rest);
    return 0;
}

static void routes_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    routes_clear(object);
    Py_TYPE(object)->tp_free(object);
}

static PyObject *routes_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"streams", "rest", "bytes_max", NULL};
    PyObject *streams, *rest;
    Py_ssize_t bytes_max;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O!On:DepthRoutes", names, &PyDict_Type, &streams, &rest, &bytes_max)) {
        return NULL;
    }
    DepthRoutes *self = (DepthRoutes *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->streams = Py_NewRef(streams);
        self->rest = Py_NewRef(rest);
        self->bytes_max = bytes_max;
        self->call = routes_call;
    }
    return (PyObject *)self;
}

PyTypeObject DepthRoutes_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._marketdata.DepthRoutes",
    .tp_doc = PyDoc_STR("DepthRoutes(streams, rest, bytes_max)\n--\n\n"
                        "Call it with (payload, ts_recv_ns): a diff by its stream's parser, anything else by the rest."),
    .tp_basicsize = sizeof(DepthRoutes),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = routes_new,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(DepthRoutes, call),
    .tp_traverse = routes_traverse,
    .tp_clear = routes_clear,
    .tp_dealloc = routes_dealloc,
};
