"""Basis and funding against figures worked out by hand."""

from decimal import Decimal

import pytest

from trading.features.carry import HOUR_NS, YEAR_NS, DatedBasis, FundingBasis
from trading.features.windows import BadSampleError
from trading.market.events import FundingRate, MarkPrice

NOW = 1_700_000_000_000_000_000
PERP = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"


def mark(price="101", index="100", rate="0.0001", next_ns=NOW + HOUR_NS):
    return MarkPrice(
        instrument_id=PERP,
        mark_price=Decimal(price),
        index_price=index and Decimal(index),
        funding_rate=rate and Decimal(rate),
        next_funding_ns=next_ns,
        ts_event_ns=NOW,
        ts_recv_ns=NOW,
    )


def test_basis_funding_a_year_and_time_to_it():
    feature = FundingBasis()
    assert (feature.value, feature.funding_a_year, feature.to_funding_s(NOW)) == (None, None, None)
    feature.update(mark())
    assert feature.value == pytest.approx(0.01, rel=1e-12)
    assert feature.funding_a_year == pytest.approx(0.0001 * 3 * 365, rel=1e-12)
    assert feature.to_funding_s(NOW) == 3600.0
    assert feature.to_funding_s(NOW + HOUR_NS) == 0.0
    assert feature.to_funding_s(NOW + HOUR_NS + 1) is None


def test_what_an_event_does_not_say_stays_as_it_was():
    feature = FundingBasis()
    feature.update(mark())
    feature.update(mark(price="150", index=None, rate=None, next_ns=None))
    assert feature.value == pytest.approx(0.01, rel=1e-12)
    assert feature.funding_a_year == pytest.approx(0.1095, rel=1e-12)
    assert feature.to_funding_s(NOW) == 3600.0


def test_the_venues_own_interval_replaces_the_usual_one():
    feature = FundingBasis()
    feature.update(
        FundingRate(
            instrument_id=PERP,
            funding_rate=Decimal("-0.0002"),
            funding_ns=NOW + HOUR_NS,
            next_funding_ns=NOW + 5 * HOUR_NS,
            ts_event_ns=NOW,
            ts_recv_ns=NOW,
        )
    )
    assert feature.interval_ns == 4 * HOUR_NS
    assert feature.funding_a_year == pytest.approx(-0.0002 * 6 * 365, rel=1e-12)
    assert feature.to_funding_s(NOW) == 3600.0
    assert feature.value is None


@pytest.mark.parametrize("bad", [{"price": "NaN"}, {"price": "0"}, {"index": "-1"}, {"index": "NaN"}, {"rate": "NaN"}])
def test_a_figure_that_cannot_be_is_refused_and_changes_nothing(bad):
    feature = FundingBasis()
    feature.update(mark())
    before = (feature.value, feature.funding_a_year, feature.to_funding_s(NOW))
    with pytest.raises(BadSampleError):
        feature.update(mark(**({"price": "120", "rate": "0.5", "next_ns": NOW} | bad)))
    assert (feature.value, feature.funding_a_year, feature.to_funding_s(NOW)) == before


def test_the_basis_of_a_dated_future_is_annualised_by_the_time_that_is_left():
    feature = DatedBasis(expiry_ns=NOW + YEAR_NS // 4)
    assert feature.value is None
    feature.update(102.0, 100.0, NOW)
    assert feature.value == pytest.approx(0.08, rel=1e-12)
    feature.update(99.0, 100.0, NOW)
    assert feature.value == pytest.approx(-0.04, rel=1e-12)
    with pytest.raises(BadSampleError, match="spot price"):
        feature.update(102.0, float("nan"), NOW)
    feature.update(100.0, 100.0, NOW + YEAR_NS // 4)
    assert feature.value is None
