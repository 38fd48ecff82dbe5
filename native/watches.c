/* TouchWatch and StreamWatch: what trading/market/watches.py's PyTouchWatch and PyStreamWatch do, in C. The Python classes
 * say what is right. They hold numbers only, no Python object, and run no Python code while they change. */

#include "marketdata.h"

#include <math.h>
#include <string.h>
#include <structmember.h>

#define NS_PER_MS 1000000L
#define MOST_KEPT 100000

static bool is_between(Py_ssize_t number, Py_ssize_t least)
{
    if (number < least || number > MOST_KEPT) {
        PyErr_Format(PyExc_ValueError, "a watch keeps %zd to %d numbers, not %zd", least, MOST_KEPT, number);
        return false;
    }
    return true;
}

/* The last numbers, oldest first; a full one forgets the oldest. */
typedef struct {
    int64_t *items;
    Py_ssize_t capacity, first, count;
} Ring;

/* Room for `capacity` numbers; false with an exception set. */
static bool ring_make(Ring *ring, Py_ssize_t capacity)
{
    int64_t *items = PyMem_New(int64_t, Py_MAX(capacity, 1));
    if (items == NULL) {
        PyErr_NoMemory();
        return false;
    }
    PyMem_Free(ring->items);
    *ring = (Ring){items, capacity, 0, 0};
    return true;
}

static int64_t ring_at(const Ring *ring, Py_ssize_t i)
{
    Py_ssize_t place = ring->first + i;
    return ring->items[place < ring->capacity ? place : place - ring->capacity];
}

static void ring_shift(Ring *ring)
{
    ring->first = ring->first + 1 < ring->capacity ? ring->first + 1 : 0;
    ring->count--;
}

static void ring_append(Ring *ring, int64_t number)
{
    if (ring->capacity == 0) {
        return;
    }
    if (ring->count == ring->capacity) {
        ring_shift(ring);
    }
    Py_ssize_t place = ring->first + ring->count;
    ring->items[place < ring->capacity ? place : place - ring->capacity] = number;
    ring->count++;
}

/* --- TouchWatch ---------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    int64_t bid, ask, bid_before, ask_before, window_ns;
    Ring flips; /* when the touch came back; its capacity is the limit */
} TouchWatch;

static int touch_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    TouchWatch *self = (TouchWatch *)object;
    static char *names[] = {"window_ns", "limit", NULL};
    long long window_ns;
    Py_ssize_t limit;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Ln:TouchWatch", names, &window_ns, &limit) ||
        !is_between(limit, 0) || !ring_make(&self->flips, limit)) {
        return -1;
    }
    self->bid = self->ask = self->bid_before = self->ask_before = -1;
    self->window_ns = window_ns;
    return 0;
}

static void touch_dealloc(PyObject *object)
{
    PyMem_Free(((TouchWatch *)object)->flips.items);
    Py_TYPE(object)->tp_free(object);
}

/* The best tick of a side: 1, 0 when the side is empty, -1 with an exception set. */
static int best_tick(PyObject *side, int64_t *tick)
{
    if (PyTuple_Check(side)) {
        if (PyTuple_GET_SIZE(side) == 0) {
            return 0;
        }
        PyObject *level = PyTuple_GET_ITEM(side, 0);
        if (PyTuple_Check(level) && PyTuple_GET_SIZE(level) == 2) {
            return number_of(PyTuple_GET_ITEM(level, 0), tick) ? 1 : -1;
        }
    }
    PyErr_SetString(PyExc_TypeError, "a side is a tuple of (tick, lots)");
    return -1;
}

static void touch_count(TouchWatch *self, int64_t bid, int64_t ask, int64_t now_ns)
{
    Ring *flips = &self->flips;
    if (bid != self->bid || ask != self->ask) {
        if (bid == self->bid_before && ask == self->ask_before) {
            ring_append(flips, now_ns);
        }
        self->bid_before = self->bid;
        self->ask_before = self->ask;
        self->bid = bid;
        self->ask = ask;
    }
    while (flips->count > 0 && now_ns - flips->items[flips->first] > self->window_ns) {
        ring_shift(flips);
    }
}

static PyObject *touch_is_calm(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    TouchWatch *self = (TouchWatch *)object;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "is_calm(bids, asks, now_ns)");
        return NULL;
    }
    int64_t bid, ask, now_ns;
    int bids = best_tick(args[0], &bid);
    int asks = bids < 0 ? -1 : best_tick(args[1], &ask);
    if (asks < 0 || !number_of(args[2], &now_ns)) {
        return NULL;
    }
    if (bids == 0 || asks == 0) {
        Py_RETURN_FALSE;
    }
    if (self->flips.items == NULL) {
        PyErr_SetString(PyExc_AttributeError, "a watch without limits");
        return NULL;
    }
    touch_count(self, bid, ask, now_ns);
    return PyBool_FromLong(0 < bid && bid < ask && self->flips.count < self->flips.capacity);
}

static PyMethodDef touch_methods[] = {
    {"is_calm", (PyCFunction)(void (*)(void))touch_is_calm, METH_FASTCALL,
     PyDoc_STR("is_calm(bids, asks, now_ns): count a top of book; whether nothing is wrong with it.")},
    {0},
};

static PyMemberDef touch_members[] = {
    {"flips", T_PYSSIZET, offsetof(TouchWatch, flips.count), READONLY, PyDoc_STR("How often the touch came back.")},
    {0},
};

PyTypeObject TouchWatch_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._marketdata.TouchWatch",
    .tp_doc = PyDoc_STR("TouchWatch(window_ns, limit)\n--\n\nHow often the touch of a book came back to where it was."),
    .tp_basicsize = sizeof(TouchWatch),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = touch_init,
    .tp_dealloc = touch_dealloc,
    .tp_methods = touch_methods,
    .tp_members = touch_members,
};

/* --- StreamWatch --------------------------------------------------------------------------------- */

/* A median is an int, or the float between two of them. */
typedef struct {
    enum { NOTHING, WHOLE, HALF } kind;
    int64_t whole;
    double half;
} Median;

typedef struct {
    PyObject_HEAD
    int64_t gap_ns, step_ns, bucket_ns;
    int64_t bucket, first, second, last_ns;
    int found; /* how many of first and second are known */
    char is_stepped;
    Ring minima, gaps;
    int64_t *sorted; /* room for the minima */
    Median median;
    Py_ssize_t wide;
} StreamWatch;

static int stream_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    StreamWatch *self = (StreamWatch *)object;
    static char *names[] = {"gap_ns", "step_ns", "bucket_ns", "buckets", "gaps_kept", NULL};
    long long gap_ns, step_ns, bucket_ns;
    Py_ssize_t buckets, gaps_kept;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "LLLnn:StreamWatch", names, &gap_ns, &step_ns, &bucket_ns, &buckets, &gaps_kept) ||
        !is_between(buckets, 1) || !is_between(gaps_kept, 1)) {
        return -1;
    }
    if (bucket_ns < 1) {
        PyErr_SetString(PyExc_ValueError, "a bucket lasts 1 ns at least");
        return -1;
    }
    int64_t *sorted = PyMem_New(int64_t, buckets);
    if (sorted == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    PyMem_Free(self->sorted);
    self->sorted = sorted;
    if (!ring_make(&self->minima, buckets) || !ring_make(&self->gaps, gaps_kept)) {
        return -1;
    }
    self->gap_ns = gap_ns;
    self->step_ns = step_ns;
    self->bucket_ns = bucket_ns;
    self->bucket = -1;
    self->last_ns = 0;
    self->found = 0;
    self->is_stepped = 0;
    self->median = (Median){NOTHING, 0, 0};
    self->wide = 0;
    return 0;
}

static void stream_dealloc(PyObject *object)
{
    StreamWatch *self = (StreamWatch *)object;
    PyMem_Free(self->minima.items);
    PyMem_Free(self->gaps.items);
    PyMem_Free(self->sorted);
    Py_TYPE(object)->tp_free(object);
}

static Median median_of(const Ring *ring, int64_t *sorted)
{
    Py_ssize_t n = ring->count;
    for (Py_ssize_t i = 0; i < n; i++) {
        int64_t number = ring_at(ring, i);
        Py_ssize_t j = i;
        for (; j > 0 && sorted[j - 1] > number; j--) {
            sorted[j] = sorted[j - 1];
        }
        sorted[j] = number;
    }
    if (n == 0) {
        return (Median){NOTHING, 0, 0};
    }
    if (n % 2 == 1) {
        return (Median){WHOLE, sorted[n / 2], 0};
    }
    return (Median){HALF, 0, (double)((__int128)sorted[n / 2 - 1] + sorted[n / 2]) / 2};
}

static bool is_step(const StreamWatch *self, Median median)
{
    if (median.kind == HALF) {
        return fabs((double)self->second - median.half) > (double)self->step_ns;
    }
    __int128 apart = (__int128)self->second - median.whole;
    return (apart < 0 ? -apart : apart) > self->step_ns;
}

static void stream_close_bucket(StreamWatch *self)
{
    int found = self->found;
    self->found = 0;
    if (found < 2) {
        return;
    }
    /* The median of the last change is that of the minima as they still are. */
    self->is_stepped = self->minima.count >= 3 && is_step(self, self->median);
    ring_append(&self->minima, self->second);
    self->median = median_of(&self->minima, self->sorted);
}

static void stream_time(StreamWatch *self, int64_t event_ns, int64_t recv_ns)
{
    int64_t bucket = recv_ns / self->bucket_ns - (recv_ns % self->bucket_ns < 0);
    if (bucket != self->bucket) {
        stream_close_bucket(self);
        self->bucket = bucket;
    }
    int64_t difference = recv_ns - event_ns;
    if (self->found == 0 || difference < self->first) {
        self->second = self->first;
        self->first = difference;
        self->found = Py_MIN(self->found + 1, 2);
    }
    else if (self->found == 1 || difference < self->second) {
        self->second = difference;
        self->found = 2;
    }
}

static PyObject *stream_on_message(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    StreamWatch *self = (StreamWatch *)object;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "on_message(ts_event_ns, ts_recv_ns)");
        return NULL;
    }
    int64_t event_ns, recv_ns;
    if (!number_of(args[0], &event_ns) || !number_of(args[1], &recv_ns)) {
        return NULL;
    }
    if (self->bucket_ns == 0) {
        PyErr_SetString(PyExc_AttributeError, "a watch without limits");
        return NULL;
    }
    if (event_ns > 0) {
        stream_time(self, event_ns, recv_ns);
    }
    if (self->last_ns != 0) {
        Ring *gaps = &self->gaps;
        int64_t gap = recv_ns - self->last_ns;
        if (gaps->count == gaps->capacity) {
            self->wide -= gaps->items[gaps->first] > self->gap_ns;
        }
        ring_append(gaps, gap);
        self->wide += gap > self->gap_ns;
    }
    self->last_ns = recv_ns;
    Py_RETURN_NONE;
}

static PyObject *stream_skew_ms(PyObject *object, void *ignored)
{
    (void)ignored;
    StreamWatch *self = (StreamWatch *)object;
    if (self->median.kind == NOTHING && self->found < 2) {
        Py_RETURN_NONE;
    }
    int64_t whole = self->median.kind == WHOLE ? self->median.whole : self->second;
    /* Python divides, so that a large int is rounded once. */
    PyObject *skew =
        self->median.kind == HALF ? PyFloat_FromDouble(self->median.half) : PyLong_FromLongLong(whole);
    PyObject *unit = skew != NULL ? PyLong_FromLong(NS_PER_MS) : NULL;
    PyObject *skew_ms = unit != NULL ? PyNumber_TrueDivide(skew, unit) : NULL;
    Py_XDECREF(skew);
    Py_XDECREF(unit);
    return skew_ms;
}

static PyObject *stream_gaps_ns(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    const Ring *gaps = &((StreamWatch *)object)->gaps;
    PyObject *list = PyList_New(gaps->count);
    for (Py_ssize_t i = 0; list != NULL && i < PyList_GET_SIZE(list); i++) {
        PyObject *gap = PyLong_FromLongLong(ring_at(gaps, i));
        if (gap == NULL) {
            Py_CLEAR(list);
        }
        else {
            PyList_SET_ITEM(list, i, gap);
        }
    }
    return list;
}

static PyMethodDef stream_methods[] = {
    {"on_message", (PyCFunction)(void (*)(void))stream_on_message, METH_FASTCALL,
     PyDoc_STR("on_message(ts_event_ns, ts_recv_ns): count one message.")},
    {"gaps_ns", stream_gaps_ns, METH_NOARGS, PyDoc_STR("The kept gaps between messages, oldest first.")},
    {0},
};

static PyMemberDef stream_members[] = {
    {"is_stepped", T_BOOL, offsetof(StreamWatch, is_stepped), READONLY, PyDoc_STR("Whether a clock stepped.")},
    {"gaps", T_PYSSIZET, offsetof(StreamWatch, gaps.count), READONLY, PyDoc_STR("How many gaps are kept.")},
    {"wide", T_PYSSIZET, offsetof(StreamWatch, wide), READONLY, PyDoc_STR("How many of them exceed the limit.")},
    {0},
};

static PyGetSetDef stream_properties[] = {
    {"skew_ms", stream_skew_ms, NULL, PyDoc_STR("The estimate; None before two messages."), NULL},
    {0},
};

PyTypeObject StreamWatch_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._marketdata.StreamWatch",
    .tp_doc = PyDoc_STR("StreamWatch(gap_ns, step_ns, bucket_ns, buckets, gaps_kept)\n--\n\nA venue's clock and gaps."),
    .tp_basicsize = sizeof(StreamWatch),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = stream_init,
    .tp_dealloc = stream_dealloc,
    .tp_methods = stream_methods,
    .tp_members = stream_members,
    .tp_getset = stream_properties,
};
