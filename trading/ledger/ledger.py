"""Double entry over everything that moves: every entry sums to zero per asset, exactly.

Accounts are words (``venue:asset:cash``); a position is an asset of its own, counted in the instrument's units against
``outside``. Keeps all balances and the newest entries; the journal keeps the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from decimal import Context, Decimal, localcontext
from enum import Enum

import msgspec

ENTRIES_MAX = 2_000
_EXACT = Context(prec=60)


class Book(Enum):
    """What an account is for. As double entry has it, profit is a negative balance."""

    CASH = "cash"
    POSITION = "position"
    TRADING = "trading"  # what spot inventory cost, in quote; the other side of a spot trade
    OUTSIDE = "outside"  # the counterparty of positions
    REALIZED = "realized"
    FEES = "fees"
    FUNDING = "funding"
    OPENING = "opening"


class Account(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """``owner`` is a venue (cash, opening) or an instrument_id; ``asset`` a currency or, of positions, that id."""

    owner: str
    asset: str
    book: Book

    def __str__(self) -> str:
        return f"{self.owner}:{self.asset}:{self.book.value}"

    def __hash__(self) -> int:
        return hash((self.owner, self.asset, self.book.value))


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """One side of an entry."""

    account: Account
    amount: Decimal


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event's postings. ``ref`` is the event's id (``venue:exec_id``), ``memo`` its words."""

    number: int
    ref: str
    memo: str
    postings: tuple[Posting, ...]
    ts_ns: int


class UnbalancedEntry(Exception):  # noqa: N818 - named for what happened
    """Our bug: postings of ``ref`` that do not sum to zero in ``asset``."""

    def __init__(self, ref: str, asset: str, residual: Decimal) -> None:
        super().__init__(f"{ref} leaves {residual} {asset}")
        self.ref = ref
        self.asset = asset
        self.residual = residual

    def __reduce__(self) -> tuple[type[UnbalancedEntry], tuple[str, str, Decimal]]:
        """Survive pickling with the facts."""
        return (UnbalancedEntry, (self.ref, self.asset, self.residual))


class Ledger:
    """All balances of the desk."""

    def __init__(self) -> None:
        self._balances: dict[Account, Decimal] = {}
        self._entries: deque[Entry] = deque(maxlen=ENTRIES_MAX)
        self._count = 0

    def post(self, ref: str, memo: str, postings: Mapping[Account, Decimal], ts_ns: int) -> Entry:
        """Book one event; `UnbalancedEntry` and nothing booked unless it sums to zero in each asset."""
        with localcontext(_EXACT):
            sums: dict[str, Decimal] = {}
            for account, amount in postings.items():
                sums[account.asset] = sums.get(account.asset, Decimal(0)) + amount
            for asset, total in sums.items():
                if total:
                    raise UnbalancedEntry(ref, asset, total)
            for account, amount in postings.items():
                self._balances[account] = self._balances.get(account, Decimal(0)) + amount
        self._count += 1
        lines = tuple(Posting(account=account, amount=amount) for account, amount in postings.items() if amount)
        entry = Entry(number=self._count, ref=ref, memo=memo, postings=lines, ts_ns=ts_ns)
        self._entries.append(entry)
        return entry

    def balance(self, owner: str, asset: str, book: Book) -> Decimal:
        """One account's balance; 0 when nothing was ever posted."""
        return self._balances.get(Account(owner=owner, asset=asset, book=book), Decimal(0))

    def balances(self, book: Book) -> dict[tuple[str, str], Decimal]:
        """Every balance of a kind, by (owner, asset)."""
        return {(a.owner, a.asset): amount for a, amount in self._balances.items() if a.book is book}

    def residual(self) -> dict[str, Decimal]:
        """What is left when every account of an asset is added up; empty when the books balance, as they must."""
        sums: dict[str, Decimal] = {}
        with localcontext(_EXACT):
            for account, amount in self._balances.items():
                sums[account.asset] = sums.get(account.asset, Decimal(0)) + amount
        return {asset: total for asset, total in sums.items() if total}

    def explain(self, text: str) -> list[Entry]:
        """The newest entries that touch an instrument, a venue or a reference."""
        return [
            entry
            for entry in self._entries
            if entry.ref == text or any(text in {p.account.owner, p.account.asset} for p in entry.postings)
        ]

    def __len__(self) -> int:
        return self._count
