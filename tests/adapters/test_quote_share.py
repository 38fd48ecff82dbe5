"""The quote that a symbol without one means: from configuration, and told to other programs by a real Redis."""

from __future__ import annotations

import asyncio
import shutil
import subprocess

import msgspec
import pytest
import redis
import redis.asyncio

from adapters.clock import SystemClock
from adapters.config import ConfigError, load_config
from adapters.quote_share import KEY, QuoteShare, QuoteTold
from tests.waiting import PATIENCE_S, free_port, until
from trading.universe.quotes import QuoteChoice

CLOCK = SystemClock()
FORCED = QuoteChoice("USDT", "QUOTE_OVERRIDE forces it")


class Server:
    """A redis-server of the test's own, on loopback, that can go away and come back."""

    def __init__(self, directory):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._directory = directory
        self.process = None

    def spawn(self):
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen([*command, "--dir", str(self._directory)], stdout=subprocess.DEVNULL)

    async def start(self):
        self.spawn()
        client = redis.Redis.from_url(self.url, socket_timeout=1)

        def up():
            try:
                return client.ping()
            except redis.RedisError:
                return False

        await until(up, "redis-server")
        client.close()

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
            self.process = None


@pytest.fixture
async def server(tmp_path):
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server on this machine")
    made = Server(tmp_path)
    await made.start()
    yield made
    made.stop()


@pytest.mark.req("L-EXEC-7")
async def test_the_quote_is_kept_and_said_in_redis_and_again_when_redis_comes_back(server):
    async with redis.asyncio.Redis.from_url(server.url) as client, client.pubsub() as heard:
        await heard.subscribe(KEY)
        share = QuoteShare(FORCED, server.url, CLOCK)
        try:
            assert await heard.get_message(timeout=PATIENCE_S)  # that it listens
            assert await share.tell()
            said = await heard.get_message(ignore_subscribe_messages=True, timeout=PATIENCE_S)
            for words in (said["data"], await client.get(KEY)):
                told = msgspec.json.decode(words, type=QuoteTold)
                assert (told.quote, told.reason) == (FORCED.quote, FORCED.reason)
            assert (share.told, share.trouble) == (1, "")
            server.stop()
            assert not await share.tell()
            assert share.trouble
        finally:
            await share.close()
    await server.start()
    share = QuoteShare(FORCED, server.url, CLOCK)
    telling = asyncio.ensure_future(share.run())
    try:
        await until(lambda: share.told, "the quote in a Redis that forgot it")
        async with redis.asyncio.Redis.from_url(server.url) as client:
            assert msgspec.json.decode(await client.get(KEY), type=QuoteTold).quote == "USDT"
    finally:
        telling.cancel()
        await share.close()


async def test_without_redis_nothing_is_told_and_nothing_fails():
    share = QuoteShare(FORCED, "", CLOCK)
    assert not await share.tell()
    await share.run()  # it ends: there is nobody to tell
    assert (share.told, share.trouble) == (0, "no Redis is configured")
    await share.close()


@pytest.mark.req("L-EXEC-7")
@pytest.mark.parametrize(
    ("environment", "quote", "reason"),
    [
        ({}, "USDT", "auto"),
        ({"QUOTE_PREF": "usdt"}, "USDT", "QUOTE_PREF forces it"),
        ({"QUOTE_PREF": "auto", "QUOTE_OVERRIDE": "USDT"}, "USDT", "QUOTE_OVERRIDE forces it"),
    ],
)
def test_the_environment_says_which_quote_a_symbol_without_one_means(environment, quote, reason):
    choice = load_config(env=environment).quote
    assert (choice.quote, choice.reason.startswith(reason)) == (quote, True)


@pytest.mark.req("L-EXEC-7")
@pytest.mark.parametrize("variable", ["QUOTE_PREF", "QUOTE_OVERRIDE"])
def test_a_quote_in_which_nothing_is_traded_is_refused_by_the_name_of_who_forced_it(variable):
    with pytest.raises(ConfigError, match="no market is listed in EUR") as refused:
        load_config(env={variable: "EUR"})
    assert refused.value.field == variable


def test_a_desk_that_trades_in_none_of_the_preferred_quotes_has_no_quote_and_runs(tmp_path):
    path = tmp_path / "coinm.yaml"
    path.write_text("venues: {binancecoinm: {instruments: ['BINANCECOINM:PERP:BTC-USD:INVERSE']}}\nstrategies: {}\n")
    assert load_config(path, env={}).quote is None
