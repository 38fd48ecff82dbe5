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

#define TOGETHER 8

/* For each of TOGETHER keys the first place whose key is not below it. The searches go in step, so that the processor
 * waits for the memory of all at once, and without branches, which it could not guess. */
static void side_places(const Side *side, const int64_t *keys, Py_ssize_t *places)
{
    Py_ssize_t base[TOGETHER] = {0};
    Py_ssize_t n = side->count;
    while (n > 1) {
        Py_ssize_t half = n / 2;
        for (int i = 0; i < TOGETHER; i++) {
            base[i] += half & -(Py_ssize_t)(side->items[base[i] + half - 1].tick < keys[i]);
        }
        n -= half;
    }
    for (int i = 0; i < TOGETHER; i++) {
        places[i] = base[i] + (n == 1 && side->items[base[i]].tick < keys[i]);
    }
}

int64_t side_lots(const Side *side, int64_t key)
{
    Py_ssize_t low = 0, high = side->count;
    while (low < high) {
        Py_ssize_t middle = low + (high - low) / 2;
        if (side->items[middle].tick < key) {
            low = middle + 1;
        }
        else {
            high = middle;
        }
    }
    return low < side->count && side->items[low].tick == key ? side->items[low].lots : 0;
}

/* A level of the side: its key and its place. */
typedef struct {
    int64_t key;
    Py_ssize_t place;
} Anchor;

/* Near the touch most ticks have a level, so that one lies as far from the one before as their prices are apart. True with
 * the places of `n` keys when that is so for all of them; `anchor` is then the last. */
static bool side_guess(const Side *side, const int64_t *keys, Py_ssize_t n, Py_ssize_t *places, Anchor *anchor)
{
    Anchor from = *anchor;
    for (Py_ssize_t i = 0; i < n; i++) {
        uint64_t place = (uint64_t)from.place + (uint64_t)(keys[i] - from.key);
        if (place >= (uint64_t)side->count || side->items[place].tick != keys[i]) {
            return false;
        }
        places[i] = (Py_ssize_t)place;
        from = (Anchor){keys[i], places[i]};
    }
    *anchor = from;
    return true;
}

/* Levels that are new go in together, so that what lies above them moves once. */
typedef Level Pending; /* place in the side, and number among the changed */

static void side_insert(Side *side, const LevelsView *changed, int sign, const Pending *pending, Py_ssize_t count)
{
    Py_ssize_t end = side->count;
    side->count += count;
    while (count > 0) {
        count--;
        Level *at = side->items + pending[count].tick;
        const Level *level = &changed->items[pending[count].lots];
        memmove(at + count + 1, at, (size_t)(end - pending[count].tick) * sizeof(Level));
        at[count] = (Level){sign * level->tick, level->lots};
        end = at - side->items;
    }
}

void side_apply(Side *side, const LevelsView *changed, int sign)
{
    Py_ssize_t n = changed->count, count = 0;
    bool rising = n < 2 || (changed->items[1].tick > changed->items[0].tick) == (sign > 0);
    Pending *pending = side->items + side->count + n; /* beyond what can become levels now */
    int64_t keys[TOGETHER] = {0};
    Py_ssize_t places[TOGETHER];
    Anchor anchor = {0};
    if (side->count > 0) {
        anchor = (Anchor){side->items[side->count - 1].tick, side->count - 1};
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        Py_ssize_t number = rising ? i : n - 1 - i;
        if (i % TOGETHER == 0) {
            Py_ssize_t together = Py_MIN(TOGETHER, n - i);
            for (Py_ssize_t j = 0; j < together; j++) {
                keys[j] = sign * changed->items[rising ? i + j : n - 1 - i - j].tick;
            }
            if (!side_guess(side, keys, together, places, &anchor)) {
                side_places(side, keys, places);
            }
        }
        int64_t key = keys[i % TOGETHER], lots = changed->items[number].lots;
        Py_ssize_t place = places[i % TOGETHER];
        if (place < side->count && side->items[place].tick == key) {
            side->items[place].lots = lots;
        }
        else if (lots != 0) {
            pending[count++] = (Pending){place, number};
        }
    }
    if (count > 0) {
        side_insert(side, changed, sign, pending, count);
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

/* Copies the best `n` levels, best first; how many there are. */
static Py_ssize_t side_find(const Side *side, Py_ssize_t n, Level *found)
{
    Py_ssize_t count = 0;
    for (Py_ssize_t i = side->count - 1; i >= 0 && count < n; i--) {
        if (side->items[i].lots != 0) {
            found[count++] = side->items[i];
        }
    }
    return count;
}

/* The best `n` levels, best first. Copied before a Python object is made: that may run the collector's finalizers. */
PyObject *side_top(const Side *side, Py_ssize_t n, int sign)
{
    Level few[TOP_MAX], *found = few;
    n = Py_MAX(0, Py_MIN(n, side->count));
    if (n > TOP_MAX && (found = PyMem_New(Level, n)) == NULL) {
        return PyErr_NoMemory();
    }
    Py_ssize_t count = side_find(side, n, found);
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

/* The pair of `level`; `old` is the one that was told of the same tick before, or NULL. */
static PyObject *tell_pair(const Level *level, int sign, PyObject *old, int64_t old_lots)
{
    if (old == NULL) {
        return level_pair(sign * level->tick, level->lots);
    }
    if (old_lots == level->lots) {
        return Py_NewRef(old);
    }
    PyObject *pair = PyTuple_New(2);
    PyObject *lots = pair != NULL ? PyLong_FromLongLong(level->lots) : NULL;
    if (lots == NULL) {
        Py_XDECREF(pair);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, Py_NewRef(PyTuple_GET_ITEM(old, 0)));
    PyTuple_SET_ITEM(pair, 1, lots);
    return pair;
}

PyObject *side_tell(const Side *side, Telling *telling, Py_ssize_t n, int sign)
{
    Level found[TOP_MAX], before[TOP_MAX];
    Py_ssize_t count = side_find(side, Py_MIN(n, TOP_MAX), found);
    PyObject *old = telling->told;
    Py_ssize_t known = old != NULL ? PyTuple_GET_SIZE(old) : 0;
    size_t bytes = (size_t)count * sizeof(Level);
    if (old != NULL && known == count && memcmp(found, telling->levels, bytes) == 0) {
        return Py_NewRef(old);
    }
    /* Ours until the end, whatever finalizers run when an object is made; there is nothing to find in it meanwhile. */
    memcpy(before, telling->levels, (size_t)known * sizeof(Level));
    telling->told = NULL;
    PyObject *told = PyTuple_New(count);
    for (Py_ssize_t i = 0, j = 0; told != NULL && i < count; i++) {
        while (j < known && before[j].tick > found[i].tick) {
            j++;
        }
        bool again = j < known && before[j].tick == found[i].tick;
        PyObject *pair = tell_pair(&found[i], sign, again ? PyTuple_GET_ITEM(old, j) : NULL, again ? before[j].lots : 0);
        if (pair == NULL) {
            Py_CLEAR(told);
        }
        else {
            PyTuple_SET_ITEM(told, i, pair);
        }
    }
    Py_XDECREF(old);
    if (told != NULL) {
        memcpy(telling->levels, found, bytes);
        Py_XSETREF(telling->told, Py_NewRef(told));
    }
    return told;
}
