/* PlainGate: an order that may leave at this moment, as actors.gateway.Gateway._refusal_in_python says it.
 * PlainOrder: such an order in Binance's words, as adapters.binance.orders_codec.encode_new_order_in_python says it.
 *
 * Own the usual case only: False or None, with nothing changed, leaves the order to Python. The permit board is read last
 * and anew for each order: nothing that it said is kept here. Amounts stay what they are, Decimals. */

#include "orders.h"

enum { ORDER_INSTRUMENT, ORDER_STRATEGIES, ORDER_EPOCH, ORDER_INIT_NS, ORDER_TRIGGER, ORDER_QTY, ORDER_PRICE };
static const char *const gate_order_fields[] = {
    "instrument_id", "strategy_ids", "epoch", "ts_init_ns", "trigger", "order_qty", "price", NULL};

enum { INSTRUMENT_KIND, INSTRUMENT_MULTIPLIER };
static const char *const gate_instrument_fields[] = {"kind", "multiplier", NULL};

enum { SETUP_NOTIONAL, SETUP_ORDERS_PER_SEC };
static const char *const setup_fields[] = {"max_order_notional_usd", "orders_per_sec", NULL};

enum { READER_WORDS, READER_SEEN, READER_WHY, READER_EPOCH, READER_EXPIRES_NS, READER_MODES };
static const char *const reader_fields[] = {"_words", "_seen", "_why", "_epoch", "_expires_ns", "_modes", NULL};

enum { GATE_ORDER, GATE_REPLACE, GATE_INSTRUMENT, GATE_SETUP, GATE_READER, GATE_SHAPES };
static const char *const *const gate_fields[GATE_SHAPES] = {
    gate_order_fields, gate_order_fields, gate_instrument_fields, setup_fields, reader_fields};

enum { DEQUE, INVERSE, GLOBAL, LEASE_NS_MAX, SECOND_NS, GATE_WORDS };

/* What a decision is about, as the call gives it. */
enum { GIVEN_ORDER, GIVEN_INSTRUMENT, GIVEN_NOW, GIVEN_SETUP, GIVEN_READER, GIVEN_LEASE_NS, GIVEN_SCOPES, GIVEN_UNPROVED,
       GIVEN_RECENT, GIVEN_MAX_AGE_NS, GIVEN };

enum { SAID_SIDE, SAID_TYPE, SAID_TIME_IN_FORCE, SAID_QTY, SAID_PRICE, SAID_REDUCES, SAID_TRIGGER, SAID_ID };
static const char *const said_order_fields[] = {
    "side", "ord_type", "time_in_force", "order_qty", "price", "reduce_only", "trigger", "cl_ord_id", NULL};

enum { SAID_SYMBOL, SAID_VENUE, SAID_LOT_SIZE, SAID_TICK_SIZE };
static const char *const said_instrument_fields[] = {"symbol", "venue", "lot_size", "tick_size", NULL};

enum { SAID_ORDER, SAID_INSTRUMENT, SAID_SHAPES };
static const char *const *const said_fields[SAID_SHAPES] = {said_order_fields, said_instrument_fields};

enum { LIMIT, BUY, GTX, SPOT, HOW, SAYS_BUY, SAYS_SELL, SAYS_MAKER, SAID_WORDS };

#define SHAPES_MAX 5
#define WORDS_MAX 8
_Static_assert(GATE_SHAPES <= SHAPES_MAX && GATE_WORDS <= WORDS_MAX && SAID_WORDS <= WORDS_MAX, "both types find room");

/* Either of the two. */
typedef struct {
    PyObject_HEAD
    Shape shapes[SHAPES_MAX];
    PyObject *words[WORDS_MAX];
    vectorcallfunc call;
} Plain;

#define OF(shape, object, field) FIELD(self->shapes[shape], object, field)

static bool is_called_with(size_t flags, PyObject *names, Py_ssize_t count)
{
    if (PyVectorcall_NARGS(flags) == count && (names == NULL || PyTuple_GET_SIZE(names) == 0)) {
        return true;
    }
    PyErr_Format(PyExc_TypeError, "%zd arguments are needed", count);
    return false;
}

/* --- The gate ----------------------------------------------------------------------------------------------------- */

static bool is_young(PyObject *made, PyObject *most, int64_t now_ns)
{
    int64_t made_ns, age_ns, most_ns;
    return whole(made, &made_ns) && whole(most, &most_ns) && !__builtin_sub_overflow(now_ns, made_ns, &age_ns) &&
           age_ns <= most_ns;
}

/* Whether |qty| * price * multiplier is within the limit; false with or without an exception. */
static bool is_within(PyObject *qty, PyObject *price, PyObject *multiplier, PyObject *most)
{
    if (qty == NULL || price == NULL || price == Py_None || multiplier == NULL || most == NULL) {
        return false;
    }
    PyObject *size = PyNumber_Absolute(qty);
    PyObject *value = size != NULL ? PyNumber_Multiply(size, price) : NULL;
    PyObject *notional = value != NULL ? PyNumber_Multiply(value, multiplier) : NULL;
    bool within = notional != NULL && PyObject_RichCompareBool(notional, most, Py_LE) == 1;
    Py_XDECREF(size);
    Py_XDECREF(value);
    Py_XDECREF(notional);
    return within;
}

/* Whether one more order fits into its second; how many of the first are older than that. */
static bool has_turn(PyObject *recent, PyObject *limit, PyObject *second, int64_t now_ns, Py_ssize_t *old)
{
    int64_t most, second_ns, until_ns, at_ns;
    Py_ssize_t count = PyObject_Size(recent);
    if (count < 0 || !whole(limit, &most) || !whole(second, &second_ns) ||
        __builtin_sub_overflow(now_ns, second_ns, &until_ns)) {
        return false;
    }
    for (*old = 0; *old < count; ++*old) {
        PyObject *at = PySequence_GetItem(recent, *old);
        bool known = whole(at, &at_ns);
        Py_XDECREF(at);
        if (!known) {
            return false;
        }
        if (at_ns > until_ns) {
            break;
        }
    }
    return count - *old < most;
}

/* Whether the board's words are those that the reader's fields were read under. */
static bool is_unchanged(PyObject *words, PyObject *seen)
{
    Py_buffer view;
    if (words == NULL || !PyMemoryView_Check(words) || seen == NULL || !PyList_CheckExact(seen)) {
        return false;
    }
    if (PyObject_GetBuffer(words, &view, PyBUF_FORMAT | PyBUF_ND) < 0) {
        PyErr_Clear(); /* the reader says what is wrong */
        return false;
    }
    bool same = view.ndim == 1 && view.format != NULL && view.format[0] == 'Q' && view.format[1] == '\0' &&
                view.itemsize == sizeof(uint64_t) && (uintptr_t)view.buf % sizeof(uint64_t) == 0 &&
                view.shape[0] == PyList_GET_SIZE(seen);
    /* Others write there: each word is one load, and none is left out. */
    const volatile uint64_t *word = view.buf;
    for (Py_ssize_t i = 0; same && i < view.shape[0]; i++) {
        PyObject *known = PyList_GET_ITEM(seen, i);
        same = PyLong_CheckExact(known) && word[i] == PyLong_AsUnsignedLongLong(known) && !PyErr_Occurred();
    }
    PyBuffer_Release(&view);
    return same;
}

/* Whether no mode stands over a scope. */
static bool is_free(PyObject *modes, PyObject *scope)
{
    int64_t level;
    PyObject *found = PyDict_GetItemWithError(modes, scope);
    return found == NULL ? !PyErr_Occurred() : whole(found, &level) && level <= 0;
}

static bool is_unheld(Plain *self, const Shape *shape, PyObject *const *given, PyObject *modes)
{
    if (modes == NULL || !PyDict_CheckExact(modes)) {
        return false;
    }
    if (PyDict_GET_SIZE(modes) == 0) {
        return true;
    }
    PyObject *order = given[GIVEN_ORDER];
    PyObject *key = PyTuple_Pack(2, FIELD(*shape, order, ORDER_INSTRUMENT), FIELD(*shape, order, ORDER_STRATEGIES));
    PyObject *scopes = key != NULL ? PyDict_GetItemWithError(given[GIVEN_SCOPES], key) : NULL;
    Py_XDECREF(key);
    bool unheld = scopes != NULL && PyTuple_CheckExact(scopes) && is_free(modes, self->words[GLOBAL]);
    for (Py_ssize_t i = 0; unheld && i < PyTuple_GET_SIZE(scopes); i++) {
        unheld = is_free(modes, PyTuple_GET_ITEM(scopes, i));
    }
    return unheld;
}

/* What PermitReader.check calls GRANTED, of a board that did not change since the reader read it. */
static bool is_granted(Plain *self, const Shape *shape, PyObject *const *given)
{
    PyObject *reader = given[GIVEN_READER];
    int64_t epoch, of_lease, expires_ns, mono_ns, left_ns, most_ns;
    PyObject *mono = PyObject_CallNoArgs(given[GIVEN_LEASE_NS]);
    bool known = whole(mono, &mono_ns);
    Py_XDECREF(mono);
    return known && is_unchanged(OF(GATE_READER, reader, READER_WORDS), OF(GATE_READER, reader, READER_SEEN)) &&
           OF(GATE_READER, reader, READER_WHY) == Py_None &&
           whole(FIELD(*shape, given[GIVEN_ORDER], ORDER_EPOCH), &epoch) &&
           whole(OF(GATE_READER, reader, READER_EPOCH), &of_lease) && epoch == of_lease &&
           whole(OF(GATE_READER, reader, READER_EXPIRES_NS), &expires_ns) &&
           !__builtin_sub_overflow(expires_ns, mono_ns, &left_ns) && left_ns > 0 &&
           whole(self->words[LEASE_NS_MAX], &most_ns) && left_ns <= most_ns &&
           is_unheld(self, shape, given, OF(GATE_READER, reader, READER_MODES));
}

/* Whether the order may leave now; false with or without an exception, and nothing is changed either way. */
static bool may_leave(Plain *self, PyObject *const *given, Py_ssize_t *old)
{
    PyObject *order = given[GIVEN_ORDER], *instrument = given[GIVEN_INSTRUMENT], *setup = given[GIVEN_SETUP];
    PyObject *unproved = given[GIVEN_UNPROVED];
    const Shape *shape = &self->shapes[shape_fits(&self->shapes[GATE_ORDER], order) ? GATE_ORDER : GATE_REPLACE];
    int64_t now_ns;
    if (!shape_fits(shape, order) || !shape_fits(&self->shapes[GATE_INSTRUMENT], instrument) ||
        !shape_fits(&self->shapes[GATE_SETUP], setup) || !shape_fits(&self->shapes[GATE_READER], given[GIVEN_READER]) ||
        !PyDict_CheckExact(given[GIVEN_SCOPES]) || !PySet_CheckExact(unproved) ||
        !Py_IS_TYPE(given[GIVEN_RECENT], (PyTypeObject *)self->words[DEQUE]) || !whole(given[GIVEN_NOW], &now_ns)) {
        return false;
    }
    PyObject *id = FIELD(*shape, order, ORDER_INSTRUMENT), *strategies = FIELD(*shape, order, ORDER_STRATEGIES);
    PyObject *kind = OF(GATE_INSTRUMENT, instrument, INSTRUMENT_KIND);
    return id != NULL && strategies != NULL && PyTuple_CheckExact(strategies) &&
           (PySet_GET_SIZE(unproved) == 0 || PySet_Contains(unproved, id) == 0) &&
           FIELD(*shape, order, ORDER_TRIGGER) == Py_None && kind != NULL && kind != self->words[INVERSE] &&
           is_young(FIELD(*shape, order, ORDER_INIT_NS), given[GIVEN_MAX_AGE_NS], now_ns) &&
           is_within(FIELD(*shape, order, ORDER_QTY), FIELD(*shape, order, ORDER_PRICE),
                     OF(GATE_INSTRUMENT, instrument, INSTRUMENT_MULTIPLIER), OF(GATE_SETUP, setup, SETUP_NOTIONAL)) &&
           has_turn(given[GIVEN_RECENT], OF(GATE_SETUP, setup, SETUP_ORDERS_PER_SEC),
                    self->words[SECOND_NS], now_ns, old) &&
           is_granted(self, shape, given);
}

static PyObject *name_append, *name_popleft;

/* Counts the order in its second; false with an exception set. */
static bool count_in(PyObject *recent, PyObject *now, Py_ssize_t old)
{
    for (; old > 0; old--) {
        PyObject *gone = PyObject_CallMethodNoArgs(recent, name_popleft);
        if (gone == NULL) {
            return false;
        }
        Py_DECREF(gone);
    }
    PyObject *added = PyObject_CallMethodOneArg(recent, name_append, now);
    Py_XDECREF(added);
    return added != NULL;
}

static PyObject *gate_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Py_ssize_t old = 0;
    if (!is_called_with(flags, names, GIVEN)) {
        return NULL;
    }
    if (may_leave((Plain *)object, args, &old)) {
        return count_in(args[GIVEN_RECENT], args[GIVEN_NOW], old) ? Py_NewRef(Py_True) : NULL;
    }
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            return NULL;
        }
        PyErr_Clear(); /* no number, or worse: Python says so, or what speaks against the order before that */
    }
    Py_RETURN_FALSE;
}

/* --- The words ---------------------------------------------------------------------------------------------------- */

static PyObject *order_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Plain *self = (Plain *)object;
    if (!is_called_with(flags, names, 2)) {
        return NULL;
    }
    PyObject *order = args[0], *instrument = args[1];
    if (!shape_fits(&self->shapes[SAID_ORDER], order) || !shape_fits(&self->shapes[SAID_INSTRUMENT], instrument)) {
        Py_RETURN_NONE;
    }
    PyObject *venue = OF(SAID_INSTRUMENT, instrument, SAID_VENUE), *in_force = OF(SAID_ORDER, order, SAID_TIME_IN_FORCE);
    if (venue == NULL || !PyUnicode_CheckExact(venue) || in_force == NULL ||
        OF(SAID_ORDER, order, SAID_TYPE) != self->words[LIMIT] || OF(SAID_ORDER, order, SAID_TRIGGER) != Py_None ||
        OF(SAID_ORDER, order, SAID_PRICE) == Py_None) {
        Py_RETURN_NONE;
    }
    bool spot = PyUnicode_Compare(venue, self->words[SPOT]) == 0;
    PyObject *how = spot && in_force == self->words[GTX] ? self->words[SAYS_MAKER]
                                                         : PyDict_GetItemWithError(self->words[HOW], in_force);
    PyObject *terms[] = {
        OF(SAID_INSTRUMENT, instrument, SAID_SYMBOL),
        self->words[OF(SAID_ORDER, order, SAID_SIDE) == self->words[BUY] ? SAYS_BUY : SAYS_SELL],
        how,
        OF(SAID_ORDER, order, SAID_QTY),
        OF(SAID_INSTRUMENT, instrument, SAID_LOT_SIZE),
        OF(SAID_ORDER, order, SAID_PRICE),
        OF(SAID_INSTRUMENT, instrument, SAID_TICK_SIZE),
        spot ? Py_False : OF(SAID_ORDER, order, SAID_REDUCES),
        OF(SAID_ORDER, order, SAID_ID),
    };
    for (size_t i = 0; i < sizeof(terms) / sizeof(terms[0]); i++) {
        if (terms[i] == NULL) {
            PyErr_Clear(); /* no word for it: Python says so */
            Py_RETURN_NONE;
        }
    }
    return limit_order(NULL, terms, sizeof(terms) / sizeof(terms[0]));
}

/* --- Both types --------------------------------------------------------------------------------------------------- */

static int plain_traverse(Plain *self, visitproc visit, void *arg)
{
    for (int i = 0; i < SHAPES_MAX; i++) {
        Py_VISIT(self->shapes[i].type);
    }
    for (int i = 0; i < WORDS_MAX; i++) {
        Py_VISIT(self->words[i]);
    }
    return 0;
}

static int plain_clear(Plain *self)
{
    for (int i = 0; i < SHAPES_MAX; i++) {
        Py_CLEAR(self->shapes[i].type);
    }
    for (int i = 0; i < WORDS_MAX; i++) {
        Py_CLEAR(self->words[i]);
    }
    return 0;
}

static void plain_dealloc(Plain *self)
{
    PyObject_GC_UnTrack(self);
    plain_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static Plain *plain_new(PyTypeObject *type, PyObject *args, PyObject *named, const char *const *const *fields, int shapes,
                        int words)
{
    if (PyTuple_GET_SIZE(args) != shapes + words || (named != NULL && PyDict_GET_SIZE(named) > 0)) {
        PyErr_Format(PyExc_TypeError, "%s takes %d classes and words", type->tp_name, shapes + words);
        return NULL;
    }
    Plain *self = (Plain *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    for (int i = 0; i < words; i++) {
        self->words[i] = Py_NewRef(PyTuple_GET_ITEM(args, shapes + i));
    }
    for (int i = 0; i < shapes; i++) {
        if (!shape_learn(&self->shapes[i], PyTuple_GET_ITEM(args, i), fields[i])) {
            Py_DECREF(self);
            return NULL;
        }
    }
    return self;
}

/* A type from which objects are made that are called; each part is checked once. */
static PyObject *made(Plain *self, bool sound, vectorcallfunc call, const char *why)
{
    if (self == NULL) {
        return NULL;
    }
    if (!sound) {
        PyErr_SetString(PyExc_TypeError, why);
        Py_DECREF(self);
        return NULL;
    }
    self->call = call;
    return (PyObject *)self;
}

static PyObject *gate_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    if (name_append == NULL) {
        name_append = PyUnicode_InternFromString("append");
    }
    if (name_popleft == NULL) {
        name_popleft = PyUnicode_InternFromString("popleft");
    }
    if (name_append == NULL || name_popleft == NULL) {
        return NULL;
    }
    Plain *self = plain_new(type, args, named, gate_fields, GATE_SHAPES, GATE_WORDS);
    return made(self, self != NULL && PyType_Check(self->words[DEQUE]), gate_call, "a deque's class is needed");
}

static PyObject *order_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    Plain *self = plain_new(type, args, named, said_fields, SAID_SHAPES, SAID_WORDS);
    bool sound = self != NULL && PyUnicode_Check(self->words[SPOT]) && PyDict_CheckExact(self->words[HOW]);
    return made(self, sound, order_call, "a venue's word and a table are needed");
}

PyTypeObject PlainGate_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._orders.PlainGate",
    .tp_doc = PyDoc_STR("PlainGate(classes and words): call it with what a decision is about."),
    .tp_basicsize = sizeof(Plain),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = gate_new,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Plain, call),
    .tp_traverse = (traverseproc)plain_traverse,
    .tp_clear = (inquiry)plain_clear,
    .tp_dealloc = (destructor)plain_dealloc,
};

PyTypeObject PlainOrder_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._orders.PlainOrder",
    .tp_doc = PyDoc_STR("PlainOrder(classes and words): call it with (order, instrument)."),
    .tp_basicsize = sizeof(Plain),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = order_new,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Plain, call),
    .tp_traverse = (traverseproc)plain_traverse,
    .tp_clear = (inquiry)plain_clear,
    .tp_dealloc = (destructor)plain_dealloc,
};
