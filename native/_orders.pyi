"""The function of the extension; what it must say is said by `adapters.binance.orders_codec`."""

from decimal import Decimal

REVISION: int

def limit_order(
    symbol: str,
    side: str,
    how: str,
    qty: Decimal,
    lot_size: Decimal,
    price: Decimal,
    tick_size: Decimal,
    reduce_only: bool,
    cl_ord_id: str,
    /,
) -> bytes | None: ...
