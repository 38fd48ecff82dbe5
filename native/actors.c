/* The extension module native._actors: what happens to every message between the actors of one loop.
 *
 * Party  what the loop must know of an actor: who takes its messages, and how many it took
 * Ready  the messages that wait, first in first out, and their delivery
 * Post   an actor's way to send, by address or by name
 * Inbox  the entry of an actor of ours: straight to `on` when nothing is unusual
 *
 * VirtualClock, Timers and Drive are in drive.c.
 *
 * Owns the usual case only. Whatever is unusual (a rare type, a name that is not here, an exception) is handed to the
 * Python of supervision.bases and actors.shell, which is also what runs where this was not built. */

#include "actors.h"

#include <structmember.h>

static PyObject *name_aaddr;  /* ActorAddress._aaddr */
static PyObject *name_on;
static PyObject *name_receive_message;
static PyObject *name_crash;

/* What was raised, as a new reference; nothing is raised afterwards. */
static PyObject *take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace != NULL) {
        PyException_SetTraceback(value, trace);
    }
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return value;
#endif
}

static int kinds_traverse(Kinds *kinds, visitproc visit, void *arg)
{
    for (int i = 0; i < KINDS; i++) {
        Py_VISIT(kinds->types[i]);
    }
    return 0;
}

static void kinds_clear(Kinds *kinds)
{
    for (int i = 0; i < KINDS; i++) {
        Py_CLEAR(kinds->types[i]);
    }
}

/* --- Party --------------------------------------------------------------------------------------- */

static int party_traverse(Party *self, visitproc visit, void *arg)
{
    Py_VISIT(self->receive);
    return 0;
}

static int party_clear(Party *self)
{
    Py_CLEAR(self->receive);
    return 0;
}

static void party_dealloc(Party *self)
{
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->receive);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMemberDef party_members[] = {
    {"receive", T_OBJECT_EX, offsetof(Party, receive), 0, PyDoc_STR("receive(msg, sender) takes its messages.")},
    {"handled", T_PYSSIZET, offsetof(Party, handled), 0, PyDoc_STR("How many messages it took.")},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject Party_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._actors.Party",
    .tp_doc = PyDoc_STR("What a loop must know of an actor for every message."),
    .tp_basicsize = sizeof(Party),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_traverse = (traverseproc)party_traverse,
    .tp_clear = (inquiry)party_clear,
    .tp_dealloc = (destructor)party_dealloc,
    .tp_members = party_members,
};

/* --- Ready --------------------------------------------------------------------------------------- */

#define READY_CAPACITY 64

static Entry *ready_at(Ready *self, Py_ssize_t i)
{
    return &self->entries[(self->first + i) & (self->capacity - 1)];
}

static bool ready_grow(Ready *self)
{
    Py_ssize_t capacity = self->capacity ? self->capacity * 2 : READY_CAPACITY;
    if (capacity > PY_SSIZE_T_MAX / (Py_ssize_t)sizeof(Entry) / 2) {
        PyErr_NoMemory();
        return false;
    }
    Entry *entries = PyMem_New(Entry, capacity);
    if (entries == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < self->count; i++) {
        entries[i] = *ready_at(self, i);
    }
    PyMem_Free(self->entries);
    self->entries = entries;
    self->capacity = capacity;
    self->first = 0;
    return true;
}

bool ready_push(Ready *self, PyObject *target, PyObject *msg, PyObject *sender)
{
    if (self->count == self->capacity && !ready_grow(self)) {
        return false;
    }
    Entry *entry = ready_at(self, self->count++);
    entry->target = Py_NewRef(target);
    entry->msg = Py_NewRef(msg);
    entry->sender = Py_NewRef(sender);
    return true;
}

/* The references go over to the caller. */
static Entry ready_pop(Ready *self)
{
    Entry entry = *ready_at(self, 0);
    self->first = (self->first + 1) & (self->capacity - 1);
    self->count--;
    return entry;
}

static void entry_drop(Entry entry)
{
    Py_DECREF(entry.target);
    Py_DECREF(entry.msg);
    Py_DECREF(entry.sender);
}

static int ready_traverse(Ready *self, visitproc visit, void *arg)
{
    for (Py_ssize_t i = 0; i < self->count; i++) {
        Entry *entry = ready_at(self, i);
        Py_VISIT(entry->target);
        Py_VISIT(entry->msg);
        Py_VISIT(entry->sender);
    }
    Py_VISIT(self->special);
    return kinds_traverse(&self->usual, visit, arg);
}

static int ready_clear(Ready *self)
{
    while (self->count > 0) {
        entry_drop(ready_pop(self));
    }
    Py_CLEAR(self->special);
    kinds_clear(&self->usual);
    return 0;
}

static void ready_dealloc(Ready *self)
{
    PyObject_GC_UnTrack(self);
    ready_clear(self);
    PyMem_Free(self->entries);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static Py_ssize_t ready_length(Ready *self)
{
    return self->count;
}

static PyObject *ready_entry(Ready *self, Py_ssize_t i)
{
    if (i < 0 || i >= self->count) {
        PyErr_SetString(PyExc_IndexError, "no such message waits");
        return NULL;
    }
    Entry *entry = ready_at(self, i);
    return PyTuple_Pack(3, entry->target, entry->msg, entry->sender);
}

static PyObject *ready_append(Ready *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3 || !PyObject_TypeCheck(args[0], &Party_Type)) {
        PyErr_SetString(PyExc_TypeError, "append(target, msg, sender): target must be a Party");
        return NULL;
    }
    if (!ready_push(self, args[0], args[1], args[2])) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *inbox_receive(PyObject *self, PyObject *msg, PyObject *sender);
static PyTypeObject Inbox_Type;

/* Whether messages of `kind` are none that `special` knows as special: 1, 0, or -1 with an exception set. */
static int ready_is_usual(Ready *self, PyTypeObject *kind, PyObject *special)
{
    if (kinds_has(&self->usual, kind) && self->special == special) {
        return 1;
    }
    PyObject *known = PyDict_GetItemWithError(special, (PyObject *)kind);
    PyObject *found = NULL;
    if (known == NULL) {
        if (PyErr_Occurred()) {
            return -1;
        }
        found = known = PyObject_GetItem(special, (PyObject *)kind); /* a first message of its type is classified */
        if (known == NULL) {
            return -1;
        }
    }
    int usual = known == Py_None;
    Py_XDECREF(found);
    if (usual) {
        if (self->special != special) {
            kinds_clear(&self->usual);
            Py_XSETREF(self->special, Py_NewRef(special));
        }
        kinds_add(&self->usual, kind);
    }
    return usual;
}

/* 1 done, 0 an exception that is nobody's to handle here, as set. */
static int ready_deliver(Ready *self, Entry entry, PyObject *special, PyObject *deliver_special, PyObject *retry)
{
    int usual = ready_is_usual(self, Py_TYPE(entry.msg), special);
    PyObject *result;
    if (usual < 0) {
        return 0;
    }
    if (!usual) {
        result = PyObject_CallFunctionObjArgs(deliver_special, entry.target, entry.msg, entry.sender, NULL);
        Py_XDECREF(result);
        return result != NULL;
    }
    Party *target = (Party *)entry.target;
    target->handled++;
    PyObject *receive = target->receive;
    if (receive == NULL) {
        PyErr_SetString(PyExc_AttributeError, "receive");
        return 0;
    }
    Py_INCREF(receive); /* an actor may leave while it handles its last message */
    if (Py_IS_TYPE(receive, &Inbox_Type)) {
        result = inbox_receive(receive, entry.msg, entry.sender);
    } else {
        PyObject *args[] = {entry.msg, entry.sender};
        result = PyObject_Vectorcall(receive, args, 2, NULL);
    }
    Py_DECREF(receive);
    if (result != NULL) {
        Py_DECREF(result);
        return 1;
    }
    if (!PyErr_ExceptionMatches(PyExc_Exception) && !PyErr_ExceptionMatches(PyExc_SystemExit)) {
        return 0;
    }
    PyObject *value = take_exception();
    result = PyObject_CallFunctionObjArgs(retry, entry.target, entry.msg, entry.sender, value, NULL);
    Py_DECREF(value);
    Py_XDECREF(result);
    return result != NULL;
}

Py_ssize_t ready_run(Ready *self, Py_ssize_t limit, PyObject *special, PyObject *deliver_special, PyObject *retry)
{
    Py_ssize_t delivered = 0;
    while (delivered < limit && self->count > 0) {
        Entry entry = ready_pop(self);
        delivered++;
        int done = ready_deliver(self, entry, special, deliver_special, retry);
        entry_drop(entry);
        if (!done) {
            return -1;
        }
    }
    return delivered;
}

PyDoc_STRVAR(drain_doc, "drain(limit, special, deliver_special, retry): deliver up to limit messages; how many it were.");

static PyObject *ready_drain(Ready *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 4 || !PyDict_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "drain(limit, special, deliver_special, retry)");
        return NULL;
    }
    Py_ssize_t limit = PyLong_AsSsize_t(args[0]);
    if (limit == -1 && PyErr_Occurred()) {
        return NULL;
    }
    Py_ssize_t delivered = ready_run(self, limit, args[1], args[2], args[3]);
    return delivered < 0 ? NULL : PyLong_FromSsize_t(delivered);
}

static PyMethodDef ready_methods[] = {
    {"append", (PyCFunction)(void (*)(void))ready_append, METH_FASTCALL, PyDoc_STR("append(target, msg, sender)")},
    {"drain", (PyCFunction)(void (*)(void))ready_drain, METH_FASTCALL, drain_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef ready_members[] = {
    {"asleep", T_BOOL, offsetof(Ready, asleep), 0, PyDoc_STR("Whether somebody must be woken for a new message.")},
    {NULL, 0, 0, 0, NULL},
};

static PySequenceMethods ready_sequence = {
    .sq_length = (lenfunc)ready_length,
    .sq_item = (ssizeargfunc)ready_entry,
};

PyTypeObject Ready_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._actors.Ready",
    .tp_doc = PyDoc_STR("Messages that wait, first in first out."),
    .tp_basicsize = sizeof(Ready),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_traverse = (traverseproc)ready_traverse,
    .tp_clear = (inquiry)ready_clear,
    .tp_dealloc = (destructor)ready_dealloc,
    .tp_as_sequence = &ready_sequence,
    .tp_methods = ready_methods,
    .tp_members = ready_members,
};

/* --- Post ---------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    Ready *ready;
    PyObject *actors; /* dict: name -> Party */
    PyObject *sender;
    PyObject *wake;   /* wake(): called when a message comes while all sleep */
    PyObject *away;   /* away(to, msg): for whom is not here */
    bool by_name;
    vectorcallfunc call;
} Post;

static int post_traverse(Post *self, visitproc visit, void *arg)
{
    Py_VISIT(self->ready);
    Py_VISIT(self->actors);
    Py_VISIT(self->sender);
    Py_VISIT(self->wake);
    Py_VISIT(self->away);
    return 0;
}

static int post_clear(Post *self)
{
    Py_CLEAR(self->ready);
    Py_CLEAR(self->actors);
    Py_CLEAR(self->sender);
    Py_CLEAR(self->wake);
    Py_CLEAR(self->away);
    return 0;
}

static void post_dealloc(Post *self)
{
    PyObject_GC_UnTrack(self);
    post_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *post_to(Post *self, PyObject *to, PyObject *msg)
{
    PyObject *name = self->by_name ? Py_NewRef(to) : PyObject_GetAttr(to, name_aaddr);
    PyObject *target = NULL;
    if (name != NULL) {
        target = PyDict_GetItemWithError(self->actors, name);
        Py_DECREF(name);
    }
    if (target == NULL) {
        PyErr_Clear(); /* not an address, not hashable: `away` says what is wrong with it */
        PyObject *args[] = {to, msg};
        return PyObject_Vectorcall(self->away, args, 2, NULL);
    }
    if (!ready_push(self->ready, target, msg, self->sender)) {
        return NULL;
    }
    if (self->ready->asleep) {
        return PyObject_CallNoArgs(self->wake);
    }
    Py_RETURN_NONE;
}

static PyObject *post_vectorcall(PyObject *self, PyObject *const *args, size_t flags, PyObject *names)
{
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    if (count + named != 2) {
        PyErr_SetString(PyExc_TypeError, "(to, msg) are needed");
        return NULL;
    }
    PyObject *to = args[0], *msg = args[1];
    if (named > 0 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, named - 1), "msg") != 0) {
        to = args[1];
        msg = args[0];
    }
    return post_to((Post *)self, to, msg);
}

static PyObject *post_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(named))
{
    PyObject *ready, *actors, *sender, *wake, *away;
    int by_name;
    if (!PyArg_ParseTuple(args, "O!O!OOOp", &Ready_Type, &ready, &PyDict_Type, &actors, &sender, &wake, &away, &by_name)) {
        return NULL;
    }
    Post *self = (Post *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->ready = (Ready *)Py_NewRef(ready);
    self->actors = Py_NewRef(actors);
    self->sender = Py_NewRef(sender);
    self->wake = Py_NewRef(wake);
    self->away = Py_NewRef(away);
    self->by_name = by_name;
    self->call = post_vectorcall;
    return (PyObject *)self;
}

static PyTypeObject Post_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._actors.Post",
    .tp_doc = PyDoc_STR("Post(ready, actors, sender, wake, away, by_name): call it with (to, msg)."),
    .tp_basicsize = sizeof(Post),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = post_new,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Post, call),
    .tp_traverse = (traverseproc)post_traverse,
    .tp_clear = (inquiry)post_clear,
    .tp_dealloc = (destructor)post_dealloc,
};

/* --- Inbox --------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    PyObject *actor;
    PyObject *rare; /* frozenset of types that go the long way */
    PyObject *routes; /* dict: type -> route(msg), which is asked before `on`: true where it did what `on` would */
    Kinds usual;    /* that are none of them */
    char direct;
    vectorcallfunc call;
} Inbox;

static int inbox_traverse(Inbox *self, visitproc visit, void *arg)
{
    Py_VISIT(self->actor);
    Py_VISIT(self->rare);
    Py_VISIT(self->routes);
    return kinds_traverse(&self->usual, visit, arg);
}

static int inbox_clear(Inbox *self)
{
    Py_CLEAR(self->actor);
    Py_CLEAR(self->rare);
    Py_CLEAR(self->routes);
    kinds_clear(&self->usual);
    return 0;
}

static void inbox_dealloc(Inbox *self)
{
    PyObject_GC_UnTrack(self);
    inbox_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* What the route for `kind` answers; False where there is none, NULL with an exception set. */
static PyObject *inbox_routed(Inbox *self, PyTypeObject *kind, PyObject *msg)
{
    PyObject *route = PyDict_GET_SIZE(self->routes) == 0 ? NULL : PyDict_GetItemWithError(self->routes, (PyObject *)kind);
    if (route == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_False);
    }
    Py_INCREF(route);
    PyObject *result = PyObject_CallOneArg(route, msg);
    Py_DECREF(route);
    return result;
}

static PyObject *inbox_receive(PyObject *object, PyObject *msg, PyObject *sender)
{
    Inbox *self = (Inbox *)object;
    PyTypeObject *kind = Py_TYPE(msg);
    int rare = !self->direct;
    if (!rare && !kinds_has(&self->usual, kind)) {
        rare = PySet_Contains(self->rare, (PyObject *)kind);
        if (rare == 0) {
            kinds_add(&self->usual, kind);
        }
    }
    if (rare != 0) {
        PyObject *args[] = {self->actor, msg, sender};
        return rare < 0 ? NULL : PyObject_VectorcallMethod(name_receive_message, args, 3, NULL);
    }
    PyObject *result = inbox_routed(self, kind, msg);
    if (result == Py_False) {
        Py_DECREF(result);
        PyObject *args[] = {self->actor, msg};
        result = PyObject_VectorcallMethod(name_on, args, 2, NULL);
    }
    if (result != NULL || !PyErr_ExceptionMatches(PyExc_Exception)) {
        return result;
    }
    PyObject *value = take_exception();
    PyObject *told[] = {self->actor, msg, value};
    result = PyObject_VectorcallMethod(name_crash, told, 3, NULL);
    Py_DECREF(value);
    return result;
}

static PyObject *inbox_vectorcall(PyObject *self, PyObject *const *args, size_t flags, PyObject *names)
{
    if (PyVectorcall_NARGS(flags) != 2 || (names != NULL && PyTuple_GET_SIZE(names) > 0)) {
        PyErr_SetString(PyExc_TypeError, "(msg, sender) are needed");
        return NULL;
    }
    return inbox_receive(self, args[0], args[1]);
}

static PyObject *inbox_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(named))
{
    PyObject *actor, *rare, *routes;
    if (!PyArg_ParseTuple(args, "OO!O!", &actor, &PyFrozenSet_Type, &rare, &PyDict_Type, &routes)) {
        return NULL;
    }
    Inbox *self = (Inbox *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->actor = Py_NewRef(actor);
    self->rare = Py_NewRef(rare);
    self->routes = Py_NewRef(routes);
    self->direct = 1;
    self->call = inbox_vectorcall;
    return (PyObject *)self;
}

static PyMemberDef inbox_members[] = {
    {"direct", T_BOOL, offsetof(Inbox, direct), 0, PyDoc_STR("False: every message goes by receiveMessage.")},
    {NULL, 0, 0, 0, NULL},
};

static PyTypeObject Inbox_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "native._actors.Inbox",
    .tp_doc = PyDoc_STR("Inbox(actor, rare, routes): msg to its route or actor.on, of rare types to actor.receiveMessage, errors to _crash."),
    .tp_basicsize = sizeof(Inbox),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = inbox_new,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Inbox, call),
    .tp_traverse = (traverseproc)inbox_traverse,
    .tp_clear = (inquiry)inbox_clear,
    .tp_dealloc = (destructor)inbox_dealloc,
    .tp_members = inbox_members,
};

/* --- Module -------------------------------------------------------------------------------------- */

#define REVISION 10 /* one more whenever Python expects something new; see native/__init__.py */

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_actors",
    .m_doc = PyDoc_STR("Messages between the actors of one loop, in C."),
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__actors(void)
{
    name_aaddr = PyUnicode_InternFromString("_aaddr");
    name_on = PyUnicode_InternFromString("on");
    name_receive_message = PyUnicode_InternFromString("receiveMessage");
    name_crash = PyUnicode_InternFromString("_crash");
    if (name_aaddr == NULL || name_on == NULL || name_receive_message == NULL || name_crash == NULL ||
        !drive_names()) {
        return NULL;
    }
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) {
        return NULL;
    }
    if (PyModule_AddType(module, &Party_Type) < 0 || PyModule_AddType(module, &Ready_Type) < 0 ||
        PyModule_AddType(module, &Post_Type) < 0 || PyModule_AddType(module, &Inbox_Type) < 0 ||
        PyModule_AddType(module, &VirtualClock_Type) < 0 || PyModule_AddType(module, &Timers_Type) < 0 ||
        PyModule_AddType(module, &Drive_Type) < 0 ||
        PyModule_AddIntMacro(module, REVISION) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
