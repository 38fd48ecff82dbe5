"""A socket that listens before its server is there: who comes early waits, and is refused by nobody."""

from __future__ import annotations

import asyncio
import socket

import aiohttp

from adapters.clock import SystemClock
from adapters.config import load_config
from adapters.simserver.server import SimServer
from adapters.wirelog import SessionFacts
from supervision.desk_plan import root_plan
from supervision.plan import cell_plan
from supervision.wiring import open_doors
from tests.adapters.simserver.conftest import spec_of
from tests.waiting import free_port


async def test_who_comes_before_the_server_is_served_when_it_is_there():
    door = socket.create_server(("127.0.0.1", 0))
    port = door.getsockname()[1]
    server = SimServer(spec_of("binance"), SystemClock(), door)
    async with aiohttp.ClientSession() as session:
        early = asyncio.create_task(session.get(f"http://127.0.0.1:{port}/api/v3/ping"))
        await asyncio.wait([early], timeout=0.05)
        assert not early.done()
        await server.start()
        try:
            assert server.port == port
            assert (await early).status == 200
        finally:
            await server.close()


def test_only_the_cell_of_the_servers_opens_doors_and_a_taken_port_has_none(tmp_path):
    taken = socket.create_server(("127.0.0.1", 0))
    ports = {"binance": taken.getsockname()[1], "binanceusdm": free_port()}
    config = load_config(None, "paper", {}, {"data_dir": str(tmp_path)})
    root = root_plan(config, anchor_ns=1, facts=SessionFacts(), sim_ports=ports)
    doors = {cell: open_doors(cell_plan(root, cell, 1)) for cell in root.placement}
    with taken:
        assert {cell: list(found) for cell, found in doors.items() if found} == {"simvenue": ["binanceusdm"]}
    with doors["simvenue"]["binanceusdm"] as door:
        assert door.getsockname() == ("127.0.0.1", ports["binanceusdm"])
        socket.create_connection(door.getsockname(), timeout=5).close()
