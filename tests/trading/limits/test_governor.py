"""The governor decides: windows, shares, pauses, the venue's own count."""

from __future__ import annotations

import msgspec
import pytest

from tests.trading.limits.conftest import CANCEL, HEDGE, PLACE, POLL, REPLACE, START, WHOLE, ask, gone, venue
from trading.limits.governor import GovernorState, LimitGovernor
from trading.limits.messages import Go, Refusal, Refused, Wait
from trading.limits.spec import MINUTE_NS, MS_NS, SECOND_NS, Policy
from trading.limits.venues import BINANCE_USDM, BYBIT, GATEIO, LIMITS, OKX, limits_of


def pause_left(governor, request, now):
    answer = governor.ask(request, now)
    assert (type(answer), answer.reason) == (Refused, Refusal.AUTH_FAILED)
    return answer.retry_ns


def pool(governor, now, name="weight"):
    return next(view for view in governor.view(now).pools if view.pool == name)


def test_each_priority_fills_the_window_up_to_its_share_and_the_last_tenth_is_for_cancels():
    governor = LimitGovernor(venue(), WHOLE)
    assert [gone(governor, ask(priority), START) for priority in (POLL, PLACE, REPLACE, HEDGE, CANCEL)] == [
        50,
        30,
        5,
        5,
        10,
    ]
    answer = governor.ask(ask(CANCEL), START)
    assert isinstance(answer, Wait)
    assert answer.pool == "weight"


@pytest.mark.req("C-EXEC-5")
def test_a_burst_of_400_calls_to_gateio_is_spread_over_more_than_ten_seconds():
    governor = LimitGovernor(GATEIO)
    sent = []
    now = START
    for number in range(400):
        request = ask(CANCEL, endpoint=f"DELETE /spot/orders/{number % 7}", now=now)
        while isinstance(answer := governor.ask(request, now), Wait):
            now += answer.wait_ns
        assert isinstance(answer, Go)
        sent.append(now)
    assert all(sum(1 for at in sent if start <= at < start + 10 * SECOND_NS) <= 300 for start in sent)
    assert 10 * SECOND_NS <= sent[-1] - sent[0] < 21 * SECOND_NS


def test_what_is_spent_counts_until_the_whole_window_has_passed():
    governor = LimitGovernor(venue(limit=10), WHOLE)
    assert gone(governor, ask(CANCEL), START) == 10
    assert gone(governor, ask(CANCEL), START + 10 * SECOND_NS - 1) == 0
    assert gone(governor, ask(CANCEL), START + 10 * SECOND_NS + 10 * SECOND_NS // 64 + 1) == 10


def test_the_wait_that_is_told_is_enough_and_the_answer_counts_nothing():
    governor = LimitGovernor(venue(limit=10, window_ns=SECOND_NS // 2), WHOLE)
    gone(governor, ask(CANCEL), START)
    answer = governor.ask(ask(CANCEL, weight=4), START)
    assert isinstance(answer, Wait)
    assert pool(governor, START).used == 10
    assert governor.ask(ask(CANCEL, weight=4), START + answer.wait_ns) == Go(at_ns=START + answer.wait_ns)


def test_who_cannot_go_before_its_deadline_is_refused_at_once():
    governor = LimitGovernor(venue(limit=10), WHOLE)
    gone(governor, ask(PLACE), START)
    answer = governor.ask(ask(PLACE, within_ns=400 * MS_NS), START)
    assert isinstance(answer, Refused)
    assert (answer.reason, answer.pool) == (Refusal.DEADLINE, "weight")
    assert answer.retry_ns > 9 * SECOND_NS
    late = governor.ask(ask(PLACE, within_ns=400 * MS_NS), START + SECOND_NS)
    assert late == Refused(reason=Refusal.DEADLINE, pool="")


def test_a_request_heavier_than_its_priority_may_ever_spend_is_refused():
    governor = LimitGovernor(venue(limit=40), WHOLE)
    assert governor.ask(ask(POLL, weight=37), START) == Refused(reason=Refusal.TOO_DEAR, pool="weight")
    assert isinstance(governor.ask(ask(POLL, weight=36), START), Wait)  # more than half, not more than patience gets


def test_all_budgets_of_a_request_are_taken_or_none():
    governor = LimitGovernor(BINANCE_USDM, WHOLE)
    order = ask(HEDGE, endpoint="POST /fapi/v1/order", orders=1)
    assert gone(governor, order, START) == 300
    used = {view.pool: view.used for view in governor.view(START).pools}
    assert used == {"weight": 300, "orders_10s": 300, "orders_1m": 300}
    assert gone(governor, ask(CANCEL, endpoint="DELETE /fapi/v1/order"), START) == 2100


def test_okx_counts_place_and_cancel_apart_and_each_instrument_by_itself():
    governor = LimitGovernor(OKX, WHOLE)
    place = OKX.ask("POST /api/v5/trade/order", PLACE, START + SECOND_NS, instrument="BTC-USDT-SWAP")
    cancel = OKX.ask("POST /api/v5/trade/cancel-order", CANCEL, START + SECOND_NS, instrument="BTC-USDT-SWAP")
    other = OKX.ask("POST /api/v5/trade/order", PLACE, START + SECOND_NS, instrument="ETH-USDT-SWAP")
    assert [gone(governor, request, START) for request in (place, cancel, other)] == [60, 60, 60]
    assert pool(governor, START, "sub_account").used == 120


def test_accounts_have_windows_of_their_own_and_share_the_address():
    governor = LimitGovernor(BINANCE_USDM, WHOLE)
    for account in ("a", "b"):
        assert gone(governor, ask(HEDGE, endpoint="POST /fapi/v1/order", orders=1, account=account), START) == 300
    used = {view.pool: view.used for view in governor.view(START).pools}
    assert (used["weight"], used["orders_10s|a"], used["orders_10s|b"]) == (600, 300, 300)


def test_more_accounts_and_instruments_than_are_counted_are_refused_until_some_are_empty():
    governor = LimitGovernor(OKX, Policy(pools_max=3))
    asks = [OKX.ask("GET /api/v5/trade/order", POLL, START + MINUTE_NS, instrument=f"I{n}") for n in range(4)]
    answers = [governor.ask(request, START) for request in asks]
    assert [type(answer) for answer in answers] == [Go, Go, Go, Refused]
    assert answers[3].reason is Refusal.POOLS_FULL
    assert isinstance(governor.ask(asks[3], START + 3 * SECOND_NS), Go)


# --- The venue's word -----------------------------------------------------------------------------------


def told(governor, used, now, request, status=200, **headers):
    governor.told(request.endpoint, status, {"x-mbx-used-weight-1m": str(used), **headers}, now, request=request)


@pytest.mark.req("P-VEN-5")
def test_what_another_client_spends_of_the_same_limit_is_counted_by_the_venues_word():
    governor = LimitGovernor(BINANCE_USDM, WHOLE)
    request = ask(PLACE, weight=1)
    assert isinstance(governor.ask(request, START), Go)
    told(governor, 1901, START, request)
    seen = pool(governor, START, "weight")
    assert (seen.used, seen.venue_used) == (1, 1901)
    assert gone(governor, ask(PLACE), START) == 1920 - 1901
    assert gone(governor, ask(CANCEL), START) == 2400 - 1920


def test_room_is_left_for_what_others_are_going_to_spend_in_the_rest_of_the_interval():
    governor = LimitGovernor(BINANCE_USDM, Policy(share=1.0))
    assert gone(governor, ask(PLACE), START, tries=3000) == 2400 * 0.8 * 0.75  # nothing is known: a quarter is theirs
    for others in (0, 600):
        governor = LimitGovernor(BINANCE_USDM, WHOLE)
        for second in range(40):
            at = START + second * SECOND_NS
            request = ask(POLL)
            governor.ask(request, at)
            told(governor, second + 1 + others * second // 60, at, request)
        seen = pool(governor, at)
        assert abs(seen.others - others) <= 0.1 * others
        room = 0.8 * (2400 - seen.others)  # no interval has ended yet: a whole one may be ahead
        assert abs(gone(governor, ask(PLACE), at) - (room - 40 - others * 39 / 60)) <= 2


def test_the_venues_word_holds_until_its_interval_ends_and_no_longer():
    governor = LimitGovernor(BINANCE_USDM, WHOLE)
    request = ask(PLACE)
    governor.ask(request, START)
    told(governor, 2399, START, request)
    answer = governor.ask(ask(PLACE, within_ns=59 * SECOND_NS), START + SECOND_NS)
    assert isinstance(answer, Refused)
    assert isinstance(governor.ask(ask(PLACE), START + 61 * SECOND_NS), Go)


def test_a_new_interval_is_noticed_and_the_next_one_foreseen():
    governor = LimitGovernor(BINANCE_USDM, WHOLE)
    request = ask(PLACE)
    edge = START + 10 * SECOND_NS
    for at, used in ((edge - SECOND_NS // 2, 1500), (edge + SECOND_NS // 2, 3), (edge + 50 * SECOND_NS, 2399)):
        governor.ask(request, at)
        told(governor, used, at, request)
    assert gone(governor, ask(PLACE), edge + 59 * SECOND_NS) == 0
    assert gone(governor, ask(PLACE), edge + 61 * SECOND_NS) > 0


def test_what_is_still_on_its_way_is_added_to_the_venues_word():
    governor = LimitGovernor(BINANCE_USDM, WHOLE)
    requests = [ask(CANCEL) for _ in range(10)]
    for request in requests:
        governor.ask(request, START)
    told(governor, 2301, START, requests[0])  # nine others may not have arrived yet
    assert gone(governor, ask(CANCEL), START) == 2400 - 2301 - 9
    fresh = LimitGovernor(BINANCE_USDM, WHOLE)
    for request in requests:
        fresh.ask(request, START)
        told(fresh, 2310, START, request)
    assert gone(fresh, ask(CANCEL), START) == 2400 - 2310


def test_a_lower_limit_in_the_venues_headers_is_taken_and_a_higher_one_is_not():
    governor = LimitGovernor(BYBIT, WHOLE)
    request = BYBIT.ask("POST /v5/order/create", PLACE, START + SECOND_NS)
    governor.ask(request, START)
    name = "trade|POST /v5/order/create"
    for limit, expected in ((5, 5), (400, 10)):
        headers = {"X-Bapi-Limit": str(limit), "X-Bapi-Limit-Status": str(limit - 1)}
        governor.told(request.endpoint, 200, headers, START, request=request)
        seen = pool(governor, START, name)
        assert (seen.limit, seen.venue_used) == (expected, 1)


@pytest.mark.parametrize("nonsense", ["", "-1", "many", "1e9", "٣", "99999999999999999999"])
def test_a_header_that_is_no_number_changes_nothing(nonsense):
    governor = LimitGovernor(BINANCE_USDM, WHOLE)
    request = ask(PLACE)
    governor.ask(request, START)
    told(governor, nonsense, START, request, status=429, **{"Retry-After": nonsense})
    assert pool(governor, START, "weight").venue_used is None
    assert governor.view(START).freezes[0].left_ms >= 10_000


# --- Pauses ---------------------------------------------------------------------------------------------


@pytest.mark.req("P-VEN-4")
def test_429_with_retry_after_stops_all_but_cancels_and_those_go_far_apart():
    governor = LimitGovernor(BINANCE_USDM)
    governor.told("GET /x", 429, {"Retry-After": "5"}, START)
    for priority in (HEDGE, REPLACE, PLACE, POLL):
        answer = governor.ask(ask(priority, within_ns=4 * SECOND_NS), START)
        assert isinstance(answer, Refused)
        assert (answer.reason, answer.pool) == (Refusal.LIMITED, "venue")
        assert 5 * SECOND_NS <= answer.retry_ns <= 5.25 * SECOND_NS
    assert isinstance(governor.ask(ask(CANCEL), START), Go)
    answer = governor.ask(ask(CANCEL), START)
    assert answer == Wait(wait_ns=100 * MS_NS, pool="venue")
    assert isinstance(governor.ask(ask(CANCEL), START + 100 * MS_NS), Go)
    assert isinstance(governor.ask(ask(PLACE), START + 5_250 * MS_NS), Go)


@pytest.mark.req("P-VEN-4")
def test_a_ban_stops_cancels_too_and_its_end_is_survived_at_half_speed():
    governor = LimitGovernor(BINANCE_USDM, WHOLE)
    governor.told("GET /x", 418, {"retry-after": "120"}, START)
    answer = governor.ask(ask(CANCEL, within_ns=300 * MS_NS), START)
    assert isinstance(answer, Refused)
    assert (answer.reason, answer.pool) == (Refusal.BANNED, "venue")
    lifted = START + 120_250 * MS_NS
    assert governor.view(lifted).recovering
    assert gone(governor, ask(PLACE), lifted) == 2400 * 0.8 // 2
    assert isinstance(governor.ask(ask(CANCEL), lifted), Go)
    assert not governor.view(lifted + 10 * SECOND_NS).recovering
    assert gone(governor, ask(PLACE), lifted + 10 * SECOND_NS) > 0


def test_without_a_word_on_when_pauses_grow_and_are_jittered_by_the_seed():
    def lengths(seed):
        governor = LimitGovernor(BINANCE_USDM, seed=seed)
        now, found = START, []
        for _ in range(6):
            governor.told("GET /x", 429, {}, now)
            (freeze,) = governor.view(now).freezes
            found.append(round(freeze.left_ms * 1e6))
            now += found[-1] + 1
        return found

    assert lengths(1) == lengths(1) != lengths(2)
    for base, length in zip((10, 20, 40, 80, 120, 120), lengths(3), strict=True):
        assert base * SECOND_NS <= length <= base * SECOND_NS * 9 // 8


def test_answers_to_what_was_on_its_way_already_are_one_offence():
    governor = LimitGovernor(BINANCE_USDM)
    for late in range(20):
        governor.told("GET /x", 429, {}, START + late * MS_NS)
    (freeze,) = governor.view(START).freezes
    assert freeze.strikes == 1
    assert freeze.left_ms < 12_000
    governor.told("GET /x", 418, {"Retry-After": "300"}, START + 30 * MS_NS)
    (freeze,) = governor.view(START + 30 * MS_NS).freezes
    assert (freeze.kind, freeze.strikes) == ("banned", 1)
    assert freeze.left_ms >= 300_000


def test_a_ban_is_not_shortened_by_a_429_that_was_late():
    governor = LimitGovernor(BINANCE_USDM)
    governor.told("GET /x", 418, {"Retry-After": "300"}, START)
    governor.told("GET /x", 429, {"Retry-After": "1"}, START + MS_NS)
    (freeze,) = governor.view(START + MS_NS).freezes
    assert freeze.kind == "banned"
    assert freeze.left_ms > 299_000


def test_what_the_body_says_of_the_ban_counts_as_much_as_the_header():
    governor = LimitGovernor(BINANCE_USDM)
    governor.told("GET /x", 418, {}, START, retry_ns=3_600 * SECOND_NS)
    assert governor.view(START).freezes[0].left_ms >= 3_600_000


def test_a_pause_of_one_endpoint_leaves_the_others_alone():
    governor = LimitGovernor(OKX)
    governor.told("POST /api/v5/trade/order", 429, {}, START)
    place = OKX.ask("POST /api/v5/trade/order", PLACE, START + SECOND_NS, instrument="I")
    amend = OKX.ask("POST /api/v5/trade/amend-order", REPLACE, START + SECOND_NS, instrument="I")
    assert governor.ask(place, START).reason is Refusal.LIMITED
    assert isinstance(governor.ask(amend, START), Go)


def test_a_refused_key_is_not_hammered_and_public_data_goes_on():
    governor = LimitGovernor(BINANCE_USDM)
    governor.told("POST /fapi/v1/order", 401, {}, START)
    assert governor.ask(ask(PLACE, within_ns=SECOND_NS), START).reason is Refusal.AUTH_FAILED
    assert governor.ask(ask(POLL, signed=True, within_ns=SECOND_NS), START).reason is Refusal.AUTH_FAILED
    assert isinstance(governor.ask(ask(POLL), START), Go)
    assert isinstance(governor.ask(ask(CANCEL), START), Go)
    assert isinstance(governor.ask(ask(CANCEL), START + 900 * MS_NS), Wait)


@pytest.mark.req("P-VEN-4")
def test_a_key_that_a_person_has_mended_is_not_waited_for_and_one_that_is_still_refused_pauses_longer():
    governor = LimitGovernor(BINANCE_USDM, WHOLE)
    request = ask(PLACE, within_ns=SECOND_NS)
    governor.told("POST /fapi/v1/order", 401, {}, START, request=request)
    first_ns = pause_left(governor, request, START)
    governor.mended("another account", START)
    assert governor.ask(request, START).reason is Refusal.AUTH_FAILED
    governor.mended(request.account, START)
    assert isinstance(governor.ask(request, START), Go)
    governor.told("POST /fapi/v1/order", 401, {}, START + SECOND_NS, request=request)
    assert pause_left(governor, request, START + SECOND_NS) > first_ns * 1.5


def test_a_mended_key_ends_no_ban_and_no_limit():
    governor = LimitGovernor(BINANCE_USDM, WHOLE)
    request = ask(PLACE, within_ns=SECOND_NS)
    governor.told("POST /fapi/v1/order", 418, {"Retry-After": "60"}, START, request=request)
    governor.mended(request.account, START)
    assert governor.ask(request, START).reason is Refusal.BANNED


def test_an_endpoint_that_fails_is_asked_less_and_forgiven_when_it_works():
    governor = LimitGovernor(BINANCE_USDM)
    request, other = ask(PLACE), ask(PLACE, endpoint="GET /y")
    waits = []
    now = START
    for status in (503, 0, 500, 502):
        governor.told(request.endpoint, status, {}, now)
        answer = governor.ask(request, now)
        assert isinstance(answer, Wait)
        waits.append(answer.wait_ns)
        assert isinstance(governor.ask(other, now), Go)
        assert isinstance(governor.ask(ask(CANCEL), now), Go)
        now += answer.wait_ns
    for base, wait in zip((100, 200, 400, 800), waits, strict=True):
        assert base * MS_NS / 2 <= wait <= base * MS_NS
    governor.told(request.endpoint, 200, {}, now)
    assert isinstance(governor.ask(request, now), Go)


def test_penalties_never_grow_beyond_their_bound():
    governor = LimitGovernor(BINANCE_USDM)
    for n in range(100):
        governor.told("GET /x", 503, {}, START + n * 11 * SECOND_NS)
    assert 5_000 <= governor.view(START + 99 * 11 * SECOND_NS).freezes[0].left_ms <= 10_000


def test_requests_that_fail_together_are_one_failure_of_their_endpoint():
    governor = LimitGovernor(BINANCE_USDM)
    for n in range(20):
        governor.told("GET /x", 0, {}, START + n * MS_NS)
    (freeze,) = governor.view(START + 20 * MS_NS).freezes
    assert (freeze.strikes, freeze.left_ms <= 100) == (1, True)


# --- Fairness, time, memory -----------------------------------------------------------------------------


def test_a_poll_that_waited_for_too_long_gets_room_although_orders_want_all_of_it():
    governor = LimitGovernor(venue(limit=100, window_ns=SECOND_NS), WHOLE)
    heavy = ask(POLL, weight=20)
    went = None
    for at in range(START, START + 10 * SECOND_NS, MS_NS):
        gone(governor, ask(PLACE), at)
        if went is None and isinstance(governor.ask(heavy, at), Go):
            went = at - START
    assert went is not None
    assert 2 * SECOND_NS <= went <= 4 * SECOND_NS  # its patience, and one window to make room


def test_who_waits_for_patience_holds_no_room_for_one_that_has_gone_away():
    governor = LimitGovernor(venue(limit=100, window_ns=SECOND_NS), WHOLE)
    for at in range(START, START + 2 * SECOND_NS + 2, 100 * MS_NS):
        gone(governor, ask(HEDGE), at)
        governor.ask(ask(POLL, weight=80), at)
    later = START + 6 * SECOND_NS
    assert pool(governor, later).waiting_long == ()
    assert gone(governor, ask(HEDGE), later) == 90


def test_a_clock_that_goes_back_frees_nothing():
    governor = LimitGovernor(venue(limit=10), WHOLE)
    gone(governor, ask(CANCEL), START)
    assert isinstance(governor.ask(ask(CANCEL), START - 3_600 * SECOND_NS), Wait)
    assert governor.view(0).at_ns == START


def test_the_state_goes_through_bytes_and_to_another_boots_clock():
    governor = LimitGovernor(BINANCE_USDM, WHOLE)
    request = ask(PLACE)
    gone(governor, request, START, tries=700)
    told(governor, 1000, START, request)
    governor.told("GET /x", 429, {"Retry-After": "5"}, START)
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(governor.state), type=GovernorState)
    by = -990 * SECOND_NS  # the new boot's clock shows ten seconds
    state.shift(by)
    other = LimitGovernor(BINANCE_USDM, WHOLE, state=state)
    here, there = governor.view(START), other.view(START + by)
    assert here.pools == there.pools
    assert here.freezes == there.freezes
    at = START + 30 * SECOND_NS
    assert gone(governor, ask(PLACE), at) == gone(other, ask(PLACE), at + by)


def test_another_venues_state_is_refused_and_windows_of_another_length_are_left_out():
    with pytest.raises(ValueError, match="the state is v's and not okx's"):
        LimitGovernor(OKX, state=GovernorState(venue="v"))
    governor = LimitGovernor(venue(), WHOLE)
    gone(governor, ask(POLL), START)
    other = LimitGovernor(venue(window_ns=20 * SECOND_NS), WHOLE, state=governor.state)
    assert other.view(START).pools == ()


def test_what_was_not_sent_is_given_back():
    governor = LimitGovernor(venue(limit=10), WHOLE)
    request = ask(CANCEL)
    assert gone(governor, request, START) == 10
    governor.give_back(request, START, START + SECOND_NS)
    assert gone(governor, request, START + SECOND_NS) == 1


def test_what_found_no_connection_costs_nothing_of_the_limit_and_is_a_failure_of_its_endpoint():
    governor = LimitGovernor(venue(limit=10), WHOLE)
    request, at = ask(CANCEL), START + 1_000_000
    assert gone(governor, request, START) == 10
    for _ in range(9):
        governor.told(request.endpoint, 0, {}, at, request=request, unsent_ns=START)
    governor.told(request.endpoint, 0, {}, at, request=request)
    seen = governor.view(at)
    assert (seen.pools[0].used, [freeze.scope for freeze in seen.freezes]) == (1, [f"endpoint|{request.endpoint}"])


def test_when_nothing_is_known_of_what_was_spent_only_cancels_go_for_one_window():
    governor = LimitGovernor(BINANCE_USDM, WHOLE)
    governor.presume(MINUTE_NS, START)
    assert isinstance(governor.ask(ask(HEDGE), START), Wait)
    assert isinstance(governor.ask(ask(CANCEL), START), Go)
    assert isinstance(governor.ask(ask(HEDGE), START + 62 * SECOND_NS), Go)


@pytest.mark.req("P-VEN-5")
def test_the_monitor_shows_pools_pauses_priorities_and_statuses():
    governor = LimitGovernor(venue(limit=10), WHOLE)
    gone(governor, ask(PLACE), START)
    governor.ask(ask(PLACE, within_ns=1), START)
    governor.told("GET /x", 429, {"Retry-After": "5"}, START)
    view = governor.view(START)
    assert view.venue == "v"
    assert view.pools[0].used == 8
    assert view.pools[0].usable == 10
    place = next(entry for entry in view.priorities if entry.priority == "place")
    assert (place.gone, place.waited, place.refused) == (8, 1, {"deadline": 1})
    assert view.statuses == {"429": 1}
    assert view.freezes[0].kind == "limited"


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_every_venues_table_leaves_a_cancel_room_that_nothing_else_can_take(name):
    spec = LIMITS[name]
    cancels = [endpoint for endpoint in spec.costs if endpoint.startswith("DELETE")] or [
        "POST /api/v5/trade/cancel-order",
        "POST /v5/order/cancel",
    ]
    endpoints = {*spec.costs, "GET /anything"} - set(cancels)
    governor = LimitGovernor(spec)
    for priority in (HEDGE, REPLACE, PLACE, POLL):
        for endpoint in endpoints:
            gone(governor, spec.ask(endpoint, priority, START + SECOND_NS, instrument="I"), START)
    for endpoint in cancels:
        assert isinstance(governor.ask(spec.ask(endpoint, CANCEL, START + SECOND_NS, instrument="I"), START), Go)


def test_a_venue_without_a_table_is_asked_carefully():
    assert gone(LimitGovernor(limits_of("kraken"), WHOLE), ask(CANCEL), START) == 50


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Policy(share=0), "share: 0 must lie in"),
        (lambda: Policy(patience_ns=0), "patience_ns: 0 must be at least 1"),
        (lambda: venue(limit=0), "weight: 0 within"),
        (lambda: venue(shares=(1, 0.5, 0.6, 0.5, 0.1)), "must lie in"),
        (lambda: ask(endpoint=""), "endpoint: empty"),
        (lambda: ask(weight=-1), "must not be negative"),
    ],
)
def test_nonsense_is_refused_with_the_field_that_it_is_in(make, words):
    with pytest.raises(ValueError, match=words):
        make()
