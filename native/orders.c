/* The extension module native._orders, and the words of a plain limit order for Binance.
 *
 * Owns the usual case only: an order of positive price and quantity on the instrument's grid, and an id that needs no
 * quoting. Of anything else it says None, and the Python of adapters.binance.orders_codec, which is the reference, says
 * it or refuses it. */

#include "orders.h"

#include <string.h>

#define ID_MAX 36
#define NUMBER_MAX 48
#define WORD_MAX 64
#define ORDER_MAX 512
#define DIGITS_MAX 18 /* an int64_t holds any number of as many */
#define STEPS_KEPT 16

typedef struct {
    char bytes[ORDER_MAX];
    size_t length;
} Words;

static void put(Words *words, const char *text, size_t length)
{
    memcpy(words->bytes + words->length, text, length); /* ORDER_MAX holds the longest of all parts together */
    words->length += length;
}

#define PUT(words, literal) put((words), (literal), sizeof(literal) - 1)

/* What put_ functions return: 1 said, 0 not as usual, -1 an exception. */
static int put_ascii(Words *words, PyObject *text, size_t most)
{
    if (!PyUnicode_Check(text) || !PyUnicode_IS_ASCII(text)) {
        return 0;
    }
    size_t length = (size_t)PyUnicode_GET_LENGTH(text);
    if (length == 0 || length > most) {
        return 0;
    }
    put(words, (const char *)PyUnicode_1BYTE_DATA(text), length);
    return 1;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

static bool is_plain_id(PyObject *id)
{
    if (!PyUnicode_Check(id) || !PyUnicode_IS_ASCII(id) || PyUnicode_GET_LENGTH(id) > ID_MAX) {
        return false;
    }
    const char *text = (const char *)PyUnicode_1BYTE_DATA(id);
    for (Py_ssize_t i = 0; i < PyUnicode_GET_LENGTH(id); i++) {
        if (!is_plain(text[i])) {
            return false;
        }
    }
    return true;
}

/* A positive number as units * 10 ** -places. Above DIGITS_MAX digits in all it is none of these. */
typedef struct {
    int64_t units;
    int digits, places;
} Exact;

/* 1 read, 0 not as usual: a sign, an exponent, no number. */
static int read_exact(const char *text, size_t length, Exact *number)
{
    bool point = false;
    *number = (Exact){0, 0, 0};
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '.' && !point && i > 0) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9' || number->digits == DIGITS_MAX) {
            return 0;
        }
        number->units = number->units * 10 + (c - '0');
        number->digits++;
        number->places += point;
    }
    return number->units > 0;
}

/* Steps that were read, by the object: instruments keep theirs, and a Decimal never changes. */
static struct {
    PyObject *step;
    Exact exact;
} known_steps[STEPS_KEPT];
static size_t steps_known;

/* 1 read, 0 not as usual, -1 an exception. */
static int read_step(PyObject *step, Exact *exact)
{
    for (size_t i = 0; i < STEPS_KEPT; i++) {
        if (known_steps[i].step == step) {
            *exact = known_steps[i].exact;
            return 1;
        }
    }
    if (PyUnicode_Check(step)) {
        return 0; /* it may look like a number, but nothing can be divided by it */
    }
    PyObject *text = PyObject_Str(step);
    if (text == NULL) {
        return -1;
    }
    int found = PyUnicode_IS_ASCII(text)
                && read_exact((const char *)PyUnicode_1BYTE_DATA(text), (size_t)PyUnicode_GET_LENGTH(text), exact);
    Py_DECREF(text);
    if (found) {
        size_t at = steps_known++ % STEPS_KEPT;
        Py_XSETREF(known_steps[at].step, Py_NewRef(step));
        known_steps[at].exact = *exact;
    }
    return found;
}

/* To as many places: false where that has too many digits. */
static bool widen(Exact *number, int places)
{
    number->digits += places - number->places;
    for (; number->digits <= DIGITS_MAX && number->places < places; number->places++) {
        number->units *= 10;
    }
    return number->digits <= DIGITS_MAX;
}

/* All digits of a number that is a multiple of a step, without trailing zeros. */
static int put_number(Words *words, PyObject *value, PyObject *step)
{
    Exact units, steps;
    int found = read_step(step, &steps);
    if (found != 1) {
        return found;
    }
    PyObject *text = amount_text(value);
    if (text == NULL) {
        return -1;
    }
    size_t before = words->length;
    int said = put_ascii(words, text, NUMBER_MAX);
    Py_DECREF(text);
    if (said != 1) {
        return said;
    }
    if (!read_exact(words->bytes + before, words->length - before, &units)) {
        return 0;
    }
    int places = units.places > steps.places ? units.places : steps.places;
    bool point = units.places > 0 || words->bytes[words->length - 1] == '.';
    if (!widen(&units, places) || !widen(&steps, places) || units.units % steps.units != 0) {
        return 0; /* off the grid, or more digits than are looked at here */
    }
    if (point) {
        while (words->bytes[words->length - 1] == '0') {
            words->length--;
        }
        if (words->bytes[words->length - 1] == '.') {
            words->length--;
        }
    }
    return 1;
}

PyDoc_STRVAR(limit_order_doc,
             "limit_order(symbol, side, how, qty, lot_size, price, tick_size, reduce_only, cl_ord_id): the request, or None.");

PyObject *limit_order(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 9) {
        PyErr_SetString(PyExc_TypeError, "limit_order takes 9 arguments");
        return NULL;
    }
    if (!is_plain_id(args[8])) {
        Py_RETURN_NONE;
    }
    Words words;
    words.length = 0;
    int said;
    PUT(&words, "symbol=");
    if ((said = put_ascii(&words, args[0], WORD_MAX)) != 1) {
        goto unusual;
    }
    PUT(&words, "&side=");
    if ((said = put_ascii(&words, args[1], WORD_MAX)) != 1) {
        goto unusual;
    }
    PUT(&words, "&type=");
    if ((said = put_ascii(&words, args[2], WORD_MAX)) != 1) {
        goto unusual;
    }
    PUT(&words, "&quantity=");
    if ((said = put_number(&words, args[3], args[4])) != 1) {
        goto unusual;
    }
    PUT(&words, "&price=");
    if ((said = put_number(&words, args[5], args[6])) != 1) {
        goto unusual;
    }
    int closes = PyObject_IsTrue(args[7]);
    if (closes < 0) {
        return NULL;
    }
    if (closes) {
        PUT(&words, "&reduceOnly=true");
    }
    PUT(&words, "&newClientOrderId=");
    if ((said = put_ascii(&words, args[8], ID_MAX)) != 1) {
        goto unusual;
    }
    return PyBytes_FromStringAndSize(words.bytes, (Py_ssize_t)words.length);
unusual:
    if (said < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"limit_order", (PyCFunction)(void (*)(void))limit_order, METH_FASTCALL, limit_order_doc},
    {"reference_route", reference_route, METH_VARARGS, PyDoc_STR("reference_route(exposures, Exposure, BookTop, SYNCED)")},
    {"touch_route", touch_route, METH_VARARGS, PyDoc_STR("touch_route(desks, InstrumentDesk, BookTop, SYNCED, now_ns)")},
    {"fan_out_route", fan_out_route, METH_VARARGS, PyDoc_STR("fan_out_route(names, sample_at, BookTop, actor)")},
    {NULL, NULL, 0, NULL},
};

#define REVISION 10 /* one more whenever Python expects something new; see native/__init__.py */

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_orders",
    .m_doc = PyDoc_STR("What every order passes, in C."),
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__orders(void)
{
    if (!orders_names()) {
        return NULL;
    }
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) {
        return NULL;
    }
    if (PyModule_AddType(module, &LoneRound_Type) < 0 || PyModule_AddType(module, &PlainLimits_Type) < 0 ||
        PyModule_AddType(module, &PlainGate_Type) < 0 || PyModule_AddType(module, &PlainOrder_Type) < 0 ||
        PyModule_AddType(module, &PlaceWords_Type) < 0 || PyModule_AddType(module, &PlainAdmission_Type) < 0 ||
        PyModule_AddType(module, &PlainRelease_Type) < 0 || PyModule_AddType(module, &KeyFilter_Type) < 0 ||
        PyType_Ready(&TopRoute_Type) < 0 ||
        PyModule_AddIntMacro(module, REVISION) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
