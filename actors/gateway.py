"""The order gateway of one venue: the last gate before the wire.

Reads the permit board synchronously before every write, refuses old epochs, unproved books, stale commands, fat fingers
and an exhausted rate budget; cancels and queries always pass. Encodes to the venue's bytes. Owns no order state.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

import native
from actors.messages import BookProof, OrderSent, WireOut
from actors.shell import Shell
from adapters.binance.orders_codec import encode_cancel, encode_new_order, encode_replace, encode_status
from adapters.permit_board import LEASE_NS_MAX, PermitReader, PermitVerdict
from adapters.sent_log import SentLog
from trading.brakes import GLOBAL
from trading.instruments import Instrument, InstrumentKind
from trading.operators import CommandAnswered, OperatorCommand, Published, Topic
from trading.orders.messages import (
    AccountStateRequest,
    DenyReason,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderDenied,
    OrderStatusRequest,
    TimeInForce,
)
from trading.orders.numbers import unsound_order
from trading.risk.limits import OPERATOR

_SECOND_NS = 1_000_000_000
_GRANTED = PermitVerdict.GRANTED


class GatewaySetup(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the last gate. ``max_age_ms``: a command older than this was meant for another market."""

    venue: str
    instruments: dict[str, Instrument]
    board: Path
    sent_log: Path | None
    max_order_notional_usd: Decimal
    orders_per_sec: int = 50
    max_age_ms: int = 1_000
    connector: str = ""
    orders: str = "orders"
    ops: str = "ops"
    publish_ns: int = 1_000_000_000


# What the short way in C reads, and words.
_READ = (NewOrderSingle, OrderCancelReplaceRequest, Instrument, GatewaySetup, PermitReader)
_KNOWN = (deque, InstrumentKind.INVERSE, GLOBAL, LEASE_NS_MAX, _SECOND_NS)
_plain_gate = None if native.orders is None else native.orders.PlainGate(*_READ, *_KNOWN)

_WORDS = {
    PermitVerdict.SAFE_ONLY: "mode SAFE lets only post-only orders through",
    PermitVerdict.REDUCE_ONLY: "mode PAUSE lets only reduce-only orders through",
}
_REFUSALS = {
    PermitVerdict.SAFE_ONLY: DenyReason.PERMIT_MODE,
    PermitVerdict.REDUCE_ONLY: DenyReason.PERMIT_MODE,
    PermitVerdict.REFUSED_EXPIRED: DenyReason.PERMIT_EXPIRED,
    PermitVerdict.REFUSED_EPOCH: DenyReason.PERMIT_EPOCH,
    PermitVerdict.REFUSED_TORN: DenyReason.PERMIT_EXPIRED,
    PermitVerdict.REFUSED_HOLD: DenyReason.PERMIT_MODE,
    PermitVerdict.REFUSED_KILL: DenyReason.PERMIT_MODE,
}


class Gateway(Shell):
    """Permit, book, age, notional, rate, encode, write: in that order, for every order."""

    def start(self, setup: GatewaySetup) -> None:
        """Open the board for reading."""
        self._setup = setup
        self._reader = PermitReader(setup.board)
        self._log = SentLog(setup.sent_log) if setup.sent_log is not None else None
        self._recent: deque[int] = deque()
        self._scopes: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {}
        self._unproved: set[str] = set()
        self._max_age_ns = setup.max_age_ms * 1_000_000
        # Bound once: to find a method of an actor costs more than to call it.
        self._wall_ns, self._lease_ns, self._say = self.now_ns, self.mono_ns, self._encode
        self.sent = 0
        self.denied = 0
        self._publish_soon()

    def on(self, msg: Any) -> None:
        """One command for the venue."""
        kind = type(msg)
        if kind is NewOrderSingle or kind is OrderCancelReplaceRequest:
            started = self._wall_ns()
            instrument = self._setup.instruments.get(msg.instrument_id)
            refusal = self._refusal(msg, instrument, started)
            if refusal is not None:
                self._deny(msg, *refusal)
                return
            assert instrument is not None
            permitted = self._wall_ns()
            try:
                payload = self._say(msg, instrument)
            except ValueError as trouble:
                self._deny(msg, DenyReason.FAT_FINGER, str(trouble)[:200])
                return
            encoded = self._wall_ns()
            if self._log is not None:
                self._log.append(self.mono_ns(), msg.cl_ord_id)
            self._write(payload, msg)
            self.sent += 1
            sent = OrderSent(msg.venue, msg.cl_ord_id, encoded, permitted - started, encoded - permitted)
            self.tell(self._setup.orders, sent)
        elif kind is OrderCancelRequest or kind is OrderStatusRequest:
            self._write(self._encode_other(msg), msg)
        elif kind is AccountStateRequest:
            self._write(b"", msg)
        elif kind is BookProof:
            # What was approved on a proved book may come here after the book was lost: no mailbox of the desk's
            # cell stands between its connector's word and the wire.
            change = self._unproved.discard if msg.proved else self._unproved.add
            change(msg.instrument_id)
        elif kind is OperatorCommand:
            self._answer(msg, False, f"orders for {self._setup.venue} go over no link that could be locked")
        else:
            self.unknown(msg)

    def _encode(self, msg: NewOrderSingle | OrderCancelReplaceRequest, instrument: Instrument) -> bytes:
        """The order in the venue's bytes."""
        return encode_new_order(msg, instrument) if type(msg) is NewOrderSingle else encode_replace(msg, instrument)  # type: ignore[arg-type]

    def _refusal(
        self, msg: NewOrderSingle | OrderCancelReplaceRequest, instrument: Instrument | None, now: int
    ) -> tuple[DenyReason, str] | None:
        """What speaks against it at this moment; None counts it as one of its second's."""
        # All is handed over anew: what was put in the place of a part stands there for the short way too.
        if _plain_gate is not None and _plain_gate(
            msg,
            instrument,
            now,
            self._setup,
            self._reader,
            self._lease_ns,
            self._scopes,
            self._unproved,
            self._recent,
            self._max_age_ns,
        ):
            return None
        return self._refusal_in_python(msg, instrument, now)

    def _refusal_in_python(
        self, msg: NewOrderSingle | OrderCancelReplaceRequest, instrument: Instrument | None, now: int
    ) -> tuple[DenyReason, str] | None:
        """The reference of `_refusal`, which lets the usual order pass in C where that was built."""
        if instrument is None:
            return DenyReason.UNKNOWN_INSTRUMENT, f"{msg.instrument_id} is not traded on {self._setup.venue}"
        scopes = self._scopes.get((msg.instrument_id, msg.strategy_ids)) or self._scopes_of(msg)
        verdict = self._reader.check(scopes, self._lease_ns(), msg.epoch)
        if verdict is not _GRANTED or msg.instrument_id in self._unproved:
            refusal = self._withheld(msg, verdict)
            if refusal is not None:
                return refusal
        setup, price = self._setup, msg.price
        age_ns = now - msg.ts_init_ns
        if age_ns > self._max_age_ns:
            text = f"command is {age_ns / 1e6:.0f} ms old, limit {setup.max_age_ms} ms"
            return DenyReason.PERMIT_EXPIRED, text
        # Bound to closing the venue executes no more of it than is held.
        if msg.trigger is None or not msg.trigger.close_on_trigger:
            if price is None:
                return DenyReason.FAT_FINGER, "an order without a price has no bound that could be checked here"
            try:
                notional = instrument.notional(msg.order_qty, price)
                within = notional <= setup.max_order_notional_usd
            except ArithmeticError:
                return DenyReason.FAT_FINGER, unsound_order(msg)
            if not within:
                return DenyReason.FAT_FINGER, f"notional {notional:.2f} USD, limit {setup.max_order_notional_usd} USD"
        recent = self._recent
        while recent and recent[0] <= now - _SECOND_NS:
            recent.popleft()
        if len(recent) >= setup.orders_per_sec:
            return DenyReason.RATE_BUDGET, f"{len(recent)} orders in the last second, budget is used up"
        recent.append(now)
        return None

    def _permit_refusal(self, msg: NewOrderSingle | OrderCancelReplaceRequest) -> tuple[DenyReason, str] | None:
        """What the permit board and the connector's word of the book say against it now."""
        scopes = self._scopes.get((msg.instrument_id, msg.strategy_ids)) or self._scopes_of(msg)
        return self._withheld(msg, self._reader.check(scopes, self.mono_ns(), msg.epoch))

    def _withheld(
        self, msg: NewOrderSingle | OrderCancelReplaceRequest, verdict: PermitVerdict
    ) -> tuple[DenyReason, str] | None:
        if verdict is not _GRANTED:
            by_operator = set(msg.strategy_ids) == {OPERATOR}
            post_only = msg.time_in_force is TimeInForce.GTX
            if not verdict.admits(post_only=post_only, reduce_only=msg.reduce_only, by_operator=by_operator):
                words = _WORDS.get(verdict, f"permit board says {verdict.name}")
                return _REFUSALS.get(verdict, DenyReason.PERMIT_EXPIRED), words
        if msg.instrument_id in self._unproved:
            return DenyReason.BOOK_NOT_SYNCED, "the book was lost after the order was approved"
        return None

    def _encode_other(self, msg: OrderCancelRequest | OrderStatusRequest) -> bytes:
        """A cancel or a question in the venue's bytes."""
        instrument = self._setup.instruments[msg.instrument_id]
        return encode_cancel(msg, instrument) if type(msg) is OrderCancelRequest else encode_status(msg, instrument)  # type: ignore[arg-type]

    def _scopes_of(self, msg: NewOrderSingle | OrderCancelReplaceRequest) -> tuple[str, ...]:
        scopes = (
            "global",
            f"venue:{self._setup.venue}",
            f"symbol:{msg.instrument_id}",
            *(f"strategy:{s}" for s in msg.strategy_ids),
        )
        if len(self._scopes) < 1_024:
            self._scopes[msg.instrument_id, msg.strategy_ids] = scopes
        return scopes

    def _write(self, payload: bytes, msg: Any) -> None:
        self.tell(
            self._setup.connector or f"connector.{self._setup.venue}",
            WireOut(payload, msg, self.clock.wall_ns()),
        )

    def _deny(self, msg: NewOrderSingle | OrderCancelReplaceRequest, reason: DenyReason, text: str) -> None:
        self.denied += 1
        self.tell(
            self._setup.orders,
            OrderDenied(
                cl_ord_id=msg.cl_ord_id,
                venue=msg.venue,
                instrument_id=msg.instrument_id,
                reason=reason,
                text=text,
                legs=(),
                cause=msg.cause,
                ts_init_ns=self.now_ns(),
            ),
        )

    def _answer(self, msg: OperatorCommand, done: bool, text: str) -> None:
        """Tell the operator, and everybody else that somebody asked."""
        now, ops = self.now_ns(), self._setup.ops
        body: dict[str, object] = {
            "level": "info",
            "code": f"OPERATOR:{msg.kind.value}",
            "text": f"{msg.actor} ({msg.cause}): {text}",
            "ts_ns": now,
            "cell": f"venue.{self._setup.venue}",
        }
        self.tell(ops, Published(topic=Topic.EVENT, key=f"{self.name}:{msg.command_id}", body=body, ts_ns=now))
        self.tell(ops, CommandAnswered(command_id=msg.command_id, done=done, text=text, body={}, ts_ns=now))

    def _publish_soon(self) -> None:
        self.wake_after(self._setup.publish_ns, "publish")

    def on_tick(self, tag: str) -> None:
        """Counters for the operators."""
        self._publish_soon()
        now = self.now_ns()
        labels = {"venue": self._setup.venue}
        series = [
            ["gateway_orders_sent_total", "counter", labels, self.sent],
            ["gateway_orders_denied_total", "counter", labels, self.denied],
        ]
        self.tell(
            self._setup.ops,
            Published(topic=Topic.METRICS, key=f"gateway.{self._setup.venue}", body={"series": series}, ts_ns=now),
        )

    def stop(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()
            self._log = None
