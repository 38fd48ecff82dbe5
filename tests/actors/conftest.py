"""Single actors of the desk on a virtual loop: what they are sent, what they send, and a real permit board."""

from __future__ import annotations

from decimal import Decimal

import pytest

from actors.messages import StartActor
from actors.shell import Shell
from adapters.clock import VirtualClock
from adapters.permit_board import PermitWriter
from supervision.bases.loop import LoopBase
from supervision.desk_plan import INSTRUMENTS
from trading.orders.messages import Leg, OrdType, ProposedOrder, Side, TimeInForce

WALL_NS = 1_723_161_254_000_000_000
MONO_NS = 1_000_000_000
MS = 1_000_000


class Bench:
    """One loop, some real actors; whatever they send to names that are not there is kept."""

    def __init__(self, directory):
        self.directory = directory
        self.clock = VirtualClock(WALL_NS, MONO_NS)
        self.base = LoopBase.standalone(name="bench", clock=self.clock)
        self.base.set_router(self._keep)
        self.kept = []

    def _keep(self, to, _sender, msg):
        self.kept.append((to, msg))
        return True

    def start(self, name, actor_class, setup):
        """Start an actor under a supervisor that only listens; the living actor."""
        assert issubclass(actor_class, Shell)
        address = self.base.create_root(actor_class, {"propdesk.name": name})
        self.base.inject(address, StartActor(name=name, supervisor="supervisor", setup=setup))
        self.base.run_until_idle()
        return self.base.actor(name)

    def tell(self, name, *messages):
        for message in messages:
            self.base.inject(name, message)
        self.base.run_until_idle()

    def after_ms(self, ms):
        self.base.advance_to(self.clock.mono_ns() + int(ms * MS))

    def take(self, *kinds, to=None):
        """The messages of these kinds since the last look, oldest first; they are looked at once."""
        found = [m for t, m in self.kept if isinstance(m, kinds) and to in {None, t}]
        self.kept = [(t, m) for t, m in self.kept if not (isinstance(m, kinds) and to in {None, t})]
        return found


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.base.shutdown()


@pytest.fixture
def board(tmp_path):
    return tmp_path / "permit.board"


@pytest.fixture
def permit(board, bench):
    """Grants: epoch 1 from now for some milliseconds, under some modes."""
    writer = PermitWriter(board, now_wall_ns=WALL_NS)

    def grant(modes=None, *, epoch=1, ms=500):
        writer.renew(epoch, bench.clock.mono_ns() + ms * MS, modes or {})
        return writer

    return grant


@pytest.fixture
def usdm():
    return INSTRUMENTS["BINANCEUSDM:PERP:BTC-USDT:LINEAR"]


@pytest.fixture
def proposed(bench):
    """A post-only bid of the maker, born now."""

    def make(name="pd1-a-1"):
        now = bench.clock.wall_ns()
        qty = Decimal("0.004")
        return ProposedOrder(
            cl_ord_id=name,
            venue="binanceusdm",
            instrument_id="BINANCEUSDM:PERP:BTC-USDT:LINEAR",
            side=Side.BUY,
            ord_type=OrdType.LIMIT,
            time_in_force=TimeInForce.GTX,
            order_qty=qty,
            price=Decimal(61_000),
            reduce_only=False,
            legs=(Leg(strategy_id="maker", intent_id="i1", qty=qty),),
            replaces=None,
            ref_price=Decimal(61_000),
            book_update_id=1,
            book_ts_recv_ns=now,
            story={},
            cause="a test",
            ts_init_ns=now,
        )

    return make
