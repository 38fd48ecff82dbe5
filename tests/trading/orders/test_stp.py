"""Self-trade prevention: the venues' words, and what is refused before it could mean nothing there."""

from __future__ import annotations

import msgspec
import pytest

from trading.orders import stp
from trading.orders.core import Emit
from trading.orders.messages import DenyReason, OrderDenied, SelfTradePrevention

S = SelfTradePrevention


@pytest.mark.req("P-VEN-7")
def test_every_venue_has_a_word_for_the_mode_that_the_specification_asks_of_it():
    assert stp.word("binance") == ("selfTradePreventionMode", "EXPIRE_TAKER")
    assert stp.word("binanceusdm") == ("selfTradePreventionMode", "EXPIRE_TAKER")
    assert stp.word("okx") == ("stpMode", "cancel_maker")
    assert stp.word("bybit") == ("smpType", "CancelTaker")
    assert stp.word("simvenue") is None


@pytest.mark.req("P-VEN-7")
@pytest.mark.parametrize("venue", sorted(stp.MODES))
@pytest.mark.parametrize("mode", list(S))
def test_a_mode_is_either_translated_or_refused_by_name(venue, mode):
    text = stp.refusal(venue, mode)
    if text is None:
        field, word = stp.word(venue, mode)
        assert field == stp.FIELDS[venue]
        assert word
    else:
        assert mode is S.NONE or mode.value in text
        with pytest.raises(ValueError, match="stp: "):
            stp.word(venue, mode)


def test_meeting_our_own_orders_is_never_asked_for():
    assert all(stp.refusal(venue, S.NONE) for venue in stp.MODES)
    assert S.NONE not in stp.DEFAULTS.values()


def test_an_order_whose_mode_its_venue_does_not_know_is_denied(desk, approved):
    order = approved("pd1-1")
    order = msgspec.structs.replace(
        order, order=msgspec.structs.replace(order.order, stp=S.DECREMENT, venue="BINANCEUSDM")
    )
    said = desk.place(order)
    (denied,) = [e.message for e in said if isinstance(e, Emit) and isinstance(e.message, OrderDenied)]
    assert denied.reason is DenyReason.STP_MODE
    assert desk.core.open_orders() == []
