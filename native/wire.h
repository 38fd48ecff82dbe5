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
    const char *at = c->at, *const end = c->end;
    found->text = at;
    while (at < end && *at >= ' ' && *at <= '~' && *at != '"' && *at != '\\') {
        at++;
    }
    found->length = at - found->text;
    c->at = at;
    return take(c, '"');
}

static inline bool is(Slice slice, const char *text, Py_ssize_t length)
{
    return slice.length == length && memcmp(slice.text, text, (size_t)length) == 0;
}

/* The digits from `at`, at most `limit` of them, after those that `value` is of; `at` is then behind them. */
static inline int64_t digits_of(const char **at, const char *limit, int64_t value)
{
    const char *next = *at;
    for (; next < limit; next++) {
        unsigned digit = (unsigned char)*next - (unsigned)'0';
        if (digit > 9) {
            break;
        }
        value = value * 10 + (int64_t)digit;
    }
    *at = next;
    return value;
}

static inline const char *nearer(const char *end, const char *at, Py_ssize_t most)
{
    return end - at < most ? end : at + most;
}

/* A quoted plain decimal number, in whole steps of `scale`; false when it is off the grid. */
static inline bool take_units(Cursor *c, const Scale *scale, int64_t *units)
{
    const char *at = c->at, *const end = c->end;
    if (at >= end || *at++ != '"') {
        return false;
    }
    const char *start = at;
    int64_t value = digits_of(&at, nearer(end, at, DIGITS_MAX), 0);
    Py_ssize_t whole = at - start, decimals = 0;
    if (whole + scale->decimals > DIGITS_MAX) {
        return false;
    }
    if (at < end && *at == '.') {
        start = ++at;
        value = digits_of(&at, nearer(end, at, scale->decimals), value);
        decimals = at - start;
        while (at < end && *at == '0') {
            at++;
        }
        if (whole + (at - start) == 0 || whole + (at - start) > PLAIN_MAX) {
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
    c->at = at;
    return take(c, '"');
}

#endif
