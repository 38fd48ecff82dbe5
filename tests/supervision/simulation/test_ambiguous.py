"""Submits of which nobody knows the outcome: nothing doubled, nothing lost, and cores that guess are caught."""

from __future__ import annotations

import json

import pytest

from supervision.cli import main
from supervision.simulation.ambiguous import World, WorldSpec
from supervision.simulation.campaign import traded
from trading.orders.core import OrderCore, OrderCoreConfig
from trading.orders.journal_rows import JournalKind, NoteBody
from trading.orders.messages import OrdStatus

MS = 1_000_000


def world(seed, core_of=OrderCore, **fields):
    return World(WorldSpec(seed=seed, intents=400, crash_every_s=3.0, **fields), traded(), core_of)


@pytest.mark.req("P-ORD-1", "P-ORD-2", "P-ORD-4")
@pytest.mark.parametrize("numbered", [False, True], ids=["numberless", "numbered"])
@pytest.mark.parametrize("seed", [7, 13])
def test_no_submit_is_doubled_and_no_execution_lost_however_bad_the_wire(seed, numbered):
    result = world(seed, numbered=numbered).run()
    assert result.clean, result.story
    assert result.ambiguous >= 300
    assert result.executions >= 100
    assert result.crashes >= 1


def test_a_seed_is_one_world():
    first, second = (world(5).run() for _ in range(2))
    assert first == second


class TakesSilenceForRejection(OrderCore):
    """Ages an unanswered order into a rejected one."""

    def _check_deadlines(self, order, turn):
        late = turn.now - order.sent_ns > self._config.place_deadline_ms * MS
        if order.sent_ns and late and not order.acked and order.ord_status is not OrdStatus.UNKNOWN:
            note = NoteBody(text="no answer", facts={"event": "unanswered"})
            self._noted(JournalKind.UNKNOWN, order, note, turn)
            self._noted(JournalKind.REJECT, order, NoteBody(text="gave up", facts={"event": "not_found"}), turn)
            return
        super()._check_deadlines(order, turn)


class AppliesTwice(OrderCore):
    """Does not remember which executions it has applied."""

    def _execution(self, m, turn):
        inbox = self._account(m.venue).inbox
        inbox.seen.pop(m.exec_id, None)
        super()._execution(m, turn)


@pytest.mark.req("P-ORD-1")
@pytest.mark.parametrize(
    ("core_of", "fields", "wrong"),
    [
        (TakesSilenceForRejection, {}, "duplicates"),
        (OrderCore, {"core": OrderCoreConfig(visibility_ms=50)}, "duplicates"),
        (AppliesTwice, {}, "position_residual"),
    ],
    ids=["silence is rejection", "absence too early", "no memory of executions"],
)
def test_a_core_that_guesses_is_caught(core_of, fields, wrong):
    found = [world(seed, core_of, **fields).run() for seed in (7, 13)]
    assert any(str(getattr(result, wrong)) not in {"0", "0.000"} for result in found)
    assert not all(result.clean for result in found)


def test_the_command_says_how_many_and_that_the_market_is_synthetic(capsys):
    assert main(["sim", "ambiguous", "--n", "1", "--jobs", "1", "--seed", "6", "--intents", "300", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["duplicates"], said["lost"], said["unknown_unresolved"], said["passed"]) == (0, 0, 0, True)
    assert said["synthetic"]
    assert said["ambiguous"] >= 1
