"""The statement of an account: whole over deaths, nothing twice, and honest about what it could not hold."""

from __future__ import annotations

from adapters.simserver.trading.statement import NotWhole, Statement, Taken, read_statement
from trading.orders.messages import OrdType, Side, TimeInForce
from trading.sim.state import SimOrder


def order(number, cl_ord_id="pd1-a-1"):
    return SimOrder(
        order_no=number,
        cl_ord_id=cl_ord_id,
        orig_cl_ord_id=None,
        instrument_id="X",
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.GTC,
        order_lots=1,
        price_ticks=1,
        reduce_only=False,
        ts_ns=1,
    )


def test_a_client_order_id_that_was_used_twice_stands_there_twice(tmp_path):
    path = tmp_path / "statement"
    statement = Statement(path)
    statement.note([order(1)], [])
    statement.note([order(1), order(2)], [])
    statement.close()
    assert [line.order_no for line in read_statement(path)] == [1, 2]


def test_after_a_death_the_torn_line_goes_and_what_was_missed_is_added_once(tmp_path):
    path = tmp_path / "statement"
    statement = Statement(path)
    statement.note([order(1)], [])
    statement.close()
    with path.open("ab") as file:
        file.write(b'{"kind":"taken","order_no":2,"cl_')
    assert len(read_statement(path)) == 1
    statement = Statement(path)
    statement.note([order(1), order(2)], [])
    statement.close()
    assert [line.order_no for line in read_statement(path)] == [1, 2]


def test_what_does_not_fit_makes_it_say_that_it_is_not_whole(tmp_path):
    path = tmp_path / "statement"
    statement = Statement(path, limit_bytes=100)
    for number in range(1, 9):
        statement.note([order(number)], [])
    statement.close()
    lines = read_statement(path)
    assert isinstance(lines[-1], NotWhole)
    assert sum(isinstance(line, NotWhole) for line in lines) == 1
    again = Statement(path, limit_bytes=100)
    again.note([order(20)], [])
    again.close()
    assert not any(isinstance(line, Taken) and line.order_no == 20 for line in read_statement(path))
