"""Benchmarks collect garbage between their rounds; what the tests before them left is not to be looked through."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True)
def small_heap():
    """Only what a benchmark makes itself is collected while it runs."""
    gc.freeze()
