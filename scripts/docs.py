"""`make docs`: write the tables between BEGIN GENERATED and END GENERATED anew; `--check` only compares.

Owns which table comes from which code. The text around the marks is written by people.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from adapters.config import DeskConfig  # noqa: E402  # the project is found from its own folder
from adapters.permit_board import PermitVerdict  # noqa: E402
from supervision.cli import SUMMARIES  # noqa: E402
from supervision.conformance import order_matrix  # noqa: E402
from supervision.conformance.matrix import catalogue  # noqa: E402
from trading.brakes import ALLOWED, Conduct, Level  # noqa: E402
from trading.market.gate_rules import RULES  # noqa: E402
from trading.orders import fsm, stp, triggers  # noqa: E402
from trading.protection import leg  # noqa: E402
from trading.protection.policy import PRESETS  # noqa: E402
from trading.recon import difference, invariants  # noqa: E402
from trading.recon.config import ReconConfig  # noqa: E402
from trading.recon.core import patience_ms  # noqa: E402
from trading.strategies.basis import BasisParams  # noqa: E402
from trading.strategies.maker import MakerParams  # noqa: E402
from trading.strategies.momentum import MomentumParams  # noqa: E402
from trading.telemetry.stages import STAGES  # noqa: E402

_MARKED = re.compile(r"(<!-- BEGIN GENERATED (\S+) -->\n).*?(<!-- END GENERATED -->)", re.DOTALL)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def commands() -> str:
    """What the command line knows."""
    return _table(["command", "what it does"], [[f"`propdesk {name}`", text] for name, text in SUMMARIES.items()])


def levels() -> str:
    """What each level of brake allows."""
    heads = ["level", *(conduct.value.replace("_", " ") for conduct in Conduct)]
    rows = [[level.name, *("yes" if c in ALLOWED[level] else "no" for c in Conduct)] for level in Level]
    return _table(heads, rows)


def verdicts() -> str:
    """What each verdict of the permit board lets through."""

    def word(*, admitted: bool) -> str:
        return "yes" if admitted else "no"

    rows = [
        [
            f"`{v.value}`",
            word(admitted=v.admits(post_only=False, reduce_only=False)),
            word(admitted=v.admits(post_only=True, reduce_only=False)),
            word(admitted=v.admits(post_only=False, reduce_only=True)),
            word(admitted=v.admits(post_only=False, reduce_only=True, by_operator=True)),
        ]
        for v in PermitVerdict
    ]
    return _table(["verdict", "any order", "post-only", "reduce-only", "reduce-only by an operator"], rows)


def settings() -> str:
    """Every key of the configuration with its default."""

    def leaves(tree: dict[str, Any], prefix: str) -> Iterator[list[str]]:
        for name, value in tree.items():
            key = f"{prefix}{name}"
            if isinstance(value, dict) and value:
                yield from leaves(value, f"{key}.")
            else:
                shown = ", ".join(map(str, value)) if isinstance(value, list) else value
                yield [f"`{key}`", f"`{shown}`" if shown not in ("", {}) else "none"]

    return _table(["key", "default"], list(leaves(DeskConfig().model_dump(), "")))


def strategy_params() -> str:
    """Every parameter of every kind of strategy with its default."""
    kinds = {"maker": MakerParams, "momentum": MomentumParams, "basis": BasisParams}
    rows = [
        [kind, f"`{field.name}`", f"`{field.default}`"]
        for kind, params in kinds.items()
        for field in msgspec.structs.fields(params)
    ]
    return _table(["kind", "parameter", "default"], rows)


def conformance() -> str:
    """The cases of the fault matrix of market data."""
    return _table(["case", "what happens", "what must follow", "refers to", "venues", "guards taken out"], catalogue())


def conformance_orders() -> str:
    """The cases of the fault matrix of orders."""
    heads = ["case", "what happens", "what must follow", "refers to", "venues", "guards taken out"]
    return _table(heads, order_matrix.catalogue())


def gates() -> str:
    """What each gate of market data asks for."""
    rows = [
        [
            f"`{code.name}`",
            rule.scope.value,
            rule.level.name,
            f"{rule.calm_ms / 1000:g} s" if rule.calm_ms else "at once",
        ]
        for code, rule in RULES.items()
    ]
    return _table(["gate", "scope", "level", "opens after calm of"], rows)


def _diagram(moves: dict[tuple[Any, Any], Any], first: Any, last: frozenset[Any]) -> str:
    """A mermaid state diagram: one arrow for all events that lead from one state to another."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), after in moves.items():
        if state is not after and state not in last:
            arrows.setdefault((state.value, after.value), []).append(event.value)
    lines = [f"    [*] --> {first.value}"]
    lines += [f"    {old} --> {new}: {', '.join(events)}" for (old, new), events in sorted(arrows.items())]
    lines += [f"    {state.value} --> [*]" for state in sorted(last, key=lambda s: str(s.value))]
    return "```mermaid\nstateDiagram-v2\n" + "\n".join(lines) + "\n```\n"


def _moves(moves: dict[tuple[Any, Any], Any], states: list[Any], events: list[Any]) -> str:
    rows = [
        [f"`{event.value}`", *(f"{after.value}" if (after := moves.get((s, event))) else "-" for s in states)]
        for event in events
    ]
    return _table(["event", *(f"`{s.value}`" for s in states)], rows)


def order_diagram() -> str:
    """The life of an order until it is over."""
    return _diagram(fsm.TRANSITIONS, fsm.S.JOURNALED, fsm.TERMINAL)


def order_moves() -> str:
    """Every row of the table of the open states: what follows which event; - is our bug."""
    states = [s for s in fsm.S if s not in fsm.TERMINAL]
    return _moves(fsm.TRANSITIONS, states, list(fsm.E))


def order_ends() -> str:
    """The same of the states in which nothing of the order is live."""
    return _moves(fsm.TRANSITIONS, [s for s in fsm.S if s in fsm.TERMINAL], list(fsm.E))


def exit_diagram() -> str:
    """The life of a position's protective exits."""
    return _diagram(leg.TRANSITIONS, leg.S.UNPLANNED, frozenset())


def exit_policies() -> str:
    """The named policies of protective exits."""
    rows = [
        [name, f"{p.stop_loss_atr} ranges", f"{p.take_profit_atr} ranges", f"{p.cooldown_ms / 1000:g} s"]
        for name, p in PRESETS.items()
    ]
    return _table(["policy", "stop loss", "take profit", "pause after an exit"], rows)


def recon_diagram() -> str:
    """The life of a difference."""
    return _diagram(difference.TRANSITIONS, difference.S.OPEN, frozenset())


def recon_classes() -> str:
    """What each class of difference is, what is done about it and how long it may take."""
    rows = [
        [
            f"`{one.value}`",
            difference.MEANINGS[one],
            difference.DOINGS[difference.ACTIONS[one]],
            "-" if one is difference.DiffClass.DUST else f"{patience_ms(one, ReconConfig()) / 1000:g} s",
        ]
        for one in difference.DiffClass
    ]
    return _table(["class", "what it is", "what the desk does", "patience"], rows)


def recon_invariants() -> str:
    """What must be true of the books at any moment."""
    return _table(["invariant", "rule"], [[f"`{one.value}`", words] for one, words in invariants.WORDS.items()])


def stp_modes() -> str:
    """Each venue's words of self-trade prevention."""
    rows = [
        [
            venue,
            f"`{stp.FIELDS[venue]}`",
            *(f"`{modes[m]}`" if m in modes else "-" for m in stp.S),
            stp.DEFAULTS[venue].value,
        ]
        for venue, modes in stp.MODES.items()
    ]
    return _table(["venue", "field", *(m.value for m in stp.S), "asked for"], rows)


def trigger_support() -> str:
    """Which orders that wait for a price each venue could hold."""
    rows = [
        [
            venue,
            kind.value,
            ", ".join(sorted(s.value for s in x.sources)),
            f"`{x.closes_by}`" if x.close_on_trigger else "no: the desk watches",
            "yes" if x.outlives_us else "not proved",
        ]
        for (venue, kind), x in triggers.SUPPORT.items()
    ]
    return _table(["venue", "kind", "watches", "close on trigger", "outlives countdown and disconnect"], rows)


def stages() -> str:
    """The stages of an order's life that are timed."""
    return _table(["stage", "from where to where"], [[f"`{stage}`", words] for stage, words in STAGES.items()])


TABLES: dict[str, Callable[[], str]] = {
    "stages": stages,
    "commands": commands,
    "levels": levels,
    "verdicts": verdicts,
    "settings": settings,
    "strategy-params": strategy_params,
    "conformance-md": conformance,
    "conformance-orders": conformance_orders,
    "gates": gates,
    "order-diagram": order_diagram,
    "order-moves": order_moves,
    "order-ends": order_ends,
    "exit-diagram": exit_diagram,
    "exit-policies": exit_policies,
    "recon-diagram": recon_diagram,
    "recon-classes": recon_classes,
    "recon-invariants": recon_invariants,
    "stp-modes": stp_modes,
    "trigger-support": trigger_support,
}


def documents() -> list[Path]:
    """The texts that may hold generated tables."""
    return [PROJECT / "README.md", *sorted((PROJECT / "runbooks").rglob("*.md"))]


def regenerated(text: str) -> str:
    """``text`` with every table of ours between marks anew; tables that others generate stay."""

    def table(match: re.Match[str]) -> str:
        make = TABLES.get(match.group(2))
        return match.group(0) if make is None else f"{match.group(1)}{make()}{match.group(3)}"

    return _MARKED.sub(table, text)


def main() -> int:
    """Write, or say what is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = [path for path in documents() if regenerated(path.read_text("utf-8")) != path.read_text("utf-8")]
    for path in stale:
        print(f"{'out of date' if check else 'written'}: {path.relative_to(PROJECT)}")
        if not check:
            path.write_text(regenerated(path.read_text("utf-8")), "utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
