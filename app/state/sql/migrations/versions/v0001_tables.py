"""The tables from before schemas had versions. Do not change them: such databases exist."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

INNODB: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
REQUEST_ID = sa.String(64).with_variant(mysql.BINARY(16), "mysql")


def ascii_bin(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql"
    )


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("username", ascii_bin(64), nullable=False, unique=True),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("allow_legacy_sign", sa.Boolean, nullable=False),
        sa.Column("quota_limit", sa.BigInteger),
        sa.Column("quota_used", sa.BigInteger, nullable=False),
        sa.Column("rate_tat_us", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        **INNODB,
        sqlite_autoincrement=True,
    )
    op.create_table(
        "user_secrets",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("secret", ascii_bin(512), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Index("ix_user_secrets_user", "user_id"),
        **INNODB,
        sqlite_autoincrement=True,
    )
    op.create_table(
        "nonces",
        sa.Column(
            "user_id",
            sa.Integer,
            sa.ForeignKey("users.id", ondelete="CASCADE"),
            nullable=False,
            primary_key=True,
        ),
        sa.Column("nonce", ascii_bin(64), primary_key=True),
        sa.Column("request_id", REQUEST_ID, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Index("ix_nonces_expiry", "user_id", "expires_at"),
        **INNODB,
    )
    op.create_table(
        "usage_records",
        sa.Column("request_id", REQUEST_ID, primary_key=True),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("username", ascii_bin(64), nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("status_code", sa.Integer),
        sa.Column("charged", sa.Boolean, nullable=False),
        sa.Column("picture_sha256", ascii_bin(64)),
        sa.Column("picture_width", sa.Integer),
        sa.Column("picture_height", sa.Integer),
        sa.Column("picture_format", ascii_bin(16)),
        sa.Column("line_count", sa.Integer),
        sa.Column("character_count", sa.Integer),
        sa.Column("queue_ms", sa.Integer),
        sa.Column("fetch_ms", sa.Integer),
        sa.Column("decode_ms", sa.Integer),
        sa.Column("ocr_ms", sa.Integer),
        sa.Column("total_ms", sa.Integer),
        sa.Index("ix_usage_running", "status_code", "started_at"),
        sa.Index("ix_usage_newest", "started_at"),
        **INNODB,
    )
