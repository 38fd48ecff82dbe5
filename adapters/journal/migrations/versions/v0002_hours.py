"""Roots of hours, the tree of the open hour, kept checkpoints."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SQLITE = (
    """CREATE TABLE journal_hour(
        hour INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, root BLOB NOT NULL,
        link BLOB NOT NULL)""",
    "CREATE TABLE journal_open_hour(id INTEGER PRIMARY KEY CHECK (id = 1), state BLOB NOT NULL)",
    """CREATE TABLE journal_checkpoint(
        name TEXT NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL, taken_ns INTEGER NOT NULL, digest BLOB NOT NULL,
        blob BLOB NOT NULL, PRIMARY KEY (name, seq))""",
    *(
        f"CREATE TRIGGER journal_hour_no_{verb.lower()} BEFORE {verb} ON journal_hour "
        "BEGIN SELECT RAISE(ABORT, 'journal_hour is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    ),
    # Code of version 1 refuses a file that says 2: its groups would be missing in the hours.
    "INSERT INTO schema_version VALUES(2)",
)


def upgrade() -> None:
    """Make them; the next writer works out the hours of what is there."""
    if op.get_bind().dialect.name == "sqlite":
        for statement in _SQLITE:
            op.execute(statement)
        return
    op.create_table(
        "journal_hour",
        sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("first_seq", sa.BigInteger, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("link", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "journal_open_hour",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "journal_checkpoint",
        sa.Column("name", sa.Text(collation="C"), primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("taken_ns", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("blob", sa.LargeBinary, nullable=False),
    )
    op.execute(
        "CREATE TRIGGER journal_hour_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_hour "
        "EXECUTE FUNCTION journal_is_append_only()"
    )


def downgrade() -> None:
    """Drop what can be worked out again; rows, chain and index stay."""
    for table in ("journal_checkpoint", "journal_open_hour", "journal_hour"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DELETE FROM schema_version WHERE version = 2")
