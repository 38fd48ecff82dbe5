/* What the files of the extension share: one level, a sequence of levels, and numbers that are safe to hold. */

#ifndef PROPDESK_MARKETDATA_H
#define PROPDESK_MARKETDATA_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No price and no quantity reaches it, so that a number can be negated and a horizon has room above the market. */
#define NUMBER_LIMIT ((int64_t)1 << 62)

typedef struct {
    int64_t tick;
    int64_t lots;
} Level;

/* An immutable sequence of levels that looks like a list of (tick, lots). */
typedef struct {
    PyObject_VAR_HEAD
    Level items[];
} Levels;

/* The levels of a Levels, or of a list or tuple of pairs: borrowed in the first case, a copy in the second. */
typedef struct {
    const Level *items;
    Py_ssize_t count;
    Level *copy;
} LevelsView;

extern PyTypeObject Levels_Type;
extern PyTypeObject Book_Type;
extern PyTypeObject DepthParser_Type;
extern PyTypeObject DepthRoutes_Type;
extern PyTypeObject LevelsParser_Type;
extern PyTypeObject TouchWatch_Type;
extern PyTypeObject StreamWatch_Type;

PyObject *levels_new(const Level *items, Py_ssize_t count);

/* The pair (tick, lots). */
PyObject *level_pair(int64_t tick, int64_t lots);

/* Fills `view`, which lives as long as `object` does; false with an exception set. Runs no Python code. */
bool levels_view(PyObject *object, LevelsView *view);
void levels_view_free(LevelsView *view);

/* Makes every tick of `view` appear once, with the lots that came last, rising or falling; false with an exception. */
bool levels_view_distinct(LevelsView *view);

/* An int below NUMBER_LIMIT in size; false with an exception set. Runs no Python code. */
bool number_of(PyObject *object, int64_t *number);

#define FIELDS_MAX 8

/* Which fields are read of one kind of message, and where they lie in the type that came last. */
typedef struct {
    int count;
    PyObject **names[FIELDS_MAX];
    PyTypeObject *type;
    unsigned int version;
    Py_ssize_t offsets[FIELDS_MAX];
} Fields;

/* New references to the fields of `object`, in order; false with an exception set, and none. */
bool fields_read(Fields *fields, PyObject *object, PyObject **values);

#endif
