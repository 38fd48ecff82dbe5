/* LoneRound: what follows from a lone strategy's target, as trading.arbiter.lone.lone_round_in_python says it.
 *
 * Owns the usual case only: None, with nothing changed, leaves the target to the whole round. Numbers are integers of 64
 * bits, and products of two of them of 128; what does not fit is not usual. All is made before anything is changed. */

#include "orders.h"

#include <math.h>

enum { SHARED_LEVELS, SHARED_STALE_NS, SHARED_SLIPPAGE, SHARED_RATE, SHARED_INTERVAL_NS, SHARED_ORDERS };
static const char *const shared_fields[] = {
    "levels", "stale_ns", "slippage", "rate", "min_order_interval_ns", "orders", NULL};

enum {
    DESK_ORDERS, DESK_QUOTES, DESK_TARGETS, DESK_LEVEL, DESK_FLATTENING, DESK_TRADABLE, DESK_POSITION_LOTS, DESK_TOP,
    DESK_LOT_REACH, DESK_BUDGET_REACH, DESK_NET_LOTS, DESK_BID, DESK_ASK, DESK_SLOTS, DESK_CAP_REACH, DESK_ORDER_REACH,
    DESK_MAX_LOTS, DESK_MIN_LOTS, DESK_NEXT_NS, DESK_RATE, DESK_DIRTY, DESK_FOLLOWS, DESK_WAKE_NS, DESK_PREFIX,
    DESK_INSTRUMENT, DESK_TICK_WORD, DESK_LOT_WORD, DESK_HELD, DESK_HALF_TICK, DESK_HALF_LOT, DESK_TICK, DESK_LEAST_USD,
};
static const char *const desk_fields[] = {
    "orders", "quotes", "targets", "level", "flattening", "tradable", "position_lots", "top",
    "lot_reach", "budget_reach", "net_lots", "bid", "ask", "slots", "cap_reach", "order_reach",
    "max_lots", "min_lots", "next_aggressive_ns", "rate", "dirty", "follows_touch", "wake_ns", "id_prefix",
    "instrument", "tick_word", "lot_word", "held", "_half_tick", "_half_lot", "_tick", "_least_usd", NULL};
_Static_assert(sizeof(desk_fields) / sizeof(desk_fields[0]) == FIELDS_MAX + 1, "a shape holds them all");

enum { FLATTENING_ASKED };
static const char *const flattening_fields[] = {"asked", NULL};

enum { SLOT_NEXT_NS, SLOT_CURRENT };
static const char *const slot_fields[] = {"next_ns", "current", NULL};

enum { TARGET_ID, TARGET_STRATEGY, TARGET_LOTS, TARGET_URGENCY, TARGET_LIMIT, TARGET_TTL_NS, TARGET_CAUSE, TARGET_INIT_NS };
static const char *const target_fields[] = {
    "intent_id", "strategy_id", "target_lots", "urgency", "limit_ticks", "ttl_ns", "cause", "ts_init_ns", NULL};

enum { TOP_RECV_NS, TOP_UPDATE_ID, TOP_BIDS, TOP_ASKS, TOP_SYNTHETIC };
static const char *const top_fields[] = {"ts_recv_ns", "update_id", "bids", "asks", "synthetic", NULL};

enum { INSTRUMENT_VENUE, INSTRUMENT_ID, INSTRUMENT_TICK_SIZE, INSTRUMENT_LOT_SIZE };
static const char *const instrument_fields[] = {"venue", "instrument_id", "tick_size", "lot_size", NULL};

enum { SHARED, DESK, FLATTENING, SLOT, TARGET, TOP, INSTRUMENT, RATE, SHAPES };
static const char *const *const fields_of[SHAPES] = {
    shared_fields, desk_fields, flattening_fields, slot_fields, target_fields, top_fields, instrument_fields, rate_fields};

enum { WORKING, LEG, STORY, PROPOSED, BUY, SELL, LIMIT, IOC, AGGRESSIVE, NET_OWNER, OPERATOR, WORDS };

typedef struct {
    PyObject_HEAD
    Shape shapes[SHAPES];
    PyObject *words[WORDS];
    PyObject *net_buy, *net_sell, *nothing;
    vectorcallfunc call;
} LoneRound;

/* What a target comes to; references are borrowed, but for those of `made`. */
typedef struct {
    PyObject *shared, *desk, *target, *now;
    PyObject *top, *instrument, *strategy_id, *slot;
    int64_t until_ns, next_ns, net, size, limit, closing, doubled, orders;
    bool buys;
} Plan;

#define OF(shape, object, field) FIELD(self->shapes[shape], object, field)

/* 1, 0 or -1 with an exception set. A missing field is true: not as usual. */
static int is_set(PyObject *object)
{
    return object == NULL ? 1 : object == Py_False || object == Py_None ? 0 : object == Py_True ? 1 : PyObject_IsTrue(object);
}

static bool is_empty_dict(PyObject *object)
{
    return object != NULL && PyDict_CheckExact(object) && PyDict_GET_SIZE(object) == 0;
}

static bool within(int64_t lots, int64_t reach, int64_t most)
{
    return (__int128)lots * reach <= most;
}

/* Lots of a strategy; false where they are no number as usual. */
static bool lots_of(PyObject *dict, PyObject *strategy_id, int64_t *lots)
{
    PyObject *found = PyDict_GetItemWithError(dict, strategy_id);
    *lots = 0;
    return found == NULL ? !PyErr_Occurred() : whole(found, lots);
}

/* Whether nothing beside the target wants or works on the instrument, nor holds it back. */
static int is_alone(LoneRound *self, const Plan *plan)
{
    PyObject *desk = plan->desk, *targets = OF(DESK, desk, DESK_TARGETS), *flattening = OF(DESK, desk, DESK_FLATTENING);
    PyObject *position_lots = OF(DESK, desk, DESK_POSITION_LOTS);
    if (!is_empty_dict(OF(DESK, desk, DESK_ORDERS)) || !is_empty_dict(OF(DESK, desk, DESK_QUOTES)) || targets == NULL ||
        !PyDict_CheckExact(targets) || PyDict_GET_SIZE(targets) > 1 || flattening == NULL ||
        !shape_fits(&self->shapes[FLATTENING], flattening) || position_lots == NULL || !PyDict_CheckExact(position_lots) ||
        !is_empty_dict(OF(SHARED, plan->shared, SHARED_LEVELS)) || OF(DESK, desk, DESK_TRADABLE) != Py_True ||
        OF(TARGET, plan->target, TARGET_URGENCY) != self->words[AGGRESSIVE] ||
        OF(TARGET, plan->target, TARGET_LIMIT) != Py_None || OF(FLATTENING, flattening, FLATTENING_ASKED) != Py_False) {
        return 0;
    }
    int held_back = is_set(OF(DESK, desk, DESK_LEVEL));
    if (held_back != 0) {
        return held_back < 0 ? -1 : 0;
    }
    int64_t operators;
    if (!lots_of(position_lots, self->words[OPERATOR], &operators)) {
        return PyErr_Occurred() ? -1 : 0;
    }
    return operators == 0;
}

static bool read_numbers(PyObject *object, const Shape *shape, const int *fields, int64_t **numbers, int count)
{
    for (int i = 0; i < count; i++) {
        if (!whole(FIELD(*shape, object, fields[i]), numbers[i])) {
            return false;
        }
    }
    return true;
}

/* Fills the plan: 1 when every limit allows it, 0 when the whole round is to look, -1 with an exception set. */
static int make_plan(LoneRound *self, Plan *plan)
{
    PyObject *desk = plan->desk, *shared = plan->shared;
    int64_t wanted, made_ns, ttl_ns, stale_ns, recv_ns, reach, bid, ask, cap, most, max_lots, min_lots, next_ns, slot_ns;
    int64_t now_ns, interval_ns, age_ns, budget, held;
    plan->top = OF(DESK, desk, DESK_TOP);
    plan->instrument = OF(DESK, desk, DESK_INSTRUMENT);
    plan->strategy_id = OF(TARGET, plan->target, TARGET_STRATEGY);
    PyObject *slippage = OF(SHARED, shared, SHARED_SLIPPAGE), *budgets = OF(DESK, desk, DESK_BUDGET_REACH);
    PyObject *slots = OF(DESK, desk, DESK_SLOTS);
    PyObject *half_lot = OF(DESK, desk, DESK_HALF_LOT), *tick = OF(DESK, desk, DESK_TICK);
    PyObject *least_usd = OF(DESK, desk, DESK_LEAST_USD);
    if (plan->top == NULL || !shape_fits(&self->shapes[TOP], plan->top) || plan->instrument == NULL ||
        !shape_fits(&self->shapes[INSTRUMENT], plan->instrument) || plan->strategy_id == NULL || slippage == NULL ||
        !PyFloat_CheckExact(slippage) || half_lot == NULL || !PyFloat_CheckExact(half_lot) || tick == NULL ||
        !PyFloat_CheckExact(tick) || least_usd == NULL || !PyFloat_CheckExact(least_usd) || budgets == NULL ||
        !PyDict_CheckExact(budgets) || slots == NULL || !PyDict_CheckExact(slots)) {
        return 0;
    }
    static const int target_wanted[] = {TARGET_LOTS, TARGET_INIT_NS, TARGET_TTL_NS};
    static const int shared_wanted[] = {SHARED_STALE_NS, SHARED_INTERVAL_NS, SHARED_ORDERS};
    static const int desk_wanted[] = {DESK_LOT_REACH, DESK_BID, DESK_ASK, DESK_NET_LOTS, DESK_CAP_REACH,
                                      DESK_ORDER_REACH, DESK_MAX_LOTS, DESK_MIN_LOTS, DESK_NEXT_NS};
    int64_t *desk_numbers[] = {&reach, &bid, &ask, &plan->net, &cap, &most, &max_lots, &min_lots, &next_ns};
    if (!read_numbers(plan->target, &self->shapes[TARGET], target_wanted, (int64_t *[]){&wanted, &made_ns, &ttl_ns}, 3) ||
        !read_numbers(shared, &self->shapes[SHARED], shared_wanted,
                      (int64_t *[]){&stale_ns, &interval_ns, &plan->orders}, 3) ||
        !read_numbers(desk, &self->shapes[DESK], desk_wanted, desk_numbers, 9) ||
        !whole(OF(TOP, plan->top, TOP_RECV_NS), &recv_ns) || !whole(plan->now, &now_ns) ||
        __builtin_add_overflow(now_ns, interval_ns, &plan->next_ns)) {
        return 0;
    }
    PyObject *budget_reach = PyDict_GetItemWithError(budgets, plan->strategy_id);
    if (budget_reach == NULL || !lots_of(OF(DESK, desk, DESK_POSITION_LOTS), plan->strategy_id, &held)) {
        return PyErr_Occurred() ? -1 : 0;
    }
    if (!whole(budget_reach, &budget) || __builtin_add_overflow(made_ns, ttl_ns, &plan->until_ns) ||
        __builtin_sub_overflow(now_ns, recv_ns, &age_ns) || now_ns >= plan->until_ns || stale_ns <= 0 ||
        age_ns > stale_ns || wanted == INT64_MIN || !within(wanted > 0 ? wanted : -wanted, reach, budget)) {
        return 0;
    }
    int64_t lots, sum, slip;
    if (__builtin_sub_overflow(wanted, held, &lots) || lots == 0 || lots == INT64_MIN || plan->net == INT64_MIN ||
        __builtin_add_overflow(bid, ask, &sum)) {
        return 0;
    }
    double away = PyFloat_AS_DOUBLE(slippage) * (double)sum * 0.5;
    if (!(fabs(away) < 1e15)) {
        return 0;
    }
    slip = (int64_t)away;
    plan->doubled = sum;
    plan->buys = lots > 0;
    plan->size = plan->buys ? lots : -lots;
    if (plan->buys ? __builtin_add_overflow(ask, slip, &plan->limit) : __builtin_sub_overflow(bid, slip, &plan->limit)) {
        return 0;
    }
    plan->closing = plan->buys ? -plan->net : plan->net;
    plan->slot = PyDict_GetItemWithError(slots, plan->buys ? self->net_buy : self->net_sell);
    if (plan->slot == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int64_t both, size = plan->size;
    double value = PyFloat_AS_DOUBLE(half_lot) * (double)reach * PyFloat_AS_DOUBLE(tick);
    return !__builtin_add_overflow(size, plan->net > 0 ? plan->net : -plan->net, &both) && within(both, reach, cap) &&
           within(size, reach, most) && size <= max_lots && shape_fits(&self->shapes[SLOT], plan->slot) &&
           whole(OF(SLOT, plan->slot, SLOT_NEXT_NS), &slot_ns) && now_ns >= slot_ns && now_ns >= next_ns &&
           size >= min_lots && (double)size * value >= PyFloat_AS_DOUBLE(least_usd) &&
           rate_allows(&self->shapes[RATE], OF(SHARED, shared, SHARED_RATE), now_ns) &&
           rate_allows(&self->shapes[RATE], OF(DESK, desk, DESK_RATE), now_ns);
}

static PyObject *times(PyObject *step, int64_t count)
{
    PyObject *number = step != NULL ? PyLong_FromLongLong(count) : NULL;
    if (step == NULL) {
        PyErr_SetString(PyExc_AttributeError, "an instrument without its steps");
    }
    PyObject *product = number != NULL ? PyNumber_Multiply(step, number) : NULL;
    Py_XDECREF(number);
    return product;
}

/* The price between the touch, as InstrumentDesk.mid tells it. */
static PyObject *middle(LoneRound *self, const Plan *plan)
{
    if (plan->doubled & 1) {
        return times(OF(DESK, plan->desk, DESK_HALF_TICK), plan->doubled);
    }
    return times(OF(INSTRUMENT, plan->instrument, INSTRUMENT_TICK_SIZE), plan->doubled >> 1);
}

static PyObject *legs_of(LoneRound *self, const Plan *plan, PyObject *qty)
{
    PyObject *fields[] = {plan->strategy_id, OF(TARGET, plan->target, TARGET_ID), qty};
    PyObject *leg = shape_make(self->words[LEG], fields, 3);
    PyObject *legs = leg != NULL ? PyTuple_Pack(1, leg) : NULL;
    Py_XDECREF(leg);
    return legs;
}

static PyObject *best_of(PyObject *levels)
{
    if (levels == NULL || !PyTuple_CheckExact(levels) || PyTuple_GET_SIZE(levels) == 0) {
        PyErr_SetString(PyExc_TypeError, "a tradable desk has two sides");
        return NULL;
    }
    return PyTuple_GET_ITEM(levels, 0);
}

static PyObject *story_of(LoneRound *self, const Plan *plan)
{
    PyObject *bid = best_of(OF(TOP, plan->top, TOP_BIDS)), *ask = bid != NULL ? best_of(OF(TOP, plan->top, TOP_ASKS)) : NULL;
    PyObject *intents = ask != NULL ? PyTuple_Pack(1, plan->target) : NULL;
    if (intents == NULL) {
        return NULL;
    }
    PyObject *fields[] = {
        OF(DESK, plan->desk, DESK_TICK_WORD), OF(DESK, plan->desk, DESK_LOT_WORD), bid, ask,
        OF(TOP, plan->top, TOP_SYNTHETIC),    OF(DESK, plan->desk, DESK_HELD),     intents, self->nothing};
    PyObject *story = shape_make(self->words[STORY], fields, 8);
    Py_DECREF(intents);
    return story;
}

/* The order as the desk remembers it. */
static PyObject *working_of(LoneRound *self, const Plan *plan, PyObject *cl_ord_id)
{
    PyObject *limit = PyLong_FromLongLong(plan->limit), *size = PyLong_FromLongLong(plan->size);
    PyObject *strategies = PyTuple_Pack(1, plan->strategy_id), *working = NULL;
    if (limit != NULL && size != NULL && strategies != NULL) {
        PyObject *fields[] = {cl_ord_id, self->words[NET_OWNER], self->words[plan->buys ? BUY : SELL], limit, size, Py_None,
                              strategies};
        working = shape_make(self->words[WORKING], fields, 7);
    }
    Py_XDECREF(limit);
    Py_XDECREF(size);
    Py_XDECREF(strategies);
    return working;
}

/* The proposal, as a list of its own. */
static PyObject *proposal_of(LoneRound *self, const Plan *plan, PyObject *cl_ord_id)
{
    PyObject *instrument = plan->instrument, *outs = NULL;
    PyObject *qty = times(OF(INSTRUMENT, instrument, INSTRUMENT_LOT_SIZE), plan->size);
    PyObject *price = times(OF(INSTRUMENT, instrument, INSTRUMENT_TICK_SIZE), plan->limit);
    PyObject *legs = qty != NULL ? legs_of(self, plan, qty) : NULL;
    PyObject *mid = middle(self, plan), *story = story_of(self, plan);
    if (price != NULL && legs != NULL && mid != NULL && story != NULL) {
        bool reduces = plan->net != 0 && plan->size <= plan->closing;
        PyObject *fields[] = {
            cl_ord_id,
            OF(INSTRUMENT, instrument, INSTRUMENT_VENUE),
            OF(INSTRUMENT, instrument, INSTRUMENT_ID),
            self->words[plan->buys ? BUY : SELL],
            self->words[LIMIT],
            self->words[IOC],
            qty,
            price,
            reduces ? Py_True : Py_False,
            legs,
            Py_None,
            mid,
            OF(TOP, plan->top, TOP_UPDATE_ID),
            OF(TOP, plan->top, TOP_RECV_NS),
            story,
            OF(TARGET, plan->target, TARGET_CAUSE),
            plan->now,
        };
        PyObject *proposed = shape_make(self->words[PROPOSED], fields, 17);
        outs = proposed != NULL ? PyList_New(1) : NULL;
        if (outs != NULL) {
            PyList_SET_ITEM(outs, 0, proposed);
        } else {
            Py_XDECREF(proposed);
        }
    }
    Py_XDECREF(qty);
    Py_XDECREF(price);
    Py_XDECREF(legs);
    Py_XDECREF(mid);
    Py_XDECREF(story);
    return outs;
}

/* Takes the order into the desk's and everybody's books; false with an exception set. */
static bool take(LoneRound *self, const Plan *plan, PyObject *cl_ord_id, PyObject *working)
{
    PyObject *until = PyLong_FromLongLong(plan->until_ns), *next = PyLong_FromLongLong(plan->next_ns);
    PyObject *orders = PyLong_FromLongLong(plan->orders + 1);
    bool taken = until != NULL && next != NULL && orders != NULL &&
                 PyDict_SetItem(OF(DESK, plan->desk, DESK_ORDERS), cl_ord_id, working) == 0 &&
                 rate_add(&self->shapes[RATE], OF(SHARED, plan->shared, SHARED_RATE), plan->now) &&
                 rate_add(&self->shapes[RATE], OF(DESK, plan->desk, DESK_RATE), plan->now);
    if (!taken) {
        Py_XDECREF(until);
        Py_XDECREF(next);
        Py_XDECREF(orders);
        return false;
    }
    field_put(&self->shapes[SLOT], plan->slot, SLOT_CURRENT, Py_NewRef(working));
    field_put(&self->shapes[DESK], plan->desk, DESK_DIRTY, Py_NewRef(Py_False));
    field_put(&self->shapes[DESK], plan->desk, DESK_FOLLOWS, Py_NewRef(Py_False));
    field_put(&self->shapes[DESK], plan->desk, DESK_WAKE_NS, until);
    field_put(&self->shapes[DESK], plan->desk, DESK_NEXT_NS, next);
    field_put(&self->shapes[SHARED], plan->shared, SHARED_ORDERS, orders);
    return true;
}

static PyObject *lone_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    LoneRound *self = (LoneRound *)object;
    if (PyVectorcall_NARGS(flags) != 4 || (names != NULL && PyTuple_GET_SIZE(names) > 0)) {
        PyErr_SetString(PyExc_TypeError, "(shared, desk, target, now_ns) are needed");
        return NULL;
    }
    Plan plan = {.shared = args[0], .desk = args[1], .target = args[2], .now = args[3]};
    if (!shape_fits(&self->shapes[SHARED], plan.shared) || !shape_fits(&self->shapes[DESK], plan.desk) ||
        !shape_fits(&self->shapes[TARGET], plan.target)) {
        Py_RETURN_NONE;
    }
    int said = is_alone(self, &plan);
    said = said == 1 ? make_plan(self, &plan) : said;
    if (said != 1) {
        return said < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *prefix = OF(DESK, plan.desk, DESK_PREFIX);
    if (prefix == NULL || !PyUnicode_Check(prefix) || plan.orders < 0 || plan.orders == INT64_MAX) {
        Py_RETURN_NONE;
    }
    char number[24]; /* Python 3.11 formats no long hexadecimals */
    PyOS_snprintf(number, sizeof(number), "%llx", (unsigned long long)(plan.orders + 1));
    PyObject *cl_ord_id = PyUnicode_FromFormat("%U%s", prefix, number);
    PyObject *working = cl_ord_id != NULL ? working_of(self, &plan, cl_ord_id) : NULL;
    PyObject *outs = working != NULL ? proposal_of(self, &plan, cl_ord_id) : NULL;
    if (outs != NULL && !take(self, &plan, cl_ord_id, working)) {
        Py_CLEAR(outs);
    }
    Py_XDECREF(cl_ord_id);
    Py_XDECREF(working);
    return outs;
}

static int lone_traverse(LoneRound *self, visitproc visit, void *arg)
{
    for (int i = 0; i < SHAPES; i++) {
        Py_VISIT(self->shapes[i].type);
    }
    for (int i = 0; i < WORDS; i++) {
        Py_VISIT(self->words[i]);
    }
    return 0;
}

static int lone_clear(LoneRound *self)
{
    for (int i = 0; i < SHAPES; i++) {
        Py_CLEAR(self->shapes[i].type);
    }
    for (int i = 0; i < WORDS; i++) {
        Py_CLEAR(self->words[i]);
    }
    Py_CLEAR(self->net_buy);
    Py_CLEAR(self->net_sell);
    Py_CLEAR(self->nothing);
    return 0;
}

static void lone_dealloc(LoneRound *self)
{
    PyObject_GC_UnTrack(self);
    lone_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *lone_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    if (PyTuple_GET_SIZE(args) != SHAPES + WORDS || (named != NULL && PyDict_GET_SIZE(named) > 0)) {
        PyErr_Format(PyExc_TypeError, "LoneRound takes %d classes and words", SHAPES + WORDS);
        return NULL;
    }
    LoneRound *self = (LoneRound *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->call = lone_call;
    bool learned = true;
    for (int i = 0; learned && i < SHAPES; i++) {
        learned = shape_learn(&self->shapes[i], PyTuple_GET_ITEM(args, i), fields_of[i]);
    }
    for (int i = 0; i < WORDS; i++) {
        self->words[i] = Py_NewRef(PyTuple_GET_ITEM(args, SHAPES + i));
    }
    self->nothing = PyUnicode_FromString("");
    self->net_buy = PyTuple_Pack(2, self->words[NET_OWNER], Py_True);
    self->net_sell = PyTuple_Pack(2, self->words[NET_OWNER], Py_False);
    if (!learned || self->nothing == NULL || self->net_buy == NULL || self->net_sell == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

PyTypeObject LoneRound_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._orders.LoneRound",
    .tp_doc = PyDoc_STR("LoneRound(classes and words): call it with (shared, desk, target, now_ns)."),
    .tp_basicsize = sizeof(LoneRound),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = lone_new,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(LoneRound, call),
    .tp_traverse = (traverseproc)lone_traverse,
    .tp_clear = (inquiry)lone_clear,
    .tp_dealloc = (destructor)lone_dealloc,
};
