/* What every top of a book does to those who only note it: the governor's reference, the arbiter's touch, the fan-out.
 *
 * Each is called with a top. True: it was noted, as the Python that `native/_orders.pyi` names would have; False: nothing
 * was changed, and that Python is to look. A touch that somebody follows, a book that is not proved, a desk with something
 * due and a sample that is due are for Python. */

#include "orders.h"

#include <string.h>

enum { TOP_INSTRUMENT, TOP_STATE, TOP_BIDS, TOP_ASKS, TOP_RECV_NS };
static const char *const top_fields[] = {"instrument_id", "state", "bids", "asks", "ts_recv_ns", NULL};

enum { EXPOSURE_TOP, EXPOSURE_PROVED };
static const char *const exposure_fields[] = {"top", "proved", NULL};

enum { DESK_TOP, DESK_TRADABLE, DESK_BID, DESK_ASK, DESK_FOLLOWS, DESK_DIRTY, DESK_WAKE_NS, DESK_LOT_REACH, DESK_INVERSE };
static const char *const desk_fields[] = {
    "top", "tradable", "bid", "ask", "follows_touch", "dirty", "wake_ns", "lot_reach", "_inverse", NULL};

typedef struct {
    PyObject_HEAD
    Shape top, kept;     /* `kept` are the values of `by_id` */
    PyObject *by_id;     /* dict: instrument_id -> exposure, desk, or tuple of names */
    PyObject *synced;    /* the state of a proved book */
    PyObject *other;     /* now_ns() of a touch, the actor that tells of a fan-out */
    PyObject *sample_at; /* dict: instrument_id -> when the next sample is due */
    vectorcallfunc call;
} TopRoute;

static PyObject *name_tell;

#define TOP(object, field) FIELD(self->top, object, field)
#define KEPT(object, field) FIELD(self->kept, object, field)

static PyObject *noted(bool done)
{
    return Py_NewRef(done ? Py_True : Py_False);
}

/* Whoever keeps the top's instrument, borrowed; NULL with or without an exception. */
static PyObject *keeper_of(TopRoute *self, PyObject *top)
{
    PyObject *instrument_id = TOP(top, TOP_INSTRUMENT);
    return instrument_id != NULL ? PyDict_GetItemWithError(self->by_id, instrument_id) : NULL;
}

/* The one argument, or NULL with an exception set. */
static PyObject *top_given(PyObject *const *args, size_t flags, PyObject *names)
{
    if (PyVectorcall_NARGS(flags) != 1 || (names != NULL && PyTuple_GET_SIZE(names) > 0)) {
        PyErr_SetString(PyExc_TypeError, "(top) is needed");
        return NULL;
    }
    return args[0];
}

/* Whether the best level of a side is one, and its tick. */
static bool best_of(PyObject *levels, PyObject **tick)
{
    if (levels == NULL || !PyTuple_CheckExact(levels) || PyTuple_GET_SIZE(levels) == 0) {
        return false;
    }
    PyObject *level = PyTuple_GET_ITEM(levels, 0);
    if (!PyTuple_CheckExact(level) || PyTuple_GET_SIZE(level) == 0) {
        return false;
    }
    *tick = PyTuple_GET_ITEM(level, 0);
    return true;
}

static PyObject *reference_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    TopRoute *self = (TopRoute *)object;
    PyObject *top = top_given(args, flags, names), *bid, *ask;
    if (top == NULL) {
        return NULL;
    }
    if (!shape_fits(&self->top, top)) {
        return noted(false);
    }
    PyObject *exposure = keeper_of(self, top);
    if (exposure == NULL) {
        return PyErr_Occurred() ? NULL : noted(true); /* nobody trades it */
    }
    if (!shape_fits(&self->kept, exposure)) {
        return noted(false);
    }
    field_put(&self->kept, exposure, EXPOSURE_TOP, Py_NewRef(top));
    if (TOP(top, TOP_STATE) == self->synced && best_of(TOP(top, TOP_BIDS), &bid) && best_of(TOP(top, TOP_ASKS), &ask)) {
        field_put(&self->kept, exposure, EXPOSURE_PROVED, Py_NewRef(top));
    }
    return noted(true);
}

/* Whether nothing of the desk is due now: 1, 0, or -1 with an exception set. */
static int is_quiet(TopRoute *self, PyObject *desk)
{
    int64_t wake_ns, now_ns;
    if (KEPT(desk, DESK_DIRTY) != Py_False || !whole(KEPT(desk, DESK_WAKE_NS), &wake_ns)) {
        return 0;
    }
    PyObject *now = PyObject_CallNoArgs(self->other);
    if (now == NULL) {
        return -1;
    }
    bool quiet = whole(now, &now_ns) && now_ns < wake_ns;
    Py_DECREF(now);
    return quiet;
}

static PyObject *touch_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    TopRoute *self = (TopRoute *)object;
    PyObject *top = top_given(args, flags, names), *bid, *ask;
    int64_t new_bid, new_ask, old_bid, old_ask, sum;
    if (top == NULL) {
        return NULL;
    }
    PyObject *desk = shape_fits(&self->top, top) ? keeper_of(self, top) : NULL;
    if (desk == NULL) {
        return PyErr_Occurred() ? NULL : noted(shape_fits(&self->top, top));
    }
    if (!shape_fits(&self->kept, desk) || TOP(top, TOP_STATE) != self->synced || KEPT(desk, DESK_TRADABLE) != Py_True ||
        !best_of(TOP(top, TOP_BIDS), &bid) || !best_of(TOP(top, TOP_ASKS), &ask) || !whole(bid, &new_bid) ||
        !whole(ask, &new_ask) || !whole(KEPT(desk, DESK_BID), &old_bid) || !whole(KEPT(desk, DESK_ASK), &old_ask) ||
        __builtin_add_overflow(new_bid, new_ask, &sum)) {
        return noted(false);
    }
    bool moved = new_bid != old_bid || new_ask != old_ask;
    PyObject *inverse = KEPT(desk, DESK_INVERSE);
    if (moved && (KEPT(desk, DESK_FOLLOWS) != Py_False || (inverse != Py_True && inverse != Py_False))) {
        return noted(false);
    }
    int quiet = is_quiet(self, desk);
    if (quiet != 1) {
        return quiet < 0 ? NULL : noted(false);
    }
    if (moved && inverse == Py_False) {
        PyObject *reach = PyLong_FromLongLong(sum);
        if (reach == NULL) {
            return NULL;
        }
        field_put(&self->kept, desk, DESK_LOT_REACH, reach);
    }
    if (moved) {
        field_put(&self->kept, desk, DESK_BID, Py_NewRef(bid));
        field_put(&self->kept, desk, DESK_ASK, Py_NewRef(ask));
    }
    field_put(&self->kept, desk, DESK_TOP, Py_NewRef(top));
    return noted(true);
}

static PyObject *fan_out_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    TopRoute *self = (TopRoute *)object;
    PyObject *top = top_given(args, flags, names);
    int64_t recv_ns, due_ns;
    if (top == NULL) {
        return NULL;
    }
    PyObject *told = shape_fits(&self->top, top) ? keeper_of(self, top) : NULL;
    PyObject *due = told != NULL ? PyDict_GetItemWithError(self->sample_at, TOP(top, TOP_INSTRUMENT)) : NULL;
    if (due == NULL || !PyTuple_CheckExact(told) || !whole(due, &due_ns) || !whole(TOP(top, TOP_RECV_NS), &recv_ns) ||
        recv_ns >= due_ns) {
        return PyErr_Occurred() ? NULL : noted(false);
    }
    PyObject *tell = PyObject_GetAttr(self->other, name_tell);
    bool done = tell != NULL;
    Py_INCREF(told); /* whoever is told may change the table */
    for (Py_ssize_t i = 0; done && i < PyTuple_GET_SIZE(told); i++) {
        PyObject *to[] = {PyTuple_GET_ITEM(told, i), top};
        PyObject *result = PyObject_Vectorcall(tell, to, 2, NULL);
        done = result != NULL;
        Py_XDECREF(result);
    }
    Py_DECREF(told);
    Py_XDECREF(tell);
    return done ? noted(true) : NULL;
}

static int route_traverse(TopRoute *self, visitproc visit, void *arg)
{
    Py_VISIT(self->top.type);
    Py_VISIT(self->kept.type);
    Py_VISIT(self->by_id);
    Py_VISIT(self->synced);
    Py_VISIT(self->other);
    Py_VISIT(self->sample_at);
    return 0;
}

static int route_clear(TopRoute *self)
{
    Py_CLEAR(self->top.type);
    Py_CLEAR(self->kept.type);
    Py_CLEAR(self->by_id);
    Py_CLEAR(self->synced);
    Py_CLEAR(self->other);
    Py_CLEAR(self->sample_at);
    return 0;
}

static void route_dealloc(TopRoute *self)
{
    PyObject_GC_UnTrack(self);
    route_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

PyTypeObject TopRoute_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._orders.TopRoute",
    .tp_doc = PyDoc_STR("Call it with a top: whether it was noted."),
    .tp_basicsize = sizeof(TopRoute),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(TopRoute, call),
    .tp_traverse = (traverseproc)route_traverse,
    .tp_clear = (inquiry)route_clear,
    .tp_dealloc = (destructor)route_dealloc,
};

/* A route over the keepers in `by_id`, which are of the class `kept` unless that is NULL. */
static TopRoute *route_new(vectorcallfunc call, PyObject *by_id, PyObject *top, PyObject *kept, const char *const *fields)
{
    TopRoute *self = PyObject_GC_New(TopRoute, &TopRoute_Type);
    if (self == NULL) {
        return NULL;
    }
    memset((char *)self + sizeof(PyObject), 0, sizeof(TopRoute) - sizeof(PyObject));
    self->call = call;
    self->by_id = Py_NewRef(by_id);
    PyObject_GC_Track(self);
    if (!shape_learn(&self->top, top, top_fields) || (kept != NULL && !shape_learn(&self->kept, kept, fields))) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

PyObject *reference_route(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *by_id, *kept, *top, *synced;
    if (!PyArg_ParseTuple(args, "O!OOO:reference_route", &PyDict_Type, &by_id, &kept, &top, &synced)) {
        return NULL;
    }
    TopRoute *self = route_new(reference_call, by_id, top, kept, exposure_fields);
    if (self != NULL) {
        self->synced = Py_NewRef(synced);
    }
    return (PyObject *)self;
}

PyObject *touch_route(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *by_id, *kept, *top, *synced, *now_ns;
    if (!PyArg_ParseTuple(args, "O!OOOO:touch_route", &PyDict_Type, &by_id, &kept, &top, &synced, &now_ns)) {
        return NULL;
    }
    TopRoute *self = route_new(touch_call, by_id, top, kept, desk_fields);
    if (self != NULL) {
        self->synced = Py_NewRef(synced);
        self->other = Py_NewRef(now_ns);
    }
    return (PyObject *)self;
}

PyObject *fan_out_route(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *by_id, *sample_at, *top, *teller;
    if (!PyArg_ParseTuple(args, "O!O!OO:fan_out_route", &PyDict_Type, &by_id, &PyDict_Type, &sample_at, &top, &teller)) {
        return NULL;
    }
    name_tell = name_tell != NULL ? name_tell : PyUnicode_InternFromString("tell");
    TopRoute *self = name_tell != NULL ? route_new(fan_out_call, by_id, top, NULL, NULL) : NULL;
    if (self != NULL) {
        self->sample_at = Py_NewRef(sample_at);
        self->other = Py_NewRef(teller);
    }
    return (PyObject *)self;
}
