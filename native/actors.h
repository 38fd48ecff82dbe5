/* What the files of native._actors share: a party, the messages that wait, and who moves virtual time. */

#ifndef PROPDESK_ACTORS_H
#define PROPDESK_ACTORS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    PyObject_HEAD
    PyObject *receive;
    Py_ssize_t handled;
} Party;

typedef struct {
    PyObject *target;
    PyObject *msg;
    PyObject *sender;
} Entry;

#define KINDS 16

/* Types of messages of which is known that nothing about them is unusual; a few, each at a place of its address. */
typedef struct {
    PyTypeObject *types[KINDS];
} Kinds;

static inline PyTypeObject **kinds_place(Kinds *kinds, PyTypeObject *type)
{
    uintptr_t address = (uintptr_t)type;
    return &kinds->types[(address >> 4 ^ address >> 8 ^ address >> 12) % KINDS];
}

static inline bool kinds_has(Kinds *kinds, PyTypeObject *type)
{
    return *kinds_place(kinds, type) == type;
}

static inline void kinds_add(Kinds *kinds, PyTypeObject *type)
{
    Py_INCREF(type);
    Py_XSETREF(*kinds_place(kinds, type), type);
}

typedef struct {
    PyObject_HEAD
    Entry *entries; /* a ring of capacity places, a power of two */
    Py_ssize_t capacity;
    Py_ssize_t first;
    Py_ssize_t count;
    PyObject *special; /* of whose types `usual` are */
    Kinds usual;
    char asleep;
} Ready;

extern PyTypeObject Party_Type;
extern PyTypeObject Ready_Type;
extern PyTypeObject VirtualClock_Type;
extern PyTypeObject Timers_Type;
extern PyTypeObject Drive_Type;

/* Lets a message wait; false with an exception set. `target` is a Party. */
bool ready_push(Ready *self, PyObject *target, PyObject *msg, PyObject *sender);

/* Delivers up to `limit` messages; how many, or -1 with an exception set that is nobody's to handle. */
Py_ssize_t ready_run(Ready *self, Py_ssize_t limit, PyObject *special, PyObject *deliver_special, PyObject *retry);

/* Interns what drive.c looks up by name; false with an exception set. */
bool drive_names(void);

#endif
