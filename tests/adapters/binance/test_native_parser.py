"""The depth parser in C against the codec in Python: the same event or the same refusal for any bytes."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from decimal import Decimal
from itertools import islice
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.binance.codec import BinanceCodec
from adapters.binance.grid import FINER_WINDOW, FREE_FINER_QUANTITIES
from adapters.binance.instruments import COINM, SPOT, USDM, instruments_of
from adapters.wirelog import WireLine, open_session, read_log
from native import marketdata
from tests.effort import effort
from trading.market.events import DepthUpdate, WireRejected

PROJECT = Path(__file__).resolve().parents[3]
RECORDINGS = PROJECT / ".." / "shared" / "data" / "binance" / "l2_raw"
NOW = 1_723_161_255_000_000_000

pytestmark = [
    pytest.mark.req("P-EXE-17"),
    pytest.mark.skipif(marketdata is None, reason="native/ is not built"),
]

# Frames as recorded on 2024-08-08 and 2023-04-05, levels shortened.
FRAMES = {
    SPOT: (
        b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":50093239189,'
        b'"u":50093239202,"b":[["61737.63000000","0.00000000"],["61730.17000000","1.54698000"]],'
        b'"a":[["61837.64000000","1.54698000"]]}}'
    ),
    USDM: (
        b'{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT",'
        b'"U":5123107832006,"u":5123107837557,"pu":5123107831937,"b":[["58710.20","0.014"]],'
        b'"a":[["61800.30","0.000"]]}}'
    ),
    COINM: (
        b'{"stream":"btcusd_perp@depth@0ms","data":{"e":"depthUpdate","E":1723161257440,"T":1723161257432,'
        b'"s":"BTCUSD_PERP","ps":"BTCUSD","U":1007198631260,"u":1007198631565,"pu":1007198631198,'
        b'"b":[["61773.6","1001"]],"a":[]}}'
    ),
}
SPOT_BTC = instruments_of(SPOT)[0]


def both(venue, instruments=None):
    instruments = instruments or instruments_of(venue)
    return BinanceCodec(venue, instruments), BinanceCodec(venue, instruments, native=False)


def agreed(venue, *payloads, instruments=None):
    """What both codecs make of the payloads, told one after the other; they must agree on each."""
    fast, reference = both(venue, instruments)
    events = []
    for payload in payloads:
        event, expected = fast.decode(payload, NOW), reference.decode(payload, NOW)
        assert event == expected, payload
        assert type(event) is type(expected)
        events.append(event)
    assert fast.finer_quantities() == reference.finer_quantities()
    return events


def bare(frame):
    return frame[frame.index(b'"data":') + 7 : -1]


def with_numbers(price, qty):
    """A frame of one bid and nothing else, which leaves no other number to be refused."""
    frame = FRAMES[SPOT]
    return frame[: frame.index(b'"b":[')] + b'"b":[["' + price.encode() + b'","' + qty.encode() + b'"]],"a":[]}}'


def test_a_frame_goes_to_the_parser_of_its_stream_and_all_else_to_the_rest():
    parser = marketdata.DepthParser("BTCUSDT", "x", (2, 1), (5, 1), DepthUpdate)
    frame = FRAMES[SPOT]
    rest = []
    routes = marketdata.DepthRoutes(
        {b"btcusdt@depth@100ms": parser, b"odd": None}, lambda *args, **named: rest.append((args, named)), len(frame)
    )
    assert routes(frame, NOW).instrument_id == "x"
    others = (
        b"",
        b"{",
        b'{"stream":"',
        b'{"stream":"btcusdt@depth@100ms',
        b'{"stream":"btcusdt@depth","data":{}}',
        b'{"stream":"odd","data":{}}',
        frame + b" ",
        frame.replace(b"btcusdt@", b"b" * 120 + b"@"),
        frame[:-1],
        bytearray(frame),
        "text",
        None,
    )
    for other in others:
        assert routes(other, NOW) is None
    assert [args for args, _ in rest] == [(other, NOW) for other in others]
    rest.clear()
    routes(frame)
    routes(frame, ts_recv_ns=NOW)
    assert rest == [((frame,), {}), ((frame,), {"ts_recv_ns": NOW})]
    for wrong in ((), ({}, print), ([], print, 1), ({}, print, "1")):
        with pytest.raises(TypeError):
            marketdata.DepthRoutes(*wrong)


@pytest.mark.parametrize("venue", FRAMES)
@pytest.mark.parametrize("unwrap", [bytes, bare])
def test_the_usual_spelling_is_read_in_c(venue, unwrap):
    payload = unwrap(FRAMES[venue])
    (event,) = agreed(venue, payload)
    assert isinstance(event, DepthUpdate)
    assert type(event.bids) is marketdata.Levels
    assert type(event.asks) is marketdata.Levels


def test_one_kind_of_message_is_not_taken_for_the_other():
    parser = marketdata.DepthParser("BTCUSDT", "x", (2, 1), (5, 1), DepthUpdate)
    frame = FRAMES[SPOT]
    assert parser.frame(frame, NOW) is not None
    assert parser.bare(bare(frame), NOW) is not None
    assert parser.quantities == 6
    assert parser.frame(bare(frame), NOW) is None
    assert parser.bare(frame, NOW) is None
    assert parser.frame(bytearray(frame), NOW) is None
    assert parser.quantities == 6
    with pytest.raises(TypeError):
        parser.frame(frame)
    for wrong in ((-1, 1), (2, 0)):
        with pytest.raises(ValueError, match="step"):
            marketdata.DepthParser("BTCUSDT", "x", wrong, (5, 1), DepthUpdate)


SPELLINGS = [
    (b'"U":', b' "U":'),
    (b'"E":1723161255208', b'"E":1723161255208.0'),
    (b'"E":1723161255208', b'"E":1.723161255208e12'),
    (b'"E":1723161255208', b'"E":8999999999999'),
    (b'"E":1723161255208', b'"E":9000000000000'),
    (b'"E":1723161255208', b'"E":"1723161255208"'),
    (b'"E":1723161255208', b'"E":1723161255208,"E":1723161255209'),
    (b'"E":1723161255208', b'"E":1723161255208,"T":1000000000000'),
    (b'"E":1723161255208', b'"E":1723161255208,"T":1723161255207'),
    (b'"E":1723161255208', b'"E":1723161255208,"pu":-1'),
    (b'"E":1723161255208', b'"E":1723161255208,"pu":-2'),
    (b'"E":1723161255208', b'"E":1723161255208,"pu":-10'),
    (b'"E":1723161255208', b'"E":1723161255208,"pu":-0'),
    (b'"E":1723161255208', b'"E":1723161255208,"pu":0'),
    (b'"E":1723161255208', b'"E":1723161255208,"pu":50093239202'),
    (b'"E":1723161255208', b'"E":1723161255208,"ps":"\xc3\xa9"'),
    (b'"E":1723161255208', b'"E":1723161255208,"ps":"\xff"'),
    (b'"E":1723161255208', b'"E":1723161255208,"ps":"a\x01b"'),
    (b'"E":1723161255208', b'"E":1723161255208,"ps":5'),
    (b'"E":1723161255208', b'"E":1723161255208,"new":[1,{"a":null}]'),
    (b'"E":1723161255208', b'"E":1723161255208,"lastUpdateId":5'),
    (b'"E":1723161255208', b'"E":1723161255208,"code":5'),
    (b'"E":1723161255208,', b""),
    (b'"E":1723161255208,', b'"E":1723161255208,,'),
    (b'"U":50093239189', b'"U":050093239189'),
    (b'"U":50093239189', b'"U":-50093239189'),
    (b'"U":50093239189', b'"U":0'),
    (b'"U":50093239189', b'"U":null'),
    (b'"u":50093239202', b'"u":4611686018427387903'),
    (b'"u":50093239202', b'"u":4611686018427387904'),
    (b'"u":50093239202', b'"u":99999999999999999999999'),
    (b'"s":"BTCUSDT"', b'"s":"BTC\\u0055SDT"'),
    (b'"s":"BTCUSDT"', b'"s":"BTCUSD"'),
    (b'"s":"BTCUSDT"', b'"s":"BTCUSDT\\u0000"'),
    (b'"s":"BTCUSDT"', b'"s":"BTCUSDT\x00"'),
    (b'"depthUpdate"', b'"depthUpdat"'),
    (b'"a":[', b'"a":[],"a":['),
    (b'"a":[["61837.64000000","1.54698000"]]', b'"a":[]'),
    (b'"a":[["61837.64000000","1.54698000"]]', b'"a":null'),
    (b'"a":[["61837.64000000","1.54698000"]]', b'"a":[["61837.64000000","1.54698000"],]'),
    (b'"a":[["61837.64000000","1.54698000"]]', b'"a":[["61837.64000000","1.54698000","x"]]'),
    (b'"a":[["61837.64000000","1.54698000"]]', b'"a":[["61837.64000000",1.5]]'),
    (b'"a":[["61837.64000000","1.54698000"]]', b'"a":[["61837.64000000"]]'),
    (b'"a":[["61837.64000000","1.54698000"]]', b'"a":[' + b",".join([b'["1.00","1"]'] * 20_000) + b"]"),
    (b'"a":[["61837.64000000","1.54698000"]]', b'"a":[' + b",".join([b'["1.00","1"]'] * 20_001) + b"]"),
    (b"}}", b"}} "),
    (b"}}", b"}}}"),
    (b"}}", b"}"),
    (b"}}", b'},"more":1}'),
    (b"}}", b'},"stream":"btcusdt@trade"}'),
]


@pytest.mark.parametrize("unwrap", [bytes, bare])
@pytest.mark.parametrize(("old", "new"), SPELLINGS, ids=range(len(SPELLINGS)))
def test_an_unusual_spelling_is_judged_as_in_python(old, new, unwrap):
    assert FRAMES[SPOT].count(old) == 1
    agreed(SPOT, unwrap(FRAMES[SPOT]).replace(old, new), unwrap(FRAMES[SPOT]))


NUMBERS = st.one_of(
    st.from_regex(r"\A[0-9]{0,20}\.?[0-9]{0,12}\Z"),
    st.decimals(0, 10**15, places=8, allow_nan=False).map("{:f}".format),
    st.integers(0, 10**7).map(lambda units: f"{Decimal(units) / 100:f}"),
    st.text(alphabet='0123456789.-+eE_ "\\,x\u0661', max_size=8),
)
STEPS = st.sampled_from(
    ["0.01", "0.00001", "0.5", "0.25", "0.10", "1", "5", "10", "3", "1E+2", "1E-8", "1E-18", "1E-20"]
)


@given(NUMBERS, NUMBERS, STEPS, STEPS)
@example("461168601842738790.4", "4611686018427387904", "0.1", "1")
@example("0000000061730.17", "1." + "0" * 23, "0.01", "0.00001")
@example("1." + "0" * 24, "0", "0.01", "1")
@example("5.", ".5", "5", "0.5")
@example(".", "0", "1", "1")
@example("999999999999999999", "999999999999999999.9", "1", "0.1")
@settings(max_examples=400, deadline=None)
def test_every_number_is_converted_or_refused_as_in_python(price, qty, tick, lot):
    instrument = msgspec.structs.replace(SPOT_BTC, tick_size=Decimal(tick), lot_size=Decimal(lot))
    agreed(SPOT, with_numbers(price, qty), instruments=[instrument])


SMALL = [b"", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"0", b"-", b".", b"e", b" ", b"\x00", b"\xff", b"null"]
LARGER = [b'"b":[]', b'"s":"BTCUSDT"', b'"e":"depthUpdate"', b'{"data":', b'["1.00","1"],']
PIECES = [*SMALL, *LARGER]


def damaged(payload, dice):
    """The payload after one to four cuts, insertions or repetitions."""
    for _ in range(dice.randint(1, 4)):
        begin = dice.randint(0, len(payload))
        end = min(len(payload), begin + dice.choice([0, 0, 1, 1, 2, 5, 30, 10_000]))
        some = dice.choice(PIECES), dice.randbytes(dice.randint(0, 3)), payload[begin:end] * 2
        payload = payload[:begin] + dice.choice(some) + payload[end:]
    return payload


# Hypothesis chooses where the dice begin: to choose each cut took it ten times as long as both codecs took to read.
@given(st.integers(0, 2**64 - 1))
@settings(max_examples=15, deadline=None)
def test_damaged_frames_are_judged_as_in_python(seed):
    dice = Random(seed)
    for _ in range(150):
        venue, unwrap = dice.choice([SPOT, USDM, COINM]), dice.choice([bytes, bare])
        agreed(venue, damaged(unwrap(FRAMES[venue]), dice))


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_keys_may_come_in_any_order(data):
    venue = data.draw(st.sampled_from([SPOT, USDM, COINM]))
    tree = msgspec.json.decode(FRAMES[venue])
    shuffled = dict(data.draw(st.permutations(list(tree["data"].items()))))
    outer = dict(data.draw(st.permutations([("stream", tree["stream"]), ("data", shuffled)])))
    payload = msgspec.json.encode(outer)
    (event,) = agreed(venue, payload)
    assert type(event.bids) is marketdata.Levels
    assert event == BinanceCodec(venue, instruments_of(venue)).decode(FRAMES[venue], NOW)


def test_few_finer_quantities_are_rounded_and_too_many_refused_at_the_same_one_as_in_python():
    finer = [with_numbers("61737.63", f"{n}.12345678") for n in range(1, FREE_FINER_QUANTITIES + 3)]
    events = agreed(SPOT, *finer)
    assert [type(event) for event in events] == [DepthUpdate] * FREE_FINER_QUANTITIES + [WireRejected] * 2
    assert events[-1].reason == "off_grid_qty"
    # Spread over ten thousand others they are what they were: old orders that still rest.
    wide = FRAMES[SPOT].replace(b'"a":[', b'"a":[' + b'["61837.65000000","1.00000000"],' * 50)
    mixed = [payload for one in finer * 4 for payload in (wide, one)]
    assert all(isinstance(event, DepthUpdate) for event in agreed(SPOT, *mixed))


def test_finer_quantities_are_counted_among_the_latest_and_not_diluted_by_all_history():
    crowd = FRAMES[SPOT].replace(b'"a":[', b'"a":[' + b'["61837.65000000","1.00000000"],' * 9000)
    history = [crowd] * (4 * FINER_WINDOW // 9000)
    finer = [with_numbers("61737.63", "1.12345678")] * (FINER_WINDOW // 20)
    events = agreed(SPOT, *history, *finer)
    assert isinstance(events[len(history) + FINER_WINDOW // 40], DepthUpdate)
    assert isinstance(events[-1], WireRejected)


@pytest.mark.recording
@pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"no recordings at {RECORDINGS}")
@pytest.mark.parametrize("name", ["2024-08-08", "2023-04-05_funding", "2024-07-23_nexo_24h"])
def test_the_recorded_frames_of_every_market_are_read_in_c_and_equal_python(name):
    for file in open_session(RECORDINGS / name).files:
        fast, reference = both(file.venue)
        seen = in_c = 0
        # The frames of a file are of one form, and which numbers they hold is what the other tests vary.
        for line in islice(read_log(file), effort(15_000, None)):
            if not isinstance(line, WireLine) or b"@depth" not in line.payload[:60]:
                continue
            event = fast.decode(line.payload, line.ts_recv_ns)
            assert event == reference.decode(line.payload, line.ts_recv_ns)
            seen += 1
            in_c += type(event.bids) is not list
        assert seen > 500
        assert in_c / seen > 0.99, f"{in_c} of {seen} in {file.path.name}"
        assert fast.finer_quantities() == reference.finer_quantities()


def resident_bytes():
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
def test_a_hundred_thousand_frames_leak_nothing():
    parser = marketdata.DepthParser("BTCUSDT", "x", (2, 1), (5, 1), DepthUpdate)
    good = FRAMES[SPOT]
    bad = [good[:-1], good.replace(b"61737.63", b"61737.635"), good.replace(b'"u":', b'"U":'), bytearray(good), b""]

    def work(rounds):
        for number in range(rounds):
            assert parser.frame(good, NOW + number).bids[0] == (6173763, 0)
            assert parser.frame(bad[number % 5], NOW) is None

    work(5_000)
    gc.collect()
    held = [sys.getrefcount(x) for x in (good, "x", DepthUpdate, None)]
    before = resident_bytes()
    work(100_000)
    gc.collect()
    after = [sys.getrefcount(x) for x in (good, "x", DepthUpdate, None)]
    assert [b - a for a, b in zip(held, after, strict=True)] == pytest.approx([0] * 4, abs=50)
    assert resident_bytes() - before < 2 << 20


def test_without_the_extension_the_codec_reads_frames_in_python():
    program = (
        "import sys; from adapters.binance.codec import BinanceCodec as C; "
        "from adapters.binance.instruments import instruments_of as i; "
        "print(type(C('binance', i('binance')).decode(sys.stdin.buffer.read(), 1).bids).__name__)"
    )
    for value, name in (("0", "list"), ("", "Levels")):
        shown = subprocess.run(
            [sys.executable, "-c", program],
            input=FRAMES[SPOT],
            env={**os.environ, "PROPDESK_NATIVE": value},
            cwd=PROJECT,
            capture_output=True,
            check=True,
            timeout=240,
        )
        assert shown.stdout.decode().strip() == name
