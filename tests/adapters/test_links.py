"""Links between cells over real Unix sockets: order, conflation, absence, overflow, garbage."""

import asyncio
import struct
from pathlib import Path

import msgspec

from adapters.links import LinkCodec, LinkOut, LinkServer
from tests.waiting import until


class Order(msgspec.Struct, frozen=True, tag=True):
    n: int


class Top(msgspec.Struct, frozen=True, tag=True):
    key: str
    n: int


CODEC = LinkCodec(Order | Top)


def _conflate(msg: object) -> str | None:
    return msg.key if isinstance(msg, Top) else None


async def test_everything_arrives_once_and_in_order(tmp_path: Path) -> None:
    got: list[object] = []
    server = LinkServer(tmp_path / "a.sock", CODEC, lambda to, msg: got.append((to, msg)))
    await server.start()
    link = LinkOut(tmp_path / "a.sock", CODEC, _conflate)
    link.start(asyncio.get_running_loop())
    for n in range(5_000):
        link.offer("orders", Order(n))
    await until(lambda: len(got) == 5_000)
    assert got == [("orders", Order(n)) for n in range(5_000)]
    await link.close()
    await server.close()


async def test_what_was_offered_before_the_peer_lives_is_kept_but_market_data_is_not(tmp_path: Path) -> None:
    got: list[object] = []
    link = LinkOut(tmp_path / "a.sock", CODEC, _conflate)
    link.start(asyncio.get_running_loop())
    link.offer("orders", Order(1))
    link.offer("market", Top("btc", 1))
    server = LinkServer(tmp_path / "a.sock", CODEC, lambda to, msg: got.append(msg))
    await server.start()
    await until(lambda: bool(got))
    assert got == [Order(1)]
    assert link.stats.dropped == 1
    await link.close()
    await server.close()


async def test_waiting_market_data_is_replaced_by_newer_in_its_place(tmp_path: Path) -> None:
    got: list[object] = []
    server = LinkServer(tmp_path / "a.sock", CODEC, lambda to, msg: got.append(msg))
    await server.start()
    link = LinkOut(tmp_path / "a.sock", CODEC, _conflate)
    link.start(asyncio.get_running_loop())
    await until(lambda: link.connected)
    link.offer("market", Top("btc", 1))
    link.offer("orders", Order(1))
    link.offer("market", Top("btc", 2))
    await until(lambda: len(got) == 2)
    assert got == [Top("btc", 2), Order(1)]
    assert link.stats.conflated == 1
    await link.close()
    await server.close()


async def test_a_peer_that_comes_back_gets_what_was_offered_meanwhile(tmp_path: Path) -> None:
    got: list[object] = []
    states: list[bool] = []
    path = tmp_path / "a.sock"
    first = LinkServer(path, CODEC, lambda to, msg: got.append(msg))
    await first.start()
    link = LinkOut(path, CODEC, _conflate, on_state=states.append)
    link.start(asyncio.get_running_loop())
    link.offer("orders", Order(1))
    await until(lambda: len(got) == 1)
    await first.close()
    await until(lambda: not link.connected)
    link.offer("orders", Order(2))
    second = LinkServer(path, CODEC, lambda to, msg: got.append(msg))
    await second.start()
    await until(lambda: len(got) == 2)
    assert got == [Order(1), Order(2)]
    assert states == [True, False, True]
    await link.close()
    await second.close()


async def test_beyond_the_hard_limit_the_link_says_so(tmp_path: Path) -> None:
    refused: list[int] = []
    link = LinkOut(tmp_path / "nobody.sock", CODEC, _conflate, hard_limit=10, on_overflow=refused.append)
    link.start(asyncio.get_running_loop())
    for n in range(12):
        link.offer("orders", Order(n))
    assert refused == [1, 2]
    await link.close()


async def test_garbage_closes_that_connection_is_counted_and_the_cell_goes_on(tmp_path: Path) -> None:
    got: list[object] = []
    server = LinkServer(tmp_path / "a.sock", CODEC, lambda to, msg: got.append(msg))
    await server.start()
    for frame in (struct.pack(">I", 5) + b"hello", struct.pack(">I", 2**31), CODEC.encode([("a", {"x": 1})])):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "a.sock"))
        writer.write(frame)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    assert server.bad_frames == 3
    link = LinkOut(tmp_path / "a.sock", CODEC, _conflate)
    link.start(asyncio.get_running_loop())
    link.offer("orders", Order(1))
    await until(lambda: got == [Order(1)])
    await link.close()
    await server.close()
