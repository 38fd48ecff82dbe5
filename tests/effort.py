"""How much a run of the tests tries: enough on every change, and more where somebody has the time.

Where certainty can be bought with work (inputs of a fuzzer, places to damage), tests take their numbers from here.
"""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

THOROUGH = os.environ.get("TESTS_ARE_THOROUGH") == "1"


def effort(usual: T, thorough: T) -> T:
    """The first, or the second under ``PROPDESK_THOROUGH=1``."""
    return thorough if THOROUGH else usual
