"""What a chat message asks and what is answered: the words of Telegram's commands. Knows no network.

Going to a safer state acts even when the message is old; coming back from one never does.
"""

from __future__ import annotations

from decimal import Decimal

from api import views
from api.control import CommandPort, Fate, Outcome
from api.i18n import Language, phrase
from api.projection import Projection, decimal_of, text_of
from api.readiness import assess, level_rank
from trading.brakes import parse_scope
from trading.operators import CommandKind, Topic

STALE_S = 60
CHATS_MAX = 256

# Command, what it does; the generated table of docs reads this.
COMMANDS: dict[str, str] = {
    "status": "state, mode, brakes, day PnL, venues",
    "health": "readiness with reasons and advice",
    "positions": "open positions",
    "pnl": "profit and loss by strategy",
    "start": "resume, only if readiness is green",
    "pause": "/pause [scope] [cause]: no new risk",
    "hold": "/hold [scope] [cause]: no new orders",
    "resume": "/resume [scope]: release the operator's brakes",
    "unlock": "/unlock <venue> [cause]: let a locked link try again",
    "kill": "/kill [cause]: cancel all, flatten, HOLD",
    "why": "/why <cl_ord_id>: the story of an order",
    "alerts": "/alerts on|off",
    "lang": "/lang ru|en",
    "help": "this list",
}


class Chat:
    """Answers the commands of allowed chats; remembers each chat's language and whether it wants alerts."""

    def __init__(self, projection: Projection, port: CommandPort) -> None:
        self._projection = projection
        self._port = port
        self._languages: dict[int, Language] = {}
        self._muted: set[int] = set()

    def language(self, chat_id: int) -> Language:
        """The chat's language, Russian unless asked otherwise."""
        return self._languages.get(chat_id, "ru")

    def wants_alerts(self, chat_id: int) -> bool:
        """Whether alerts go to this chat."""
        return chat_id not in self._muted

    async def reply(self, chat_id: int, actor: str, text: str, age_s: float, key: str = "") -> str:
        """The answer to one message that was written ``age_s`` seconds ago; ``key`` is the message's own."""
        lang = self.language(chat_id)
        head, *words = text.split()
        command = head.removeprefix("/").split("@")[0].lower() if head.startswith("/") else ""
        match command:
            case "status":
                return self._status(lang)
            case "health":
                return self._health(lang)
            case "positions":
                return self._positions(lang)
            case "pnl":
                return self._pnl(lang)
            case "hold" | "pause":
                return await self._safer(CommandKind(command), words, actor, lang)
            case "kill":
                cause = " ".join(words) or phrase("no_cause", lang)
                return _said(await self._port.ask(CommandKind.KILL, actor=actor, cause=cause, key=key), lang)
            case "resume" | "start" | "unlock" if age_s > STALE_S:
                return phrase("stale", lang)
            case "resume":
                return await self._resume(words, actor, lang, key)
            case "unlock" if words:
                scope = f"venue:{words[0].removeprefix('venue:')}"
                cause = " ".join(words[1:]) or "Telegram /unlock"
                asked = self._port.ask(CommandKind.UNLOCK, scope=scope, actor=actor, cause=cause, key=key)
                return _said(await asked, lang)
            case "start":
                return await self._start(actor, lang, key)
            case "why":
                return await self._why(words, actor, lang)
            case "alerts":
                return self._alerts(chat_id, words, lang)
            case "lang" if words and words[0] in {"ru", "en"}:
                self._languages[chat_id] = "en" if words[0] == "en" else "ru"
                return phrase("lang", self.language(chat_id))
            case "help":
                return phrase("help", lang)
            case _:
                return f"{phrase('unknown', lang)}\n{phrase('help', lang)}"

    def _status(self, lang: Language) -> str:
        state = views.control_state(self._projection)
        readiness = assess(self._projection)
        permit = state["permit"]
        assert isinstance(permit, dict)
        pnl = self._projection.get(Topic.PNL, "desk")
        venues = ", ".join(f"{fact.key} {fact.body.get('state', '?')}" for fact in self._projection.facts(Topic.VENUE))
        permit_words = phrase("valid" if permit["valid"] else "expired", lang)
        lines = [
            f"{phrase('mode', lang)}: {str(state['global_mode']).upper()}",
            f"{phrase('permit', lang)}: #{permit['epoch']} {permit_words}",
            f"{phrase('readiness', lang)}: {readiness.status}",
            f"{phrase('day_pnl', lang)}: {_usd(pnl.body.get('day_usd')) if pnl else '–'}",
            f"{phrase('venues', lang)}: {venues or phrase('none', lang)}",
            f"{phrase('instruments', lang)}: {self._projection.size(Topic.BOOK)}",
            f"{phrase('brakes', lang)}: {self._brakes(state['brakes'], lang)}",
        ]
        if state["synthetic"]:
            lines.insert(0, f"⚠ {phrase('synthetic', lang)}")
        return "\n".join(lines)

    def _brakes(self, brakes: object, lang: Language) -> str:
        rows = [row for row in brakes if isinstance(row, dict)] if isinstance(brakes, list | tuple) else []
        if not rows:
            return phrase("none", lang)
        rows.sort(key=lambda row: -level_rank(row.get("level")))
        return "".join(
            f"\n• {row.get('level')} {row.get('scope')}: {row.get('code')}, {row.get('cause')}" for row in rows[:10]
        )

    def _health(self, lang: Language) -> str:
        readiness = assess(self._projection)
        lines = [f"{phrase('readiness', lang)}: {readiness.status}"]
        for reason in readiness.reasons[:10]:
            advice = reason.advice_ru if lang == "ru" else reason.advice_en
            lines.append(f"{'✖' if reason.fatal else '•'} {reason.code}: {reason.detail}\n  {advice}")
        return "\n".join(lines)

    def _positions(self, lang: Language) -> str:
        lines = [
            f"{fact.key}: {text_of(fact.body.get('qty'))} @ {text_of(fact.body.get('avg_px'))}, "
            f"{_usd(fact.body.get('unrealized_usd'))}"
            for fact in self._projection.facts(Topic.POSITION)
            if decimal_of(fact.body.get("qty"))
        ]
        return "\n".join(lines[:40]) or phrase("no_positions", lang)

    def _pnl(self, lang: Language) -> str:
        fact = self._projection.get(Topic.PNL, "desk")
        if fact is None:
            return phrase("no_pnl", lang)
        names = ("day_usd", "total_usd", "realized_usd", "unrealized_usd", "fees_usd", "funding_usd", "equity_usd")
        lines = [f"{name}: {_usd(fact.body.get(name))}" for name in names]
        if self._projection.pnl_history:
            parts = self._projection.pnl_history[-1].by_strategy
            lines.extend(f"• {name}: {_usd(value)}" for name, value in parts.items())
        return "\n".join(lines)

    async def _safer(self, kind: CommandKind, words: list[str], actor: str, lang: Language) -> str:
        scope, rest = _scope(words)
        cause = " ".join(rest) or phrase("no_cause", lang)
        return _said(await self._port.ask(kind, scope=scope, actor=actor, cause=cause), lang)

    async def _resume(self, words: list[str], actor: str, lang: Language, key: str) -> str:
        scope, rest = _scope(words)
        cause = " ".join(rest) or "Telegram /resume"
        asked = self._port.ask(CommandKind.RESUME, scope=scope, actor=actor, cause=cause, key=key)
        return _said(await asked, lang)

    async def _start(self, actor: str, lang: Language, key: str) -> str:
        """Start is resume behind a green light: an operator's own brakes are the only red that it may lift."""
        own = ("BRAKE_OPERATOR", "MODE")
        blocking = [r for r in assess(self._projection).reasons if r.fatal and not r.code.startswith(own)]
        if blocking:
            return "\n".join([phrase("not_ready", lang), *(f"✖ {r.code}: {r.detail}" for r in blocking[:10])])
        return _said(await self._port.ask(CommandKind.RESUME, actor=actor, cause="Telegram /start", key=key), lang)

    async def _why(self, words: list[str], actor: str, lang: Language) -> str:
        if not words:
            return phrase("why_usage", lang)
        outcome = await self._port.ask(CommandKind.WHY, actor=actor, cause="why", argument=words[0])
        if outcome.fate is Fate.DONE:
            return outcome.text
        story = views.order_story(self._projection, words[0])
        if story is None:
            return _said(outcome, lang)
        order, fills = story["order"], story["fills"]
        lines = [f"{key}: {value}" for key, value in order.items()] if isinstance(order, dict) else []
        if isinstance(fills, list):
            lines.extend(
                f"• fill {fill.get('last_qty')} @ {fill.get('last_px')} {fill.get('exec_id')}" for fill in fills
            )
        return "\n".join(lines)

    def _alerts(self, chat_id: int, words: list[str], lang: Language) -> str:
        if words[:1] == ["on"]:
            self._muted.discard(chat_id)
            return phrase("alerts_on", lang)
        if words[:1] == ["off"]:
            self._muted.add(chat_id)
            return phrase("alerts_off", lang)
        return phrase("alerts_usage", lang)


def brake_alert(row: dict[str, object], *, released: bool, language: Language) -> str:
    """One line of a brake that came or went."""
    if released:
        return f"🟢 {phrase('brake_off', language)}: {row.get('code')} {row.get('scope')}"
    mark = "🔴" if level_rank(row.get("level")) >= 3 else "🟠"
    return (
        f"{mark} {phrase('brake_on', language)} {row.get('level')}: {row.get('code')}, "
        f"{phrase('scope', language)} {row.get('scope')}. {row.get('cause')} "
        f"({phrase('release', language)}: {row.get('release')})"
    )


def _scope(words: list[str]) -> tuple[str, list[str]]:
    """The first word where it is a brake scope, else the whole desk; and the words that remain."""
    if words:
        try:
            parse_scope(words[0])
        except ValueError:
            return "global", words
        return words[0], words[1:]
    return "global", words


def _said(outcome: Outcome, lang: Language) -> str:
    match outcome.fate:
        case Fate.DONE:
            return f"✅ {phrase('done', lang)}: {outcome.text}"
        case Fate.REFUSED:
            return f"⛔ {phrase('refused', lang)}: {outcome.text}"
        case Fate.UNANSWERED | Fate.UNREACHABLE | Fate.BUSY:
            return f"⚠ {phrase(outcome.fate.value, lang)}"


def _usd(value: object) -> str:
    amount = decimal_of(value)
    return "–" if amount is None else f"{amount.quantize(Decimal('0.01')):+} USD"
