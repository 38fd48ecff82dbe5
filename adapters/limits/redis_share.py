"""Counts shared between hosts by Redis, where it is configured: one Lua script takes from all windows or from none.

Owns talking to Redis and knowing whether it is there. It only ever adds a second opinion to the host's own count: a
Redis that is slow or gone is left alone for a while, flagged, and nobody waits for it; cancels never ask it, they are
only counted. Times are Redis' own, so that hosts need no common clock.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from adapters.clock import Clock
from adapters.redis_client import NOT_INSTALLED, open_redis
from trading.limits.governor import Demand
from trading.limits.spec import MS_NS, SECOND_NS, Scope
from trading.limits.window import SLOTS

TIMEOUT_S: Final = 0.05
_AT_ONCE: Final = 8
_ALONE_MIN_NS: Final = SECOND_NS
_ALONE_MAX_NS: Final = 30 * SECOND_NS

# KEYS: the pause, then one hash per pool, its fields the numbers of slots. ARGV: 1 to count without asking, how many
# slots back count, then for each pool: amount, ceiling, slot in us, life in ms. Answer: wait in us, and for which key.
_TAKE: Final = """
local asking, back = ARGV[1] ~= '1', tonumber(ARGV[2])
if asking then
  local left = redis.call('PTTL', KEYS[1])
  if left > 0 then return {left * 1000, 1} end
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local worst, which, slots = 0, 0, {}
for i = 2, #KEYS do
  local at = 3 + (i - 2) * 4
  local amount, ceiling, width = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local slot = math.floor(now / width)
  slots[i] = slot
  local flat, used, live, dead = redis.call('HGETALL', KEYS[i]), 0, {}, {}
  for j = 1, #flat, 2 do
    local n = tonumber(flat[j])
    if n < slot - back then
      dead[#dead + 1] = flat[j]
    else
      live[#live + 1] = {n, tonumber(flat[j + 1])}
      used = used + tonumber(flat[j + 1])
    end
  end
  if #dead > 0 then redis.call('HDEL', KEYS[i], unpack(dead)) end
  local over = used + amount - ceiling
  if asking and over > 0 then
    table.sort(live, function(a, b) return a[1] < b[1] end)
    local wait = (back + 1) * width
    for _, one in ipairs(live) do
      over = over - one[2]
      if over <= 0 then
        wait = (one[1] + back + 1) * width - now
        break
      end
    end
    if wait > worst then worst, which = wait, i end
  end
end
if worst > 0 then return {worst, which} end
for i = 2, #KEYS do
  local at = 3 + (i - 2) * 4
  redis.call('HINCRBY', KEYS[i], string.format('%d', slots[i]), ARGV[at])
  redis.call('PEXPIRE', KEYS[i], ARGV[at + 3])
end
return {0, 0}
"""

# A pause is only ever made longer.
_PAUSE: Final = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
return 1
"""


class Verdict(msgspec.Struct, frozen=True):
    """``wait_ns`` 0: taken. ``pool`` is what is full, or empty for a pause that another host was told of."""

    wait_ns: int
    pool: str


class RedisShare:
    """One venue's counts in Redis.

    ``address`` names the address that the hosts share: those behind another one have windows by address of their own.
    """

    def __init__(
        self,
        url: str,
        venue: str,
        clock: Clock,
        *,
        password: str | None = None,
        address: str = "default",
        prefix: str = "propdesk:limits",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._clock = clock
        self._base = f"{prefix}:{{{venue}}}"
        self._address = address
        self._alone_until_ns = 0
        self._alone_ns = 0
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self.trouble = ""
        self.failures = 0
        self._client = open_redis(url, password=password, timeout_s=timeout_s, connections=2 * _AT_ONCE)
        if self._client is None:
            self.trouble = NOT_INSTALLED
            return
        self._take = self._client.register_script(_TAKE)
        self._pause = self._client.register_script(_PAUSE)

    @property
    def up(self) -> bool:
        """Whether it is worth asking now; after trouble it is left alone, each time longer, up to 30 s."""
        return self._client is not None and self._clock.mono_ns() >= self._alone_until_ns

    async def take(self, demand: Sequence[Demand]) -> Verdict | None:
        """Take from all windows, or say how long to wait; ``None``: Redis is not there."""
        found = await self._run(self._take, self._keys(demand), ("0", str(SLOTS), *_amounts(demand)))
        if found is None:
            return None
        wait_us, which = int(found[0]), int(found[1])
        pool = demand[which - 2].pool if wait_us and which >= 2 else ""
        return Verdict(wait_us * 1000, pool)

    async def note(self, demand: Sequence[Demand]) -> None:
        """Count what is sent without asking."""
        await self._run(self._take, self._keys(demand), ("1", str(SLOTS), *_amounts(demand)))

    async def pause(self, length_ns: int) -> None:
        """Let the other hosts behind our address pause too."""
        await self._run(self._pause, [self._pause_key()], (str(max(1, length_ns // MS_NS)),))

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _run(self, script: Any, keys: Sequence[str], args: Sequence[str]) -> Any:
        try:
            async with self._gate:
                if not self.up:
                    return None
                found = await script(keys=keys, args=args)
        except Exception as trouble:  # noqa: BLE001  # whatever it is, trading does not depend on it
            self.failures += 1
            self.trouble = f"{type(trouble).__name__}: {trouble}"[:200]
            self._alone_ns = min(max(2 * self._alone_ns, _ALONE_MIN_NS), _ALONE_MAX_NS)
            self._alone_until_ns = self._clock.mono_ns() + self._alone_ns
            return None
        self._alone_ns = 0
        self.trouble = ""
        return found

    def _keys(self, demand: Sequence[Demand]) -> list[str]:
        return [self._pause_key(), *(f"{self._base}:{self._whose(one)}:{one.pool}" for one in demand)]

    def _pause_key(self) -> str:
        return f"{self._base}:ip:{self._address}:pause"

    def _whose(self, one: Demand) -> str:
        return f"ip:{self._address}" if one.scope is Scope.IP else "account"


def _amounts(demand: Sequence[Demand]) -> list[str]:
    rows = (
        (str(one.amount), str(one.ceiling), str(-(-one.span_ns // SLOTS // 1000) + 1), str(one.span_ns // MS_NS * 2))
        for one in demand
    )
    return list(itertools.chain.from_iterable(rows))
