"""Brakes: the worst one rules, going safer never waits, coming back needs whom it needs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.brakes import (
    ALLOWED,
    AUTO,
    BRAKES_MAX,
    GLOBAL,
    Brake,
    BrakeBook,
    BrakeChanged,
    Conduct,
    Level,
    RefusedBecause,
    Release,
    ReleaseRefused,
    ScopeKind,
    order_scopes,
    parse_scope,
    release_hash,
)

SCOPES = [GLOBAL, "venue:binance", "symbol:BINANCE:SPOT:BTC-USDT", "strategy:maker-1"]
BRAKED = [level for level in Level if level is not Level.RUN]


def brake(code="stale", scope=GLOBAL, level=Level.HOLD, release=Release.OPERATOR, cause="mute", since_ns=1, by="md"):
    return Brake(code=code, scope=scope, level=level, cause=cause, since_ns=since_ns, release=release, set_by=by)


brakes = st.builds(
    brake,
    code=st.sampled_from(["stale", "skew", "loss", "operator"]),
    scope=st.sampled_from(SCOPES),
    level=st.sampled_from(BRAKED),
    release=st.sampled_from(Release),
    since_ns=st.integers(0, 9),
)


def distinct(found):
    return list({(b.code, b.scope): b for b in found}.values())


@pytest.mark.req("P-SAFE-4")
@given(st.lists(brakes).map(distinct), st.lists(st.sampled_from(SCOPES), unique=True))
def test_the_mode_is_the_worst_brake_on_the_scopes_and_global_always_counts(found, scopes):
    book = BrakeBook()
    for one in found:
        book.set(one)
    counted = {*scopes, GLOBAL}
    assert book.mode(scopes) == max((b.level for b in found if b.scope in counted), default=Level.RUN)
    assert book.modes() == {s: max(b.level for b in found if b.scope == s) for s in {b.scope for b in found}}


@given(st.lists(brakes).map(distinct).flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_the_order_in_which_brakes_are_set_does_not_matter(pair):
    one, other = BrakeBook(), BrakeBook()
    for first, second in zip(*pair, strict=True):
        one.set(first)
        other.set(second)
    assert one.dump() == other.dump()
    assert one.modes() == other.modes()


@given(st.lists(brakes))
def test_a_dumped_book_loads_to_the_same_book(found):
    book = BrakeBook()
    for one in found:
        book.set(one)
    assert BrakeBook.load(book.dump()).dump() == book.dump()


@given(st.lists(brakes, min_size=1), st.sampled_from(SCOPES))
def test_setting_a_brake_that_no_cause_may_lower_never_loosens_a_scope(found, scope):
    book = BrakeBook()
    for one in found:
        before = book.mode([scope])
        book.set(msgspec_operator(one))
        assert book.mode([scope]) >= before


def msgspec_operator(one):
    return brake(one.code, one.scope, one.level, Release.OPERATOR, one.cause, one.since_ns)


def test_damaged_bytes_are_refused_so_that_the_caller_holds():
    for damaged in (b"", b"{", b"\xff", b'[{"type":"Brake","code":"x"}]'):
        with pytest.raises(ValueError, match="unreadable"):
            BrakeBook.load(damaged)


def test_a_brake_is_replaced_by_its_code_and_scope_and_an_equal_one_changes_nothing():
    book = BrakeBook()
    assert book.set(brake()) == [BrakeChanged(before=None, after=brake(), by=("md",), ts_ns=1)]
    assert book.set(brake(since_ns=5)) == []
    (changed,) = book.set(brake(level=Level.KILL, since_ns=7))
    assert changed.before == brake()
    assert book.brakes() == (brake(level=Level.KILL, since_ns=7),)


def test_an_auto_brake_may_be_lowered_by_its_cause_but_an_operators_brake_may_not():
    book = BrakeBook()
    book.set(brake("lag", release=Release.AUTO))
    book.set(brake("lag", level=Level.SAFE, release=Release.AUTO))
    assert book.mode([]) is Level.SAFE
    book.set(brake("loss", release=Release.TWO_MAN))
    book.set(brake("loss", level=Level.SAFE, release=Release.AUTO))
    assert book.mode([]) is Level.HOLD
    assert book.brakes()[0].release is Release.TWO_MAN


def test_an_auto_brake_is_released_by_its_own_cause_only():
    book = BrakeBook()
    book.set(brake(release=Release.AUTO))
    refused = book.clear("stale", GLOBAL, "alice", None, 2)
    assert isinstance(refused, ReleaseRefused)
    assert refused.reason is RefusedBecause.OWN_CAUSE_ONLY
    assert isinstance(book.clear("stale", GLOBAL, AUTO, None, 2), BrakeChanged)
    assert book.mode(SCOPES) is Level.RUN


def test_an_operators_brake_is_released_by_one_person_and_not_by_a_cause():
    book = BrakeBook()
    book.set(brake())
    refused = book.clear("stale", GLOBAL, AUTO, None, 2)
    assert isinstance(refused, ReleaseRefused)
    assert refused.reason is RefusedBecause.IDENTITY_NEEDED
    released = book.clear("stale", GLOBAL, "alice", None, 2)
    assert isinstance(released, BrakeChanged)
    assert released.by == ("alice",)


RED = brake("loss", level=Level.HOLD, release=Release.TWO_MAN)


@pytest.mark.req("P-SAFE-4")
@pytest.mark.parametrize(
    ("by", "two_man", "reason"),
    [
        ("alice", None, RefusedBecause.SECOND_IDENTITY_NEEDED),
        ("alice", ("", release_hash(RED)), RefusedBecause.SECOND_IDENTITY_NEEDED),
        ("alice", ("auto", release_hash(RED)), RefusedBecause.SECOND_IDENTITY_NEEDED),
        ("auto", ("bob", release_hash(RED)), RefusedBecause.IDENTITY_NEEDED),
        ("alice", ("Alice", release_hash(RED)), RefusedBecause.SAME_IDENTITY),
        ("alice", ("bob", "0" * 64), RefusedBecause.OTHER_BRAKE_APPROVED),
        ("alice", ("bob", release_hash(RED)), None),
    ],
)
def test_a_red_hold_needs_two_different_people_who_approved_this_very_brake(by, two_man, reason):
    book = BrakeBook()
    book.set(RED)
    answer = book.clear("loss", GLOBAL, by, two_man, 2)
    if reason is None:
        assert isinstance(answer, BrakeChanged)
        assert answer.by == ("alice", "bob")
        assert book.brakes() == ()
    else:
        assert isinstance(answer, ReleaseRefused)
        assert answer.reason is reason
        assert book.brakes() == (RED,)


def test_an_approval_does_not_carry_over_to_a_brake_that_got_worse():
    book = BrakeBook()
    book.set(RED)
    approved = release_hash(RED)
    book.set(brake("loss", level=Level.KILL, release=Release.TWO_MAN, since_ns=2))
    answer = book.clear("loss", GLOBAL, "alice", ("bob", approved), 3)
    assert isinstance(answer, ReleaseRefused)
    assert answer.reason is RefusedBecause.OTHER_BRAKE_APPROVED


def test_releasing_what_is_not_there_is_refused():
    answer = BrakeBook().clear("loss", GLOBAL, "alice", None, 3)
    assert isinstance(answer, ReleaseRefused)
    assert answer.reason is RefusedBecause.NO_SUCH_BRAKE


def test_more_brakes_than_fit_hold_everything_and_none_is_forgotten():
    book = BrakeBook()
    for number in range(BRAKES_MAX + 50):
        assert book.set(brake(scope=f"strategy:s{number}", level=Level.SAFE)) or number >= BRAKES_MAX
    assert len(book.brakes()) == BRAKES_MAX
    assert book.mode([]) is Level.HOLD
    book.set(brake(scope="strategy:last", level=Level.KILL, release=Release.TWO_MAN))
    assert book.mode([]) is Level.KILL
    assert book.brakes()[0].release is Release.TWO_MAN


def test_scopes_are_read_and_bad_ones_are_refused():
    assert parse_scope(GLOBAL) == (ScopeKind.GLOBAL, "")
    assert parse_scope("symbol:BINANCE:SPOT:BTC-USDT") == (ScopeKind.SYMBOL, "BINANCE:SPOT:BTC-USDT")
    for bad in ("", "globe", "venue:", "desk:x", "venue:a b", "strategy:é", "strategy:" + "x" * 60):
        with pytest.raises(ValueError, match="no scope"):
            parse_scope(bad)
        with pytest.raises(ValueError, match="no scope"):
            brake(scope=bad)
    with pytest.raises(ValueError, match="restrains nothing"):
        brake(level=Level.RUN)


def test_an_order_stands_under_global_its_venue_its_symbol_and_its_strategies():
    assert order_scopes("binance", "BINANCE:SPOT:BTC-USDT", ("a", "b")) == (
        "global",
        "venue:binance",
        "symbol:BINANCE:SPOT:BTC-USDT",
        "strategy:a",
        "strategy:b",
    )


@pytest.mark.req("P-SAFE-4")
def test_a_worse_level_never_allows_more_and_cancels_are_always_allowed():
    for milder, worse in zip(Level, list(Level)[1:], strict=False):
        assert ALLOWED[worse] <= ALLOWED[milder]
    assert all(Conduct.CANCEL in allowed for allowed in ALLOWED.values())
    assert not ALLOWED[Level.HOLD] & {Conduct.TAKE, Conduct.MAKE, Conduct.REDUCE}
