"""The sums of each finished day. The sums of past days are built after the upgrade, one by one."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

INNODB: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}


def upgrade() -> None:
    for half_made in ("usage_days", "rollups"):  # left by an upgrade that was interrupted on MySQL
        op.drop_table(half_made, if_exists=True)
    op.create_table(
        "usage_days",
        sa.Column("user_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("pictures", sa.BigInteger, nullable=False),
        sa.Column("characters", sa.BigInteger, nullable=False),
        sa.Column("by_code", sa.Text, nullable=False),
        sa.Column("times", sa.Text, nullable=False),
        sa.Index("ix_usage_days_sums", "user_id", "day", "requests", "pictures", "characters"),
        **INNODB,
    )
    op.create_table(
        "rollups",
        sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("built", sa.Boolean, nullable=False),
        sa.Column("late", sa.BigInteger, nullable=False),
        **INNODB,
    )
