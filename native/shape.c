/* Shapes: where the objects of a class keep their fields, so that reading one costs no lookup. */

#include "orders.h"

#include <structmember.h>

const char *const rate_fields[] = {"_at_ns", "limit", "period_ns", "full_until_ns", NULL};

static PyObject *name_append;

bool orders_names(void)
{
    name_append = PyUnicode_InternFromString("append");
    return name_append != NULL;
}

bool shape_learn(Shape *shape, PyObject *type, const char *const *names)
{
    if (!PyType_Check(type)) {
        PyErr_SetString(PyExc_TypeError, "a class is needed");
        return false;
    }
    for (int i = 0; names[i] != NULL; i++) {
        PyObject *found = PyObject_GetAttrString(type, names[i]);
        if (found == NULL) {
            return false;
        }
        bool plain = Py_IS_TYPE(found, &PyMemberDescr_Type) &&
                     ((PyMemberDescrObject *)found)->d_member->type == T_OBJECT_EX &&
                     PyType_IsSubtype((PyTypeObject *)type, ((PyMemberDescrObject *)found)->d_common.d_type);
        if (plain) {
            shape->at[i] = ((PyMemberDescrObject *)found)->d_member->offset;
        }
        Py_DECREF(found);
        if (!plain) {
            PyErr_Format(PyExc_TypeError, "%R keeps no field %s of its own", type, names[i]);
            return false;
        }
    }
    Py_XSETREF(shape->type, (PyTypeObject *)Py_NewRef(type));
    return true;
}

/* By the object: an order's quantity and its price. */
#define AMOUNTS_KEPT 2
static struct {
    PyObject *amount, *text;
} kept[AMOUNTS_KEPT];
static size_t amounts_kept;

PyObject *amount_text(PyObject *amount)
{
    for (size_t i = 0; i < AMOUNTS_KEPT; i++) {
        if (kept[i].amount == amount) {
            return Py_NewRef(kept[i].text);
        }
    }
    return PyObject_Str(amount);
}

void amount_keep(PyObject *amount, PyObject *text)
{
    size_t at = amounts_kept++ % AMOUNTS_KEPT;
    Py_XSETREF(kept[at].amount, Py_NewRef(amount));
    Py_XSETREF(kept[at].text, Py_NewRef(text));
}

PyObject *shape_make(PyObject *type, PyObject *const *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (fields[i] == NULL) {
            PyErr_Format(PyExc_AttributeError, "a field that %R needs was deleted", type);
            return NULL;
        }
    }
    return PyObject_Vectorcall(type, fields, count, NULL);
}

int rate_allows(const Shape *shape, PyObject *window, int64_t now_ns)
{
    int64_t full_until_ns;
    return window != NULL && shape_fits(shape, window) && whole(FIELD(*shape, window, RATE_FULL_UNTIL_NS), &full_until_ns)
           && now_ns >= full_until_ns;
}

bool rate_add(const Shape *shape, PyObject *window, PyObject *now)
{
    PyObject *at = FIELD(*shape, window, RATE_AT_NS);
    if (at == NULL) {
        PyErr_SetString(PyExc_AttributeError, "a window without its times");
        return false;
    }
    PyObject *added = PyObject_CallMethodOneArg(at, name_append, now);
    if (added == NULL) {
        return false;
    }
    Py_DECREF(added);
    Py_ssize_t length = PyObject_Size(at);
    int64_t limit;
    if (length < 0) {
        return false;
    }
    if (whole(FIELD(*shape, window, RATE_LIMIT), &limit) && length == limit) {
        PyObject *first = PySequence_GetItem(at, 0);
        PyObject *period = FIELD(*shape, window, RATE_PERIOD_NS);
        PyObject *until = first != NULL && period != NULL ? PyNumber_Add(first, period) : NULL;
        Py_XDECREF(first);
        if (until == NULL) {
            if (!PyErr_Occurred()) {
                PyErr_SetString(PyExc_AttributeError, "a window without its period");
            }
            return false;
        }
        field_put(shape, window, RATE_FULL_UNTIL_NS, until);
    }
    return true;
}
