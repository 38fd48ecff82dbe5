/* One side of a book: levels in one array, sorted by key, whose end is the best price. The key of a bid is its tick, that
 * of an ask its negated tick. A removed level stays as a level of 0 lots until it surfaces at the touch or until
 * compaction, as in Python, so that both forget the same levels at the same moment. */

#ifndef PROPDESK_SIDE_H
#define PROPDESK_SIDE_H

#include "marketdata.h"

/* As many levels as a BookTop holds. */
#define TOP_MAX 10

typedef struct {
    Level *items; /* `tick` is the key */
    Py_ssize_t count, capacity;
} Side;

/* Room for `more` levels; false with an exception set. */
bool side_reserve(Side *side, Py_ssize_t more);

/* Sets levels: room for twice as many was reserved; ticks rise or fall. `sign` is -1 for asks. */
void side_apply(Side *side, const LevelsView *changed, int sign);

/* Replaces all: room for them was reserved, and every tick comes once. */
void side_replace(Side *side, const LevelsView *view, int sign);

/* Levels of 0 lots go first, then the live levels farthest from the touch; whether live levels went. */
bool side_compact(Side *side, Py_ssize_t limit);

int64_t side_lots(const Side *side, int64_t key);
Py_ssize_t side_live(const Side *side);

/* A tuple of the best `n` (tick, lots), best first. */
PyObject *side_top(const Side *side, Py_ssize_t n, int sign);

/* What was told of a side last: `told` is the tuple (or NULL), `levels` what it says, by key. Most levels are told again
 * and again, and a pair that is told again is not made again. */
typedef struct {
    PyObject *told;
    Level levels[TOP_MAX];
} Telling;

/* As side_top, for an `n` of at most TOP_MAX; what was told before is used again, and what is told now is kept. */
PyObject *side_tell(const Side *side, Telling *telling, Py_ssize_t n, int sign);

static inline const Level *side_best(const Side *side)
{
    return side->count > 0 ? &side->items[side->count - 1] : NULL;
}

#endif
