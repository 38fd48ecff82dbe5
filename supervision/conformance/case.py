"""What a case of the matrix is: its name, what it refers to, what is expected, and which guards it is about."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from supervision.conformance.markets import VENUES
from supervision.conformance.rig import Rig
from supervision.conformance.trial import Strike

Alter = Callable[[Rig], None]
"""Removes one guard from a desk that has heard nothing yet."""


class Mutant(msgspec.Struct, frozen=True):
    """A desk without one of its guards: the case must turn red on it."""

    name: str
    alter: Alter


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of the matrix on every market in ``venues``. ``faults`` are ids of known incidents, ``spec`` of rows.

    Between two trials lie ``rest_ms``: venues limit how often a subscription or a snapshot may be asked for, and the
    desk keeps to that. ``settle_ms`` is how long a desk trades before its first trial: what measures clocks has to
    know the usual first. ``views`` is how many connections of its own kind watch each line; with ``beside`` the desk
    trades a second instrument, which the fault is not about.
    """

    id: str
    title: str
    faults: tuple[str, ...]
    spec: tuple[str, ...]
    expects: str
    strike: Strike
    venues: tuple[str, ...] = VENUES
    trials: int = 1
    rest_ms: int = 2_200
    settle_ms: int = 0
    views: int = 1
    beside: bool = False
    alter: Alter | None = None
    mutants: tuple[Mutant, ...] = ()
