"""A two-sided post-only quoter: a reservation price skewed by inventory, a half-spread from fees and volatility.

Owns when to quote, move and pull. Does not own queue position, order slots or self-trade protection: those are
the arbiter's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import ceil, floor

import msgspec

from trading.instruments import Instrument, InstrumentKind
from trading.market.events import BookState, BookTop
from trading.orders.messages import Intent, QuoteIntent, Side
from trading.strategies.base import MS, NOTHING, LotValue, Strategy, require, usable
from trading.strategies.signals import Ewma, Volatility


class MakerParams(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of `Maker`; amounts per instrument.

    ``fee_coverage`` is the share of the maker fee that the half-spread must earn (1 = the full fee on each fill;
    less trades for the sake of presence, and pays for it). ``risk_aversion`` is the skew at full inventory, in
    standard deviations of the price over ``horizon_s``; ``max_skew_bps`` bounds it. ``fair_half_life_s`` is the memory
    of the fair price: 0 takes the micro-price of the moment; where fees are a multiple of a second's moves nothing is
    ever filled that way, and a slow fair price waits for excursions that outgrow the fee. ``own_inventory_usd`` is how
    much of the spot account's own coins may be sold first and bought back.
    """

    quote_notional_usd: Decimal = Decimal(300)
    max_inventory_usd: Decimal = Decimal(1500)
    min_edge_bps: float = 0.0
    fee_coverage: float = 1.0
    min_half_spread_ticks: int = 1
    spread_sigmas: float = 0.15
    risk_aversion: float = 1.0
    max_skew_bps: float = 5.0
    horizon_s: float = 5.0
    fair_half_life_s: float = 0.0
    own_inventory_usd: Decimal = Decimal(0)
    vol_half_life_s: float = 30.0
    requote_ticks: int = 2
    requote_bps: float = 0.1
    min_requote_ms: int = 900
    evaluate_ms: int = 50
    ttl_ms: int = 10_000
    stale_ms: int = 1200
    allow_short_spot: bool = False

    def __post_init__(self) -> None:
        for field in ("quote_notional_usd", "max_inventory_usd", "own_inventory_usd"):
            require(getattr(self, field) >= 0, field, "must not be negative; 0 quotes nothing")
        for field in ("fair_half_life_s", "min_edge_bps", "fee_coverage", "spread_sigmas", "risk_aversion"):
            require(getattr(self, field) >= 0, field, "must not be negative")
        for field in ("max_skew_bps", "requote_bps"):
            require(getattr(self, field) >= 0, field, "must not be negative")
        for field in ("horizon_s", "vol_half_life_s", "min_half_spread_ticks", "requote_ticks", "ttl_ms", "stale_ms"):
            require(getattr(self, field) > 0, field, "must be positive")
        for field in ("min_requote_ms", "evaluate_ms"):
            require(getattr(self, field) >= 0, field, "must not be negative")


class _Market:
    """What the quoter knows of one instrument."""

    __slots__ = (
        "ask_lots",
        "ask_ticks",
        "bid_lots",
        "bid_ticks",
        "fair",
        "half_ticks",
        "lot",
        "maker_fee",
        "next_eval_ns",
        "quoted",
        "quoted_ns",
        "requote_due",
        "reservation",
        "sigma_ticks",
        "spec",
        "top",
        "volatility",
    )

    def __init__(self, spec: Instrument, params: MakerParams) -> None:
        self.spec = spec
        self.lot = LotValue(spec)
        self.maker_fee = float(spec.maker_fee)
        self.volatility = Volatility(params.vol_half_life_s, 100)
        self.fair = Ewma(params.fair_half_life_s) if params.fair_half_life_s else None
        self.top: BookTop | None = None
        self.next_eval_ns = 0
        self.quoted = False
        self.quoted_ns = 0
        self.requote_due = False
        self.bid_ticks = self.bid_lots = self.ask_ticks = self.ask_lots = 0
        self.reservation = self.half_ticks = self.sigma_ticks = 0.0


class Maker(Strategy):
    """Quotes around a reservation price r = fair - q * gamma * sigma(horizon).

    After Avellaneda and Stoikov (Quantitative Finance 8(3), 2008), with q normalised to the inventory limit, so that
    gamma counts standard deviations.
    """

    kind = "maker"
    exact = True  # a side that is small runs out against the inventory limit

    def __init__(
        self, strategy_id: str, instruments: Mapping[str, Instrument], params: MakerParams, epoch: int
    ) -> None:
        super().__init__(strategy_id, instruments, epoch)
        self.params = params
        self._markets = {i: _Market(spec, params) for i, spec in instruments.items()}
        self._quote_usd = float(params.quote_notional_usd)
        self._max_inventory_usd = float(params.max_inventory_usd)
        self._own_inventory_usd = float(params.own_inventory_usd)
        self._evaluate_ns = params.evaluate_ms * MS
        self._stale_ns = params.stale_ms * MS

    def on_book(self, top: BookTop, now_ns: int) -> Sequence[Intent]:
        """Requote when the reservation price moved far enough; pull at once when the book is not proved."""
        market = self._markets.get(top.instrument_id)
        if market is None:
            return NOTHING
        market.top = top
        if now_ns < market.next_eval_ns and top.state is BookState.SYNCED:
            return NOTHING
        return self._evaluate(market, now_ns)

    def after_fill(self, instrument_id: str, side: Side, qty: Decimal, price: Decimal, now_ns: int) -> Sequence[Intent]:
        """A fill changes the skew, so the next evaluation does not wait for the price to move."""
        self._markets[instrument_id].requote_due = True
        return NOTHING

    def on_timer(self, now_ns: int) -> Sequence[Intent]:
        """Pull quotes whose book has gone stale and refresh those near the end of their life."""
        out: list[Intent] = []
        for market in self._markets.values():
            if market.top is not None and now_ns >= market.next_eval_ns:
                out.extend(self._evaluate(market, now_ns))
        return out

    def signal(self) -> dict[str, object]:
        """Reservation price, half-spread and volatility by instrument, in ticks."""
        return {
            i: {
                "reservation_ticks": round(m.reservation, 2),
                "half_spread_ticks": round(m.half_ticks, 2),
                "sigma_ticks": round(m.sigma_ticks, 2),
                "quoted": m.quoted,
            }
            for i, m in self._markets.items()
        }

    def _evaluate(self, market: _Market, now_ns: int) -> Sequence[Intent]:
        top = market.top
        if top is None:
            return NOTHING
        market.next_eval_ns = now_ns + self._evaluate_ns
        if not usable(top, now_ns, self._stale_ns):
            return self._pull(market, top, now_ns)
        bid, bid_lots = top.bids[0]
        ask, ask_lots = top.asks[0]
        micro = (bid * ask_lots + ask * bid_lots) / (bid_lots + ask_lots)
        market.volatility.update((bid + ask) * 0.5, now_ns)
        fair = micro if market.fair is None else market.fair.update(micro, now_ns)
        age_ns = now_ns - market.quoted_ns
        if market.quoted and age_ns < self.params.min_requote_ms * MS:
            return NOTHING
        want = self._price(market, bid, ask, fair)
        if market.quoted and not self._moved(market, want, micro) and age_ns < self.params.ttl_ms * MS // 2:
            return NOTHING
        return self._quote(market, top, want, now_ns)

    def _price(self, market: _Market, bid: int, ask: int, fair: float) -> tuple[int, int, int, int]:
        p, spec = self.params, market.spec
        bps_ticks = fair * 1e-4
        position = self.position_lots[spec.instrument_id]
        limit = market.lot.lots(self._max_inventory_usd, fair)
        size = market.lot.lots(self._quote_usd, fair)
        market.sigma_ticks = sigma = market.volatility.over(p.horizon_s)
        skew = 0.0
        if limit:
            bound = p.max_skew_bps * bps_ticks
            skew = max(-bound, min(bound, p.risk_aversion * sigma * position / limit))
        fee_ticks = max(0.0, market.maker_fee * p.fee_coverage * fair) + p.min_edge_bps * bps_ticks
        market.half_ticks = half = max(p.min_half_spread_ticks * 0.5, fee_ticks + p.spread_sigmas * sigma)
        market.reservation = center = fair - skew
        # Post-only: one tick inside the other side at most, or the venue refuses the quote.
        bid_ticks = min(floor(center - half), ask - 1)
        ask_ticks = max(ceil(center + half), bid + 1)
        short_room = limit + position
        if spec.kind is InstrumentKind.SPOT and not p.allow_short_spot:
            short_room = min(short_room, position + market.lot.lots(self._own_inventory_usd, fair))
        bid_lots = max(0, min(size, limit - position))
        ask_lots = max(0, min(size, short_room))
        return bid_ticks, bid_lots, ask_ticks, ask_lots

    def _moved(self, market: _Market, want: tuple[int, int, int, int], micro: float) -> bool:
        bid_ticks, bid_lots, ask_ticks, ask_lots = want
        if market.requote_due or (bid_lots > 0) != (market.bid_lots > 0) or (ask_lots > 0) != (market.ask_lots > 0):
            return True
        threshold = max(self.params.requote_ticks, self.params.requote_bps * 1e-4 * micro)
        return abs(bid_ticks - market.bid_ticks) >= threshold or abs(ask_ticks - market.ask_ticks) >= threshold

    def _quote(self, market: _Market, top: BookTop, want: tuple[int, int, int, int], now_ns: int) -> Sequence[Intent]:
        _, bid_lots, _, ask_lots = want
        if not (bid_lots or ask_lots or market.quoted):
            return NOTHING
        market.bid_ticks, market.bid_lots, market.ask_ticks, market.ask_lots = want
        market.quoted = bool(bid_lots or ask_lots)
        market.quoted_ns = now_ns
        market.requote_due = False
        position = self.position_lots[top.instrument_id]
        reasons = (
            f"reservation {market.reservation:.1f} ticks, half-spread {market.half_ticks:.1f}",
            f"inventory {position} lots, sigma {market.sigma_ticks:.1f} ticks over {self.params.horizon_s:g} s",
        )
        return self._emit(top, want, reasons, now_ns)

    def _pull(self, market: _Market, top: BookTop, now_ns: int) -> Sequence[Intent]:
        if not market.quoted:
            return NOTHING
        market.quoted = False
        market.quoted_ns = now_ns
        market.bid_lots = market.ask_lots = 0
        age_ms = (now_ns - top.ts_recv_ns) // MS
        return self._emit(top, (0, 0, 0, 0), (f"pulled: book {top.state.value}, {age_ms} ms old",), now_ns)

    def _emit(
        self, top: BookTop, quote: tuple[int, int, int, int], reasons: tuple[str, ...], now_ns: int
    ) -> Sequence[Intent]:
        bid_ticks, bid_lots, ask_ticks, ask_lots = quote
        intent = QuoteIntent(
            self.next_intent_id(),
            self.strategy_id,
            top.instrument_id,
            bid_ticks,
            bid_lots,
            ask_ticks,
            ask_lots,
            0.5,
            self.params.ttl_ms * MS,
            reasons,
            f"{top.instrument_id}@{top.update_id}",
            now_ns,
        )
        self.last_intent = intent
        return (intent,)
