"""`make spec`: run the tests and print which requirements have a passing one.

Exits 1 when a listed requirement has none, or one that fails. Arguments go to pytest; `--no-run` reads the last run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
TABLE = PROJECT / "tests" / "requirements.tsv"
RESULTS = PROJECT / ".pytest_cache" / "req.json"


def verdict(outcomes: dict[str, str]) -> str:
    """One word for the tests of a requirement: a failure outweighs any pass."""
    found = set(outcomes.values())
    for word in ("failed", "passed", "skipped"):
        if word in found:
            return word
    return "no test"


def report(requirements: list[tuple[str, str]], results: dict[str, dict[str, str]]) -> tuple[str, bool]:
    """The table in text, and whether every requirement has a passing test."""
    lines, whole = [], True
    for name, text in requirements:
        outcomes = results.get(name, {})
        word = verdict(outcomes)
        whole &= word == "passed"
        passed = sum(outcome == "passed" for outcome in outcomes.values())
        lines.append(f"{word:<8} {passed:>3} {name:<10} {text}")
    proven = sum(line.startswith("passed") for line in lines)
    lines.append(f"{proven} of {len(requirements)} requirements have a passing test")
    return "\n".join(lines), whole


def main(arguments: list[str]) -> int:
    """Run, read, print."""
    if "--no-run" not in arguments:
        RESULTS.unlink(missing_ok=True)
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "auto", *arguments],
            cwd=PROJECT,
            check=False,
        )
    if not RESULTS.exists():
        print("the tests wrote no outcomes", file=sys.stderr)
        return 2
    rows = [line.split("\t", 1) for line in TABLE.read_text("utf-8").splitlines() if line]
    text, whole = report([(name, words) for name, words in rows], json.loads(RESULTS.read_text("utf-8")))
    print(text)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
