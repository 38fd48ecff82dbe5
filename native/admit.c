/* PlainAdmission: the order core takes in a usual new order, as trading.orders.core says it in Python.
 *
 * Owns the usual case only: one leg, no trigger, nothing it replaces, no list, numbers of a market, an account that is
 * known, and where it only closes, nothing else of its side open there. None, with nothing changed, leaves the order to
 * the core, which also says every refusal. Amounts stay what they are, Decimals. */

#include "orders.h"

enum { CORE_INSTRUMENTS, CORE_EPOCH, CORE_CONFIG, CORE_OPEN, CORE_DONE, CORE_ACCOUNTS, CORE_HELD, CORE_COMMIT_ID, CORE_CLOSING };
static const char *const core_fields[] = {
    "_instruments", "_epoch", "_config", "_open", "_done", "_accounts", "_held", "_commit_id", "_closing", NULL};

enum { CONFIG_OPEN_MAX };
static const char *const config_fields[] = {"open_orders_max", NULL};

enum { INSTRUMENT_KIND };
static const char *const instrument_fields[] = {"kind", NULL};

enum { ACCOUNT_NET };
static const char *const account_fields[] = {"net", NULL};

enum { APPROVED_ORDER, APPROVED_EPOCH };
static const char *const approved_fields[] = {"order", "epoch", NULL};

enum {
    PROPOSED_ID, PROPOSED_VENUE, PROPOSED_INSTRUMENT, PROPOSED_SIDE, PROPOSED_TYPE, PROPOSED_TIME_IN_FORCE, PROPOSED_QTY,
    PROPOSED_PRICE, PROPOSED_REDUCES, PROPOSED_LEGS, PROPOSED_REPLACES, PROPOSED_REF_PRICE, PROPOSED_TRIGGER, PROPOSED_STP,
    PROPOSED_CONTINGENCY,
};
static const char *const proposed_fields[] = {
    "cl_ord_id", "venue", "instrument_id", "side", "ord_type", "time_in_force", "order_qty",
    "price", "reduce_only", "legs", "replaces", "ref_price", "trigger", "stp",
    "contingency", NULL};

enum { LEG_INTENT, LEG_QTY };
static const char *const leg_fields[] = {"intent_id", "qty", NULL};

enum { ORDER_APPROVED, ORDER_STORY };
static const char *const order_fields[] = {"approved", "story", NULL};

enum { CORE, CONFIG, INSTRUMENT, ACCOUNT, APPROVED, PROPOSED, LEG, ORDER, SHAPES };
static const char *const *const fields_of[SHAPES] = {
    core_fields, config_fields, instrument_fields, account_fields, approved_fields, proposed_fields, leg_fields, order_fields};

/* Classes of what is made, members, amounts, the function that says the row's body, and the first line of a story. */
enum { ROW, PLACE_HELD, JOURNAL, DECIMAL, PLACE, LIMIT, MARKET, SELL, SPOT, IOC, FOK, LEAST, MOST, ZERO, ENCODE, LINE, WORDS };

#define LINE_WORDS 4 /* event, before, after, text: what follows the time */

typedef struct {
    PyObject_HEAD
    Shape shapes[SHAPES];
    PyObject *words[WORDS];
    PyObject *approved_only; /* the names of Order's one argument */
    PyObject *append;
    vectorcallfunc call;
} PlainAdmission;

/* One order that is being taken in: borrowed, but for what was made of it. */
typedef struct {
    PyObject *core, *approved, *proposed, *now;
    PyObject *open, *closing, *held, *leg;
    bool may_rest_closing;
    PyObject *key, *body, *commit_id, *order, *waits, *written;
} Entry;

#define OF(shape, object, field) FIELD(self->shapes[shape], object, field)

/* Whether a comparison holds; what cannot be compared fails it, with the exception set. */
static bool holds(PyObject *one, PyObject *other, int how)
{
    return PyObject_RichCompareBool(one, other, how) == 1;
}

/* A number above zero as `is_number` has it: what is not a number fails the comparisons, as infinity and zero do. */
static bool is_amount(PlainAdmission *self, PyObject *amount)
{
    return is_exact(amount, (PyTypeObject *)self->words[DECIMAL]) && holds(amount, self->words[LEAST], Py_GE) &&
           holds(amount, self->words[MOST], Py_LT);
}

/* It is told and never reckoned with: any that is finite will do, and these are. */
static bool is_told(PlainAdmission *self, PyObject *amount)
{
    return is_exact(amount, (PyTypeObject *)self->words[DECIMAL]) && holds(amount, self->words[ZERO], Py_GE) &&
           holds(amount, self->words[MOST], Py_LT);
}

static bool is_plain(PlainAdmission *self, Entry *entry)
{
    PyObject *o = entry->proposed, *qty = OF(PROPOSED, o, PROPOSED_QTY), *price = OF(PROPOSED, o, PROPOSED_PRICE);
    PyObject *legs = OF(PROPOSED, o, PROPOSED_LEGS), *type = OF(PROPOSED, o, PROPOSED_TYPE);
    if (OF(PROPOSED, o, PROPOSED_REPLACES) != Py_None || OF(PROPOSED, o, PROPOSED_TRIGGER) != Py_None ||
        OF(PROPOSED, o, PROPOSED_STP) != Py_None || OF(PROPOSED, o, PROPOSED_CONTINGENCY) != Py_None ||
        (type != self->words[LIMIT] && type != self->words[MARKET]) || !is_exact(legs, &PyTuple_Type) ||
        PyTuple_GET_SIZE(legs) != 1) {
        return false;
    }
    entry->leg = PyTuple_GET_ITEM(legs, 0);
    return shape_fits(&self->shapes[LEG], entry->leg) && OF(LEG, entry->leg, LEG_QTY) == qty && is_amount(self, qty) &&
           (price == Py_None || is_amount(self, price)) && is_told(self, OF(PROPOSED, o, PROPOSED_REF_PRICE));
}

/* Whether no open order of its side is for its instrument; false as well where one cannot be told. */
static bool is_alone_on_its_side(PlainAdmission *self, const Entry *entry)
{
    PyObject *key, *order, *instrument_id = OF(PROPOSED, entry->proposed, PROPOSED_INSTRUMENT);
    Py_ssize_t at = 0;
    while (PyDict_Next(entry->open, &at, &key, &order)) {
        PyObject *approved = shape_fits(&self->shapes[ORDER], order) ? OF(ORDER, order, ORDER_APPROVED) : NULL;
        PyObject *other = is_exact(approved, self->shapes[APPROVED].type) ? OF(APPROVED, approved, APPROVED_ORDER) : NULL;
        if (!is_exact(other, self->shapes[PROPOSED].type)) {
            return false;
        }
        PyObject *elsewhere = OF(PROPOSED, other, PROPOSED_INSTRUMENT);
        if (OF(PROPOSED, other, PROPOSED_SIDE) == OF(PROPOSED, entry->proposed, PROPOSED_SIDE) &&
            (!is_exact(elsewhere, &PyUnicode_Type) || PyUnicode_Compare(elsewhere, instrument_id) == 0)) {
            return false;
        }
    }
    return true;
}

/* Whether it can only close what is held, where spot needs no look; false with or without an exception. */
static bool only_closes(PlainAdmission *self, const Entry *entry, PyObject *instrument, PyObject *account)
{
    PyObject *kind = OF(INSTRUMENT, instrument, INSTRUMENT_KIND), *net = OF(ACCOUNT, account, ACCOUNT_NET);
    if (kind == self->words[SPOT]) {
        return true;
    }
    if (kind == NULL || !is_exact(net, &PyDict_Type) || !is_alone_on_its_side(self, entry)) {
        return false;
    }
    PyObject *position = PyDict_GetItemWithError(net, OF(PROPOSED, entry->proposed, PROPOSED_INSTRUMENT));
    if (position == NULL) {
        if (PyErr_Occurred()) {
            return false;
        }
        position = self->words[ZERO];
    }
    bool sells = OF(PROPOSED, entry->proposed, PROPOSED_SIDE) == self->words[SELL];
    PyObject *held = sells ? Py_NewRef(position) : PyNumber_Negative(position);
    PyObject *closable = held != NULL ? PyNumber_Subtract(held, self->words[ZERO]) : NULL; /* nothing is on its way */
    bool fits = closable != NULL && holds(OF(PROPOSED, entry->proposed, PROPOSED_QTY), closable, Py_LE);
    Py_XDECREF(held);
    Py_XDECREF(closable);
    return fits;
}

static bool is_text(PyObject *object)
{
    return is_exact(object, &PyUnicode_Type);
}

/* Whether nothing stands against it: the checks of OrderCore._refusal. */
static bool is_admissible(PlainAdmission *self, Entry *entry)
{
    PyObject *core = entry->core, *o = entry->proposed, *config = OF(CORE, core, CORE_CONFIG);
    PyObject *instruments = OF(CORE, core, CORE_INSTRUMENTS), *accounts = OF(CORE, core, CORE_ACCOUNTS);
    PyObject *reduces = OF(PROPOSED, o, PROPOSED_REDUCES), *how_long = OF(PROPOSED, o, PROPOSED_TIME_IN_FORCE);
    int64_t epoch, now_epoch, open_max;
    if (!is_exact(instruments, &PyDict_Type) || !is_exact(accounts, &PyDict_Type) ||
        !is_exact(config, self->shapes[CONFIG].type) || !whole(OF(APPROVED, entry->approved, APPROVED_EPOCH), &epoch) ||
        !whole(OF(CORE, core, CORE_EPOCH), &now_epoch) || epoch < now_epoch ||
        !whole(OF(CONFIG, config, CONFIG_OPEN_MAX), &open_max) || PyDict_GET_SIZE(entry->open) >= open_max ||
        (reduces != Py_True && reduces != Py_False)) {
        return false;
    }
    PyObject *instrument = PyDict_GetItemWithError(instruments, OF(PROPOSED, o, PROPOSED_INSTRUMENT));
    if (!is_exact(instrument, self->shapes[INSTRUMENT].type)) {
        return false;
    }
    PyObject *account = PyDict_GetItemWithError(accounts, OF(PROPOSED, o, PROPOSED_VENUE));
    if (!is_exact(account, self->shapes[ACCOUNT].type)) {
        return false;
    }
    entry->may_rest_closing = reduces == Py_True && how_long != self->words[IOC] && how_long != self->words[FOK];
    return reduces == Py_False || only_closes(self, entry, instrument, account);
}

/* Whether the order may be taken in here, and the key and body that it then has; false with or without an exception. */
static bool passes(PlainAdmission *self, Entry *entry)
{
    PyObject *core = entry->core;
    if (!PyObject_TypeCheck(core, self->shapes[CORE].type) || !shape_fits(&self->shapes[APPROVED], entry->approved)) {
        return false;
    }
    PyObject *o = entry->proposed = OF(APPROVED, entry->approved, APPROVED_ORDER), *done = OF(CORE, core, CORE_DONE);
    entry->open = OF(CORE, core, CORE_OPEN);
    entry->closing = OF(CORE, core, CORE_CLOSING);
    entry->held = OF(CORE, core, CORE_HELD);
    int64_t commit_id;
    if (!is_exact(o, self->shapes[PROPOSED].type) || !is_exact(entry->open, &PyDict_Type) || done == NULL ||
        !PyDict_Check(done) || !is_exact(entry->closing, &PyDict_Type) || entry->held == NULL ||
        !whole(OF(CORE, core, CORE_COMMIT_ID), &commit_id) || commit_id == INT64_MAX ||
        !is_text(OF(PROPOSED, o, PROPOSED_VENUE)) || !is_text(OF(PROPOSED, o, PROPOSED_ID)) ||
        !is_text(OF(PROPOSED, o, PROPOSED_INSTRUMENT)) || !is_plain(self, entry)) {
        return false;
    }
    entry->key = PyTuple_Pack(2, OF(PROPOSED, o, PROPOSED_VENUE), OF(PROPOSED, o, PROPOSED_ID));
    if (entry->key == NULL || PyDict_Contains(entry->open, entry->key) != 0 || PyDict_Contains(done, entry->key) != 0 ||
        !is_admissible(self, entry)) {
        return false;
    }
    entry->body = PyObject_CallOneArg(self->words[ENCODE], entry->approved);
    if (!is_exact(entry->body, &PyBytes_Type)) {
        return false;
    }
    entry->commit_id = PyLong_FromLongLong(commit_id + 1);
    return entry->commit_id != NULL;
}

/* (now, *line); a new reference, or NULL with an exception set. */
static PyObject *line_at(PyObject *now, PyObject *line)
{
    PyObject *said = PyTuple_New(1 + LINE_WORDS);
    if (said == NULL) {
        return NULL;
    }
    PyTuple_SET_ITEM(said, 0, Py_NewRef(now));
    for (int i = 0; i < LINE_WORDS; i++) {
        PyTuple_SET_ITEM(said, 1 + i, Py_NewRef(PyTuple_GET_ITEM(line, i)));
    }
    return said;
}

static bool make_order(PlainAdmission *self, Entry *entry)
{
    entry->order = PyObject_Vectorcall((PyObject *)self->shapes[ORDER].type, &entry->approved, 0, self->approved_only);
    if (entry->order == NULL) {
        return false;
    }
    PyObject *story = OF(ORDER, entry->order, ORDER_STORY), *line = line_at(entry->now, self->words[LINE]);
    bool told = line != NULL && PyList_Append(story, line) == 0;
    Py_XDECREF(line);
    return told;
}

/* Journal(commit_id, (row,)) */
static bool make_written(PlainAdmission *self, Entry *entry)
{
    PyObject *o = entry->proposed;
    PyObject *fields[] = {
        entry->now,
        self->words[PLACE],
        OF(PROPOSED, o, PROPOSED_VENUE),
        OF(PROPOSED, o, PROPOSED_ID),
        Py_None,
        OF(LEG, entry->leg, LEG_INTENT),
        OF(CORE, entry->core, CORE_EPOCH),
        entry->body,
    };
    PyObject *row = shape_make(self->words[ROW], fields, 8);
    PyObject *rows = row != NULL ? PyTuple_Pack(1, row) : NULL;
    Py_XDECREF(row);
    if (rows == NULL) {
        return false;
    }
    PyObject *said[] = {entry->commit_id, rows};
    entry->written = shape_make(self->words[JOURNAL], said, 2);
    Py_DECREF(rows);
    return entry->written != NULL;
}

/* (commit_id, [PlaceHeld(key)]) */
static bool make_waits(PlainAdmission *self, Entry *entry)
{
    PyObject *place = shape_make(self->words[PLACE_HELD], &entry->key, 1);
    PyObject *held = place != NULL ? PyList_New(1) : NULL;
    if (held == NULL) {
        Py_XDECREF(place);
        return false;
    }
    PyList_SET_ITEM(held, 0, place);
    entry->waits = PyTuple_Pack(2, entry->commit_id, held);
    Py_DECREF(held);
    return entry->waits != NULL;
}

/* Makes it the core's; false with an exception set. */
static bool take_in(PlainAdmission *self, Entry *entry)
{
    if (PyDict_SetItem(entry->open, entry->key, entry->order) < 0 ||
        (entry->may_rest_closing && PyDict_SetItem(entry->closing, entry->key, Py_None) < 0)) {
        return false;
    }
    PyObject *added = PyObject_CallMethodOneArg(entry->held, self->append, entry->waits);
    if (added == NULL) {
        return false;
    }
    Py_DECREF(added);
    field_put(&self->shapes[CORE], entry->core, CORE_COMMIT_ID, Py_NewRef(entry->commit_id));
    return true;
}

static PyObject *admission_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    PlainAdmission *self = (PlainAdmission *)object;
    if (PyVectorcall_NARGS(flags) != 3 || (names != NULL && PyTuple_GET_SIZE(names) > 0)) {
        PyErr_SetString(PyExc_TypeError, "(core, approved, now_ns) are needed");
        return NULL;
    }
    Entry entry = {.core = args[0], .approved = args[1], .now = args[2]};
    PyObject *written = NULL;
    if (passes(self, &entry)) {
        if (make_order(self, &entry) && make_written(self, &entry) && make_waits(self, &entry) && take_in(self, &entry)) {
            written = Py_NewRef(entry.written);
        }
    } else if (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_ArithmeticError)) {
        PyErr_Clear(); /* no number: the core says which */
        written = Py_NewRef(Py_None);
    }
    Py_XDECREF(entry.key);
    Py_XDECREF(entry.body);
    Py_XDECREF(entry.commit_id);
    Py_XDECREF(entry.order);
    Py_XDECREF(entry.waits);
    Py_XDECREF(entry.written);
    return written;
}

static int admission_traverse(PlainAdmission *self, visitproc visit, void *arg)
{
    for (int i = 0; i < SHAPES; i++) {
        Py_VISIT(self->shapes[i].type);
    }
    for (int i = 0; i < WORDS; i++) {
        Py_VISIT(self->words[i]);
    }
    return 0;
}

static int admission_clear(PlainAdmission *self)
{
    for (int i = 0; i < SHAPES; i++) {
        Py_CLEAR(self->shapes[i].type);
    }
    for (int i = 0; i < WORDS; i++) {
        Py_CLEAR(self->words[i]);
    }
    Py_CLEAR(self->approved_only);
    Py_CLEAR(self->append);
    return 0;
}

static void admission_dealloc(PlainAdmission *self)
{
    PyObject_GC_UnTrack(self);
    admission_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *admission_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    if (PyTuple_GET_SIZE(args) != SHAPES + WORDS || (named != NULL && PyDict_GET_SIZE(named) > 0)) {
        PyErr_Format(PyExc_TypeError, "PlainAdmission takes %d classes and words", SHAPES + WORDS);
        return NULL;
    }
    PyObject *line = PyTuple_GET_ITEM(args, SHAPES + LINE);
    if (!PyType_Check(PyTuple_GET_ITEM(args, SHAPES + DECIMAL)) || !PyTuple_CheckExact(line) ||
        PyTuple_GET_SIZE(line) != LINE_WORDS) {
        PyErr_Format(PyExc_TypeError, "a class of amounts and a line of %d words are needed", LINE_WORDS);
        return NULL;
    }
    PlainAdmission *self = (PlainAdmission *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->call = admission_call;
    for (int i = 0; i < WORDS; i++) {
        self->words[i] = Py_NewRef(PyTuple_GET_ITEM(args, SHAPES + i));
    }
    bool learned = true;
    for (int i = 0; learned && i < SHAPES; i++) {
        learned = shape_learn(&self->shapes[i], PyTuple_GET_ITEM(args, i), fields_of[i]);
    }
    PyObject *approved = learned ? PyUnicode_InternFromString(order_fields[ORDER_APPROVED]) : NULL;
    if (approved != NULL) {
        self->approved_only = PyTuple_Pack(1, approved);
        self->append = PyUnicode_InternFromString("append");
        Py_DECREF(approved);
    }
    if (self->approved_only == NULL || self->append == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

PyTypeObject PlainAdmission_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._orders.PlainAdmission",
    .tp_doc = PyDoc_STR("PlainAdmission(classes and words): call it with (core, approved, now_ns); what is to be written, or None."),
    .tp_basicsize = sizeof(PlainAdmission),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = admission_new,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(PlainAdmission, call),
    .tp_traverse = (traverseproc)admission_traverse,
    .tp_clear = (inquiry)admission_clear,
    .tp_dealloc = (destructor)admission_dealloc,
};
