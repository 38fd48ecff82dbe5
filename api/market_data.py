"""Market data and the universe for operators: GETs made of the projection, and the one way to change the allow-list.

Owns these endpoints. Reads facts that the desk published (bodies: `trading.market_report`, `trading.universe.report`);
a change goes to the desk as one command and is answered once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import msgspec
from aiohttp import web
from pydantic import ValidationError

from adapters.quote_share import QuoteShare
from api import market_schemas as schemas
from api.control import KEY_CHARS_MAX, KEY_HEADER, CommandPort, Outcome
from api.openapi import Endpoint
from api.projection import Entry, Projection, decimal_of, int_of
from api.schemas import ControlAnswer, Trouble, first_trouble
from trading.operators import CommandKind, Topic
from trading.universe.symbols import parse_pair, parse_timeframe
from trading.universe.workflow import (
    ApproveMarket,
    DeleteMarket,
    DraftMarket,
    RejectMarket,
    SubmitMarket,
    UniverseCommand,
)

META_SHOWN: Final = 500
LIQUIDATIONS_SHOWN: Final = 200
MATCHES_SHOWN: Final = 50
SILENT_MS: Final = 5_000

Table = dict[str, object]
_VENUE = ("venue", "only this venue, by its name in the configuration", False)
_SYMBOL = ("symbol", "a canonical id, or a pair in any spelling", False)
_FILTERS = (_VENUE, _SYMBOL)

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET", "/api/md/meta", "meta", "Contract metadata, rules version", schemas.MetaAnswer,
        query=(*_FILTERS, ("limit", f"at most so many markets, {META_SHOWN} unless told", False)), errors=(400,),
    ),
    Endpoint(
        "GET", "/api/ui/universe", "universe", "The allow-list; search in what is listed", schemas.UniverseAnswer,
        query=(("search", "part of an id or a pair", False),),
    ),
    Endpoint(
        "PUT", "/api/ui/universe", "change_universe", "Draft, submit, approve, reject or delete one market",
        ControlAnswer, schemas.UniverseRequest, errors=(400, 403, 409, 413, 415, 503, 504),
    ),
    Endpoint(
        "GET", "/api/ui/quality", "quality", "Quality of data", schemas.QualityAnswer, query=_FILTERS, errors=(400,),
    ),
    Endpoint("GET", "/api/ui/md/regions", "regions", "Market data by region", schemas.RegionsAnswer),
    Endpoint(
        "GET", "/api/ui/channels", "channels", "Connections and channels", schemas.ChannelsAnswer, query=(_VENUE,),
    ),
    Endpoint(
        "GET", "/api/ui/liquidations", "liquidations", "Liquidations: stream and sums", schemas.LiquidationsAnswer,
        query=_FILTERS, errors=(400,),
    ),
    Endpoint(
        "GET", "/api/ui/imbalance", "imbalance", "Order flow and queue imbalance", schemas.SymbolsAnswer,
        query=_FILTERS, errors=(400,),
    ),
    Endpoint(
        "GET", "/api/ui/cvd", "cvd", "Volume delta by timeframe", schemas.SymbolsAnswer,
        query=(*_FILTERS, ("tf", schemas.TIMEFRAME_WORDS, False)), errors=(400,),
    ),
    Endpoint(
        "GET", "/api/ui/derivatives", "derivatives", "Funding, open interest, basis, ratio", schemas.SymbolsAnswer,
        query=_FILTERS, errors=(400,),
    ),
    Endpoint(
        "GET", "/api/ui/liquidity", "liquidity", "Depth by distance from the mid", schemas.SymbolsAnswer,
        query=_FILTERS, errors=(400,),
    ),
    Endpoint(
        "GET", "/api/ui/opportunity", "opportunity", "Opportunities, spread, depth, toxicity of flow",
        schemas.SymbolsAnswer, query=_FILTERS, errors=(400,),
    ),
    Endpoint(
        "GET", "/api/ui/contracts", "contracts", "Data contracts and their breaches", schemas.ContractsAnswer,
        query=_FILTERS, errors=(400,),
    ),
)  # fmt: skip

_IMBALANCE_FIELDS = ("instrument_id", "venue", "imbalance_1", "imbalance_5", "microprice", "ofi", "ts_ns", "synthetic")


class BadQueryError(ValueError):
    """A query that cannot be answered: which parameter, what is wrong, how to mend it."""

    def __init__(self, field: str, message: str, mend: str) -> None:
        super().__init__(field, message, mend)
        self.trouble = Trouble(field=field, message=message, mend=mend)


class MarketData:
    """The handlers, one for each row of ENDPOINTS, by name.

    ``answer`` makes a JSON answer, ``refuse`` an error's, ``conclude`` a command's: the face gives its own.
    """

    def __init__(
        self,
        projection: Projection,
        port: CommandPort,
        answer: Callable[[object], web.Response],
        refuse: Callable[[Trouble, int], web.Response],
        conclude: Callable[[Outcome], web.Response],
        *,
        quotes: QuoteShare,
    ) -> None:
        self._projection = projection
        self._port = port
        self._answer = answer
        self._refuse = refuse
        self._conclude = conclude
        self._quotes = quotes
        self._default_quote = quotes.choice.quote if quotes.choice is not None else None

    def handler(self, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        """The function of one row; a query that is wrong becomes its one clear error."""
        serve: Callable[[web.Request], Awaitable[web.Response]] = getattr(self, name)

        async def guarded(request: web.Request) -> web.Response:
            try:
                return await serve(request)
            except BadQueryError as bad:
                return self._refuse(bad.trouble, 400)

        return guarded

    async def meta(self, request: web.Request) -> web.Response:
        """Markets by id, at most ``limit``; the version is over all that match."""
        limit = _limit(request, META_SHOWN)
        found = self._chosen(request, Topic.META)
        versions = hashlib.blake2b(digest_size=8)
        for entry in sorted(found, key=lambda entry: entry.key):
            versions.update(f"{entry.key}={entry.body.get('rules_version')}\n".encode())
        shown = sorted(found, key=lambda entry: entry.key)[:limit]
        return self._answer(
            {
                "markets": {entry.key: entry.body for entry in shown},
                "rules_version": versions.hexdigest(),
                "shown": len(shown),
                "total": len(found),
                **self._stamp(found),
            }
        )

    async def universe(self, request: web.Request) -> web.Response:
        """The list as the desk last told it; before it did, nothing is known and nothing tradable."""
        entry = self._projection.get(Topic.UNIVERSE, "all")
        body: Table = dict(entry.body) if entry else {}
        unknown = "" if entry else "the desk has not told its allow-list yet"
        return self._answer(
            {
                "revision": 0,
                "tradable": [],
                "entries": [],
                "rules": {},
                "audit": [],
                **body,
                "trouble": body.get("trouble") or unknown,
                "known": entry is not None,
                "matches": self._matches(request.query.get("search", "")),
                "quote": self._quote(),
                "ts_ns": self._projection.clock.wall_ns(),
            }
        )

    async def change_universe(self, request: web.Request) -> web.Response:
        """One step, one answer."""
        if request.content_type != "application/json":
            words = f"{request.content_type} is not accepted"
            return self._refuse(Trouble(field="Content-Type", message=words, mend="send application/json"), 415)
        try:
            wanted = schemas.UniverseRequest.model_validate_json(await request.read())
        except ValidationError as error:
            return self._refuse(_request_trouble(error), 400)
        key = request.headers.get(KEY_HEADER, "")
        if len(key) > KEY_CHARS_MAX:
            words, mend = f"it has {len(key)} characters", f"write at most {KEY_CHARS_MAX}"
            return self._refuse(Trouble(field=KEY_HEADER, message=words, mend=mend), 400)
        command = _command(wanted)
        outcome = await self._port.ask(
            CommandKind.UNIVERSE,
            actor=f"http:{request.remote}:{wanted.operator}",
            cause=wanted.cause or wanted.action,
            argument=msgspec.json.encode(command).decode(),
            key=f"http:{key}" if key else "",
        )
        return self._conclude(outcome)

    async def quality(self, request: web.Request) -> web.Response:
        """By market and by venue; what was not heard of for five seconds is said to be silent."""
        found = self._chosen(request, Topic.QUALITY)
        symbols = {entry.key: self._aged(entry) for entry in found}
        venue = request.query.get("venue", "")
        return self._answer(
            {
                "symbols": symbols,
                "venues": {name: body for name, body in self._venues().items() if venue in {"", name}},
                "totals": _quality_totals(symbols.values()),
                **self._stamp(found),
            }
        )

    async def regions(self, _: web.Request) -> web.Response:
        """By region and venue, from the votes of the views and the connections behind them."""
        regions: dict[str, Table] = {}
        for entry in self._projection.facts(Topic.FEED):
            region = regions.setdefault(str(entry.body.get("region") or "unnamed"), _no_region())
            _count_feed(region, entry.body, silent=self._projection.age_ms(entry) > SILENT_MS)
        quorums = {entry.key: self._aged(entry) for entry in self._projection.facts(Topic.QUORUM)}
        return self._answer({"regions": regions, "venues": quorums, "ts_ns": self._projection.clock.wall_ns()})

    async def channels(self, request: web.Request) -> web.Response:
        """Connections with every subscription: acknowledged or not, and how old its newest data is."""
        venue = request.query.get("venue", "")
        feeds = {
            entry.key: self._aged(entry)
            for entry in self._projection.facts(Topic.FEED)
            if venue in ("", entry.body.get("venue"))
        }
        every = [channel for body in feeds.values() for channel in _rows(body.get("channels"))]
        return self._answer(
            {
                "feeds": feeds,
                "channels": len(every),
                "unhealthy": sum(channel.get("state") != "acked" for channel in every),
                "ts_ns": self._projection.clock.wall_ns(),
            }
        )

    async def liquidations(self, request: web.Request) -> web.Response:
        """The newest of all markets in one list, and the sums."""
        found = self._chosen(request, Topic.LIQUIDATIONS)
        newest = [{"instrument_id": entry.key, **one} for entry in found for one in _rows(entry.body.get("newest"))]
        newest.sort(key=lambda one: -int(decimal_of(one.get("ts_ns")) or 0))
        return self._answer(
            {
                "enabled": bool(found),
                "newest": newest[:LIQUIDATIONS_SHOWN],
                "by_symbol": {
                    entry.key: {name: value for name, value in entry.body.items() if name != "newest"}
                    for entry in found
                },
                "totals": _liquidation_totals(found),
                **self._stamp(found),
            }
        )

    async def imbalance(self, request: web.Request) -> web.Response:
        """Order flow imbalance and queue imbalance by market."""
        found = self._chosen(request, Topic.FLOW)
        return self._symbols(found, lambda body: {name: body.get(name) for name in _IMBALANCE_FIELDS})

    async def cvd(self, request: web.Request) -> web.Response:
        """Volume delta by market and timeframe, or of one timeframe."""
        wanted = request.query.get("tf")
        timeframe = _timeframe(wanted) if wanted else None

        def chosen(body: Table) -> Table:
            deltas = [one for one in _rows(body.get("delta")) if timeframe in (None, one.get("timeframe"))]
            fields = ("instrument_id", "venue", "cvd", "trades", "ts_ns", "synthetic")
            return {**{name: body.get(name) for name in fields}, "delta": deltas}

        return self._symbols(self._chosen(request, Topic.FLOW), chosen)

    async def derivatives(self, request: web.Request) -> web.Response:
        """Funding live and past, open interest, basis, long/short ratio by market."""
        return self._symbols(self._chosen(request, Topic.DERIVATIVES), lambda body: body)

    async def liquidity(self, request: web.Request) -> web.Response:
        """Depth by distance from the mid by market."""
        return self._symbols(self._chosen(request, Topic.LIQUIDITY), lambda body: body)

    async def opportunity(self, request: web.Request) -> web.Response:
        """How good each market is just now, and since when it is dry or its flow toxic."""
        return self._symbols(self._chosen(request, Topic.OPPORTUNITY), lambda body: body)

    async def contracts(self, request: web.Request) -> web.Response:
        """What was judged of each market and which rules were broken; sums of all."""
        found = self._chosen(request, Topic.CONTRACTS)
        return self._answer(
            {
                "enabled": bool(found),
                "symbols": {
                    entry.key: {**entry.body, "seen_age_ms": self._projection.age_ms(entry)} for entry in found
                },
                "totals": {
                    "symbols": len(found),
                    "kept": sum(entry.body.get("kept") is True for entry in found),
                    "rows": sum(int_of(entry.body.get("rows")) or 0 for entry in found),
                    "bad_rows": sum(int_of(entry.body.get("bad_rows")) or 0 for entry in found),
                },
                **self._stamp(found),
            }
        )

    # What they are made of.

    def _symbols(self, found: list[Entry], shape: Callable[[Table], Table]) -> web.Response:
        symbols = {entry.key: {**shape(entry.body), "seen_age_ms": self._projection.age_ms(entry)} for entry in found}
        return self._answer({"enabled": bool(found), "symbols": symbols, **self._stamp(found)})

    def _stamp(self, found: Iterable[Entry]) -> Table:
        synthetic = any(bool(entry.body.get("synthetic")) for entry in found)
        return {"synthetic": synthetic, "ts_ns": self._projection.clock.wall_ns()}

    def _aged(self, entry: Entry) -> Table:
        """The fact as it was told; where the desk has fallen silent, it grows old and is not ready."""
        age_ms = self._projection.age_ms(entry)
        silent = age_ms > SILENT_MS
        body: Table = {**entry.body, "seen_age_ms": age_ms, "silent": silent}
        for name in ("freshness_ms", "age_ms") if silent else ():
            told = decimal_of(body.get(name))
            if told is not None:
                body[name] = round(float(told) + age_ms, 1)
        if silent and "ready" in body:
            body["ready"] = False
        return body

    def _venues(self) -> dict[str, Table]:
        """What is known of each venue's clock, quorum, registry and connection, side by side."""
        venues: dict[str, Table] = {}
        for topic in (Topic.CLOCK, Topic.QUORUM, Topic.REGISTRY):
            for entry in self._projection.facts(topic):
                venues.setdefault(entry.key, {})[topic.value] = self._aged(entry)
        for entry in self._projection.facts(Topic.FEED):
            feeds = venues.setdefault(str(entry.body.get("venue", "")), {}).setdefault("feeds", {})
            if isinstance(feeds, dict):
                aged = self._aged(entry)
                feeds[entry.key] = {name: value for name, value in aged.items() if name != "channels"}
        return venues

    def _chosen(self, request: web.Request, topic: Topic) -> list[Entry]:
        """Facts of a topic by the request's ``venue`` and ``symbol``."""
        venue = request.query.get("venue", "")
        symbol = request.query.get("symbol", "")
        pair = ""
        if symbol and self._projection.get(topic, symbol) is None:
            try:
                pair = parse_pair(symbol, self._default_quote).dashed
            except ValueError as fault:
                raise BadQueryError("symbol", str(fault), "give a canonical id, or a pair such as BTC/USDT") from fault
            symbol = symbol if symbol.count(":") >= 2 else ""
        return [
            entry
            for entry in self._projection.facts(topic)
            if venue in ("", entry.body.get("venue"))
            and symbol in {"", entry.key}
            and (not pair or pair in entry.key.split(":"))
        ]

    def _quote(self) -> Table:
        """What a symbol without a quote means, why, and whether other programs were told."""
        choice, quotes = self._quotes.choice, self._quotes
        return {
            "quote": choice.quote if choice is not None else "",
            "reason": choice.reason if choice is not None else "no market has one of the quotes that are preferred",
            "in_redis": bool(quotes.told) and not quotes.trouble,
            "trouble": quotes.trouble,
        }

    def _matches(self, search: str) -> list[Table]:
        """Listed markets whose id or symbol contains the words, exact pairs first."""
        if not search:
            return []
        word = search.strip().upper()
        try:
            pair = parse_pair(search, self._default_quote).dashed
        except ValueError:
            pair = word
        found = []
        for entry in self._projection.facts(Topic.META):
            symbol = str(entry.body.get("symbol", "")).upper()
            if pair in entry.key or word in entry.key.upper() or word in symbol:
                found.append((pair not in entry.key.split(":"), entry.key, entry.body))
        found.sort(key=lambda one: one[:2])
        return [body for _, _, body in found[:MATCHES_SHOWN]]


def _command(wanted: schemas.UniverseRequest) -> UniverseCommand:
    market, actor = wanted.instrument_id, wanted.operator
    match wanted.action:
        case "draft":
            return DraftMarket(instrument_id=market, actor=actor, note=wanted.cause)
        case "submit":
            return SubmitMarket(
                instrument_id=market, actor=actor, confirmed_namesakes=tuple(wanted.confirmed_namesakes)
            )
        case "approve":
            return ApproveMarket(instrument_id=market, actor=actor, facts_hash=wanted.facts_hash)
        case "reject":
            return RejectMarket(instrument_id=market, actor=actor, cause=wanted.cause)
        case "delete":
            return DeleteMarket(instrument_id=market, actor=actor, cause=wanted.cause)


def _request_trouble(error: ValidationError) -> Trouble:
    """The first thing wrong; a rule over several fields names its field itself."""
    fault = error.errors(include_url=False, include_input=False)[0]
    if fault["type"] == "value_error" and not fault["loc"]:
        field, _, words = fault["msg"].removeprefix("Value error, ").partition(": ")
        return Trouble(field=field, message=words, mend=f"see {field!r} of UniverseRequest in /openapi.json")
    trouble = first_trouble(error, schemas.UniverseRequest)
    match fault["type"]:
        case "json_invalid":
            example = '{"action": "draft", "instrument_id": "OKX:SPOT:BTC-USDT", "operator": "ann"}'
            return trouble.model_copy(update={"mend": f"send one JSON object, for example {example}"})
        case "string_pattern_mismatch" if trouble.field == "operator":
            return trouble.model_copy(update={"mend": "use 2 to 40 letters, digits or any of _ . @ -"})
        case "string_too_long" | "string_too_short":
            return trouble.model_copy(update={"mend": f"see {trouble.field!r} of UniverseRequest in /openapi.json"})
        case _:
            return trouble


def _limit(request: web.Request, most: int) -> int:
    text = request.query.get("limit", str(most))
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and int(text) >= 1):
        raise BadQueryError("limit", f"{text[:20]!r} is no count", f"give a number from 1 to {most}")
    return min(int(text), most)


def _timeframe(text: str) -> str:
    try:
        return parse_timeframe(text)
    except ValueError as fault:
        raise BadQueryError("tf", str(fault), "leave it away for all of them") from fault


def _rows(value: object) -> list[Table]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list | tuple) else []


def _quality_totals(bodies: Iterable[Table]) -> Table:
    every = list(bodies)
    counts: dict[str, int] = {}
    for body in every:
        stated = body.get("counts")
        for name, value in stated.items() if isinstance(stated, dict) else ():
            counts[name] = counts.get(name, 0) + int(decimal_of(value) or 0)
    handled = counts.get("messages", 0) + counts.get("dropped", 0)
    ages = [float(age) for body in every if (age := decimal_of(body.get("freshness_ms"))) is not None]
    return {
        "symbols": len(every),
        "ready": sum(bool(body.get("ready")) for body in every),
        "gates_closed": sum(len(_rows(body.get("gates"))) for body in every),
        "oldest_ms": max(ages, default=None),
        "drop_ratio": round(counts.get("dropped", 0) / handled, 6) if handled else 0.0,
        "counts": counts,
    }


def _no_region() -> Table:
    return {"feeds": 0, "live": 0, "leaders": 0, "quarantined": 0, "messages_per_s": 0.0, "reconnects": 0, "venues": []}


def _count_feed(region: Table, feed: Table, *, silent: bool) -> None:
    def add(name: str, value: object) -> None:
        region[name] = float(decimal_of(region[name]) or 0) + float(decimal_of(value) or 0)
        if name != "messages_per_s":
            region[name] = int(decimal_of(region[name]) or 0)

    add("feeds", 1)
    add("live", int(str(feed.get("state")) in {"live", "rotating"} and not silent))
    add("leaders", int(feed.get("role") == "leader"))
    add("quarantined", int(feed.get("role") == "quarantined"))
    add("messages_per_s", 0 if silent else feed.get("messages_per_s"))
    add("reconnects", feed.get("reconnects"))
    venues = region["venues"]
    if isinstance(venues, list) and feed.get("venue") not in venues:
        venues.append(feed.get("venue"))


def _liquidation_totals(found: Iterable[Entry]) -> list[Table]:
    sums: dict[int, dict[str, float]] = {}
    for entry in found:
        for row in _rows(entry.body.get("windows")):
            into = sums.setdefault(int(decimal_of(row.get("window_s")) or 0), {})
            for name in ("longs", "shorts", "long_usd", "short_usd"):
                into[name] = into.get(name, 0) + float(decimal_of(row.get(name)) or 0)
    return [{"window_s": window, **into} for window, into in sorted(sums.items())]
