"""A replay says the same with the code in C and with the code in Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import native

PROJECT = Path(__file__).resolve().parents[2]
WORDS = ["replay", "--json", "--duration", "30"]


@pytest.mark.req("P-EXE-17")
@pytest.mark.skipif(bool(native.why_not), reason=f"native code: {native.why_not}")
def test_a_replay_ends_the_same_in_c_and_in_python():
    answers = []
    for value in ("1", "0"):
        shown = subprocess.run(
            [sys.executable, "-c", "from supervision.main import main; raise SystemExit(main())", *WORDS],
            env={**os.environ, "PROPDESK_NATIVE": value},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
            timeout=240,
        )
        answers.append(json.loads(shown.stdout))
    one, other = ({k: v for k, v in a.items() if k not in {"wall_s", "times_real_time"}} for a in answers)
    assert one["orders"] > 0
    assert one == other
