"""Commit groups, the chain over them and the index of their rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = ("order_journal", "order_row", "journal_chain")
_SQLITE = (
    "CREATE TABLE schema_version(version INTEGER NOT NULL)",
    "CREATE TABLE order_journal(first_seq INTEGER PRIMARY KEY, row_count INTEGER NOT NULL, rows BLOB NOT NULL)",
    """CREATE TABLE order_row(
        seq INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, ts_ns INTEGER NOT NULL, kind TEXT NOT NULL,
        venue TEXT NOT NULL, cl_ord_id TEXT NOT NULL, exec_id TEXT, parent_id TEXT NOT NULL, epoch INTEGER NOT NULL)""",
    "CREATE INDEX order_row_by_cl_ord_id ON order_row(venue, cl_ord_id)",
    "CREATE INDEX order_row_by_id_alone ON order_row(cl_ord_id)",
    "CREATE INDEX order_row_by_parent ON order_row(parent_id, ts_ns)",
    """CREATE UNIQUE INDEX order_row_one_place ON order_row(venue, cl_ord_id)
        WHERE kind IN ('place', 'replace')""",
    "CREATE UNIQUE INDEX order_row_one_execution ON order_row(venue, exec_id) WHERE exec_id IS NOT NULL",
    "CREATE TABLE journal_chain(first_seq INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, hash BLOB NOT NULL)",
    *(
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in _TABLES
        for verb in ("UPDATE", "DELETE")
    ),
    "INSERT INTO schema_version VALUES(1)",
)
_REFUSE = """CREATE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"""


def upgrade() -> None:
    """Make it."""
    if op.get_bind().dialect.name == "sqlite":
        for statement in _SQLITE:
            op.execute(statement)
        return
    op.create_table(
        "order_journal",
        sa.Column("first_seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("row_count", sa.Integer, nullable=False),
        sa.Column("rows", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "order_row",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("first_seq", sa.BigInteger, nullable=False),
        sa.Column("ts_ns", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text(collation="C"), nullable=False) for name in ("kind", "venue", "cl_ord_id")),
        sa.Column("exec_id", sa.Text(collation="C")),
        sa.Column("parent_id", sa.Text(collation="C"), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
    )
    op.create_index("order_row_by_cl_ord_id", "order_row", ["venue", "cl_ord_id"])
    op.create_index("order_row_by_id_alone", "order_row", ["cl_ord_id"])
    op.create_index("order_row_by_parent", "order_row", ["parent_id", "ts_ns"])
    op.create_index(
        "order_row_one_place",
        "order_row",
        ["venue", "cl_ord_id"],
        unique=True,
        postgresql_where=sa.text("kind IN ('place', 'replace')"),
    )
    op.create_index(
        "order_row_one_execution",
        "order_row",
        ["venue", "exec_id"],
        unique=True,
        postgresql_where=sa.text("exec_id IS NOT NULL"),
    )
    op.create_table(
        "journal_chain",
        sa.Column("first_seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.execute(_REFUSE)
    for table in _TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "EXECUTE FUNCTION journal_is_append_only()"
        )


def downgrade() -> None:
    """There is no earlier version, and dropping this one drops the history: no tool of ours does that."""
    raise NotImplementedError("version 1 is the first; the journal is not dropped by a migration")
