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
from trading.brakes import ALLOWED, Conduct, Level  # noqa: E402
from trading.strategies.basis import BasisParams  # noqa: E402
from trading.strategies.maker import MakerParams  # noqa: E402
from trading.strategies.momentum import MomentumParams  # noqa: E402

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


TABLES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "levels": levels,
    "verdicts": verdicts,
    "settings": settings,
    "strategy-params": strategy_params,
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
