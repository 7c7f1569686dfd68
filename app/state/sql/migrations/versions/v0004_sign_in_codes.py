"""One-time codes for signing in with a browser."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.drop_table("sign_in_codes", if_exists=True)  # left by an upgrade that was interrupted on MySQL
    digest = sa.String(64).with_variant(mysql.VARCHAR(64, charset="ascii", collation="ascii_bin"), "mysql")
    op.create_table(
        "sign_in_codes",
        sa.Column("code_sha256", digest, primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Index("ix_sign_in_codes_user", "user_id"),
        sa.Index("ix_sign_in_codes_expiry", "expires_at"),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
