"""Data contracts: what rows of market data and features must always satisfy, and every breach counted.

Owns the rules and their evaluation row by row, in bounded memory. Rows are dictionaries (of Parquet or of events): the
same contract judges what was recorded and what is live. Does not read rows and does not alert; the contracts of our
own kinds of data are `trading.market.data_contracts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from math import ceil, floor, isfinite
from typing import Any

import msgspec

from trading.market.sound_rows import Row, Seen, Series, SoundRows, hashable, is_number, key_of


class BreachCode(Enum):
    """What a row can do wrong, a closed set."""

    IS_NULL = "is_null"
    NOT_A_NUMBER = "not_a_number"
    OUT_OF_RANGE = "out_of_range"
    NOT_IN_SET = "not_in_set"
    WENT_BACK = "went_back"
    HOLE = "hole"
    REPEATED = "repeated"
    NOT_ORDERED = "not_ordered"


class NotNull(msgspec.Struct, frozen=True, tag=True):
    """Each of ``columns`` is present and not None."""

    columns: tuple[str, ...]


class InRange(msgspec.Struct, frozen=True, tag=True):
    """A number within [least, most] (None: no bound); ``above`` excludes ``least`` itself.

    A None is not judged, nor is ``unset``, the venue's way to say none.
    """

    column: str
    least: float | None = None
    most: float | None = None
    above: bool = False
    unset: int | None = None


class InSet(msgspec.Struct, frozen=True, tag=True):
    """One of ``members``. A None is not judged."""

    column: str
    members: frozenset[str | int]


class Ordered(msgspec.Struct, frozen=True, tag=True):
    """``low`` is not above ``high`` within a row; ``strictly`` forbids equality. A row with a None is not judged."""

    low: str
    high: str
    strictly: bool = False


class Monotonic(msgspec.Struct, frozen=True, tag=True):
    """``column`` never goes back from one row of its series to the next.

    ``strictly`` forbids standing still; ``slack`` is how far back it may go. A HOLE is where the row does not follow
    the last one: where the number before it, that it names in ``prev``, is another; where ``prev`` is not stated
    (None or negative) and its own first number, in ``first``, is not the last one + 1; or where it grew by more than
    ``step`` (0: by anything). ``restart`` is the number with which a venue begins to count anew: it is no way back.
    """

    column: str
    strictly: bool = False
    step: int = 0
    prev: str | None = None
    first: str | None = None
    slack: int = 0
    restart: int | None = None


class Unique(msgspec.Struct, frozen=True, tag=True):
    """No two of the last ``remembered`` rows of a series agree in all ``columns``."""

    columns: tuple[str, ...]
    remembered: int = 65_536


Rule = NotNull | InRange | InSet | Ordered | Monotonic | Unique


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one kind of data. Rows that agree in ``series`` follow each other.

    Rows that have the column ``unless`` set to true are of another sort and are not judged; with ``anew`` the numbers
    of their series may begin anywhere after them.
    """

    name: str
    rules: tuple[Rule, ...]
    series: tuple[str, ...] = ()
    unless: str | None = None
    anew: bool = False
    version: str = "1"


class Example(msgspec.Struct, frozen=True):
    """One breach: which row (counted from 0), what it held and what is wrong with it."""

    row: int
    text: str


class Broken(msgspec.Struct, frozen=True):
    """One rule that one row broke, in words, and what is wrong with the row."""

    rule: str
    code: BreachCode
    text: str


class Breaches(msgspec.Struct):
    """The breaches of one rule: how many, exactly, and the first few."""

    rule: str
    code: BreachCode
    count: int = 0
    first: list[Example] = msgspec.field(default_factory=list)


class ContractReport(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a contract saw. ``series_refused`` rows were not judged by `Monotonic` and `Unique`: too many series."""

    contract: str
    version: str
    rows: int
    skipped: int
    bad_rows: int
    breaches: tuple[Breaches, ...]
    series: int
    series_refused: int

    @property
    def is_kept(self) -> bool:
        """Whether no row broke a rule and every row could be judged."""
        return not self.bad_rows and not self.series_refused


_EXAMPLES_MAX = 5
_ANY = 1 << 80
"""Beyond any number of a venue: the long way judges what lies outside of it."""
_VALUE_CHARS_MAX = 60


class ContractCheck:
    """One contract over rows as they come. At most ``series_max`` series are followed.

    `Unique` remembers at most ``remembered_max`` rows of a series, whatever it asks for. ``broken`` is what the newest
    row broke, rule by rule. Without ``short_way`` the answers are the same and sound rows cost more.
    """

    __slots__ = ("_breaches", "_only", "_remembered_max", "_series", "_series_max", "_sound", "_words", "bad_rows",
                 "broken", "contract", "rows", "series_refused", "skipped")  # fmt: skip

    def __init__(
        self, contract: Contract, series_max: int = 4096, remembered_max: int = 65_536, *, short_way: bool = True
    ) -> None:
        self.contract = contract
        self.rows = 0
        self.skipped = 0
        self.bad_rows = 0
        self.series_refused = 0
        self.broken: tuple[Broken, ...] = ()
        self._series: dict[tuple[Any, ...], Series] = {}
        self._only: Series | None = None
        self._series_max = series_max
        self._remembered_max = remembered_max
        self._breaches: dict[tuple[int, BreachCode], Breaches] = {}
        self._words = tuple(describe(rule) for rule in contract.rules)
        self._sound = _sound_rows(contract.rules) if short_way else None

    def on_row(self, row: Row) -> list[BreachCode]:
        """Judge one row; what it broke, in the order of the rules. Nothing in a row raises."""
        number = self.rows
        self.rows = number + 1
        contract = self.contract
        if contract.unless is not None and row.get(contract.unless) is True:
            self.skipped += 1
            if contract.anew:
                self._begin_anew(row)
            return []
        series = self._follow(row) if contract.series or self._only is None else self._only
        if self._sound is not None and series is not None and self._sound.passes(row, series):
            return []
        found = [
            (n, Broken(self._words[n], code, text))
            for n, rule in enumerate(contract.rules)
            for code, text in self._judged(n, rule, row, series)
        ]
        if not found:
            return []
        self.bad_rows += 1
        self.broken = tuple(broken for _, broken in found)
        for n, broken in found:
            self._note(n, broken, number)
        return [broken.code for _, broken in found]

    def on_rows(self, rows: Iterable[Row]) -> ContractReport:
        """Judge many rows."""
        for row in rows:
            self.on_row(row)
        return self.report()

    def report(self) -> ContractReport:
        """What was seen so far."""
        return ContractReport(
            contract=self.contract.name,
            version=self.contract.version,
            rows=self.rows,
            skipped=self.skipped,
            bad_rows=self.bad_rows,
            breaches=tuple(
                msgspec.structs.replace(self._breaches[key], first=list(self._breaches[key].first))
                for key in sorted(self._breaches, key=lambda key: (key[0], key[1].value))
            ),
            series=len(self._series),
            series_refused=self.series_refused,
        )

    def _follow(self, row: Row) -> Series | None:
        key = tuple([hashable(row.get(column)) for column in self.contract.series])
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= self._series_max:
                self.series_refused += 1
                return None
            series = self._series[key] = Series()
            if not self.contract.series:
                self._only = series
        return series

    def _begin_anew(self, row: Row) -> None:
        series = self._series.get(tuple(hashable(row.get(column)) for column in self.contract.series))
        if series is not None:
            series.last.clear()

    def _judged(self, n: int, rule: Rule, row: Row, series: Series | None) -> list[tuple[BreachCode, str]]:
        match rule:
            case Monotonic():
                return [] if series is None else _not_monotonic(rule, row, series)
            case Unique():
                return [] if series is None else self._repeated(n, rule, row, series)
            case NotNull() | InRange() | InSet() | Ordered():
                return _broken(rule, row)

    def _repeated(self, n: int, rule: Unique, row: Row, series: Series) -> list[tuple[BreachCode, str]]:
        key = key_of(rule.columns, row)
        seen = series.seen.get(n)
        if seen is None:
            seen = series.seen[n] = Seen(min(rule.remembered, self._remembered_max))
        if key in seen:
            shown = ", ".join(f"{name} {_shown(row.get(name))}" for name in rule.columns)
            return [(BreachCode.REPEATED, f"{shown} seen before")]
        seen.add(key)
        return []

    def _note(self, n: int, broken: Broken, row: int) -> None:
        breaches = self._breaches.get((n, broken.code))
        if breaches is None:
            breaches = self._breaches[n, broken.code] = Breaches(broken.rule, broken.code)
        breaches.count += 1
        if len(breaches.first) < _EXAMPLES_MAX:
            breaches.first.append(Example(row, broken.text))


def _sound_rows(rules: tuple[Rule, ...]) -> SoundRows | None:
    """The short way of these rules; None where it could not say what the long way does."""
    ranges = [rule for rule in rules if isinstance(rule, InRange)]
    growing = [rule for rule in rules if isinstance(rule, Monotonic)]
    members = {rule.column: rule.members for rule in rules if isinstance(rule, InSet)}
    bounds = [bound for rule in ranges for bound in (rule.least, rule.most) if bound is not None]
    if (
        any(rule.prev or rule.first or rule.step for rule in growing)
        or len({rule.column for rule in growing}) < len(growing)
        or len(members) < sum(isinstance(rule, InSet) for rule in rules)
        or not all(isfinite(bound) for bound in bounds)
    ):
        return None
    # A column that is a number within a range, or a member of a set, is not null.
    known = {rule.column for rule in ranges} | set(members)
    return SoundRows(
        ranges=tuple((rule.column, _least(rule), _most(rule), rule.unset) for rule in ranges),
        present=tuple(
            name for rule in rules if isinstance(rule, NotNull) for name in rule.columns if name not in known
        ),
        members=tuple(members.items()),
        ordered=tuple((rule.low, rule.high, rule.strictly) for rule in rules if isinstance(rule, Ordered)),
        growing=tuple((rule.column, rule.slack, rule.strictly, rule.restart) for rule in growing),
        unique=tuple((n, rule.columns) for n, rule in enumerate(rules) if isinstance(rule, Unique)),
    )


def _least(rule: InRange) -> int:
    if rule.least is None:
        return -_ANY
    return floor(rule.least) + 1 if rule.above else ceil(rule.least)


def _most(rule: InRange) -> int:
    return _ANY if rule.most is None else floor(rule.most)


def describe(rule: Rule) -> str:
    """A rule in a few words, for reports."""
    match rule:
        case NotNull():
            return f"{', '.join(rule.columns)} not null"
        case InRange():
            left = "(-inf" if rule.least is None else f"{'(' if rule.above else '['}{rule.least:g}"
            right = "inf)" if rule.most is None else f"{rule.most:g}]"
            return f"{rule.column} in {left}, {right}"
        case InSet():
            return f"{rule.column} one of {', '.join(sorted(str(member) for member in rule.members))}"
        case Ordered():
            return f"{rule.low} {'<' if rule.strictly else '<='} {rule.high}"
        case Monotonic():
            chain = f" after {rule.prev}" if rule.prev else f" by {rule.step}" if rule.step else ""
            return f"{rule.column} {'grows' if rule.strictly else 'does not go back'}{chain}"
        case Unique():
            return f"({', '.join(rule.columns)}) unique"


def _broken(rule: NotNull | InRange | InSet | Ordered, row: Row) -> list[tuple[BreachCode, str]]:
    match rule:
        case NotNull():
            return [(BreachCode.IS_NULL, f"{name} is null") for name in rule.columns if row.get(name) is None]
        case InRange():
            return _out_of_range(rule, row)
        case InSet():
            value = row.get(rule.column)
            if value is None or hashable(value) in rule.members:
                return []
            return [(BreachCode.NOT_IN_SET, f"{rule.column} is {_shown(value)}")]
        case Ordered():
            low, high = row.get(rule.low), row.get(rule.high)
            if low is None or high is None:
                return []
            if not (is_number(low) and is_number(high)):
                return [(BreachCode.NOT_A_NUMBER, f"{rule.low} is {_shown(low)}, {rule.high} is {_shown(high)}")]
            if low < high or (low == high and not rule.strictly):
                return []
            return [(BreachCode.NOT_ORDERED, f"{rule.low} {_shown(low)}, {rule.high} {_shown(high)}")]


def _out_of_range(rule: InRange, row: Row) -> list[tuple[BreachCode, str]]:
    value = row.get(rule.column)
    if value is None:
        return []
    if not is_number(value):
        return [(BreachCode.NOT_A_NUMBER, f"{rule.column} is {_shown(value)}")]
    if value == rule.unset:
        return []
    low = rule.least is not None and (value < rule.least or (rule.above and value == rule.least))
    high = rule.most is not None and value > rule.most
    return [(BreachCode.OUT_OF_RANGE, f"{rule.column} is {_shown(value)}")] if low or high else []


def _not_monotonic(rule: Monotonic, row: Row, series: Series) -> list[tuple[BreachCode, str]]:
    value = row.get(rule.column)
    if value is None:
        return []
    if not is_number(value):
        return [(BreachCode.NOT_A_NUMBER, f"{rule.column} is {_shown(value)}")]
    last = series.last.get(rule.column)
    if last is None or value == rule.restart:
        series.last[rule.column] = value
        return []
    if value < last - rule.slack or (rule.strictly and value == last):
        # The series is followed from its highest: one garbled row back does not excuse the next.
        return [(BreachCode.WENT_BACK, f"{rule.column} is {_shown(value)} after {_shown(last)}")]
    if value <= last:
        return []
    series.last[rule.column] = value
    before = _before(rule, row)
    hole = before != last if before is not None else 0 < rule.step < value - last
    return [(BreachCode.HOLE, f"{rule.column} is {_shown(value)} after {_shown(last)}")] if hole else []


def _before(rule: Monotonic, row: Row) -> Any:
    """The number that the row says it follows; None when it says nothing of it."""
    stated: Any = row.get(rule.prev) if rule.prev is not None else None
    if is_number(stated) and stated >= 0:
        return stated
    first: Any = row.get(rule.first) if rule.first is not None else None
    return first - 1 if is_number(first) else None


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _VALUE_CHARS_MAX else f"{text[:_VALUE_CHARS_MAX]}..."
