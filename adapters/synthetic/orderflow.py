"""The order flow of one synthetic market: who comes when, what it does to the book, and the messages that follow.

Events excite events (a Hawkes process with an exponential kernel, Hawkes 1971), taker signs persist, makers hold their
quotes until the fair price has gone far enough and then reprice in steps. Owns the book of one market and its sequence
numbers; does not own the fair price (``latent``) or the bytes (``wire``).
"""

from __future__ import annotations

import math
from collections import deque
from random import Random

from adapters.synthetic.ladder import DeepNoise, Side, interpolate, round_lots
from adapters.synthetic.latent import LatentMarket
from adapters.synthetic.params import Dialect, MarketParams
from adapters.synthetic.wires import MarketWire, wire_of

_MS = 1_000_000
_NEVER = 1 << 62
_DECAY_PER_S = 6.0
_IMPACT_DECAY_PER_S = 0.7
_PRINTS = 1024
_EXCITEMENT_MAX = 8.0  # in units of the base rate, so that a cluster cannot run away


class OrderFlow:
    """One market from ``start_ns`` on. Frames appear in ``frames`` in the order of their receipt times."""

    def __init__(self, market: MarketParams, latent: LatentMarket, seed: int, start_ns: int, activity: float) -> None:
        self.market = market
        self.frames: deque[tuple[int, bytes]] = deque()
        self._latent = latent
        self._rng = Random(seed)
        self._wire: MarketWire = wire_of(market, start_ns)
        self._start_ns = self._now_ns = self._recv_ns = start_ns
        fair = latent.held(start_ns)[0] * latent.premium(market, start_ns) * market.ticks_per_unit
        self._bps_ticks = fair * 1e-4
        self._noise = DeepNoise(market, int(fair), self._rng)
        self._fair_until_ns = start_ns
        self._fair_ticks = 0.0
        self._intensity = 1.0
        self._pressure = 0.0
        self._base_rate = (market.touch_rate + market.market_rate) * activity * (1.0 - market.branching)
        self._excitement = 0.0
        self._excited_ns = start_ns
        self._market_share = market.market_rate / (market.touch_rate + market.market_rate)
        self._flush_ns = market.flush_ms * _MS / (1.0 if market.steady else activity)
        self._direction = 1
        self._impact = 0.0
        self._impact_ns = start_ns
        self._print_lots = _print_table(market)
        self._update_id = start_ns * market.ids_per_s // 1_000_000_000
        self._trade_id = start_ns * market.trades_per_s // 1_000_000_000
        self._ticker: tuple[int, int, int, int] = (0, 0, 0, 0)
        self.bid, self.ask = Side(-1), Side(1)
        self._wanted = {-1: market.touch_lots, 1: market.touch_lots}
        self._hold_ticks = 0.0
        self._open_book(fair)
        self._previous_final = self._update_id
        self._first = 0
        self._open_batch()
        self._next_event_ns = start_ns
        self._schedule_event(start_ns)
        self._next_flush_ns = start_ns + int(self._flush_ns)
        self._moving = False
        self._next_move_ns = _NEVER
        self._next_mark_ns = _NEVER
        if market.perpetual:
            self._next_mark_ns = (start_ns // 1_000_000_000 + 1) * 1_000_000_000 + 10 * _MS

    def advance(self, until_ns: int) -> None:
        """Let everything up to and including ``until_ns`` (venue time) happen."""
        while True:
            now_ns = min(self._next_event_ns, self._next_flush_ns, self._next_move_ns, self._next_mark_ns)
            if now_ns > until_ns:
                return
            self._now_ns = now_ns
            if now_ns == self._next_event_ns:
                self._on_event(now_ns)
            elif now_ns == self._next_move_ns:
                self._on_move(now_ns)
            elif now_ns == self._next_flush_ns:
                self._on_flush(now_ns)
            else:
                self._on_mark(now_ns)

    def snapshot(self) -> tuple[int, bytes]:
        """(receipt time, REST body) of the book as it is after the last event; changes nothing."""
        bids, asks = self.bid.sorted(), self.ask.sorted()
        event_ms = self._now_ns // _MS
        return max(self._now_ns, self._recv_ns), self._wire.snapshot(event_ms, self._update_id, bids, asks)

    def _fair(self, now_ns: int) -> float:
        """The price that makers quote around, in ticks: the latent fair price plus what recent takers did to it."""
        if now_ns >= self._fair_until_ns:
            price, self._fair_until_ns = self._latent.held(now_ns)
            self._fair_ticks = self._latent.premium(self.market, now_ns) * price * self.market.ticks_per_unit
            self._intensity = self._latent.intensity(now_ns)
            self._pressure = self._latent.pressure_bps(now_ns)
        self._impact *= math.exp((self._impact_ns - now_ns) * 1e-9 * _IMPACT_DECAY_PER_S)
        self._impact_ns = now_ns
        return self._fair_ticks + self._impact

    def _schedule_event(self, now_ns: int) -> None:
        """Draw the next candidate of the self-exciting process (thinning, Ogata 1981)."""
        rate = self._base_rate * self._intensity * (1.0 + self._excitement)
        self._next_event_ns = now_ns + 1 + int(-math.log(1.0 - self._rng.random()) / rate * 1e9)

    def _on_event(self, now_ns: int) -> None:
        before = 1.0 + self._excitement
        self._excitement *= math.exp((self._excited_ns - now_ns) * 1e-9 * _DECAY_PER_S)
        self._excited_ns = now_ns
        if self._rng.random() * before <= 1.0 + self._excitement:
            jump = self.market.branching * _DECAY_PER_S / (self._base_rate * self._intensity)
            self._excitement = min(_EXCITEMENT_MAX, self._excitement + jump)
            if self._rng.random() < self._market_share:
                self._on_taker(now_ns)
            else:
                self._on_touch(now_ns)
            self._watch(now_ns)
        self._schedule_event(now_ns)

    def _on_touch(self, now_ns: int) -> None:
        """A maker joins or leaves one of the best levels."""
        rng = self._rng
        side = self.bid if rng.random() < 0.5 else self.ask
        lots = side.levels[side.best]
        wanted = self._wanted[side.out]
        size = round_lots(wanted * self.market.touch_order_share * math.exp(rng.gauss(0.0, 1.1)), rng.getrandbits(3))
        if rng.random() < min(0.92, max(0.08, 0.5 + 0.4 * (1.0 - lots / wanted))):
            side.put(side.best, lots + size)
        else:
            side.put(side.best, max(1, lots - size))
        self._bump()
        self._emit_ticker(now_ns)

    def _on_taker(self, now_ns: int) -> None:
        """A market order: its sign persists, leans towards the fair price and towards momentum."""
        rng = self._rng
        gap = self._fair(now_ns) - (self.bid.best + self.ask.best) / 2.0
        lean = max(-1.0, min(1.0, gap / self._hold_ticks + 1.5 * self._pressure))
        flip = 0.01 * (1.0 - lean * self._direction) ** 2
        if rng.random() < flip:
            self._direction = -self._direction
        sign = self._direction if rng.random() < 0.88 else -self._direction
        self._take(now_ns, sign, sweep=rng.random() < 0.1)
        self._bump()
        self._emit_ticker(now_ns)

    def _take(self, now_ns: int, sign: int, *, sweep: bool, prints_factor: float = 1.0) -> None:
        """Print one market order against the book; without ``sweep`` it leaves something at the touch."""
        rng, side = self._rng, self.ask if sign > 0 else self.bid
        prints = 1 + int(-math.log(1.0 - rng.random()) * (self.market.prints_mean * prints_factor - 0.5))
        took = 0
        for _ in range(prints):
            available = side.levels[side.best]
            lots = min(self._print_lots[rng.getrandbits(10)], available if sweep else available - 1)
            if lots <= 0 or len(side.levels) < 20:
                break
            self._trade_id += 1
            event_ms, sent_ms = self._stamp(now_ns)
            frame = self._wire.trade(event_ms, sent_ms, self._trade_id, side.best, lots, buyer_is_maker=sign < 0)
            self._emit(sent_ms, frame)
            took += lots
            if lots < available:
                side.put(side.best, available - lots)
            else:
                side.drop(side.best)
                side.advance()
        self._impact += sign * 0.3 * self._bps_ticks * min(1.0, took / self.market.touch_lots)
        if self.ask.best - self.bid.best > 1 and self._next_move_ns == _NEVER:
            self._next_move_ns = now_ns + int(self.market.repair_ms * (0.1 + 1.8 * rng.random()) * _MS)

    def _watch(self, now_ns: int) -> None:
        """Start repricing once the fair price has left the quotes far enough."""
        gap = self._fair(now_ns) - (self.bid.best + self.ask.best) / 2.0
        if not self._moving and abs(gap) > self._hold_ticks:
            self._moving = True
            self._next_move_ns = now_ns + int((0.2 + 3.0 * self._rng.random()) * _MS)

    def _on_move(self, now_ns: int) -> None:
        """One step of repricing, or of closing a spread that a taker opened."""
        rng = self._rng
        fair = self._fair(now_ns)
        gap = fair - (self.bid.best + self.ask.best) / 2.0
        if self._moving and abs(gap) > 0.75:
            part = 1.0 if abs(gap) < 0.1 * self._hold_ticks + 2.0 else 0.5 + 0.5 * rng.random()
            self._shift(now_ns, 1 if gap > 0 else -1, math.floor((self.bid.best + self.ask.best) / 2.0 + part * gap))
        if self.ask.best - self.bid.best > 1 and rng.random() < 0.7:
            side, other = (self.bid, self.ask) if fair > (self.bid.best + self.ask.best) / 2.0 else (self.ask, self.bid)
            self._place(side, other.best + side.out)
            self._bump()
            self._emit_ticker(now_ns)
        wide = self.ask.best - self.bid.best > 1
        gap = abs(fair - (self.bid.best + self.ask.best) / 2.0)
        if self._moving and gap <= 0.1 * self._hold_ticks + 1.0:
            self._moving = False
            self._hold_ticks = self._draw_hold()
            for out in (-1, 1):
                self._wanted[out] = self.market.touch_lots * math.exp(rng.gauss(0.0, self.market.touch_sigma))
        if wide or self._moving:
            delay_ms = self.market.repair_ms * (0.1 + 1.8 * rng.random()) if wide else 4.0 + 30.0 * rng.random()
            self._next_move_ns = now_ns + int(delay_ms * _MS)
        else:
            self._next_move_ns = _NEVER

    def _shift(self, now_ns: int, sign: int, new_bid: int) -> None:
        """Take the quotes that stand in the way of a move; takers get some of them, their makers cancel the rest."""
        rng, side = self._rng, self.ask if sign > 0 else self.bid
        target = new_bid + 1 if sign > 0 else new_bid
        if (target - side.best) * sign <= 0:
            return
        if rng.random() < self.market.news_takers:
            # News brings takers in its direction, and those after them follow.
            if rng.random() < 0.5:
                self._direction = sign
            self._take(now_ns, sign, sweep=True, prints_factor=2.2)
        while (target - side.best) * sign > 0:
            if len(side.levels) < 50:
                self._noise.fill_near(side, int(50 * self.market.near_gap))
            side.drop(side.best)
            side.advance()
        if side.best != target:
            self._place(side, target)
        self._bump()
        self._emit_ticker(now_ns)

    def _place(self, side: Side, ticks: int) -> None:
        """Quote a new touch in front of the old one; makers of the old one follow, the gap fills thinly."""
        behind = abs(side.best - ticks)
        if side.best in side.levels:
            side.put(side.best, min(side.levels[side.best], self._noise.lots(behind)))
        side.best = ticks
        side.put(ticks, max(1, int(self._wanted[side.out] * (0.15 + 0.6 * self._rng.random()))))
        self._noise.fill_near(side, behind)

    def _on_flush(self, now_ns: int) -> None:
        """The diff of everything since the last one, with the deep churn of that time."""
        rng = self._rng
        self._watch(now_ns)
        size = self.market.deep_median * self._intensity * math.exp(self.market.deep_sigma * rng.gauss(0.0, 1.0))
        changes = min(int(size), int(self.market.deep_median * 20))
        self._noise.churn(self.bid, self.ask, changes)
        self._noise.cull(self.bid)
        self._noise.cull(self.ask)
        self._bump(changes)
        if self.bid.pending or self.ask.pending:
            event_ms, sent_ms = self._stamp(now_ns)
            ids = (self._first, self._update_id, self._previous_final)
            frame = self._wire.depth(event_ms, sent_ms, ids, self.bid.pending, self.ask.pending)
            self._emit(sent_ms, frame)
            self.bid.pending.clear()
            self.ask.pending.clear()
            self._previous_final = self._update_id
            self._open_batch()
        if self.market.steady:
            self._next_flush_ns = now_ns + int(self._flush_ns)
        else:
            self._next_flush_ns = now_ns + int(self._flush_ns * (0.85 + 0.3 * rng.random()))

    def _on_mark(self, now_ns: int) -> None:
        index = self._latent.price(now_ns)
        mark = index * (1.0 + 1e-4 * self._latent.basis_bps(self.market, now_ns))
        funding = self._latent.funding(self.market, now_ns)
        sent_ms = now_ns // _MS
        self._emit(sent_ms, self._wire.mark_price(sent_ms, mark, index, funding.rate, funding.next_funding_ms))
        self._next_mark_ns = now_ns + 1_000_000_000

    def _emit_ticker(self, now_ns: int) -> None:
        bid, ask = self.bid, self.ask
        top = (bid.best, bid.levels[bid.best], ask.best, ask.levels[ask.best])
        if top != self._ticker:
            self._ticker = top
            event_ms, sent_ms = self._stamp(now_ns)
            self._emit(sent_ms, self._wire.book_ticker(event_ms, sent_ms, self._update_id, top))

    def _stamp(self, now_ns: int) -> tuple[int, int]:
        """(matched, sent) in ms: the venue's gateway adds 0 to 10 ms."""
        event_ms = now_ns // _MS
        return event_ms, event_ms + int(10.0 * self._rng.random() ** 4)

    def _emit(self, sent_ms: int, frame: bytes) -> None:
        """Deliver a frame 1.5 to 4 ms after it was sent, never overtaking an earlier one."""
        arrival_ns = max(self._now_ns, sent_ms * _MS) + 1_500_000 + self._rng.getrandbits(21)
        self._recv_ns = max(self._recv_ns + 1000, arrival_ns)
        self.frames.append((self._recv_ns, frame))

    def _bump(self, changes: int = 1) -> None:
        """Give the changes just made their update ids; the ids of futures count other symbols' updates too."""
        unit = self.market.ids_per_change
        if unit == 1:
            self._update_id += changes
        else:
            self._update_id += 1 + int(2.0 * unit * self._rng.random()) + changes

    def _open_batch(self) -> None:
        """Draw the next diff's first id now, so that a snapshot taken at once still lies within that diff."""
        if self.market.dialect is Dialect.SPOT:
            self._first = self._update_id + 1
        else:
            self._update_id += 1 + int(60.0 * self._rng.random())
            self._first = self._update_id

    def _open_book(self, fair: float) -> None:
        self.bid.best = math.floor(fair)
        self.ask.best = self.bid.best + 1
        for side in (self.bid, self.ask):
            side.put(side.best, max(1, int(self.market.touch_lots * (0.5 + self._rng.random()))))
            self._noise.fill(side)
            side.pending.clear()
        self._ticker = (
            self.bid.best,
            self.bid.levels[self.bid.best],
            self.ask.best,
            self.ask.levels[self.ask.best],
        )
        self._hold_ticks = self._draw_hold()

    def _draw_hold(self) -> float:
        """How far fair may go from the quotes before makers move: at least a tick, exponential beyond a floor."""
        bps = self.market.hold_bps * (0.5 - 0.5 * math.log(1.0 - self._rng.random()))
        return max(1.0, bps * self._bps_ticks)


def _print_table(market: MarketParams) -> list[int]:
    """Equally likely trade sizes from the calibrated quantiles, log-linear between them, some of them round."""
    knots = tuple((q, math.log(lots)) for q, lots in market.print_lots)
    return [round_lots(math.exp(interpolate(knots, (i + 0.5) / _PRINTS)), i * 0x9E3779B1 >> 13) for i in range(_PRINTS)]
