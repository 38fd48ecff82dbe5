/* PlaceWords: the journal's body of a new order, byte for byte what msgspec says of a PlaceBody.
 *
 * Owns the usual order only: one that waits for no trigger, replaces nothing and tells its story in numbers. Of anything
 * else it says None, and trading.orders.journal_rows, which is the reference, says it. */

#include "orders.h"

#include <string.h>

enum { APPROVED_ORDER, APPROVED_EPOCH, APPROVED_CHECKS, APPROVED_INIT_NS };
static const char *const approved_fields[] = {"order", "epoch", "checks", "ts_init_ns", NULL};

enum {
    ORDER_ID, ORDER_VENUE, ORDER_INSTRUMENT, ORDER_SIDE, ORDER_TYPE, ORDER_TIME_IN_FORCE, ORDER_QTY, ORDER_PRICE,
    ORDER_REDUCES, ORDER_LEGS, ORDER_REPLACES, ORDER_REF_PRICE, ORDER_UPDATE_ID, ORDER_RECV_NS, ORDER_STORY, ORDER_CAUSE,
    ORDER_INIT_NS, ORDER_TRIGGER, ORDER_STP, ORDER_CONTINGENCY,
};
static const char *const order_fields[] = {
    "cl_ord_id", "venue", "instrument_id", "side", "ord_type", "time_in_force", "order_qty", "price",
    "reduce_only", "legs", "replaces", "ref_price", "book_update_id", "book_ts_recv_ns", "story", "cause",
    "ts_init_ns", "trigger", "stp", "contingency", NULL};

enum { CHECKS_LIMITS, CHECKS_ORDER_LIMIT, CHECKS_LOSS, CHECKS_AGE_NS, CHECKS_REDUCIBLE, CHECKS_NOTIONAL, CHECKS_MID,
       CHECKS_WORST, CHECKS_VENUE, CHECKS_TOTAL, CHECKS_SIDE, CHECKS_INFLIGHT, CHECKS_OPEN };
static const char *const checks_fields[] = {
    "limits", "order_limit", "loss", "book_age_ns", "reducible", "notional", "mid",
    "worst", "venue", "total", "side", "inflight", "open_orders", NULL};

enum { STORY_TICK_SIZE, STORY_LOT_SIZE, STORY_BID, STORY_ASK, STORY_SYNTHETIC, STORY_HELD, STORY_INTENTS, STORY_CROSSING };
static const char *const story_fields[] = {
    "tick_size", "lot_size", "bid", "ask", "synthetic", "held", "intents", "crossing", NULL};

enum { LEG_STRATEGY, LEG_INTENT, LEG_QTY };
static const char *const leg_fields[] = {"strategy_id", "intent_id", "qty", NULL};

enum { TARGET_ID, TARGET_STRATEGY, TARGET_INSTRUMENT, TARGET_LOTS, TARGET_URGENCY, TARGET_LIMIT, TARGET_CONFIDENCE,
       TARGET_TTL_NS, TARGET_REASONS, TARGET_CAUSE, TARGET_INIT_NS };
static const char *const target_fields[] = {
    "intent_id", "strategy_id", "instrument_id", "target_lots", "urgency", "limit_ticks", "confidence",
    "ttl_ns", "reasons", "cause", "ts_init_ns", NULL};

enum { APPROVED, ORDER, CHECKS, STORY, LEG, TARGET, SHAPES };
static const char *const *const fields_of[SHAPES] = {
    approved_fields, order_fields, checks_fields, story_fields, leg_fields, target_fields};

#define BODY_MAX 4096
#define TEXT_MAX 255
#define MEMBERS_MAX 32

typedef struct {
    PyObject_HEAD
    Shape shapes[SHAPES];
    PyTypeObject *decimal;
    PyObject *members[MEMBERS_MAX]; /* of enums, and what each is called; they live as long as the program */
    PyObject *values[MEMBERS_MAX];
    int known;
    vectorcallfunc call;
} PlaceWords;

typedef struct {
    PlaceWords *self;
    size_t length;
    unsigned char bytes[BODY_MAX];
} Body;

#define OF(shape, object, field) FIELD(body->self->shapes[shape], object, field)

/* All put_ functions: whether it was said; where not, it is not as usual or an exception is set. */

static bool put(Body *body, const void *bytes, size_t length)
{
    if (length > BODY_MAX - body->length) {
        return false;
    }
    memcpy(body->bytes + body->length, bytes, length);
    body->length += length;
    return true;
}

/* A literal of msgpack: keys and heads. */
#define PUT(body, literal) put((body), (literal), sizeof(literal) - 1)

static bool put_head(Body *body, int head, uint64_t value, int size)
{
    unsigned char bytes[9] = {(unsigned char)head};
    for (int i = 0; i < size; i++) {
        bytes[size - i] = (unsigned char)(value >> (8 * i));
    }
    return put(body, bytes, (size_t)size + 1);
}

static bool put_text(Body *body, PyObject *text)
{
    if (text == NULL || !PyUnicode_CheckExact(text) || !PyUnicode_IS_ASCII(text)) {
        return false;
    }
    size_t length = (size_t)PyUnicode_GET_LENGTH(text);
    if (length > TEXT_MAX) {
        return false;
    }
    bool begun = length < 32 ? put_head(body, 0xa0 | (int)length, 0, 0) : put_head(body, 0xd9, length, 1);
    return begun && put(body, PyUnicode_1BYTE_DATA(text), length);
}

static bool put_whole(Body *body, PyObject *number)
{
    int64_t value;
    if (number == NULL || !PyLong_CheckExact(number) || !whole(number, &value)) {
        return false;
    }
    if (value >= 0) {
        return value < 128          ? put_head(body, (int)value, 0, 0)
               : value <= UINT8_MAX  ? put_head(body, 0xcc, (uint64_t)value, 1)
               : value <= UINT16_MAX ? put_head(body, 0xcd, (uint64_t)value, 2)
               : value <= UINT32_MAX ? put_head(body, 0xce, (uint64_t)value, 4)
                                     : put_head(body, 0xcf, (uint64_t)value, 8);
    }
    return value >= -32          ? put_head(body, (int)(value & 0xff), 0, 0)
           : value >= INT8_MIN  ? put_head(body, 0xd0, (uint64_t)value, 1)
           : value >= INT16_MIN ? put_head(body, 0xd1, (uint64_t)value, 2)
           : value >= INT32_MIN ? put_head(body, 0xd2, (uint64_t)value, 4)
                                : put_head(body, 0xd3, (uint64_t)value, 8);
}

static bool put_nothing(Body *body)
{
    return put_head(body, 0xc0, 0, 0);
}

static bool put_truth(Body *body, PyObject *truth)
{
    return (truth == Py_True || truth == Py_False) && put_head(body, truth == Py_True ? 0xc3 : 0xc2, 0, 0);
}

static bool put_float(Body *body, PyObject *number)
{
    uint64_t bits;
    if (number == NULL || !PyFloat_CheckExact(number)) {
        return false;
    }
    double value = PyFloat_AS_DOUBLE(number);
    memcpy(&bits, &value, sizeof(bits));
    return put_head(body, 0xcb, bits, 8);
}

/* A Decimal is said as its text. */
static bool put_amount(Body *body, PyObject *amount)
{
    if (amount == NULL || !Py_IS_TYPE(amount, body->self->decimal)) {
        return false;
    }
    PyObject *text = amount_text(amount);
    bool said = text != NULL && put_text(body, text);
    Py_XDECREF(text);
    return said;
}

/* What a leg and the venue are told again. */
static bool put_term(Body *body, PyObject *amount)
{
    if (amount == NULL || !Py_IS_TYPE(amount, body->self->decimal)) {
        return false;
    }
    PyObject *text = PyObject_Str(amount);
    bool said = text != NULL && put_text(body, text);
    if (said) {
        amount_keep(amount, text);
    }
    Py_XDECREF(text);
    return said;
}

static bool put_amount_or_nothing(Body *body, PyObject *amount)
{
    return amount == Py_None ? put_nothing(body) : put_amount(body, amount);
}

/* The member of an enum is said as its value, a text; those that were said are remembered. */
static bool put_member(Body *body, PyObject *member)
{
    PlaceWords *self = body->self;
    for (int i = 0; i < self->known; i++) {
        if (self->members[i] == member) {
            return put_text(body, self->values[i]);
        }
    }
    PyObject *value = member != NULL ? PyObject_GetAttrString(member, "_value_") : NULL;
    if (value == NULL || self->known == MEMBERS_MAX) {
        Py_XDECREF(value);
        return false;
    }
    self->members[self->known] = Py_NewRef(member);
    self->values[self->known++] = value;
    return put_text(body, value);
}

static bool put_count(Body *body, PyObject *tuple)
{
    return tuple != NULL && PyTuple_CheckExact(tuple) && PyTuple_GET_SIZE(tuple) < 16 &&
           put_head(body, 0x90 | (int)PyTuple_GET_SIZE(tuple), 0, 0);
}

static bool put_level(Body *body, PyObject *level)
{
    return put_count(body, level) && PyTuple_GET_SIZE(level) == 2 && put_whole(body, PyTuple_GET_ITEM(level, 0)) &&
           put_whole(body, PyTuple_GET_ITEM(level, 1));
}

static bool put_texts(Body *body, PyObject *texts)
{
    bool said = put_count(body, texts);
    for (Py_ssize_t i = 0; said && i < PyTuple_GET_SIZE(texts); i++) {
        said = put_text(body, PyTuple_GET_ITEM(texts, i));
    }
    return said;
}

static bool put_held(Body *body, PyObject *held)
{
    bool said = put_count(body, held);
    for (Py_ssize_t i = 0; said && i < PyTuple_GET_SIZE(held); i++) {
        PyObject *pair = PyTuple_GET_ITEM(held, i);
        said = put_count(body, pair) && PyTuple_GET_SIZE(pair) == 2 && put_text(body, PyTuple_GET_ITEM(pair, 0)) &&
               put_whole(body, PyTuple_GET_ITEM(pair, 1));
    }
    return said;
}

static bool put_target(Body *body, PyObject *target)
{
    if (!shape_fits(&body->self->shapes[TARGET], target)) {
        return false;
    }
    PyObject *limit = OF(TARGET, target, TARGET_LIMIT);
    return PUT(body, "\x8c\xa4type\xacTargetIntent\xa9intent_id") && put_text(body, OF(TARGET, target, TARGET_ID)) &&
           PUT(body, "\xabstrategy_id") && put_text(body, OF(TARGET, target, TARGET_STRATEGY)) &&
           PUT(body, "\xadinstrument_id") && put_text(body, OF(TARGET, target, TARGET_INSTRUMENT)) &&
           PUT(body, "\xabtarget_lots") && put_whole(body, OF(TARGET, target, TARGET_LOTS)) &&
           PUT(body, "\xa7urgency") && put_member(body, OF(TARGET, target, TARGET_URGENCY)) &&
           PUT(body, "\xablimit_ticks") && (limit == Py_None ? put_nothing(body) : put_whole(body, limit)) &&
           PUT(body, "\xaa" "confidence") && put_float(body, OF(TARGET, target, TARGET_CONFIDENCE)) &&
           PUT(body, "\xa6ttl_ns") && put_whole(body, OF(TARGET, target, TARGET_TTL_NS)) &&
           PUT(body, "\xa7reasons") && put_texts(body, OF(TARGET, target, TARGET_REASONS)) &&
           PUT(body, "\xa5" "cause") && put_text(body, OF(TARGET, target, TARGET_CAUSE)) &&
           PUT(body, "\xaats_init_ns") && put_whole(body, OF(TARGET, target, TARGET_INIT_NS));
}

static bool put_story(Body *body, PyObject *story)
{
    if (story == NULL || !shape_fits(&body->self->shapes[STORY], story)) {
        return false;
    }
    PyObject *intents = OF(STORY, story, STORY_INTENTS);
    bool said = PUT(body, "\x98") && put_text(body, OF(STORY, story, STORY_TICK_SIZE)) &&
                put_text(body, OF(STORY, story, STORY_LOT_SIZE)) && put_level(body, OF(STORY, story, STORY_BID)) &&
                put_level(body, OF(STORY, story, STORY_ASK)) && put_truth(body, OF(STORY, story, STORY_SYNTHETIC)) &&
                put_held(body, OF(STORY, story, STORY_HELD)) && put_count(body, intents);
    for (Py_ssize_t i = 0; said && i < PyTuple_GET_SIZE(intents); i++) {
        said = put_target(body, PyTuple_GET_ITEM(intents, i));
    }
    return said && put_text(body, OF(STORY, story, STORY_CROSSING));
}

static bool put_legs(Body *body, PyObject *legs)
{
    bool said = put_count(body, legs);
    for (Py_ssize_t i = 0; said && i < PyTuple_GET_SIZE(legs); i++) {
        PyObject *leg = PyTuple_GET_ITEM(legs, i);
        said = shape_fits(&body->self->shapes[LEG], leg) && PUT(body, "\x83\xabstrategy_id") &&
               put_text(body, OF(LEG, leg, LEG_STRATEGY)) && PUT(body, "\xa9intent_id") &&
               put_text(body, OF(LEG, leg, LEG_INTENT)) && PUT(body, "\xa3qty") && put_amount(body, OF(LEG, leg, LEG_QTY));
    }
    return said;
}

static bool put_order(Body *body, PyObject *order)
{
    if (order == NULL || !shape_fits(&body->self->shapes[ORDER], order) || OF(ORDER, order, ORDER_TRIGGER) != Py_None ||
        OF(ORDER, order, ORDER_STP) != Py_None || OF(ORDER, order, ORDER_CONTINGENCY) != Py_None ||
        OF(ORDER, order, ORDER_REPLACES) != Py_None) {
        return false;
    }
    PyObject *price = OF(ORDER, order, ORDER_PRICE);
    return PUT(body, "\xde\x00\x12\xa4type\xadProposedOrder\xa9" "cl_ord_id") && put_text(body, OF(ORDER, order, ORDER_ID)) &&
           PUT(body, "\xa5venue") && put_text(body, OF(ORDER, order, ORDER_VENUE)) &&
           PUT(body, "\xadinstrument_id") && put_text(body, OF(ORDER, order, ORDER_INSTRUMENT)) &&
           PUT(body, "\xa4side") && put_member(body, OF(ORDER, order, ORDER_SIDE)) &&
           PUT(body, "\xa8ord_type") && put_member(body, OF(ORDER, order, ORDER_TYPE)) &&
           PUT(body, "\xadtime_in_force") && put_member(body, OF(ORDER, order, ORDER_TIME_IN_FORCE)) &&
           PUT(body, "\xa9order_qty") && put_term(body, OF(ORDER, order, ORDER_QTY)) &&
           PUT(body, "\xa5price") && (price == Py_None ? put_nothing(body) : put_term(body, price)) &&
           PUT(body, "\xabreduce_only") && put_truth(body, OF(ORDER, order, ORDER_REDUCES)) &&
           PUT(body, "\xa4legs") && put_legs(body, OF(ORDER, order, ORDER_LEGS)) &&
           PUT(body, "\xa8replaces\xc0\xa9ref_price") && put_amount(body, OF(ORDER, order, ORDER_REF_PRICE)) &&
           PUT(body, "\xae" "book_update_id") && put_whole(body, OF(ORDER, order, ORDER_UPDATE_ID)) &&
           PUT(body, "\xaf" "book_ts_recv_ns") && put_whole(body, OF(ORDER, order, ORDER_RECV_NS)) &&
           PUT(body, "\xa5story") && put_story(body, OF(ORDER, order, ORDER_STORY)) &&
           PUT(body, "\xa5" "cause") && put_text(body, OF(ORDER, order, ORDER_CAUSE)) &&
           PUT(body, "\xaats_init_ns") && put_whole(body, OF(ORDER, order, ORDER_INIT_NS));
}

static bool put_packed(Body *body, PyObject *raw)
{
    Py_buffer view;
    if (raw == NULL || PyObject_GetBuffer(raw, &view, PyBUF_SIMPLE) < 0) {
        return false;
    }
    bool said = view.len > 0 && put(body, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return said;
}

static bool put_checks(Body *body, PyObject *checks)
{
    if (checks == NULL || !shape_fits(&body->self->shapes[CHECKS], checks)) {
        return false;
    }
    bool said = PUT(body, "\x9d") && put_packed(body, OF(CHECKS, checks, CHECKS_LIMITS)) &&
                put_text(body, OF(CHECKS, checks, CHECKS_ORDER_LIMIT)) && put_text(body, OF(CHECKS, checks, CHECKS_LOSS)) &&
                put_whole(body, OF(CHECKS, checks, CHECKS_AGE_NS));
    for (int field = CHECKS_REDUCIBLE; said && field <= CHECKS_SIDE; field++) {
        said = put_amount_or_nothing(body, OF(CHECKS, checks, field));
    }
    return said && put_whole(body, OF(CHECKS, checks, CHECKS_INFLIGHT)) && put_whole(body, OF(CHECKS, checks, CHECKS_OPEN));
}

static PyObject *words_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    PlaceWords *self = (PlaceWords *)object;
    if (PyVectorcall_NARGS(flags) != 1 || (names != NULL && PyTuple_GET_SIZE(names) > 0)) {
        PyErr_SetString(PyExc_TypeError, "(approved) is needed");
        return NULL;
    }
    Body whole_body, *body = &whole_body;
    body->self = self;
    body->length = 0;
    PyObject *approved = args[0];
    bool said = shape_fits(&self->shapes[APPROVED], approved) &&
                PUT(body, "\x82\xa4type\xa5place\xa8" "approved\x85\xa4type\xad" "ApprovedOrder\xa5order") &&
                put_order(body, OF(APPROVED, approved, APPROVED_ORDER)) && PUT(body, "\xa5" "epoch") &&
                put_whole(body, OF(APPROVED, approved, APPROVED_EPOCH)) && PUT(body, "\xa6" "checks") &&
                put_checks(body, OF(APPROVED, approved, APPROVED_CHECKS)) && PUT(body, "\xaats_init_ns") &&
                put_whole(body, OF(APPROVED, approved, APPROVED_INIT_NS));
    if (said) {
        return PyBytes_FromStringAndSize((const char *)body->bytes, (Py_ssize_t)body->length);
    }
    PyErr_Clear(); /* the reference says what is wrong with it */
    Py_RETURN_NONE;
}

static int words_traverse(PlaceWords *self, visitproc visit, void *arg)
{
    for (int i = 0; i < SHAPES; i++) {
        Py_VISIT(self->shapes[i].type);
    }
    Py_VISIT(self->decimal);
    for (int i = 0; i < self->known; i++) {
        Py_VISIT(self->members[i]);
        Py_VISIT(self->values[i]);
    }
    return 0;
}

static int words_clear(PlaceWords *self)
{
    for (int i = 0; i < SHAPES; i++) {
        Py_CLEAR(self->shapes[i].type);
    }
    Py_CLEAR(self->decimal);
    for (; self->known > 0; self->known--) {
        Py_CLEAR(self->members[self->known - 1]);
        Py_CLEAR(self->values[self->known - 1]);
    }
    return 0;
}

static void words_dealloc(PlaceWords *self)
{
    PyObject_GC_UnTrack(self);
    words_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *words_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    if (PyTuple_GET_SIZE(args) != SHAPES + 1 || (named != NULL && PyDict_GET_SIZE(named) > 0) ||
        !PyType_Check(PyTuple_GET_ITEM(args, SHAPES))) {
        PyErr_Format(PyExc_TypeError, "PlaceWords takes %d classes", SHAPES + 1);
        return NULL;
    }
    PlaceWords *self = (PlaceWords *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->call = words_call;
    self->decimal = (PyTypeObject *)Py_NewRef(PyTuple_GET_ITEM(args, SHAPES));
    for (int i = 0; i < SHAPES; i++) {
        if (!shape_learn(&self->shapes[i], PyTuple_GET_ITEM(args, i), fields_of[i])) {
            Py_DECREF(self);
            return NULL;
        }
    }
    return (PyObject *)self;
}

PyTypeObject PlaceWords_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._orders.PlaceWords",
    .tp_doc = PyDoc_STR("PlaceWords(classes): call it with an approved order; its body of the journal, or None."),
    .tp_basicsize = sizeof(PlaceWords),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = words_new,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(PlaceWords, call),
    .tp_traverse = (traverseproc)words_traverse,
    .tp_clear = (inquiry)words_clear,
    .tp_dealloc = (destructor)words_dealloc,
};
