/* VirtualClock, Timers and Drive: virtual time, the wake-ups in it, and a message at its time. What they do is said by
 * adapters/clock.py's PyVirtualClock, supervision/bases/timers.py's PyTimers and supervision/bases/loop.py's deliver_at. */

#include "actors.h"

#include <string.h>
#include <structmember.h>

static PyObject *name_alive, *name_exiting, *name_address;

bool drive_names(void)
{
    name_alive = PyUnicode_InternFromString("alive");
    name_exiting = PyUnicode_InternFromString("exiting");
    name_address = PyUnicode_InternFromString("address");
    return name_alive != NULL && name_exiting != NULL && name_address != NULL;
}

/* False with an exception set. */
static bool read_ns(PyObject *object, int64_t *ns)
{
    long long value = PyLong_AsLongLong(object);
    *ns = value;
    return value != -1 || !PyErr_Occurred();
}

/* --- VirtualClock -------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    int64_t mono_ns;
    int64_t offset_ns;
} VirtualClock;

static int clock_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    VirtualClock *self = (VirtualClock *)object;
    static char *names[] = {"wall_ns", "mono_ns", NULL};
    long long wall_ns, mono_ns = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "L|L:VirtualClock", names, &wall_ns, &mono_ns)) {
        return -1;
    }
    if (__builtin_sub_overflow(wall_ns, mono_ns, &self->offset_ns)) {
        PyErr_SetString(PyExc_OverflowError, "wall and monotonic time are too far apart");
        return -1;
    }
    self->mono_ns = mono_ns;
    return 0;
}

static PyObject *clock_wall_ns(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    VirtualClock *self = (VirtualClock *)object;
    return PyLong_FromLongLong(self->mono_ns + self->offset_ns);
}

static PyObject *clock_mono_ns(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    return PyLong_FromLongLong(((VirtualClock *)object)->mono_ns);
}

static bool clock_move(VirtualClock *self, int64_t mono_ns)
{
    int64_t wall_ns;
    if (__builtin_add_overflow(mono_ns, self->offset_ns, &wall_ns)) {
        PyErr_SetString(PyExc_OverflowError, "no such time");
        return false;
    }
    if (mono_ns < self->mono_ns) {
        PyErr_Format(
            PyExc_ValueError, "virtual time cannot go back: %lld < %lld", (long long)mono_ns, (long long)self->mono_ns);
        return false;
    }
    self->mono_ns = mono_ns;
    return true;
}

static PyObject *clock_advance_to_mono(PyObject *object, PyObject *to)
{
    int64_t mono_ns;
    if (!read_ns(to, &mono_ns) || !clock_move((VirtualClock *)object, mono_ns)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *clock_advance_to_wall(PyObject *object, PyObject *to)
{
    VirtualClock *self = (VirtualClock *)object;
    int64_t wall_ns, mono_ns;
    if (!read_ns(to, &wall_ns)) {
        return NULL;
    }
    if (__builtin_sub_overflow(wall_ns, self->offset_ns, &mono_ns)) {
        PyErr_SetString(PyExc_OverflowError, "no such time");
        return NULL;
    }
    if (!clock_move(self, mono_ns)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef clock_methods[] = {
    {"wall_ns", clock_wall_ns, METH_NOARGS, PyDoc_STR("Virtual UTC nanoseconds.")},
    {"mono_ns", clock_mono_ns, METH_NOARGS, PyDoc_STR("Virtual monotonic nanoseconds.")},
    {"advance_to_mono", clock_advance_to_mono, METH_O, PyDoc_STR("Move forward; back is a ValueError.")},
    {"advance_to_wall", clock_advance_to_wall, METH_O, PyDoc_STR("Move forward to a UTC time.")},
    {NULL, NULL, 0, NULL},
};

PyTypeObject VirtualClock_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._actors.VirtualClock",
    .tp_doc = PyDoc_STR("VirtualClock(wall_ns, mono_ns=0)\n--\n\nA clock that stands still until it is moved."),
    .tp_basicsize = sizeof(VirtualClock),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = PyType_GenericNew,
    .tp_init = clock_init,
    .tp_methods = clock_methods,
};

/* --- Timers -------------------------------------------------------------------------------------- */

typedef struct {
    int64_t due_ns;
    int64_t number; /* of two that are due at once, the one asked for first comes first */
    PyObject *target;
    PyObject *msg;
    PyObject *early_ns; /* or NULL */
} Timer;

typedef struct {
    PyObject_HEAD
    Timer *heap;
    Py_ssize_t count;
    Py_ssize_t capacity;
    int64_t number;
} Timers;

static void timer_drop(Timer timer)
{
    Py_DECREF(timer.target);
    Py_DECREF(timer.msg);
    Py_XDECREF(timer.early_ns);
}

static bool is_before(const Timer *one, const Timer *other)
{
    return one->due_ns < other->due_ns || (one->due_ns == other->due_ns && one->number < other->number);
}

/* The references of `timer` go over; on failure they are dropped and an exception is set. */
static bool timers_add(Timers *self, Timer timer)
{
    if (self->count == self->capacity) {
        Py_ssize_t capacity = self->capacity > 0 ? self->capacity * 2 : 64;
        Timer *heap = self->heap;
        PyMem_Resize(heap, Timer, capacity);
        if (heap == NULL) {
            timer_drop(timer);
            PyErr_NoMemory();
            return false;
        }
        self->heap = heap;
        self->capacity = capacity;
    }
    timer.number = ++self->number;
    Py_ssize_t at = self->count++;
    while (at > 0 && is_before(&timer, &self->heap[(at - 1) / 2])) {
        self->heap[at] = self->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    self->heap[at] = timer;
    return true;
}

/* The first of at least one; its references go over to the caller. */
static Timer timers_pop(Timers *self)
{
    Timer first = self->heap[0], last = self->heap[--self->count];
    Py_ssize_t at = 0;
    for (Py_ssize_t child = 1; child < self->count; child = 2 * at + 1) {
        if (child + 1 < self->count && is_before(&self->heap[child + 1], &self->heap[child])) {
            child++;
        }
        if (!is_before(&self->heap[child], &last)) {
            break;
        }
        self->heap[at] = self->heap[child];
        at = child;
    }
    self->heap[at] = last;
    return first;
}

/* 1, 0, or -1 with an exception set. */
static int is_true(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    int truth = value == NULL ? -1 : PyObject_IsTrue(value);
    Py_XDECREF(value);
    return truth;
}

static int wants(PyObject *target)
{
    int alive = is_true(target, name_alive);
    if (alive <= 0) {
        return alive;
    }
    int exiting = is_true(target, name_exiting);
    return exiting < 0 ? -1 : !exiting;
}

/* 1 and the next wake-up that is due by `now_ns`, with its references; 0 when there is none; -1 with an exception set. */
static int timers_next_due(Timers *self, int64_t now_ns, Timer *due)
{
    while (self->count > 0 && self->heap[0].due_ns <= now_ns) {
        Timer timer = timers_pop(self);
        int wanted = wants(timer.target);
        if (wanted <= 0) {
            timer_drop(timer);
            if (wanted < 0) {
                return -1;
            }
            continue;
        }
        if (timer.early_ns != NULL) {
            PyObject *answer = PyObject_CallNoArgs(timer.early_ns);
            int64_t early_ns = 0;
            bool read = answer != NULL && read_ns(answer, &early_ns);
            Py_XDECREF(answer);
            if (!read) {
                timer_drop(timer);
                return -1;
            }
            if (early_ns > 0) {
                if (__builtin_add_overflow(now_ns, early_ns, &timer.due_ns)) {
                    timer.due_ns = INT64_MAX;
                }
                if (!timers_add(self, timer)) {
                    return -1;
                }
                continue;
            }
        }
        *due = timer;
        return 1;
    }
    return 0;
}

static PyObject *timers_push(Timers *self, PyObject *const *args, Py_ssize_t count)
{
    if (count < 3 || count > 4) {
        PyErr_SetString(PyExc_TypeError, "push(due_ns, target, msg, early_ns=None)");
        return NULL;
    }
    int overflow;
    long long due_ns = PyLong_AsLongLongAndOverflow(args[0], &overflow);
    if (due_ns == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (overflow != 0) {
        due_ns = overflow > 0 ? INT64_MAX : INT64_MIN;
    }
    PyObject *early_ns = count == 4 && args[3] != Py_None ? Py_NewRef(args[3]) : NULL;
    if (!timers_add(self, (Timer){due_ns, 0, Py_NewRef(args[1]), Py_NewRef(args[2]), early_ns})) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *timers_next_ns(Timers *self, PyObject *ignored)
{
    (void)ignored;
    while (self->count > 0) {
        PyObject *target = Py_NewRef(self->heap[0].target);
        int64_t due_ns = self->heap[0].due_ns;
        int alive = is_true(target, name_alive);
        if (alive == 0 && self->count > 0 && self->heap[0].target == target) {
            timer_drop(timers_pop(self));
        }
        Py_DECREF(target);
        if (alive != 0) {
            return alive < 0 ? NULL : PyLong_FromLongLong(due_ns);
        }
    }
    Py_RETURN_NONE;
}

static PyObject *timers_take(Timers *self, PyObject *now)
{
    int64_t now_ns;
    Timer due;
    if (!read_ns(now, &now_ns)) {
        return NULL;
    }
    int found = timers_next_due(self, now_ns, &due);
    if (found < 0) {
        return NULL;
    }
    if (found == 0) {
        Py_RETURN_NONE;
    }
    PyObject *both = PyTuple_Pack(2, due.target, due.msg);
    timer_drop(due);
    return both;
}

static PyObject *timers_pending(Timers *self, PyObject *ignored)
{
    (void)ignored;
    PyObject *list = PyList_New(0);
    for (Py_ssize_t i = 0; list != NULL && i < self->count; i++) {
        Timer timer = self->heap[i];
        PyObject *row = Py_BuildValue("(LLN)", (long long)timer.due_ns, (long long)timer.number, Py_NewRef(timer.target));
        if (row == NULL || PyList_Append(list, row) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(row);
    }
    return list != NULL && PyList_Sort(list) < 0 ? (Py_DECREF(list), NULL) : list;
}

static int timers_traverse(Timers *self, visitproc visit, void *arg)
{
    for (Py_ssize_t i = 0; i < self->count; i++) {
        Py_VISIT(self->heap[i].target);
        Py_VISIT(self->heap[i].msg);
        Py_VISIT(self->heap[i].early_ns);
    }
    return 0;
}

static int timers_forget(Timers *self)
{
    while (self->count > 0) {
        timer_drop(self->heap[--self->count]);
    }
    return 0;
}

static PyObject *timers_clear(Timers *self, PyObject *ignored)
{
    (void)ignored;
    timers_forget(self);
    Py_RETURN_NONE;
}

static void timers_dealloc(Timers *self)
{
    PyObject_GC_UnTrack(self);
    timers_forget(self);
    PyMem_Free(self->heap);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static Py_ssize_t timers_length(Timers *self)
{
    return self->count;
}

static PyMethodDef timers_methods[] = {
    {"push", (PyCFunction)(void (*)(void))timers_push, METH_FASTCALL, PyDoc_STR("push(due_ns, target, msg, early_ns)")},
    {"next_ns", (PyCFunction)timers_next_ns, METH_NOARGS, PyDoc_STR("When the next is due; None without one.")},
    {"take", (PyCFunction)timers_take, METH_O, PyDoc_STR("The next (target, msg) that is due by then, or None.")},
    {"pending", (PyCFunction)timers_pending, METH_NOARGS, PyDoc_STR("All, as (due_ns, number, target), in order.")},
    {"clear", (PyCFunction)timers_clear, METH_NOARGS, PyDoc_STR("Forget all.")},
    {NULL, NULL, 0, NULL},
};

static PySequenceMethods timers_sequence = {.sq_length = (lenfunc)timers_length};

PyTypeObject Timers_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._actors.Timers",
    .tp_doc = PyDoc_STR("Wake-ups, by due time and then by the order in which they were asked for."),
    .tp_basicsize = sizeof(Timers),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_traverse = (traverseproc)timers_traverse,
    .tp_clear = (inquiry)timers_forget,
    .tp_dealloc = (destructor)timers_dealloc,
    .tp_as_sequence = &timers_sequence,
    .tp_methods = timers_methods,
};

/* --- Drive --------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    Ready *ready;
    Timers *timers;
    VirtualClock *clock;
    PyObject *actors;  /* dict: name -> Party */
    PyObject *inbox;   /* deque of what other threads sent */
    PyObject *special; /* these three as for Ready.drain */
    PyObject *deliver_special;
    PyObject *retry;
    PyObject *sender;
    PyObject *unusual; /* deliver_at(mono_ns, to, msg) in Python */
    PyObject *idle;    /* run_until_idle() in Python */
    Py_ssize_t limit;
    Py_ssize_t injected;
    Py_ssize_t wakeups;
    vectorcallfunc call;
} Drive;

static int drive_traverse(Drive *self, visitproc visit, void *arg)
{
    Py_VISIT(self->ready);
    Py_VISIT(self->timers);
    Py_VISIT(self->clock);
    Py_VISIT(self->actors);
    Py_VISIT(self->inbox);
    Py_VISIT(self->special);
    Py_VISIT(self->deliver_special);
    Py_VISIT(self->retry);
    Py_VISIT(self->sender);
    Py_VISIT(self->unusual);
    Py_VISIT(self->idle);
    return 0;
}

static int drive_clear(Drive *self)
{
    Py_CLEAR(self->ready);
    Py_CLEAR(self->timers);
    Py_CLEAR(self->clock);
    Py_CLEAR(self->actors);
    Py_CLEAR(self->inbox);
    Py_CLEAR(self->special);
    Py_CLEAR(self->deliver_special);
    Py_CLEAR(self->retry);
    Py_CLEAR(self->sender);
    Py_CLEAR(self->unusual);
    Py_CLEAR(self->idle);
    return 0;
}

static void drive_dealloc(Drive *self)
{
    PyObject_GC_UnTrack(self);
    drive_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* Delivers all that waits and all that follows from it; false with an exception set. */
static bool drive_drain(Drive *self)
{
    Py_ssize_t delivered = ready_run(self->ready, self->limit + 1, self->special, self->deliver_special, self->retry);
    if (delivered < 0) {
        return false;
    }
    Py_ssize_t others = PyObject_Size(self->inbox);
    if (delivered <= self->limit && others == 0) {
        return true;
    }
    PyObject *done = others < 0 ? NULL : PyObject_CallNoArgs(self->idle);
    Py_XDECREF(done);
    return done != NULL;
}

/* Wake-ups on the way there; false with an exception set. */
static bool drive_advance(Drive *self, int64_t mono_ns)
{
    Timers *timers = self->timers;
    while (timers->count > 0 && timers->heap[0].due_ns <= mono_ns) {
        int64_t due_ns = timers->heap[0].due_ns;
        if (due_ns > self->clock->mono_ns && !clock_move(self->clock, due_ns)) {
            return false;
        }
        Timer due;
        int found;
        Py_ssize_t fired = 0;
        while ((found = timers_next_due(timers, due_ns, &due)) > 0) {
            PyObject *address = PyObject_GetAttr(due.target, name_address);
            bool pushed = address != NULL && ready_push(self->ready, due.target, due.msg, address);
            Py_XDECREF(address);
            timer_drop(due);
            if (!pushed) {
                return false;
            }
            fired++;
        }
        self->wakeups += fired;
        if (found < 0 || (fired > 0 && !drive_drain(self))) {
            return false;
        }
    }
    return mono_ns <= self->clock->mono_ns || clock_move(self->clock, mono_ns);
}

static PyObject *drive_vectorcall(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Drive *self = (Drive *)object;
    int64_t mono_ns;
    if (PyVectorcall_NARGS(flags) != 3 || (names != NULL && PyTuple_GET_SIZE(names) > 0)) {
        PyErr_SetString(PyExc_TypeError, "(mono_ns, to, msg) are needed");
        return NULL;
    }
    if (!read_ns(args[0], &mono_ns)) {
        return NULL;
    }
    Py_ssize_t others = PyObject_Size(self->inbox);
    if (others != 0 || self->ready->count > 0 || self->ready->asleep) {
        return others < 0 ? NULL : PyObject_Vectorcall(self->unusual, args, 3, NULL);
    }
    if (!drive_advance(self, mono_ns)) {
        return NULL;
    }
    PyObject *target = PyDict_GetItemWithError(self->actors, args[1]);
    if (target == NULL) {
        return PyErr_Occurred() ? NULL : PyObject_Vectorcall(self->unusual, args, 3, NULL);
    }
    self->injected++;
    if (!ready_push(self->ready, target, args[2], self->sender) || !drive_drain(self)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *drive_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(named))
{
    PyObject *ready, *timers, *clock, *actors, *inbox, *special, *deliver_special, *retry, *sender, *unusual, *idle;
    Py_ssize_t limit;
    if (!PyArg_ParseTuple(
            args, "O!O!O!O!OO!OOOOOn", &Ready_Type, &ready, &Timers_Type, &timers, &VirtualClock_Type, &clock,
            &PyDict_Type, &actors, &inbox, &PyDict_Type, &special, &deliver_special, &retry, &sender, &unusual, &idle,
            &limit)) {
        return NULL;
    }
    Drive *self = (Drive *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->ready = (Ready *)Py_NewRef(ready);
    self->timers = (Timers *)Py_NewRef(timers);
    self->clock = (VirtualClock *)Py_NewRef(clock);
    self->actors = Py_NewRef(actors);
    self->inbox = Py_NewRef(inbox);
    self->special = Py_NewRef(special);
    self->deliver_special = Py_NewRef(deliver_special);
    self->retry = Py_NewRef(retry);
    self->sender = Py_NewRef(sender);
    self->unusual = Py_NewRef(unusual);
    self->idle = Py_NewRef(idle);
    self->limit = limit;
    self->call = drive_vectorcall;
    return (PyObject *)self;
}

static PyMemberDef drive_members[] = {
    {"injected", T_PYSSIZET, offsetof(Drive, injected), READONLY, PyDoc_STR("How many messages it brought.")},
    {"wakeups", T_PYSSIZET, offsetof(Drive, wakeups), READONLY, PyDoc_STR("How many wake-ups came on its way.")},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject Drive_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._actors.Drive",
    .tp_doc = PyDoc_STR("Drive(ready, timers, clock, actors, inbox, special, deliver_special, retry, sender, unusual, "
                        "idle, limit): call it with (mono_ns, to, msg)."),
    .tp_basicsize = sizeof(Drive),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = drive_new,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Drive, call),
    .tp_traverse = (traverseproc)drive_traverse,
    .tp_clear = (inquiry)drive_clear,
    .tp_dealloc = (destructor)drive_dealloc,
    .tp_members = drive_members,
};
