/* Book: trading/market/book.py's PyBook in C. The Python class says what is right; this one only says it faster. */

#include "side.h"

#include <structmember.h>

#define NO_CEILING NUMBER_LIMIT

typedef struct {
    PyObject_HEAD
    PyObject *instrument_id, *state, *top_type;
    Side bids, asks;
    Telling told_bids, told_asks;
    long long bid_horizon, ask_horizon, update_id, ts_event_ns, ts_recv_ns;
    long long left_edge;
    Py_ssize_t max_levels, max_entries, followed;
    char partial;
} Book;

/* Interned when the first book is made. */
static PyObject *name_bids, *name_asks, *name_final_update_id, *name_last_update_id, *name_update_id;
static PyObject *name_prev_final_update_id, *name_first_update_id;
static PyObject *name_ts_event_ns, *name_ts_recv_ns, *name_bid_ticks, *name_bid_lots, *name_ask_ticks, *name_ask_lots;
static PyObject *top_names;

static bool intern_names(void)
{
    const struct {
        PyObject **name;
        const char *text;
    } table[] = {
        {&name_bids, "bids"},
        {&name_asks, "asks"},
        {&name_final_update_id, "final_update_id"},
        {&name_last_update_id, "last_update_id"},
        {&name_update_id, "update_id"},
        {&name_prev_final_update_id, "prev_final_update_id"},
        {&name_first_update_id, "first_update_id"},
        {&name_ts_event_ns, "ts_event_ns"},
        {&name_ts_recv_ns, "ts_recv_ns"},
        {&name_bid_ticks, "bid_ticks"},
        {&name_bid_lots, "bid_lots"},
        {&name_ask_ticks, "ask_ticks"},
        {&name_ask_lots, "ask_lots"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (*table[i].name == NULL && (*table[i].name = PyUnicode_InternFromString(table[i].text)) == NULL) {
            return false;
        }
    }
    if (top_names == NULL) {
        top_names = Py_BuildValue(
            "(ssOOOOOs)", "instrument_id", "state", name_update_id, name_bids, name_asks, name_ts_event_ns,
            name_ts_recv_ns, "synthetic");
        for (Py_ssize_t i = 0; top_names != NULL && i < PyTuple_GET_SIZE(top_names); i++) {
            PyUnicode_InternInPlace(&PyTuple_GET_ITEM(top_names, i));
        }
    }
    return top_names != NULL;
}

/* --- Life --------------------------------------------------------------------------------------- */

static void book_forget(Book *self)
{
    self->bids.count = self->asks.count = 0;
    self->bid_horizon = 0;
    self->ask_horizon = NO_CEILING;
    self->update_id = -1;
    self->ts_event_ns = self->ts_recv_ns = 0;
}

static PyObject *book_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs;
    if (!intern_names()) {
        return NULL;
    }
    Book *self = (Book *)type->tp_alloc(type, 0);
    if (self != NULL) {
        book_forget(self);
        self->max_levels = 1;
        self->max_entries = 2;
    }
    return (PyObject *)self;
}

static int book_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    Book *self = (Book *)object;
    static char *names[] = {"instrument_id", "max_levels", "state", "top_type", NULL};
    PyObject *instrument_id, *state, *top_type;
    Py_ssize_t max_levels;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "UnOO:Book", names, &instrument_id, &max_levels, &state, &top_type)) {
        return -1;
    }
    if (max_levels < 1 || max_levels > PY_SSIZE_T_MAX / 4) {
        PyErr_SetString(PyExc_ValueError, "max_levels is at least 1");
        return -1;
    }
    Py_XSETREF(self->instrument_id, Py_NewRef(instrument_id));
    Py_XSETREF(self->state, Py_NewRef(state));
    Py_XSETREF(self->top_type, Py_NewRef(top_type));
    self->max_levels = max_levels;
    self->max_entries = 2 * max_levels;
    self->partial = 0;
    self->left_edge = -1;
    self->followed = 0;
    book_forget(self);
    return 0;
}

static int book_traverse(PyObject *object, visitproc visit, void *arg)
{
    Book *self = (Book *)object;
    Py_VISIT(self->instrument_id);
    Py_VISIT(self->state);
    Py_VISIT(self->top_type);
    Py_VISIT(self->told_bids.told);
    Py_VISIT(self->told_asks.told);
    return 0;
}

static int book_drop(PyObject *object)
{
    Book *self = (Book *)object;
    Py_CLEAR(self->instrument_id);
    Py_CLEAR(self->state);
    Py_CLEAR(self->top_type);
    Py_CLEAR(self->told_bids.told);
    Py_CLEAR(self->told_asks.told);
    return 0;
}

static void book_dealloc(PyObject *object)
{
    Book *self = (Book *)object;
    PyObject_GC_UnTrack(object);
    book_drop(object);
    PyMem_Free(self->bids.items);
    PyMem_Free(self->asks.items);
    Py_TYPE(object)->tp_free(object);
}

static PyObject *book_sizeof(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    Book *self = (Book *)object;
    Py_ssize_t levels = self->bids.capacity + self->asks.capacity;
    return PyLong_FromSsize_t(Py_TYPE(object)->tp_basicsize + levels * (Py_ssize_t)sizeof(Level));
}

/* --- Changes ------------------------------------------------------------------------------------ */

static Fields update_fields = {
    .count = 5, .names = {&name_final_update_id, &name_ts_event_ns, &name_ts_recv_ns, &name_bids, &name_asks}};
static Fields chained_fields = {
    .count = 6,
    .names = {&name_final_update_id, &name_ts_event_ns, &name_ts_recv_ns, &name_bids, &name_asks,
              &name_prev_final_update_id}};
static Fields counted_fields = {
    .count = 6,
    .names = {&name_final_update_id, &name_ts_event_ns, &name_ts_recv_ns, &name_bids, &name_asks,
              &name_first_update_id}};
static Fields snapshot_fields = {
    .count = 5, .names = {&name_last_update_id, &name_ts_event_ns, &name_ts_recv_ns, &name_bids, &name_asks}};
static Fields ticker_fields = {
    .count = 7,
    .names = {&name_bid_ticks, &name_bid_lots, &name_ask_ticks, &name_ask_lots, &name_update_id, &name_ts_event_ns,
              &name_ts_recv_ns}};

/* A diff or a snapshot, read whole before anything is changed. */
typedef struct {
    PyObject *bids, *asks;
    LevelsView bid, ask;
    int64_t update_id, ts_event_ns, ts_recv_ns;
} Message;

static void message_free(Message *m)
{
    levels_view_free(&m->bid);
    levels_view_free(&m->ask);
    Py_CLEAR(m->bids);
    Py_CLEAR(m->asks);
}

/* The references of the five `values` go over. */
static bool message_of(PyObject *const *values, Message *m)
{
    *m = (Message){0};
    m->bids = values[3];
    m->asks = values[4];
    bool read = number_of(values[0], &m->update_id) && number_of(values[1], &m->ts_event_ns) &&
                number_of(values[2], &m->ts_recv_ns) && levels_view(m->bids, &m->bid) && levels_view(m->asks, &m->ask);
    for (int i = 0; i < 3; i++) {
        Py_DECREF(values[i]);
    }
    if (!read) {
        message_free(m);
    }
    return read;
}

static bool message_read(PyObject *object, Fields *fields, Message *m)
{
    PyObject *values[FIELDS_MAX];
    return fields_read(fields, object, values) && message_of(values, m);
}

static void book_compact(Book *self)
{
    if (side_compact(&self->bids, self->max_levels)) {
        self->bid_horizon = Py_MAX(self->bid_horizon, self->bids.items[0].tick);
    }
    if (side_compact(&self->asks, self->max_levels)) {
        self->ask_horizon = Py_MIN(self->ask_horizon, -self->asks.items[0].tick);
    }
}

/* Sets the levels of `m`, which is freed: whether the touch is then sound, or -1 with an exception set. */
static int book_set(Book *self, Message *m)
{
    /* From here to the answer no Python code runs. */
    if (!levels_view_distinct(&m->bid) || !levels_view_distinct(&m->ask) ||
        !side_reserve(&self->bids, 2 * m->bid.count) || !side_reserve(&self->asks, 2 * m->ask.count)) {
        message_free(m);
        return -1;
    }
    if (m->bid.count > 0) {
        side_apply(&self->bids, &m->bid, 1);
    }
    if (m->ask.count > 0) {
        side_apply(&self->asks, &m->ask, -1);
    }
    self->update_id = m->update_id;
    self->ts_event_ns = m->ts_event_ns;
    self->ts_recv_ns = m->ts_recv_ns;
    if (self->bids.count > self->max_entries || self->asks.count > self->max_entries) {
        book_compact(self);
    }
    const Level *bid = side_best(&self->bids), *ask = side_best(&self->asks);
    bool sound = bid != NULL && ask != NULL && self->bid_horizon <= bid->tick && bid->tick < -ask->tick &&
                 -ask->tick <= self->ask_horizon;
    message_free(m);
    return sound;
}

static PyObject *book_apply(PyObject *object, PyObject *update)
{
    Message m;
    if (!message_read(update, &update_fields, &m)) {
        return NULL;
    }
    int sound = book_set((Book *)object, &m);
    return sound < 0 ? NULL : PyBool_FromLong(sound);
}

/* An int as it is compared with an update id: what is beyond every id is at the end of the numbers. */
static bool id_of(PyObject *object, int64_t *id)
{
    if (!PyLong_Check(object)) {
        PyErr_Format(PyExc_TypeError, "an int is needed, not %.80s", Py_TYPE(object)->tp_name);
        return false;
    }
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    *id = overflow > 0 ? INT64_MAX : overflow < 0 ? INT64_MIN : value;
    return true;
}

static PyObject *book_follow(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    Book *self = (Book *)object;
    if (count != 2 || !PyBool_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "follow(update, chained)");
        return NULL;
    }
    bool chained = args[1] == Py_True;
    PyObject *values[FIELDS_MAX];
    if (!fields_read(chained ? &chained_fields : &counted_fields, args[0], values)) {
        return NULL;
    }
    int64_t expected = self->update_id + !chained, edge, final;
    bool read = id_of(values[5], &edge) && id_of(values[0], &final);
    Py_DECREF(values[5]);
    if (!read || edge != expected || final <= self->update_id) {
        for (int i = 0; i < 5; i++) {
            Py_DECREF(values[i]);
        }
        return read ? Py_NewRef(Py_None) : NULL;
    }
    Message m;
    int sound = message_of(values, &m) ? book_set(self, &m) : -1;
    if (sound < 0) {
        return NULL;
    }
    self->left_edge = edge;
    self->followed++;
    return PyBool_FromLong(sound);
}

/* Without its levels of 0 lots; false with an exception set. */
static bool without_zeros(LevelsView *view)
{
    Level *kept = view->copy;
    if (kept == NULL && view->count > 0 && (kept = PyMem_New(Level, view->count)) == NULL) {
        PyErr_NoMemory();
        return false;
    }
    Py_ssize_t n = 0;
    for (Py_ssize_t i = 0; i < view->count; i++) {
        if (view->items[i].lots != 0) {
            kept[n++] = view->items[i];
        }
    }
    *view = (LevelsView){kept, n, kept};
    return true;
}

static PyObject *book_apply_snapshot(PyObject *object, PyObject *args, PyObject *kwargs)
{
    Book *self = (Book *)object;
    static char *names[] = {"snapshot", "depth_limit", NULL};
    PyObject *snapshot;
    Py_ssize_t depth_limit = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|n:apply_snapshot", names, &snapshot, &depth_limit)) {
        return NULL;
    }
    Message m;
    if (!message_read(snapshot, &snapshot_fields, &m)) {
        return NULL;
    }
    Py_ssize_t stated_bids = m.bid.count, stated_asks = m.ask.count;
    if (!without_zeros(&m.bid) || !without_zeros(&m.ask) || !levels_view_distinct(&m.bid) ||
        !levels_view_distinct(&m.ask) || !side_reserve(&self->bids, m.bid.count) ||
        !side_reserve(&self->asks, m.ask.count)) {
        message_free(&m);
        return NULL;
    }
    book_forget(self);
    side_replace(&self->bids, &m.bid, 1);
    side_replace(&self->asks, &m.ask, -1);
    if (depth_limit != 0 && stated_bids >= depth_limit && self->bids.count > 0) {
        self->bid_horizon = self->bids.items[0].tick;
    }
    if (depth_limit != 0 && stated_asks >= depth_limit && self->asks.count > 0) {
        self->ask_horizon = -self->asks.items[0].tick;
    }
    self->update_id = m.update_id;
    self->ts_event_ns = m.ts_event_ns;
    self->ts_recv_ns = m.ts_recv_ns;
    book_compact(self);
    message_free(&m);
    Py_RETURN_NONE;
}

static PyObject *book_apply_ticker(PyObject *object, PyObject *ticker)
{
    Book *self = (Book *)object;
    PyObject *values[FIELDS_MAX];
    int64_t read[7];
    if (!fields_read(&ticker_fields, ticker, values)) {
        return NULL;
    }
    bool whole = true;
    for (int i = 0; i < 7; i++) {
        whole = whole && number_of(values[i], &read[i]);
        Py_DECREF(values[i]);
    }
    if (!whole) {
        return NULL;
    }
    int64_t bid = read[0], bid_lots = read[1], ask = read[2], ask_lots = read[3];
    self->bids.count = self->asks.count = 0;
    if (!side_reserve(&self->bids, 1) || !side_reserve(&self->asks, 1)) {
        return NULL;
    }
    if (bid_lots != 0) {
        self->bids.items[self->bids.count++] = (Level){bid, bid_lots};
    }
    if (ask_lots != 0) {
        self->asks.items[self->asks.count++] = (Level){-ask, ask_lots};
    }
    self->partial = 1;
    self->update_id = read[4];
    self->ts_event_ns = read[5] != 0 ? read[5] : self->ts_event_ns;
    self->ts_recv_ns = read[6];
    return PyBool_FromLong(bid_lots != 0 && ask_lots != 0 && bid < ask);
}

static PyObject *book_clear(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    book_forget((Book *)object);
    Py_RETURN_NONE;
}

/* --- Views -------------------------------------------------------------------------------------- */

static PyObject *book_best_bid(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    const Level *best = side_best(&((Book *)object)->bids);
    if (best == NULL) {
        Py_RETURN_NONE;
    }
    Level level = *best;
    return level_pair(level.tick, level.lots);
}

static PyObject *book_best_ask(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    const Level *best = side_best(&((Book *)object)->asks);
    if (best == NULL) {
        Py_RETURN_NONE;
    }
    Level level = *best;
    return level_pair(-level.tick, level.lots);
}

static PyObject *lots_at(const Side *side, PyObject *tick, int sign)
{
    int64_t key;
    if (!number_of(tick, &key)) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError)) { /* no such level can be held */
            PyErr_Clear();
            return PyLong_FromLong(0);
        }
        return NULL;
    }
    return PyLong_FromLongLong(side_lots(side, sign * key));
}

static PyObject *book_bid_lots(PyObject *object, PyObject *tick)
{
    return lots_at(&((Book *)object)->bids, tick, 1);
}

static PyObject *book_ask_lots(PyObject *object, PyObject *tick)
{
    return lots_at(&((Book *)object)->asks, tick, -1);
}

/* Whether the level that `place`, a (side, tick), names shows other lots than `noted`, a (lots, ...), says: 1, 0, -1 with
 * an exception set. */
static int has_changed(Book *self, PyObject *place, PyObject *noted, PyObject *bid)
{
    int64_t tick, lots;
    if (!PyTuple_CheckExact(place) || PyTuple_GET_SIZE(place) != 2 || !PyTuple_CheckExact(noted) ||
        PyTuple_GET_SIZE(noted) < 1) {
        PyErr_SetString(PyExc_TypeError, "levels are (side, tick) -> (lots, ...)");
        return -1;
    }
    if (!number_of(PyTuple_GET_ITEM(place, 1), &tick) || !number_of(PyTuple_GET_ITEM(noted, 0), &lots)) {
        return -1;
    }
    bool bids = PyTuple_GET_ITEM(place, 0) == bid;
    return side_lots(bids ? &self->bids : &self->asks, bids ? tick : -tick) != lots;
}

static PyObject *book_drop_changed(PyObject *object, PyObject *const *args, Py_ssize_t given)
{
    if (given != 2 || !PyDict_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "drop_changed(levels, bid): a dict is needed");
        return NULL;
    }
    PyObject *gone = NULL, *place, *noted;
    Py_ssize_t at = 0;
    while (PyDict_Next(args[0], &at, &place, &noted)) {
        int changed = has_changed((Book *)object, place, noted, args[1]);
        if (changed > 0 && gone == NULL && (gone = PyList_New(0)) == NULL) {
            return NULL;
        }
        if (changed < 0 || (changed > 0 && PyList_Append(gone, place) < 0)) {
            Py_XDECREF(gone);
            return NULL;
        }
    }
    for (Py_ssize_t i = 0; gone != NULL && i < PyList_GET_SIZE(gone); i++) {
        if (PyDict_DelItem(args[0], PyList_GET_ITEM(gone, i)) < 0) {
            Py_DECREF(gone);
            return NULL;
        }
    }
    Py_XDECREF(gone);
    Py_RETURN_NONE;
}

static PyObject *book_crossed(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    Book *self = (Book *)object;
    const Level *bid = side_best(&self->bids), *ask = side_best(&self->asks);
    return PyBool_FromLong(bid != NULL && ask != NULL && bid->tick >= -ask->tick);
}

static PyObject *book_beyond_horizon(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    Book *self = (Book *)object;
    const Level *bid = side_best(&self->bids), *ask = side_best(&self->asks);
    bool below = bid != NULL ? bid->tick < self->bid_horizon : self->bid_horizon > 0;
    bool above = ask != NULL ? -ask->tick > self->ask_horizon : self->ask_horizon < NO_CEILING;
    return PyBool_FromLong(below || above);
}

static PyObject *book_top(PyObject *object, PyObject *number)
{
    Book *self = (Book *)object;
    Py_ssize_t n = PyNumber_AsSsize_t(number, NULL);
    if (n == -1 && PyErr_Occurred()) {
        return NULL;
    }
    PyObject *bids = side_top(&self->bids, n, 1);
    PyObject *asks = bids != NULL ? side_top(&self->asks, n, -1) : NULL;
    PyObject *both = asks != NULL ? PyTuple_Pack(2, bids, asks) : NULL;
    Py_XDECREF(bids);
    Py_XDECREF(asks);
    return both;
}

static PyObject *book_levels(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    Book *self = (Book *)object;
    return level_pair(side_live(&self->bids), side_live(&self->asks));
}

static PyObject *book_entries(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    Book *self = (Book *)object;
    return level_pair(self->bids.count, self->asks.count);
}

/* Arguments of `to_top`, by hand: it is called for every message. */
static bool top_arguments(
    PyObject *const *args, Py_ssize_t given, PyObject *names, Py_ssize_t *n, PyObject **synthetic, int64_t *seen_ns)
{
    PyObject *values[3] = {NULL, NULL, NULL};
    static const char *const expected[3] = {"n", "synthetic", "seen_ns"};
    Py_ssize_t named = names != NULL ? PyTuple_GET_SIZE(names) : 0;
    if (given > 3) {
        PyErr_SetString(PyExc_TypeError, "to_top takes n, synthetic and seen_ns");
        return false;
    }
    for (Py_ssize_t i = 0; i < given; i++) {
        values[i] = args[i];
    }
    for (Py_ssize_t i = 0; i < named; i++) {
        int place = 0;
        while (place < 3 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), expected[place]) != 0) {
            place++;
        }
        if (place == 3 || values[place] != NULL) {
            PyErr_Format(PyExc_TypeError, "to_top: unexpected argument %R", PyTuple_GET_ITEM(names, i));
            return false;
        }
        values[place] = args[given + i];
    }
    if (values[0] != NULL && (*n = PyNumber_AsSsize_t(values[0], NULL)) == -1 && PyErr_Occurred()) {
        return false;
    }
    if (values[1] != NULL) {
        *synthetic = values[1];
    }
    return values[2] == NULL || number_of(values[2], seen_ns);
}

static PyObject *book_to_top(PyObject *object, PyObject *const *args, Py_ssize_t given, PyObject *names)
{
    Book *self = (Book *)object;
    Py_ssize_t n = 5;
    PyObject *synthetic = Py_False;
    int64_t seen_ns = 0;
    if (!top_arguments(args, given, names, &n, &synthetic, &seen_ns)) {
        return NULL;
    }
    if (self->instrument_id == NULL || self->state == NULL || self->top_type == NULL) {
        PyErr_SetString(PyExc_AttributeError, "a book without an instrument or a state");
        return NULL;
    }
    n = Py_MIN(n, TOP_MAX);
    PyObject *values[8] = {
        Py_NewRef(self->instrument_id),
        Py_NewRef(self->state),
        PyLong_FromLongLong(self->update_id),
        side_tell(&self->bids, &self->told_bids, n, 1),
        side_tell(&self->asks, &self->told_asks, n, -1),
        PyLong_FromLongLong(self->ts_event_ns),
        PyLong_FromLongLong(Py_MAX(self->ts_recv_ns, seen_ns)),
        Py_NewRef(synthetic),
    };
    bool whole = true;
    for (int i = 0; i < 8; i++) {
        whole = whole && values[i] != NULL;
    }
    PyObject *top = whole ? PyObject_Vectorcall(self->top_type, values, 0, top_names) : NULL;
    for (int i = 0; i < 8; i++) {
        Py_XDECREF(values[i]);
    }
    return top;
}

/* --- The type ----------------------------------------------------------------------------------- */

#define TAKES_KEYWORDS(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef book_methods[] = {
    {"apply", book_apply, METH_O, PyDoc_STR("Set every level of an update; whether the touch is plainly sound.")},
    {"follow", TAKES_KEYWORDS(book_follow), METH_FASTCALL,
     PyDoc_STR("follow(update, chained): apply a diff that meets the update id, as apply does; None for any other.")},
    {"apply_snapshot", TAKES_KEYWORDS(book_apply_snapshot), METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("Replace everything by a snapshot.")},
    {"apply_ticker", book_apply_ticker, METH_O, PyDoc_STR("Replace everything by a venue's best prices; whether they are two and not crossed.")},
    {"clear", book_clear, METH_NOARGS, PyDoc_STR("Forget every level and the update id.")},
    {"best_bid", book_best_bid, METH_NOARGS, PyDoc_STR("The highest bid, or None.")},
    {"best_ask", book_best_ask, METH_NOARGS, PyDoc_STR("The lowest ask, or None.")},
    {"bid_lots", book_bid_lots, METH_O, PyDoc_STR("Lots bid at a tick.")},
    {"ask_lots", book_ask_lots, METH_O, PyDoc_STR("Lots offered at a tick.")},
    {"drop_changed", TAKES_KEYWORDS(book_drop_changed), METH_FASTCALL,
     PyDoc_STR("drop_changed(levels, bid): forget levels that show other lots now.")},
    {"crossed", book_crossed, METH_NOARGS, PyDoc_STR("Whether the best bid reaches the best ask.")},
    {"beyond_horizon", book_beyond_horizon, METH_NOARGS, PyDoc_STR("Whether a best price lies beyond the horizon.")},
    {"top", book_top, METH_O, PyDoc_STR("The best n bids and asks, best first.")},
    {"levels", book_levels, METH_NOARGS, PyDoc_STR("How many live levels each side holds.")},
    {"entries", book_entries, METH_NOARGS, PyDoc_STR("How many entries each side holds.")},
    {"to_top", TAKES_KEYWORDS(book_to_top), METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("What the desk is told.")},
    {"__sizeof__", book_sizeof, METH_NOARGS, PyDoc_STR("Bytes, levels included.")},
    {0},
};

static PyMemberDef book_members[] = {
    {"instrument_id", T_OBJECT_EX, offsetof(Book, instrument_id), READONLY, NULL},
    {"state", T_OBJECT_EX, offsetof(Book, state), 0, NULL},
    {"left_edge", T_LONGLONG, offsetof(Book, left_edge), 0, NULL},
    {"followed", T_PYSSIZET, offsetof(Book, followed), 0, NULL},
    {"max_levels", T_PYSSIZET, offsetof(Book, max_levels), READONLY, NULL},
    {"partial", T_BOOL, offsetof(Book, partial), 0, NULL},
    {"bid_horizon", T_LONGLONG, offsetof(Book, bid_horizon), 0, NULL},
    {"ask_horizon", T_LONGLONG, offsetof(Book, ask_horizon), 0, NULL},
    {"update_id", T_LONGLONG, offsetof(Book, update_id), 0, NULL},
    {"ts_event_ns", T_LONGLONG, offsetof(Book, ts_event_ns), 0, NULL},
    {"ts_recv_ns", T_LONGLONG, offsetof(Book, ts_recv_ns), 0, NULL},
    {0},
};

PyTypeObject Book_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._marketdata.Book",
    .tp_doc = PyDoc_STR("Book(instrument_id, max_levels, state, top_type)\n--\n\nAn order book in ticks and lots."),
    .tp_basicsize = sizeof(Book),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = book_new,
    .tp_init = book_init,
    .tp_dealloc = book_dealloc,
    .tp_traverse = book_traverse,
    .tp_clear = book_drop,
    .tp_methods = book_methods,
    .tp_members = book_members,
};
