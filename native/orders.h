/* What the files of native._orders share: where an object keeps its fields, whole numbers, windows that count orders. */

#ifndef PROPDESK_ORDERS_H
#define PROPDESK_ORDERS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIELDS_MAX 32

/* A class whose objects keep each of some fields as one pointer: a struct, or one with slots. */
typedef struct {
    PyTypeObject *type;
    Py_ssize_t at[FIELDS_MAX];
} Shape;

/* Learns where objects of `type` keep `names` (the last is NULL); false with an exception set. Owns a reference. */
bool shape_learn(Shape *shape, PyObject *type, const char *const *names);

/* Whether there is an object, and of exactly that class. */
static inline bool is_exact(PyObject *object, PyTypeObject *type)
{
    return object != NULL && Py_IS_TYPE(object, type);
}

/* Whether `object` is of exactly that class. */
static inline bool shape_fits(const Shape *shape, PyObject *object)
{
    return Py_IS_TYPE(object, shape->type);
}

/* A field, borrowed; NULL where it was deleted. */
#define FIELD(shape, object, field) (*(PyObject **)((char *)(object) + (shape).at[field]))

/* Puts a new reference into a field. */
static inline void field_put(const Shape *shape, PyObject *object, int field, PyObject *value)
{
    PyObject **place = (PyObject **)((char *)object + shape->at[field]);
    PyObject *before = *place;
    *place = value;
    Py_XDECREF(before);
}

/* An int that fits; false, and no exception, for anything else. */
static inline bool whole(PyObject *object, int64_t *number)
{
    int overflow;
    if (object == NULL || !PyLong_Check(object)) {
        return false;
    }
    *number = PyLong_AsLongLongAndOverflow(object, &overflow);
    return overflow == 0;
}

/* trading.risk.rate.RateWindow */
enum { RATE_AT_NS, RATE_LIMIT, RATE_PERIOD_NS, RATE_FULL_UNTIL_NS };
extern const char *const rate_fields[];

/* 1: one more may happen now, 0: not, or it is no window as expected. */
int rate_allows(const Shape *shape, PyObject *window, int64_t now_ns);

/* Counts an event; false with an exception set. */
bool rate_add(const Shape *shape, PyObject *window, PyObject *now);

extern PyTypeObject LoneRound_Type;
extern PyTypeObject PlainLimits_Type;
extern PyTypeObject PlaceWords_Type;
extern PyTypeObject PlainGate_Type;
extern PyTypeObject PlainOrder_Type;
extern PyTypeObject PlainAdmission_Type;
extern PyTypeObject PlainRelease_Type;
extern PyTypeObject KeyFilter_Type;

/* type(*fields), which are borrowed; NULL with an exception set, also where one is missing. */
PyObject *shape_make(PyObject *type, PyObject *const *fields, size_t count);

/* str(amount), a new reference. Of the amounts that were kept last it is at hand: an order says its own several times. */
PyObject *amount_text(PyObject *amount);

/* Keeps the text of a Decimal, which never changes. */
void amount_keep(PyObject *amount, PyObject *text);

extern PyTypeObject TopRoute_Type;

/* Functions of the module that make a TopRoute. */
PyObject *reference_route(PyObject *module, PyObject *args);
PyObject *touch_route(PyObject *module, PyObject *args);
PyObject *fan_out_route(PyObject *module, PyObject *args);

bool orders_names(void);

/* A function of the module: Binance's words of a limit order. */
PyObject *limit_order(PyObject *module, PyObject *const *args, Py_ssize_t count);

#endif
