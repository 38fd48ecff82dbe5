/* One side of a book: a sorted array, changed in place. */

#include "side.h"

#include <string.h>

#define FIRST_CAPACITY 64

bool side_reserve(Side *side, Py_ssize_t more)
{
    Py_ssize_t need = side->count + more;
    if (need <= side->capacity) {
        return true;
    }
    Py_ssize_t capacity = side->capacity > 0 ? side->capacity : FIRST_CAPACITY;
    while (capacity < need) {
        capacity *= 2;
    }
    Level *items = side->items;
    PyMem_Resize(items, Level, capacity);
    if (items == NULL) {
        PyErr_NoMemory();
        return false;
    }
    side->items = items;
    side->capacity = capacity;
    return true;
}

/* The first place whose key is not below `key`. Most changes are near the touch, so one looks from the end. */
static Py_ssize_t side_place(const Side *side, int64_t key)
{
    Py_ssize_t low = 0, high = side->count;
    for (Py_ssize_t step = 16; step < side->count; step *= 4) {
        if (side->items[side->count - step].tick < key) {
            low = side->count - step + 1;
            break;
        }
        high = side->count - step;
    }
    while (low < high) {
        Py_ssize_t middle = low + (high - low) / 2;
        if (side->items[middle].tick < key) {
            low = middle + 1;
        }
        else {
            high = middle;
        }
    }
    return low;
}

int64_t side_lots(const Side *side, int64_t key)
{
    Py_ssize_t place = side_place(side, key);
    return place < side->count && side->items[place].tick == key ? side->items[place].lots : 0;
}

void side_apply(Side *side, const LevelsView *changed, int sign)
{
    for (Py_ssize_t i = 0; i < changed->count; i++) {
        int64_t key = sign * changed->items[i].tick, lots = changed->items[i].lots;
        Py_ssize_t place = side_place(side, key);
        Level *at = side->items + place;
        if (place < side->count && at->tick == key) {
            at->lots = lots;
        }
        else if (lots != 0) {
            memmove(at + 1, at, (size_t)(side->count - place) * sizeof(Level));
            *at = (Level){key, lots};
            side->count++;
        }
    }
    while (side->count > 0 && side->items[side->count - 1].lots == 0) {
        side->count--;
    }
}

static int by_key(const void *one, const void *other)
{
    int64_t a = ((const Level *)one)->tick, b = ((const Level *)other)->tick;
    return (a > b) - (a < b);
}

void side_replace(Side *side, const LevelsView *view, int sign)
{
    for (Py_ssize_t i = 0; i < view->count; i++) {
        side->items[i] = (Level){sign * view->items[i].tick, view->items[i].lots};
    }
    side->count = view->count;
    if (side->count > 1) {
        qsort(side->items, (size_t)side->count, sizeof(Level), by_key);
    }
}

bool side_compact(Side *side, Py_ssize_t limit)
{
    if (side->count <= limit) {
        return false;
    }
    Py_ssize_t live = 0;
    for (Py_ssize_t i = 0; i < side->count; i++) {
        if (side->items[i].lots != 0) {
            side->items[live++] = side->items[i];
        }
    }
    side->count = live;
    if (live <= limit) {
        return false;
    }
    memmove(side->items, side->items + (live - limit), (size_t)limit * sizeof(Level));
    side->count = limit;
    return true;
}

Py_ssize_t side_live(const Side *side)
{
    Py_ssize_t live = 0;
    for (Py_ssize_t i = 0; i < side->count; i++) {
        live += side->items[i].lots != 0;
    }
    return live;
}

/* The best `n` levels, best first. Copied before a Python object is made: that may run the collector's finalizers. */
PyObject *side_top(const Side *side, Py_ssize_t n, int sign)
{
    Level few[TOP_MAX], *found = few;
    n = Py_MAX(0, Py_MIN(n, side->count));
    if (n > TOP_MAX && (found = PyMem_New(Level, n)) == NULL) {
        return PyErr_NoMemory();
    }
    Py_ssize_t count = 0;
    for (Py_ssize_t i = side->count - 1; i >= 0 && count < n; i--) {
        if (side->items[i].lots != 0) {
            found[count++] = side->items[i];
        }
    }
    PyObject *levels = PyTuple_New(count);
    for (Py_ssize_t i = 0; levels != NULL && i < count; i++) {
        PyObject *pair = level_pair(sign * found[i].tick, found[i].lots);
        if (pair == NULL) {
            Py_CLEAR(levels);
        }
        else {
            PyTuple_SET_ITEM(levels, i, pair);
        }
    }
    if (found != few) {
        PyMem_Free(found);
    }
    return levels;
}
