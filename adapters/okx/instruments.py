"""The instruments of OKX v5: ``/api/v5/public/instruments`` bytes to rules, and the few that propdesk knows unasked.

Owns metadata only. An instrument any of whose filters cannot be read is refused by name, never guessed. Fees are not in
the reply: they are the regular tier's. Options and margin entries are not instruments of this desk and are left out.
Format: "Get instruments" and "Instruments channel", okx.com/docs-v5 (read 2026-11), checked against replies of 2022-05
and those bundled with ccxt 4.5.68. Contracts count in contracts: one is ``ctVal * ctMult`` of base currency (linear) or
of USD (inverse). There is no notional filter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from adapters.rule_text import above_zero, amount, step, time_ns
from trading.instruments import Instrument, InstrumentKind

OKX = "okx"

# Maker and taker of the regular tier, okx.com fee schedule (read 2026-11).
_FEES = {
    InstrumentKind.SPOT: (Decimal("0.0008"), Decimal("0.001")),
    InstrumentKind.LINEAR: (Decimal("0.0002"), Decimal("0.0005")),
    InstrumentKind.INVERSE: (Decimal("0.0002"), Decimal("0.0005")),
}
_KINDS = {"linear": InstrumentKind.LINEAR, "inverse": InstrumentKind.INVERSE}
_TYPES = frozenset({"SPOT", "SWAP", "FUTURES"})


def type_of(instrument: Instrument) -> str:
    """OKX's instrument type: a swap is named so, a dated future ends in its day."""
    if instrument.kind is InstrumentKind.SPOT:
        return "SPOT"
    return "SWAP" if instrument.symbol.endswith("-SWAP") else "FUTURES"


_NOT_RULES = frozenset(
    {
        "alias",
        "category",
        "groupId",
        "longPosRemainingQuota",
        "maxPlatOICoinLmt",
        "maxPlatOILmt",
        "shortPosRemainingQuota",
        "state",
        "upcChg",
    }
)
"""What changes without changing what an order may look like; left out of the rules version."""


class UpcomingChange(msgspec.Struct, frozen=True, kw_only=True):
    """A filter that the venue will change: its name there (tickSz, minSz, maxMktSz), its value, from when (UTC ns)."""

    param: str
    new_value: str
    effective_ns: int


class ListedInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument and what its venue says of it beyond what every order needs.

    ``state`` is the venue's word (live, suspend, preopen, rebase, test, ...). Times are UTC ns, 0 where the venue has
    none. ``contract_value`` is 0 on spot. ``max_limit_usd`` and ``max_market_usd`` are 0 where there is no such filter.
    """

    instrument: Instrument
    state: str
    list_ns: int
    expiry_ns: int
    contract_value: Decimal
    max_market_qty: Decimal
    max_limit_usd: Decimal
    max_market_usd: Decimal
    upcoming: tuple[UpcomingChange, ...]

    @property
    def tradable(self) -> bool:
        """Whether the venue takes orders for it now."""
        return self.state == "live"


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """One reply or push. ``refused`` is by symbol: why its rules could not be read."""

    instruments: tuple[ListedInstrument, ...]
    refused: dict[str, str]


class _Change(msgspec.Struct, gc=False, rename="camel"):
    param: str
    new_value: str
    eff_time: str


class _Entry(msgspec.Struct, gc=False, rename="camel"):
    inst_id: str
    inst_type: str
    tick_sz: str
    lot_sz: str
    min_sz: str
    max_lmt_sz: str
    state: str
    base_ccy: str = ""
    quote_ccy: str = ""
    settle_ccy: str = ""
    ct_type: str = ""
    ct_val: str = ""
    ct_mult: str = ""
    ct_val_ccy: str = ""
    uly: str = ""
    inst_family: str = ""
    list_time: str = ""
    exp_time: str = ""
    max_mkt_sz: str = ""
    max_lmt_amt: str = ""
    max_mkt_amt: str = ""
    upc_chg: list[_Change] = []


class _Named(msgspec.Struct, gc=False, rename="camel"):
    inst_id: str
    inst_type: str


class _Reply(msgspec.Struct, gc=False):
    data: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=50_000)]
    code: Literal["0"] = "0"


_reply = msgspec.json.Decoder(_Reply).decode
_named = msgspec.json.Decoder(_Named).decode
_entry = msgspec.json.Decoder(_Entry).decode
_any = msgspec.json.Decoder(dict[str, object]).decode
_FAULTS = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)


def decode_listing(payload: bytes) -> Listing | None:
    """A reply of ``/api/v5/public/instruments`` or a push of the channel ``instruments``; None when it is neither.

    Does not raise.
    """
    try:
        raws = [(_named(raw), raw) for raw in _reply(payload).data]
    except _FAULTS:
        return None
    listed: list[ListedInstrument] = []
    refused: dict[str, str] = {}
    for named, raw in raws:
        if named.inst_type not in _TYPES:
            continue
        try:
            listed.append(_listed(_entry(raw), rules_version(bytes(raw))))
        except _FAULTS as fault:
            refused[named.inst_id] = str(fault)[:120]
    return Listing(instruments=tuple(listed), refused=refused)


def rules_version(entry: bytes) -> str:
    """16 hex digits over what one entry says of orders; the order of its keys does not matter."""
    rules = {key: value for key, value in _any(entry).items() if key not in _NOT_RULES}
    return hashlib.blake2b(msgspec.json.encode(rules, order="deterministic"), digest_size=8).hexdigest()


def index_id(instrument: Instrument) -> str:
    """The id of the index that the instrument follows, as `IndexPrice` states it."""
    return f"OKX:INDEX:{instrument.base}-{instrument.quote}"


def _listed(entry: _Entry, rules: str) -> ListedInstrument:
    kind = InstrumentKind.SPOT if entry.inst_type == "SPOT" else _KINDS.get(entry.ct_type)
    if kind is None:
        raise ValueError(f"ctType is {entry.ct_type[:40]!r}")
    base, quote = _pair(entry, kind)
    value = Decimal(0) if kind is InstrumentKind.SPOT else _contract_value(entry, kind, base, quote)
    maker_fee, taker_fee = _FEES[kind]
    max_qty = above_zero(entry.max_lmt_sz, "maxLmtSz")
    instrument = Instrument(
        instrument_id=_canonical(entry, kind, base, quote),
        venue=OKX,
        symbol=entry.inst_id,
        kind=kind,
        base=base,
        quote=quote,
        settle=entry.settle_ccy or quote,
        tick_size=step(entry.tick_sz, "tickSz"),
        lot_size=step(entry.lot_sz, "lotSz"),
        min_qty=amount(entry.min_sz, "minSz"),
        max_qty=max_qty,
        min_notional=Decimal(0),
        multiplier=value or Decimal(1),
        maker_fee=maker_fee,
        taker_fee=taker_fee,
        rules_version=rules,
    )
    return ListedInstrument(
        instrument=instrument,
        state=entry.state,
        list_ns=time_ns(entry.list_time, "listTime"),
        expiry_ns=time_ns(entry.exp_time, "expTime"),
        contract_value=value,
        max_market_qty=amount(entry.max_mkt_sz, "maxMktSz") if entry.max_mkt_sz else max_qty,
        max_limit_usd=amount(entry.max_lmt_amt or "0", "maxLmtAmt"),
        max_market_usd=amount(entry.max_mkt_amt or "0", "maxMktAmt"),
        upcoming=tuple(_upcoming(entry.upc_chg)),
    )


def _upcoming(changes: list[_Change]) -> Iterator[UpcomingChange]:
    for change in changes:
        effective_ns = time_ns(change.eff_time, "effTime")
        yield UpcomingChange(param=change.param, new_value=change.new_value, effective_ns=effective_ns)


def _pair(entry: _Entry, kind: InstrumentKind) -> tuple[str, str]:
    if kind is InstrumentKind.SPOT:
        base, quote = entry.base_ccy, entry.quote_ccy
    else:
        base, _, quote = (entry.uly or entry.inst_family).partition("-")
    if not (base and quote) or not entry.inst_id.startswith(f"{base}-{quote}"):
        raise ValueError(f"neither baseCcy-quoteCcy nor uly is the beginning of {entry.inst_id[:40]}")
    return base, quote


def _contract_value(entry: _Entry, kind: InstrumentKind, base: str, quote: str) -> Decimal:
    unit = quote if kind is InstrumentKind.INVERSE else base
    if entry.ct_val_ccy != unit:
        raise ValueError(f"ctValCcy is {entry.ct_val_ccy[:20]!r}, not {unit}")
    return above_zero(entry.ct_val, "ctVal") * above_zero(entry.ct_mult, "ctMult")


def _canonical(entry: _Entry, kind: InstrumentKind, base: str, quote: str) -> str:
    if kind is InstrumentKind.SPOT:
        return f"OKX:SPOT:{base}-{quote}"
    # What the symbol says beyond its pair: an expiry, or a family as in BTC-USD_UM-SWAP.
    rest = entry.inst_id.removeprefix(f"{base}-{quote}").removesuffix("-SWAP")
    market = "PERP" if entry.inst_type == "SWAP" else "FUT"
    return f"OKX:{market}{rest.replace('-', '').replace('_', '')}:{base}-{quote}:{kind.name}"


def _known(symbol: str, kind: InstrumentKind, *, tick: str, lot: str, minimum: str, value: str = "1") -> Instrument:
    base, quote = symbol.split("-")[:2]
    spot = kind is InstrumentKind.SPOT
    maker_fee, taker_fee = _FEES[kind]
    return Instrument(
        instrument_id=f"OKX:SPOT:{symbol}" if spot else f"OKX:PERP:{base}-{quote}:{kind.name}",
        venue=OKX,
        symbol=symbol,
        kind=kind,
        base=base,
        quote=quote,
        settle=base if kind is InstrumentKind.INVERSE else quote,
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_qty=Decimal(minimum),
        max_qty=Decimal(9999999999 if spot else 100000000),
        min_notional=Decimal(0),
        multiplier=Decimal(value),
        maker_fee=maker_fee,
        taker_fee=taker_fee,
        rules_version="ccxt-4.5.68",
    )


INSTRUMENTS: tuple[Instrument, ...] = (
    _known("BTC-USDT", InstrumentKind.SPOT, tick="0.1", lot="0.00000001", minimum="0.00001"),
    _known("ETH-USDT", InstrumentKind.SPOT, tick="0.01", lot="0.000001", minimum="0.0001"),
    _known("BTC-USDT-SWAP", InstrumentKind.LINEAR, tick="0.1", lot="0.01", minimum="0.01", value="0.01"),
    _known("ETH-USDT-SWAP", InstrumentKind.LINEAR, tick="0.01", lot="0.01", minimum="0.01", value="0.1"),
    _known("BTC-USD-SWAP", InstrumentKind.INVERSE, tick="0.1", lot="0.1", minimum="0.1", value="100"),
)
