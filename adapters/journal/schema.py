"""The journal's tables as SQLAlchemy Core knows them: the statements of PostgreSQL are made from these.

The migrations make the tables; a test compares.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()


def _seq(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=key, autoincrement=False, nullable=False)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text(collation="C"), nullable=nullable)


order_journal = Table(
    "order_journal",
    metadata,
    _seq("first_seq", key=True),
    Column("row_count", Integer, nullable=False),
    Column("rows", LargeBinary, nullable=False),
)
order_row = Table(
    "order_row",
    metadata,
    _seq("seq", key=True),
    _seq("first_seq"),
    _seq("ts_ns"),
    _text("kind"),
    _text("venue"),
    _text("cl_ord_id"),
    _text("exec_id", nullable=True),
    _text("parent_id"),
    _seq("epoch"),
)
journal_chain = Table(
    "journal_chain",
    metadata,
    _seq("first_seq", key=True),
    _seq("last_seq"),
    Column("hash", LargeBinary, nullable=False),
)
journal_hour = Table(
    "journal_hour",
    metadata,
    _seq("hour", key=True),
    _seq("first_seq"),
    _seq("last_seq"),
    Column("root", LargeBinary, nullable=False),
    Column("link", LargeBinary, nullable=False),
)
journal_open_hour = Table(
    "journal_open_hour",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("state", LargeBinary, nullable=False),
)
journal_checkpoint = Table(
    "journal_checkpoint",
    metadata,
    Column("name", Text(collation="C"), primary_key=True),
    _seq("seq", key=True),
    Column("hash", LargeBinary, nullable=False),
    _seq("taken_ns"),
    Column("digest", LargeBinary, nullable=False),
    Column("blob", LargeBinary, nullable=False),
)
