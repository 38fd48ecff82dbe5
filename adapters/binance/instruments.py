"""The instruments of Binance that propdesk knows without asking: filters and base-tier fees.

Filters are those of the venue's exchangeInfo as bundled by ccxt 4.5.68 (2026); NEXOUSDT's are those of 2024-07.
Fees are the regular tier's, without BNB discount (binance.com fee schedule, read 2026-11). A running desk replaces
them by the account's own; ``rules_version`` says which set an order was checked against.
"""

from __future__ import annotations

from decimal import Decimal

from trading.instruments import Instrument, InstrumentKind

SPOT = "binance"
USDM = "binanceusdm"
COINM = "binancecoinm"
VENUES = (SPOT, USDM, COINM)

_RULES = "ccxt-4.5.68"


def _spot(base: str, tick: str, lot: str, max_qty: str, rules: str = _RULES) -> Instrument:
    return Instrument(
        instrument_id=f"BINANCE:SPOT:{base}-USDT",
        venue=SPOT,
        symbol=f"{base}USDT",
        kind=InstrumentKind.SPOT,
        base=base,
        quote="USDT",
        settle="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_qty=Decimal(lot),
        max_qty=Decimal(max_qty),
        min_notional=Decimal(5),
        maker_fee=Decimal("0.001"),
        taker_fee=Decimal("0.001"),
        rules_version=rules,
    )


def _usdm(base: str, tick: str, lot: str, max_qty: str, min_notional: str) -> Instrument:
    return Instrument(
        instrument_id=f"BINANCEUSDM:PERP:{base}-USDT:LINEAR",
        venue=USDM,
        symbol=f"{base}USDT",
        kind=InstrumentKind.LINEAR,
        base=base,
        quote="USDT",
        settle="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_qty=Decimal(lot),
        max_qty=Decimal(max_qty),
        min_notional=Decimal(min_notional),
        maker_fee=Decimal("0.0002"),
        taker_fee=Decimal("0.0005"),
        rules_version=_RULES,
    )


def _coinm(base: str, tick: str, contract_usd: str) -> Instrument:
    return Instrument(
        instrument_id=f"BINANCECOINM:PERP:{base}-USD:INVERSE",
        venue=COINM,
        symbol=f"{base}USD_PERP",
        kind=InstrumentKind.INVERSE,
        base=base,
        quote="USD",
        settle=base,
        tick_size=Decimal(tick),
        lot_size=Decimal(1),
        min_qty=Decimal(1),
        max_qty=Decimal(1000000),
        min_notional=Decimal(0),  # COIN-M has no notional filter: one contract is the least
        multiplier=Decimal(contract_usd),
        maker_fee=Decimal("0.0001"),
        taker_fee=Decimal("0.0005"),
        rules_version=_RULES,
    )


INSTRUMENTS: tuple[Instrument, ...] = (
    _spot("BTC", "0.01", "0.00001", "9000"),
    _spot("ETH", "0.01", "0.0001", "9000"),
    _spot("NEXO", "0.001", "0.01", "900000", rules="2024-07"),
    # MIN_NOTIONAL of BTCUSDT was 100 USDT from late 2023 and is 50 in the bundled exchangeInfo.
    _usdm("BTC", "0.10", "0.001", "1000", "50"),
    _usdm("ETH", "0.01", "0.001", "10000", "20"),
    _coinm("BTC", "0.1", "100"),
    _coinm("ETH", "0.01", "10"),
)


def instruments_of(venue: str) -> tuple[Instrument, ...]:
    """The table's instruments of one of `VENUES`; empty for another venue."""
    return tuple(instrument for instrument in INSTRUMENTS if instrument.venue == venue)
