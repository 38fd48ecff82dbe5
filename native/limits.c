/* PlainLimits: an order that is within every limit at first sight, as trading.risk.governor says it in Python.
 *
 * Owns the usual case only: nothing else works or is held anywhere, no brake is on, and the book's price is in the known
 * corridor. None, with nothing decided, leaves the order to the governor. Amounts stay what they are, Decimals. */

#include "orders.h"

enum {
    ORDER_ID, ORDER_SIDE, ORDER_TIME_IN_FORCE, ORDER_QTY, ORDER_PRICE, ORDER_REDUCES, ORDER_REPLACES, ORDER_TRIGGER,
    ORDER_LEGS, ORDER_REF_PRICE,
};
static const char *const order_fields[] = {
    "cl_ord_id", "side", "time_in_force", "order_qty", "price", "reduce_only", "replaces", "trigger",
    "legs", "ref_price", NULL};

enum { LEG_QTY };
static const char *const leg_fields[] = {"qty", NULL};

enum {
    EXPOSURE_WORKING, EXPOSURE_BOUNDS, EXPOSURE_TOP, EXPOSURE_PROVED, EXPOSURE_INSTRUMENT, EXPOSURE_CORRIDOR,
    EXPOSURE_MID, EXPOSURE_OTHERS, EXPOSURE_RATE, EXPOSURE_LONG, EXPOSURE_SHORT, EXPOSURE_SUM_TICKS, EXPOSURE_TICK,
    EXPOSURE_HALF_TICK, EXPOSURE_SOUND_QTY, EXPOSURE_POSITION, EXPOSURE_LOT,
};
static const char *const exposure_fields[] = {
    "working", "bounds", "top", "proved", "instrument", "corridor",
    "mid", "others", "rate", "long", "short", "_mid_sum_ticks", "_tick",
    "_half_tick", "_sound_qty", "position", "_lot", NULL};

enum {
    BOUNDS_AGE_NS, BOUNDS_POST_ONLY_AGE_NS, BOUNDS_PLAIN, BOUNDS_ORDER_NOTIONAL, BOUNDS_GROWTH_LONG, BOUNDS_GROWTH_SHORT,
    BOUNDS_WORDS, BOUNDS_OF_ORDER, BOUNDS_LEAST_QTY, BOUNDS_MOST_QTY,
};
static const char *const bounds_fields[] = {
    "age_ns", "post_only_age_ns", "plain", "order_notional", "growth_long", "growth_short",
    "words", "of_order", "least_qty", "most_qty", NULL};

enum { CORRIDOR_FIRST, CORRIDOR_LAST, CORRIDOR_LOW, CORRIDOR_HIGH, CORRIDOR_SELL_LOW, CORRIDOR_BUY_HIGH };
static const char *const corridor_fields[] = {"first", "last", "low", "high", "sell_low", "buy_high", NULL};

enum { TOP_RECV_NS, TOP_BIDS, TOP_ASKS };
static const char *const top_fields[] = {"ts_recv_ns", "bids", "asks", NULL};

enum { LIMITS_INFLIGHT, LIMITS_OPEN };
static const char *const limits_fields[] = {"max_inflight_orders", "max_open_orders", NULL};

enum { INSTRUMENT_MIN_NOTIONAL };
static const char *const instrument_fields[] = {"min_notional", NULL};

enum { ORDER, LEG, EXPOSURE, BOUNDS, CORRIDOR, TOP, LIMITS, INSTRUMENT, RATE, SHAPES };
static const char *const *const fields_of[SHAPES] = {
    order_fields, leg_fields, exposure_fields, bounds_fields, corridor_fields, top_fields, limits_fields,
    instrument_fields, rate_fields};

enum { WORKING, CHECKS, APPROVED, BUY, GTX, ZERO, WORDS };

/* What a decision is about, as the call gives it. */
enum { GIVEN_ORDER, GIVEN_EXPOSURE, GIVEN_NOW, GIVEN_SEEN, GIVEN_RATE, GIVEN_LIMITS, GIVEN_LOST, GIVEN_MODES, GIVEN_LOSS,
       GIVEN_EPOCH, GIVEN };

typedef struct {
    PyObject_HEAD
    Shape shapes[SHAPES];
    PyObject *words[WORDS];
    PyObject *one, *is_finite;
    vectorcallfunc call;
} PlainLimits;

/* One decision; the amounts are owned, all else is borrowed. */
typedef struct {
    PyObject *order, *exposure, *bounds, *top, *instrument;
    PyObject *price, *qty;
    PyObject *age, *room, *notional, *worst_qty, *worst;
    bool buys, reduces;
} Sight;

#define OF(shape, object, field) FIELD(self->shapes[shape], object, field)

static bool is_empty_dict(PyObject *object)
{
    return object != NULL && PyDict_CheckExact(object) && PyDict_GET_SIZE(object) == 0;
}

static bool is_true(PyObject *object)
{
    return object != NULL && PyObject_IsTrue(object) == 1;
}

/* Whether a comparison holds; what cannot be compared fails it, with the exception set. */
static bool holds(PyObject *one, PyObject *other, int how)
{
    return one != NULL && other != NULL && PyObject_RichCompareBool(one, other, how) == 1;
}

static bool is_nothing_else(PlainLimits *self, PyObject *others)
{
    if (others == NULL || !PyTuple_CheckExact(others)) {
        return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(others); i++) {
        PyObject *other = PyTuple_GET_ITEM(others, i);
        if (!shape_fits(&self->shapes[EXPOSURE], other) || !is_empty_dict(OF(EXPOSURE, other, EXPOSURE_WORKING)) ||
            OF(EXPOSURE, other, EXPOSURE_POSITION) == NULL || PyObject_IsTrue(OF(EXPOSURE, other, EXPOSURE_POSITION)) != 0) {
            return false;
        }
    }
    return true;
}

/* The best price of one side. */
static bool best_of(PyObject *levels, int64_t *tick)
{
    PyObject *level = levels != NULL && PyTuple_CheckExact(levels) && PyTuple_GET_SIZE(levels) > 0
                          ? PyTuple_GET_ITEM(levels, 0) : NULL;
    return level != NULL && PyTuple_CheckExact(level) && PyTuple_GET_SIZE(level) > 0 &&
           whole(PyTuple_GET_ITEM(level, 0), tick);
}

/* Makes the exposure's mid that of its proved book, as Exposure.price does while the corridor holds. */
static bool has_mid(PlainLimits *self, const Sight *sight, PyObject *corridor)
{
    int64_t bid, ask, known, first, last, ticks;
    PyObject *exposure = sight->exposure;
    if (!best_of(OF(TOP, sight->top, TOP_BIDS), &bid) || !best_of(OF(TOP, sight->top, TOP_ASKS), &ask) ||
        __builtin_add_overflow(bid, ask, &ticks) || !whole(OF(EXPOSURE, exposure, EXPOSURE_SUM_TICKS), &known)) {
        return false;
    }
    if (ticks == known) {
        return true;
    }
    if (!whole(OF(CORRIDOR, corridor, CORRIDOR_FIRST), &first) || !whole(OF(CORRIDOR, corridor, CORRIDOR_LAST), &last) ||
        ticks < first || ticks > last) {
        return false;
    }
    PyObject *step = OF(EXPOSURE, exposure, ticks & 1 ? EXPOSURE_HALF_TICK : EXPOSURE_TICK);
    PyObject *sum = PyLong_FromLongLong(ticks), *count = PyLong_FromLongLong(ticks & 1 ? ticks : ticks >> 1);
    PyObject *mid = sum != NULL && count != NULL && step != NULL ? PyNumber_Multiply(count, step) : NULL;
    Py_XDECREF(count);
    if (mid == NULL) {
        Py_XDECREF(sum);
        return false;
    }
    field_put(&self->shapes[EXPOSURE], exposure, EXPOSURE_SUM_TICKS, sum);
    field_put(&self->shapes[EXPOSURE], exposure, EXPOSURE_MID, mid);
    return true;
}

static bool is_on_grid(PyObject *amount, PyObject *step)
{
    PyObject *rest = step != NULL ? PyNumber_Remainder(amount, step) : NULL;
    bool none = rest != NULL && PyObject_IsTrue(rest) == 0;
    Py_XDECREF(rest);
    return none;
}

/* What bounds a quantity alone never changes, and the next one is mostly the same. */
static bool is_sound_qty(PlainLimits *self, const Sight *sight)
{
    PyObject *qty = sight->qty, *exposure = sight->exposure;
    if (holds(qty, OF(EXPOSURE, exposure, EXPOSURE_SOUND_QTY), Py_EQ)) {
        return true;
    }
    if (PyErr_Occurred() || !holds(OF(BOUNDS, sight->bounds, BOUNDS_LEAST_QTY), qty, Py_LE) ||
        !holds(qty, OF(BOUNDS, sight->bounds, BOUNDS_MOST_QTY), Py_LE) ||
        !is_on_grid(qty, OF(EXPOSURE, exposure, EXPOSURE_LOT))) {
        return false;
    }
    field_put(&self->shapes[EXPOSURE], exposure, EXPOSURE_SOUND_QTY, Py_NewRef(qty));
    return true;
}

/* Price and quantity by themselves, and their product. */
static bool is_sound(PlainLimits *self, Sight *sight, PyObject *corridor, bool post_only)
{
    PyObject *exposure = sight->exposure;
    PyObject *low = OF(CORRIDOR, corridor, sight->buys || post_only ? CORRIDOR_LOW : CORRIDOR_SELL_LOW);
    PyObject *high = OF(CORRIDOR, corridor, sight->buys && !post_only ? CORRIDOR_BUY_HIGH : CORRIDOR_HIGH);
    if (!holds(low, sight->price, Py_LE) || !holds(sight->price, high, Py_LE) ||
        !is_on_grid(sight->price, OF(EXPOSURE, exposure, EXPOSURE_TICK)) || !is_sound_qty(self, sight)) {
        return false;
    }
    sight->notional = PyNumber_Multiply(sight->qty, sight->price);
    return sight->notional != NULL && holds(sight->notional, OF(BOUNDS, sight->bounds, BOUNDS_ORDER_NOTIONAL), Py_LE);
}

/* What it adds to the worst case, or takes from what is held. */
static bool has_room(PlainLimits *self, Sight *sight)
{
    PyObject *exposure = sight->exposure;
    PyObject *towards = OF(EXPOSURE, exposure, sight->buys ? EXPOSURE_LONG : EXPOSURE_SHORT);
    PyObject *against = OF(EXPOSURE, exposure, sight->buys ? EXPOSURE_SHORT : EXPOSURE_LONG);
    sight->worst_qty = towards != NULL ? PyNumber_Add(towards, sight->qty) : NULL;
    if (sight->worst_qty == NULL) {
        return false;
    }
    if (sight->reduces) {
        sight->room = PyNumber_Negative(towards);
        return sight->room != NULL && holds(sight->qty, sight->room, Py_LE);
    }
    if (!holds(sight->notional, OF(INSTRUMENT, sight->instrument, INSTRUMENT_MIN_NOTIONAL), Py_GE)) {
        return false;
    }
    if (!holds(sight->worst_qty, self->words[ZERO], Py_GT)) {
        return !PyErr_Occurred();
    }
    PyObject *mid = OF(EXPOSURE, exposure, EXPOSURE_MID);
    sight->worst = mid != NULL ? PyNumber_Multiply(sight->worst_qty, mid) : NULL;
    return sight->worst != NULL &&
           holds(sight->worst, OF(BOUNDS, sight->bounds, sight->buys ? BOUNDS_GROWTH_LONG : BOUNDS_GROWTH_SHORT), Py_LE) &&
           holds(sight->worst_qty, against, Py_GE);
}

static bool has_counts(PlainLimits *self, PyObject *const *given, PyObject *exposure, int64_t now_ns)
{
    int64_t inflight, open;
    return whole(OF(LIMITS, given[GIVEN_LIMITS], LIMITS_INFLIGHT), &inflight) && inflight >= 1 &&
           whole(OF(LIMITS, given[GIVEN_LIMITS], LIMITS_OPEN), &open) && open >= 1 &&
           rate_allows(&self->shapes[RATE], given[GIVEN_RATE], now_ns) &&
           rate_allows(&self->shapes[RATE], OF(EXPOSURE, exposure, EXPOSURE_RATE), now_ns);
}

/* Whether its one leg is the whole of it, and its reference a number, as _is_numbered says it of the usual order. */
static bool is_numbered(PlainLimits *self, PyObject *order)
{
    PyObject *legs = OF(ORDER, order, ORDER_LEGS), *reference = OF(ORDER, order, ORDER_REF_PRICE);
    if (legs == NULL || reference == NULL || !PyTuple_CheckExact(legs) || PyTuple_GET_SIZE(legs) != 1) {
        return false;
    }
    PyObject *leg = PyTuple_GET_ITEM(legs, 0);
    if (!shape_fits(&self->shapes[LEG], leg) || OF(LEG, leg, LEG_QTY) != OF(ORDER, order, ORDER_QTY) ||
        Py_TYPE(reference) != Py_TYPE(self->words[ZERO])) {
        return false;
    }
    PyObject *finite = PyObject_CallMethodNoArgs(reference, self->is_finite);
    bool is_number = finite == Py_True;
    Py_XDECREF(finite);
    return is_number;
}

/* Whether the order passes at first sight; the sight's amounts are then whole. False with or without an exception. */
static bool passes(PlainLimits *self, PyObject *const *given, Sight *sight)
{
    PyObject *order = given[GIVEN_ORDER], *exposure = given[GIVEN_EXPOSURE];
    if (!shape_fits(&self->shapes[ORDER], order) || !shape_fits(&self->shapes[EXPOSURE], exposure) ||
        !shape_fits(&self->shapes[LIMITS], given[GIVEN_LIMITS]) || given[GIVEN_LOST] != Py_False ||
        !is_empty_dict(given[GIVEN_MODES]) || !PyDict_CheckExact(given[GIVEN_SEEN]) ||
        OF(ORDER, order, ORDER_TRIGGER) != Py_None || OF(ORDER, order, ORDER_REPLACES) != Py_None ||
        !is_numbered(self, order) ||
        !is_empty_dict(OF(EXPOSURE, exposure, EXPOSURE_WORKING))) {
        return false;
    }
    PyObject *id = OF(ORDER, order, ORDER_ID), *corridor = OF(EXPOSURE, exposure, EXPOSURE_CORRIDOR);
    *sight = (Sight){
        .order = order,
        .exposure = exposure,
        .bounds = OF(EXPOSURE, exposure, EXPOSURE_BOUNDS),
        .top = OF(EXPOSURE, exposure, EXPOSURE_TOP),
        .instrument = OF(EXPOSURE, exposure, EXPOSURE_INSTRUMENT),
        .price = OF(ORDER, order, ORDER_PRICE),
        .qty = OF(ORDER, order, ORDER_QTY),
        .buys = OF(ORDER, order, ORDER_SIDE) == self->words[BUY],
        .reduces = is_true(OF(ORDER, order, ORDER_REDUCES)),
    };
    int64_t now_ns, recv_ns, age_ns, most_ns;
    bool post_only = OF(ORDER, order, ORDER_TIME_IN_FORCE) == self->words[GTX];
    if (id == NULL || PyDict_Contains(given[GIVEN_SEEN], id) != 0 || sight->top == NULL || sight->bounds == NULL ||
        corridor == NULL || sight->instrument == NULL || sight->top != OF(EXPOSURE, exposure, EXPOSURE_PROVED) ||
        !shape_fits(&self->shapes[TOP], sight->top) || !shape_fits(&self->shapes[BOUNDS], sight->bounds) ||
        !shape_fits(&self->shapes[CORRIDOR], corridor) || !shape_fits(&self->shapes[INSTRUMENT], sight->instrument) ||
        sight->price == NULL || sight->price == Py_None || sight->qty == NULL ||
        OF(BOUNDS, sight->bounds, BOUNDS_PLAIN) != Py_True || !whole(given[GIVEN_NOW], &now_ns) ||
        !whole(OF(TOP, sight->top, TOP_RECV_NS), &recv_ns) || __builtin_sub_overflow(now_ns, recv_ns, &age_ns) ||
        !whole(OF(BOUNDS, sight->bounds, post_only ? BOUNDS_POST_ONLY_AGE_NS : BOUNDS_AGE_NS), &most_ns) ||
        age_ns > most_ns || !is_nothing_else(self, OF(EXPOSURE, exposure, EXPOSURE_OTHERS)) ||
        !has_counts(self, given, exposure, now_ns) || !has_mid(self, sight, corridor) ||
        !is_sound(self, sight, corridor, post_only) || !has_room(self, sight)) {
        return false;
    }
    sight->age = PyLong_FromLongLong(age_ns);
    return sight->age != NULL;
}

static PyObject *approval_of(PlainLimits *self, PyObject *const *given, const Sight *sight)
{
    PyObject *said[] = {
        OF(BOUNDS, sight->bounds, BOUNDS_WORDS),
        OF(BOUNDS, sight->bounds, BOUNDS_OF_ORDER),
        given[GIVEN_LOSS],
        sight->age,
        sight->room != NULL ? sight->room : Py_None,
        sight->notional,
        OF(EXPOSURE, sight->exposure, EXPOSURE_MID),
        sight->worst != NULL ? sight->worst : Py_None,
        Py_None,
        Py_None,
        Py_None,
        self->one,
        self->one,
    };
    PyObject *checks = shape_make(self->words[CHECKS], said, 13);
    if (checks == NULL) {
        return NULL;
    }
    PyObject *fields[] = {sight->order, given[GIVEN_EPOCH], checks, given[GIVEN_NOW]};
    PyObject *approved = shape_make(self->words[APPROVED], fields, 4);
    Py_DECREF(checks);
    return approved;
}

/* Counts the order's worst case from now on; false with an exception set. */
static bool count(PlainLimits *self, PyObject *const *given, const Sight *sight)
{
    PyObject *order = sight->order, *id = OF(ORDER, order, ORDER_ID);
    PyObject *fields[] = {id, OF(ORDER, order, ORDER_SIDE), sight->qty, sight->price};
    PyObject *working = shape_make(self->words[WORKING], fields, 4);
    bool counted = working != NULL && PyDict_SetItem(OF(EXPOSURE, sight->exposure, EXPOSURE_WORKING), id, working) == 0;
    Py_XDECREF(working);
    if (!counted) {
        return false;
    }
    field_put(&self->shapes[EXPOSURE], sight->exposure, sight->buys ? EXPOSURE_LONG : EXPOSURE_SHORT,
              Py_NewRef(sight->worst_qty));
    return rate_add(&self->shapes[RATE], OF(EXPOSURE, sight->exposure, EXPOSURE_RATE), given[GIVEN_NOW]) &&
           rate_add(&self->shapes[RATE], given[GIVEN_RATE], given[GIVEN_NOW]) &&
           PyDict_SetItem(given[GIVEN_SEEN], id, Py_None) == 0;
}

static PyObject *limits_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    PlainLimits *self = (PlainLimits *)object;
    if (PyVectorcall_NARGS(flags) != GIVEN || (names != NULL && PyTuple_GET_SIZE(names) > 0)) {
        PyErr_Format(PyExc_TypeError, "%d arguments are needed", GIVEN);
        return NULL;
    }
    Sight sight = {0};
    PyObject *approved = NULL;
    if (passes(self, args, &sight)) {
        approved = approval_of(self, args, &sight);
        if (approved != NULL && !count(self, args, &sight)) {
            Py_CLEAR(approved);
        }
    } else if (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_ArithmeticError)) {
        PyErr_Clear(); /* no number: the governor says why */
        approved = Py_NewRef(Py_None);
    }
    Py_XDECREF(sight.age);
    Py_XDECREF(sight.room);
    Py_XDECREF(sight.notional);
    Py_XDECREF(sight.worst_qty);
    Py_XDECREF(sight.worst);
    return approved;
}

static int limits_traverse(PlainLimits *self, visitproc visit, void *arg)
{
    for (int i = 0; i < SHAPES; i++) {
        Py_VISIT(self->shapes[i].type);
    }
    for (int i = 0; i < WORDS; i++) {
        Py_VISIT(self->words[i]);
    }
    return 0;
}

static int limits_clear(PlainLimits *self)
{
    for (int i = 0; i < SHAPES; i++) {
        Py_CLEAR(self->shapes[i].type);
    }
    for (int i = 0; i < WORDS; i++) {
        Py_CLEAR(self->words[i]);
    }
    Py_CLEAR(self->one);
    Py_CLEAR(self->is_finite);
    return 0;
}

static void limits_dealloc(PlainLimits *self)
{
    PyObject_GC_UnTrack(self);
    limits_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *limits_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    if (PyTuple_GET_SIZE(args) != SHAPES + WORDS || (named != NULL && PyDict_GET_SIZE(named) > 0)) {
        PyErr_Format(PyExc_TypeError, "PlainLimits takes %d classes and words", SHAPES + WORDS);
        return NULL;
    }
    PlainLimits *self = (PlainLimits *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->call = limits_call;
    bool learned = true;
    for (int i = 0; learned && i < SHAPES; i++) {
        learned = shape_learn(&self->shapes[i], PyTuple_GET_ITEM(args, i), fields_of[i]);
    }
    for (int i = 0; i < WORDS; i++) {
        self->words[i] = Py_NewRef(PyTuple_GET_ITEM(args, SHAPES + i));
    }
    self->one = PyLong_FromLong(1);
    self->is_finite = PyUnicode_InternFromString("is_finite");
    if (!learned || self->one == NULL || self->is_finite == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

PyTypeObject PlainLimits_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._orders.PlainLimits",
    .tp_doc = PyDoc_STR("PlainLimits(classes and words): call it with what a decision is about."),
    .tp_basicsize = sizeof(PlainLimits),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = limits_new,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(PlainLimits, call),
    .tp_traverse = (traverseproc)limits_traverse,
    .tp_clear = (inquiry)limits_clear,
    .tp_dealloc = (destructor)limits_dealloc,
};
