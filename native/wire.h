/* Reading JSON bytes in the venues' usual spelling: no spaces, no escapes, plain decimal numbers. Never beyond the end. */

#ifndef PROPDESK_WIRE_H
#define PROPDESK_WIRE_H

#include "marketdata.h"

#include <string.h>

#define LEVELS_MAX 20000
#define DIGITS_MAX 18 /* fewer than 2**62 whatever the digits are */
#define PLAIN_MAX 24  /* the longest number, without its dot, that Python would take */

/* A step of `multiple` units of the `decimals`-th decimal: 0.5 is 5 of the first. */
typedef struct {
    int decimals;
    long long multiple;
} Scale;

typedef struct {
    const char *at, *end;
} Cursor;

typedef struct {
    const char *text;
    Py_ssize_t length;
} Slice;

static inline bool take(Cursor *c, char expected)
{
    if (c->at < c->end && *c->at == expected) {
        c->at++;
        return true;
    }
    return false;
}

static inline bool at_digit(const Cursor *c)
{
    return c->at < c->end && *c->at >= '0' && *c->at <= '9';
}

/* A string of printable ASCII without escapes. */
static inline bool take_string(Cursor *c, Slice *found)
{
    if (!take(c, '"')) {
        return false;
    }
    found->text = c->at;
    while (c->at < c->end && *c->at >= ' ' && *c->at <= '~' && *c->at != '"' && *c->at != '\\') {
        c->at++;
    }
    found->length = c->at - found->text;
    return take(c, '"');
}

static inline bool is(Slice slice, const char *text, Py_ssize_t length)
{
    return slice.length == length && memcmp(slice.text, text, (size_t)length) == 0;
}

/* A quoted plain decimal number, in whole steps of `scale`; false when it is off the grid. */
static inline bool take_units(Cursor *c, const Scale *scale, int64_t *units)
{
    if (!take(c, '"')) {
        return false;
    }
    const char *start = c->at;
    int64_t value = 0;
    while (at_digit(c)) {
        if (c->at - start == DIGITS_MAX) {
            return false;
        }
        value = value * 10 + (*c->at++ - '0');
    }
    Py_ssize_t whole = c->at - start, decimals = 0;
    if (whole + scale->decimals > DIGITS_MAX) {
        return false;
    }
    if (take(c, '.')) {
        start = c->at;
        while (at_digit(c) && c->at - start < scale->decimals) {
            value = value * 10 + (*c->at++ - '0');
        }
        decimals = c->at - start;
        while (c->at < c->end && *c->at == '0') {
            c->at++;
        }
        if (whole + (c->at - start) == 0 || whole + (c->at - start) > PLAIN_MAX) {
            return false;
        }
    }
    else if (whole == 0) {
        return false;
    }
    for (; decimals < scale->decimals; decimals++) {
        value *= 10;
    }
    if (scale->multiple != 1) {
        if (value % scale->multiple != 0) {
            return false;
        }
        value /= scale->multiple;
    }
    *units = value;
    return take(c, '"');
}

#endif
