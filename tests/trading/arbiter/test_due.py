"""When the arbiter next has something to do: asking the one instrument that changed is as good as asking all."""

import random

import pytest

from trading.arbiter.core import QUIET, Arbiter
from trading.orders.messages import QuoteIntent, TargetIntent, Urgency

NOW = 1_700_000_000_000_000_000
MS = 1_000_000
TIMER_NS = 50 * MS


class Alarm:
    """A timer that is set as the arbiter's actor sets its own."""

    def __init__(self):
        self.at_ns = None

    def set(self, due, now_ns):
        soon = now_ns + TIMER_NS
        if self.at_ns is not None and self.at_ns <= soon:
            return
        if due is not None and (self.at_ns is None or due < self.at_ns):
            self.at_ns = due if due > now_ns else soon


class AlarmedArbiter(Arbiter):
    """Sets two timers after every fact: one asks all instruments, one asks the instrument of the fact."""

    def __init__(self, instruments, config, epoch):
        super().__init__(instruments, config, epoch)
        self.by_all, self.by_one = Alarm(), Alarm()
        self.compared = 0

    def _set(self, instrument_id, now_ns):
        self.by_all.set(self.next_due_ns(now_ns + TIMER_NS), now_ns)
        self.by_one.set(self.next_due_ns(now_ns + TIMER_NS, instrument_id), now_ns)
        assert self.by_one.at_ns == self.by_all.at_ns
        self.compared += 1

    def on_top(self, top, now_ns):
        outs = super().on_top(top, now_ns)
        if outs is not QUIET:
            self._set(top.instrument_id, now_ns)
        return outs

    def on_intent(self, intent, now_ns):
        outs = super().on_intent(intent, now_ns)
        self._set(intent.instrument_id, now_ns)
        return outs

    def on_order(self, update, now_ns):
        outs = super().on_order(update, now_ns)
        self._set(update.instrument_id, now_ns)
        return outs

    def on_fill(self, fill, now_ns):
        outs = super().on_fill(fill, now_ns)
        self._set(fill.instrument_id, now_ns)
        return outs

    def on_denied(self, denied, now_ns):
        outs = super().on_denied(denied, now_ns)
        self._set(denied.instrument_id, now_ns)
        return outs

    def on_timer(self, now_ns):
        self.by_all.at_ns = self.by_one.at_ns = None
        outs = super().on_timer(now_ns)
        self._set(None, now_ns)
        return outs


def _intent(dice, instrument_id, bid, n, now_ns):
    head = (f"i{n}", dice.choice(["maker", "momentum", "basis"]), instrument_id)
    tail = (0.5, dice.choice([200, 1000, 30_000]) * MS, ("because",), f"{instrument_id}@{n}", now_ns)
    if dice.random() < 0.4:
        return QuoteIntent(*head, bid - dice.randrange(3), 4, bid + 1 + dice.randrange(3), 4, *tail)
    urgency = dice.choice([Urgency.AGGRESSIVE, Urgency.PASSIVE])
    return TargetIntent(*head, dice.randrange(-9, 10), urgency, None, *tail)


@pytest.mark.parametrize("seed", range(8))
def test_the_timer_of_the_one_that_changed_is_the_timer_of_all(kit, seed):
    dice = random.Random(seed)
    desk = kit.desk(only=(kit.PERP, kit.COIN), max_orders_per_sec=3)
    desk.arbiter = arbiter = AlarmedArbiter(desk.instruments, desk.arbiter.config, 7)
    bids = {kit.PERP: 500_000, kit.COIN: 500_000}
    now, n = NOW, 0
    for i, bid in bids.items():
        desk.book(kit.top(i, bid, bid + 1, now), now)
    while arbiter.compared < 600 and n < 6_000:
        n += 1
        now += dice.choice([1, 20, 90, 700]) * MS
        at_ns = arbiter.by_all.at_ns
        if at_ns is not None and now >= at_ns:
            desk.timer(now)
        instrument_id = dice.choice(list(bids))
        if dice.random() < 0.6:
            bids[instrument_id] += dice.choice([-1, 0, 1])
            desk.book(kit.top(instrument_id, bids[instrument_id], bids[instrument_id] + 1, now, update_id=n), now)
        else:
            desk.intent(_intent(dice, instrument_id, bids[instrument_id], n, now), now)
    assert arbiter.compared >= 600
    assert desk.orders
