"""A whole desk in virtual time whose evidence is kept: sent logs, published facts, journal, the venues' accounts."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import msgspec
import pytest

from actors.messages import RawFrame, SnapshotFrame
from adapters.config import load_config
from adapters.journal.store import MemoryJournal
from adapters.permit_board import OperatorBoard
from adapters.sent_log import read_sent
from adapters.synthetic.generator import MarketGenerator
from adapters.synthetic.params import GeneratorSpec
from adapters.wirelog import SessionFacts
from supervision.desk_plan import INSTRUMENTS
from supervision.replay import SYNTHETIC_EPOCH_NS, Replay, synthetic_lines
from supervision.wiring import Wiring
from trading.operators import CommandAnswered, CommandKind, OperatorCommand, Published, Topic
from trading.orders.journal_rows import PLACING, JournalKind, decode_body
from trading.orders.messages import OrdStatus

SECOND = 1_000_000_000
MS = 1_000_000
MEMORY_COMMIT_NS = 400_000


class _EvidenceWiring(Wiring):
    """The desk's own wiring at a live desk's pace; gateways log what leaves, venues' accounts outlive connectors."""

    def gateway(self, venue):
        return msgspec.structs.replace(super().gateway(venue), sent_log=self.paths.sent(venue))

    def governor(self):
        permit = self.config.permit
        return msgspec.structs.replace(
            super().governor(), renew_ns=permit.renew_ms * MS, ttl_ns=permit.ttl_ms * MS, publish_ns=500 * MS
        )

    def connector(self, venue):
        setup = super().connector(venue)
        latency = self.order_latency_ns.get(venue, setup.sim.order_latency_ns)
        # Incarnations differ from start to start, as they do live.
        return msgspec.structs.replace(
            setup,
            sim=msgspec.structs.replace(setup.sim, write_ahead=True, order_latency_ns=latency),
            paper_dir=self.paths.paper,
            incarnation=0,
        )


class VirtualDesk(Replay):
    """Feeds a session piece by piece; times in seconds of the session."""

    def __init__(self, directory, lines, *, config=None, seed=None, journal=None, start_s=0.0, slow=None):
        config = config or load_config()
        super().__init__(config, SessionFacts(), directory=directory, schedule_seed=seed)
        self.paths = self._wiring.paths
        self._wiring = _EvidenceWiring(config, self.paths, replay=True)
        self._wiring.order_latency_ns = slow or {}
        if journal is not None:
            self._wiring._memory = journal
        self.config = config
        self.published = []
        self.answers = {}
        self.epoch_ns = SYNTHETIC_EPOCH_NS
        self._left_before = {v: len(read_sent(self.paths.sent(v))) for v in config.venues}
        self._lines = [line for line in lines if line.ts_recv_ns >= self.at(start_s)]
        self._next = 0
        self.boot(self.at(start_s))

    def at(self, seconds):
        """UTC nanoseconds of a moment of the session."""
        return self.epoch_ns + int(seconds * SECOND)

    @property
    def now_s(self):
        return (self._clock.wall_ns() - self.epoch_ns) / SECOND

    @property
    def memory(self):
        """The journal."""
        journal = self._wiring._memory
        assert isinstance(journal, MemoryJournal)
        return journal

    def rows(self):
        return list(self.memory.read())

    def _sink(self, to, sender, msg):
        if type(msg) is Published:
            self.published.append(msg)
        elif type(msg) is CommandAnswered:
            self.answers[msg.command_id] = msg
        return super()._sink(to, sender, msg)

    # Driving.

    def run_until(self, seconds, change=None):
        """Feed up to a moment and run its timers. ``change`` maps a line to the line that comes instead, or None."""
        until = self.at(seconds)
        lines, start = self._lines, self._next
        while self._next < len(lines) and lines[self._next].ts_recv_ns <= until:
            self._next += 1
        batch = lines[start : self._next]
        self.feed(batch if change is None else [x for x in map(change, batch) if x is not None])
        self.base.advance_to(self._clock.mono_ns() + max(0, until - self._clock.wall_ns()))

    def command(self, kind, scope="global", actor="alice", cause="a test"):
        """One operator's command; its answer, which comes without time passing."""
        number = f"c{len(self.answers)}"
        self.base.inject(
            "governor",
            OperatorCommand(
                command_id=number,
                kind=CommandKind(kind),
                scope=scope,
                actor=actor,
                cause=cause,
                argument="",
                ts_ns=self._clock.wall_ns(),
            ),
        )
        self.base.run_until_idle()
        return self.answers[number]

    @property
    def board(self):
        return OperatorBoard(self.paths.board)

    def inject(self, to, msg):
        self.base.inject(to, msg)
        self.base.run_until_idle()

    def frame(self, venue, payload):
        self.inject(f"connector.{venue}", RawFrame(payload, self._clock.wall_ns()))

    def snapshot(self, instrument_id, body):
        symbol = INSTRUMENTS[instrument_id].symbol
        venue = INSTRUMENTS[instrument_id].venue
        self.inject(f"connector.{venue}", SnapshotFrame(symbol, body, self._clock.wall_ns()))

    # Evidence.

    def sim(self, venue):
        return self.base.actor(f"connector.{venue}").sim

    def book(self, instrument_id):
        return self.base.actor(f"connector.{INSTRUMENTS[instrument_id].venue}").markets[instrument_id].sync

    def brakes(self):
        return {(b.code, b.scope): b for b in self.base.actor("governor").brakes}

    def events(self, code):
        """(UTC ns, text) of the operators' events whose code begins so."""
        return [
            (m.ts_ns, str(m.body["text"]))
            for m in self.published
            if m.topic is Topic.EVENT and str(m.body["code"]).startswith(code)
        ]

    def sent(self, venue=None):
        """(UTC ns, cl_ord_id) of the orders that left in this desk's life, oldest first."""
        offset = self._clock.wall_ns() - self._clock.mono_ns()
        left = {v: read_sent(self.paths.sent(v))[self._left_before[v] :] for v in self.config.venues}
        return sorted((at + offset, name) for v, rows in left.items() if venue in {None, v} for at, name in rows)

    def sent_between(self, start_s, end_s, venue=None):
        return [name for at, name in self.sent(venue) if self.at(start_s) < at <= self.at(end_s)]

    def open_at_venues(self):
        return [o.cl_ord_id for v in self.config.venues for o in self.sim(v).state_now(0, "test", 0).open_orders]

    def unknown(self):
        """Messages that some actor did not know, by actor; there are none in a sound desk."""
        counts = {view.name: getattr(self.base.actor(view.name), "unknown_messages", 0) for view in self.base.tree()}
        return {name: n for name, n in counts.items() if n}

    def audit(self):
        """The invariants of a desk that has settled; every one is checked, the failures are the answer."""
        wrong = []
        rows = self.rows()
        portfolio = self.base.actor("portfolio").core
        held = {i: p.qty for i, p in portfolio.positions().items()}
        balances = portfolio.balances_by_venue()
        if portfolio.ledger_residual() != 0:
            wrong.append(f"ledger residual {portfolio.ledger_residual()}")
        core = self.base.actor("orders").core
        journalled = Counter((r.venue, r.exec_id) for r in rows if r.kind in {JournalKind.PARTIAL, JournalKind.FILL})
        for venue in self.config.venues:
            state = self.sim(venue).state_now(0, "audit", 0)
            executed = Counter((venue, e.exec_id) for e in state.executions)
            mine = Counter({k: n for k, n in journalled.items() if k[0] == venue})
            if executed != mine:
                wrong.append(f"{venue}: executed {executed - mine}, journalled {mine - executed}")
            for instrument_id, qty in state.positions.items():
                if qty != held.get(instrument_id, Decimal(0)):
                    wrong.append(f"{instrument_id}: venue {qty}, ledger {held.get(instrument_id)}")
            ours = balances.get(venue, {})
            if any(ours.get(a, Decimal(0)) != q for a, q in state.balances.items()):
                wrong.append(f"{venue}: ledger {ours}, venue {state.balances}")
            live = {o.cl_ord_id for o in state.open_orders}
            known = {o.cl_ord_id for o in core.open_orders() if o.venue == venue}
            if not live <= known:
                wrong.append(f"{venue}: open there and not here: {live - known}")
        opened = Counter(r.venue for r in rows if r.kind is JournalKind.RECONCILE and decode_body(r.body).baseline)
        # What is there is taken as given once, when the journal knows nothing; later it must be explained.
        wrong.extend(f"{venue} was taken as given {n} times" for venue, n in opened.items() if n > 1)
        placed = Counter(r.cl_ord_id for r in rows if r.kind in PLACING)
        wrong.extend(f"{name} was placed {n} times" for name, n in placed.items() if n > 1)
        first = {r.cl_ord_id: r.ts_ns for r in reversed(rows) if r.kind in PLACING}
        left = Counter(name for _, name in self.sent())
        wrong.extend(f"{name} left {n} times" for name, n in left.items() if n > 1)
        for at, name in self.sent():
            if name not in first:
                wrong.append(f"{name} left without a row")
            elif at < first[name] + MEMORY_COMMIT_NS:
                wrong.append(f"{name} left {at - first[name]} ns after its row was written, before the commit")
        if unknown := [o.cl_ord_id for o in core.open_orders() if o.ord_status is OrdStatus.UNKNOWN]:
            wrong.append(f"still unknown: {unknown}")
        if unexpected := self.unknown():
            wrong.append(f"messages that nobody expected: {unexpected}")
        return wrong


@lru_cache(maxsize=4)
def _session(seconds):
    return tuple(synthetic_lines(load_config(), seconds))


@pytest.fixture(scope="session")
def session_lines():
    """The lines of the default session's first seconds; made once."""
    return _session


@pytest.fixture
def virtual_desk(tmp_path, session_lines):
    """Makes desks; the first one lives in ``tmp_path / "desk"``, where another may follow it."""
    made = []

    def make(seconds=20, **options):
        directory = options.pop("directory", tmp_path / "desk")
        directory.mkdir(exist_ok=True)
        desk = VirtualDesk(directory, options.pop("lines", None) or session_lines(seconds), **options)
        made.append(desk)
        return desk

    yield make
    for desk in made:
        desk.base.shutdown()


@pytest.fixture(scope="session")
def book_at():
    """The REST depth body of an instrument at a moment of the default session."""

    def at(instrument_id, seconds):
        config = load_config()
        spec = GeneratorSpec(
            seed=config.generator.seed,
            epoch_ns=SYNTHETIC_EPOCH_NS,
            instruments=tuple(i for v in config.venues.values() for i in v.instruments),
        )
        market = MarketGenerator(spec, INSTRUMENTS[instrument_id].venue, SYNTHETIC_EPOCH_NS)
        market.next_batch(SYNTHETIC_EPOCH_NS + int(seconds * SECOND))
        return market.snapshot(INSTRUMENTS[instrument_id].symbol)[2]

    return at


@pytest.fixture
def project():
    return Path(__file__).resolve().parents[2]
