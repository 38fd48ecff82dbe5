/* Fields: where the fields of a message lie, so that reading one costs no lookup. A struct keeps each field as one pointer,
 * and its member descriptors say where; any other object is asked for its attributes. */

#include "marketdata.h"

#include <structmember.h>

static bool is_learned(const Fields *fields, PyTypeObject *type)
{
    return fields->type == type && fields->version == type->tp_version_tag && fields->version != 0;
}

/* Nothing is learned of a type that keeps a field in another way. */
static void learn(Fields *fields, PyTypeObject *type)
{
    Py_CLEAR(fields->type);
    for (int i = 0; i < fields->count; i++) {
        PyObject *found = PyObject_GetAttr((PyObject *)type, *fields->names[i]);
        bool plain = found != NULL && Py_TYPE(found) == &PyMemberDescr_Type &&
                     ((PyMemberDescrObject *)found)->d_member->type == T_OBJECT_EX &&
                     PyType_IsSubtype(type, ((PyMemberDescrObject *)found)->d_common.d_type);
        if (plain) {
            fields->offsets[i] = ((PyMemberDescrObject *)found)->d_member->offset;
        }
        Py_XDECREF(found);
        if (!plain) {
            PyErr_Clear();
            return;
        }
    }
    fields->type = (PyTypeObject *)Py_NewRef((PyObject *)type);
    fields->version = type->tp_version_tag;
}

bool fields_read(Fields *fields, PyObject *object, PyObject **values)
{
    PyTypeObject *type = Py_TYPE(object);
    if (!is_learned(fields, type)) {
        learn(fields, type);
    }
    bool learned = is_learned(fields, type);
    for (int i = 0; i < fields->count; i++) {
        PyObject *value = learned ? *(PyObject **)((char *)object + fields->offsets[i]) : NULL;
        values[i] = value != NULL ? Py_NewRef(value) : PyObject_GetAttr(object, *fields->names[i]);
        if (values[i] == NULL) {
            while (i-- > 0) {
                Py_DECREF(values[i]);
            }
            return false;
        }
        /* Asking may have run Python code: what was learned is looked at again. */
        learned = learned && (value != NULL || is_learned(fields, type));
    }
    return true;
}
