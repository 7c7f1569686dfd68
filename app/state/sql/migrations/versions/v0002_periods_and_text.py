"""Quota per day or month; columns for the recognised text; an index for reports on one user."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

ASCII = {"charset": "ascii", "collation": "ascii_bin"}


def upgrade() -> None:
    period = sa.String(8).with_variant(mysql.VARCHAR(8, **ASCII), "mysql")
    digest = sa.String(64).with_variant(mysql.VARCHAR(64, **ASCII), "mysql")
    op.add_column("users", sa.Column("quota_period", period, nullable=False, server_default="none"))
    op.add_column("users", sa.Column("period_started_at", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("usage_records", sa.Column("text_sha256", digest))
    op.add_column("usage_records", sa.Column("text", sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")))
    op.create_index("ix_usage_user", "usage_records", ["user_id", "started_at"])
