/* PlainRelease: the release of one order that was all that waited for its row, as OrderCore._release_alone says it in
 * Python.
 *
 * Owns the usual case only: a new order that is journalled and was doubted by nobody. None, with nothing changed, leaves
 * what waits to the core. */

#include "orders.h"

enum { CORE_OPEN, CORE_HELD };
static const char *const core_fields[] = {"_open", "_held", NULL};

enum { PLACE_KEY };
static const char *const place_fields[] = {"key", NULL};

enum { ORDER_APPROVED, ORDER_STATUS, ORDER_SENT_NS, ORDER_STORY };
static const char *const order_fields[] = {"approved", "ord_status", "sent_ns", "story", NULL};

enum { APPROVED_ORDER, APPROVED_EPOCH };
static const char *const approved_fields[] = {"order", "epoch", NULL};

enum {
    PROPOSED_VENUE, PROPOSED_INSTRUMENT, PROPOSED_ID, PROPOSED_SIDE, PROPOSED_TYPE, PROPOSED_TIME_IN_FORCE, PROPOSED_QTY,
    PROPOSED_PRICE, PROPOSED_REDUCES, PROPOSED_LEGS, PROPOSED_REPLACES, PROPOSED_CAUSE, PROPOSED_TRIGGER, PROPOSED_STP,
    PROPOSED_CONTINGENCY,
};
static const char *const proposed_fields[] = {
    "venue", "instrument_id", "cl_ord_id", "side", "ord_type", "time_in_force", "order_qty",
    "price", "reduce_only", "legs", "replaces", "cause", "trigger", "stp",
    "contingency", NULL};

enum { LEG_STRATEGY };
static const char *const leg_fields[] = {"strategy_id", NULL};

enum { CORE, PLACE, ORDER, APPROVED, PROPOSED, LEG, SHAPES };
static const char *const *const fields_of[SHAPES] = {
    core_fields, place_fields, order_fields, approved_fields, proposed_fields, leg_fields};

/* The class of the command; the status from which an order is released; its row of the table, with its words. */
enum { COMMAND, BEFORE, MOVE, WORDS };
enum { MOVE_AFTER, MOVE_EVENT, MOVE_OLD, MOVE_NEW, MOVE_WORDS };

typedef struct {
    PyObject_HEAD
    Shape shapes[SHAPES];
    PyObject *words[WORDS];
    PyObject *popleft, *nothing;
    Py_ssize_t story_lines;
    vectorcallfunc call;
} PlainRelease;

#define OF(shape, object, field) FIELD(self->shapes[shape], object, field)

/* The key of the one order that waits for `commit_id`, a new reference; NULL with or without an exception. */
static PyObject *key_of(PlainRelease *self, PyObject *held, PyObject *commit_id)
{
    int64_t asked, first_id;
    if (held == NULL || !whole(commit_id, &asked) || PyObject_Size(held) <= 0) {
        return NULL;
    }
    PyObject *key = NULL, *first = PySequence_GetItem(held, 0);
    if (is_exact(first, &PyTuple_Type) && PyTuple_GET_SIZE(first) == 2 && whole(PyTuple_GET_ITEM(first, 0), &first_id) &&
        first_id == asked) {
        PyObject *waits = PyTuple_GET_ITEM(first, 1);
        PyObject *place = is_exact(waits, &PyList_Type) && PyList_GET_SIZE(waits) == 1 ? PyList_GET_ITEM(waits, 0) : NULL;
        key = is_exact(place, self->shapes[PLACE].type) ? Py_XNewRef(OF(PLACE, place, PLACE_KEY)) : NULL;
    }
    Py_XDECREF(first);
    return key;
}

static bool are_legs(PlainRelease *self, PyObject *legs)
{
    bool usual = is_exact(legs, &PyTuple_Type);
    for (Py_ssize_t i = 0; usual && i < PyTuple_GET_SIZE(legs); i++) {
        PyObject *leg = PyTuple_GET_ITEM(legs, i);
        usual = shape_fits(&self->shapes[LEG], leg) && OF(LEG, leg, LEG_STRATEGY) != NULL;
    }
    return usual;
}

/* The order of that key where it is as usual, borrowed; NULL with or without an exception. */
static PyObject *order_of(PlainRelease *self, PyObject *open, PyObject *key)
{
    PyObject *order = is_exact(open, &PyDict_Type) ? PyDict_GetItemWithError(open, key) : NULL;
    if (!is_exact(order, self->shapes[ORDER].type) || OF(ORDER, order, ORDER_STATUS) != self->words[BEFORE]) {
        return NULL;
    }
    PyObject *story = OF(ORDER, order, ORDER_STORY), *approved = OF(ORDER, order, ORDER_APPROVED);
    PyObject *o = is_exact(approved, self->shapes[APPROVED].type) ? OF(APPROVED, approved, APPROVED_ORDER) : NULL;
    if (!is_exact(story, &PyList_Type) || PyList_GET_SIZE(story) >= self->story_lines ||
        !is_exact(o, self->shapes[PROPOSED].type) || OF(PROPOSED, o, PROPOSED_REPLACES) != Py_None) {
        return NULL;
    }
    return are_legs(self, OF(PROPOSED, o, PROPOSED_LEGS)) ? order : NULL;
}

/* Whose order it is, each once, in the order of the legs; a new reference, or NULL with an exception set. */
static PyObject *strategies_of(PlainRelease *self, PyObject *legs)
{
    if (PyTuple_GET_SIZE(legs) == 1) {
        return PyTuple_Pack(1, OF(LEG, PyTuple_GET_ITEM(legs, 0), LEG_STRATEGY));
    }
    PyObject *once = PyDict_New(), *strategy_ids = NULL;
    Py_ssize_t i = 0;
    while (once != NULL && i < PyTuple_GET_SIZE(legs) &&
           PyDict_SetItem(once, OF(LEG, PyTuple_GET_ITEM(legs, i), LEG_STRATEGY), Py_None) == 0) {
        i++;
    }
    if (once != NULL && i == PyTuple_GET_SIZE(legs)) {
        strategy_ids = PySequence_Tuple(once);
    }
    Py_XDECREF(once);
    return strategy_ids;
}

/* The order on the wire, a new reference; NULL with an exception set. */
static PyObject *command_of(PlainRelease *self, PyObject *order, PyObject *now)
{
    PyObject *approved = OF(ORDER, order, ORDER_APPROVED), *o = OF(APPROVED, approved, APPROVED_ORDER);
    PyObject *strategy_ids = strategies_of(self, OF(PROPOSED, o, PROPOSED_LEGS));
    if (strategy_ids == NULL) {
        return NULL;
    }
    PyObject *fields[] = {
        OF(PROPOSED, o, PROPOSED_VENUE),
        OF(PROPOSED, o, PROPOSED_INSTRUMENT),
        OF(PROPOSED, o, PROPOSED_ID),
        OF(PROPOSED, o, PROPOSED_SIDE),
        OF(PROPOSED, o, PROPOSED_TYPE),
        OF(PROPOSED, o, PROPOSED_TIME_IN_FORCE),
        OF(PROPOSED, o, PROPOSED_QTY),
        OF(PROPOSED, o, PROPOSED_PRICE),
        OF(PROPOSED, o, PROPOSED_REDUCES),
        strategy_ids,
        OF(APPROVED, approved, APPROVED_EPOCH),
        OF(PROPOSED, o, PROPOSED_CAUSE),
        now,
        OF(PROPOSED, o, PROPOSED_TRIGGER),
        OF(PROPOSED, o, PROPOSED_STP),
        OF(PROPOSED, o, PROPOSED_CONTINGENCY),
    };
    PyObject *command = shape_make(self->words[COMMAND], fields, 16);
    Py_DECREF(strategy_ids);
    return command;
}

/* Moves the order by its row of the table; false with an exception set. */
static bool release(PlainRelease *self, PyObject *held, PyObject *order, PyObject *now)
{
    PyObject *move = self->words[MOVE];
    PyObject *line = PyTuple_Pack(5, now, PyTuple_GET_ITEM(move, MOVE_EVENT), PyTuple_GET_ITEM(move, MOVE_OLD),
                                  PyTuple_GET_ITEM(move, MOVE_NEW), self->nothing);
    bool told = line != NULL && PyList_Append(OF(ORDER, order, ORDER_STORY), line) == 0;
    Py_XDECREF(line);
    PyObject *taken = told ? PyObject_CallMethodNoArgs(held, self->popleft) : NULL;
    if (taken == NULL) {
        return false;
    }
    Py_DECREF(taken);
    field_put(&self->shapes[ORDER], order, ORDER_STATUS, Py_NewRef(PyTuple_GET_ITEM(move, MOVE_AFTER)));
    field_put(&self->shapes[ORDER], order, ORDER_SENT_NS, Py_NewRef(now));
    return true;
}

static PyObject *release_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    PlainRelease *self = (PlainRelease *)object;
    if (PyVectorcall_NARGS(flags) != 3 || (names != NULL && PyTuple_GET_SIZE(names) > 0)) {
        PyErr_SetString(PyExc_TypeError, "(core, commit_id, now_ns) are needed");
        return NULL;
    }
    PyObject *core = args[0];
    if (!PyObject_TypeCheck(core, self->shapes[CORE].type)) {
        Py_RETURN_NONE;
    }
    PyObject *held = OF(CORE, core, CORE_HELD), *key = key_of(self, held, args[1]);
    PyObject *order = key != NULL ? order_of(self, OF(CORE, core, CORE_OPEN), key) : NULL;
    Py_XDECREF(key);
    if (order == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    PyObject *command = command_of(self, order, args[2]);
    PyObject *released = command != NULL ? PyTuple_Pack(2, order, command) : NULL;
    Py_XDECREF(command);
    if (released != NULL && !release(self, held, order, args[2])) {
        Py_CLEAR(released);
    }
    return released;
}

static int release_traverse(PlainRelease *self, visitproc visit, void *arg)
{
    for (int i = 0; i < SHAPES; i++) {
        Py_VISIT(self->shapes[i].type);
    }
    for (int i = 0; i < WORDS; i++) {
        Py_VISIT(self->words[i]);
    }
    return 0;
}

static int release_clear(PlainRelease *self)
{
    for (int i = 0; i < SHAPES; i++) {
        Py_CLEAR(self->shapes[i].type);
    }
    for (int i = 0; i < WORDS; i++) {
        Py_CLEAR(self->words[i]);
    }
    Py_CLEAR(self->popleft);
    Py_CLEAR(self->nothing);
    return 0;
}

static void release_dealloc(PlainRelease *self)
{
    PyObject_GC_UnTrack(self);
    release_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *release_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    Py_ssize_t story_lines = 0;
    if (PyTuple_GET_SIZE(args) != SHAPES + WORDS + 1 || (named != NULL && PyDict_GET_SIZE(named) > 0)) {
        PyErr_Format(PyExc_TypeError, "PlainRelease takes %d classes and words", SHAPES + WORDS + 1);
        return NULL;
    }
    PyObject *move = PyTuple_GET_ITEM(args, SHAPES + MOVE);
    if (!PyTuple_CheckExact(move) || PyTuple_GET_SIZE(move) != MOVE_WORDS) {
        PyErr_SetString(PyExc_TypeError, "a row of the table with its words is needed");
        return NULL;
    }
    story_lines = PyLong_AsSsize_t(PyTuple_GET_ITEM(args, SHAPES + WORDS));
    if (story_lines == -1 && PyErr_Occurred()) {
        return NULL;
    }
    PlainRelease *self = (PlainRelease *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->call = release_call;
    self->story_lines = story_lines;
    for (int i = 0; i < WORDS; i++) {
        self->words[i] = Py_NewRef(PyTuple_GET_ITEM(args, SHAPES + i));
    }
    bool learned = true;
    for (int i = 0; learned && i < SHAPES; i++) {
        learned = shape_learn(&self->shapes[i], PyTuple_GET_ITEM(args, i), fields_of[i]);
    }
    if (learned) {
        self->popleft = PyUnicode_InternFromString("popleft");
        self->nothing = PyUnicode_InternFromString("");
    }
    if (self->popleft == NULL || self->nothing == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

PyTypeObject PlainRelease_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._orders.PlainRelease",
    .tp_doc = PyDoc_STR("PlainRelease(classes and words): call it with (core, commit_id, now_ns); (order, command), or None."),
    .tp_basicsize = sizeof(PlainRelease),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = release_new,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(PlainRelease, call),
    .tp_traverse = (traverseproc)release_traverse,
    .tp_clear = (inquiry)release_clear,
    .tp_dealloc = (destructor)release_dealloc,
};
