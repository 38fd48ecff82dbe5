"""The composition: what starts with which configuration, and that it can be closed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import aiohttp

from adapters.clock import VirtualClock
from api.ops import OpsConfig, run_ops
from api.projection import Projection


async def test_without_a_token_only_the_server_runs(projection: Projection, bus: Any, clock: VirtualClock) -> None:
    handles = await run_ops(projection, bus, OpsConfig(port=0, version="7.1", profile="paper"), clock)
    try:
        assert handles.telegram is None
        async with aiohttp.ClientSession() as client, client.get(f"{handles.http.url}api/health") as answer:
            assert (await answer.json())["version"] == "7.1"
    finally:
        await handles.close()


async def test_an_unreachable_telegram_hinders_nothing(projection: Projection, bus: Any, clock: VirtualClock) -> None:
    config = OpsConfig(port=0, telegram_token="1:x", telegram_base_url="http://127.0.0.1:9/bot", allowed_chat_ids=(1,))
    handles = await run_ops(projection, bus, config, clock)
    try:
        assert handles.telegram is not None
        async with aiohttp.ClientSession() as client, client.get(f"{handles.http.url}api/health") as answer:
            assert answer.status == 200
    finally:
        await handles.close()


def test_the_configuration_does_not_show_its_token() -> None:
    assert "sesame" not in repr(OpsConfig(telegram_token="sesame"))
    assert "sesame" not in str(OpsConfig(telegram_token="sesame"))


def test_telegram_and_telemetry_are_not_loaded_where_they_are_not_used() -> None:
    probe = "import sys, api.ops; print([m in sys.modules for m in ('telegram', 'httpx', 'opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[False, False, False]"
