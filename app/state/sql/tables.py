"""The tables, in types that SQLite and MySQL both store exactly.

Times are whole milliseconds since 1970 (UTC) in 64-bit integers: SQLite would store a DateTime as text, and
MySQL's DATETIME drops the fraction by default. Names are compared byte for byte: that is SQLite's default,
and MySQL gets a collation for it, since by its own default `Alice` and `alice` would share a row.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import BINARY, TypeDecorator, TypeEngine

metadata = MetaData()

EVERYBODY = 0
"""The user_id of the sums of all users. The ids of users begin at 1."""

_MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}


def _ascii(length: int) -> TypeEngine[str]:
    exact = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return String(length).with_variant(exact, "mysql")


class RequestId(TypeDecorator[str]):
    """A request id: 32 hex digits, which MySQL stores as 16 bytes."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(BINARY(16) if dialect.name == "mysql" else String(64))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        return bytes.fromhex(value) if value is not None and dialect.name == "mysql" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return value.hex() if isinstance(value, bytes) else value


def _of_user(*, primary_key: bool = False) -> Column[int]:
    return Column(
        "user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False, primary_key=primary_key
    )


users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("username", _ascii(64), nullable=False, unique=True),
    Column("enabled", Boolean, nullable=False),
    Column("allow_legacy_sign", Boolean, nullable=False),
    Column("admin", Boolean, nullable=False, server_default=false()),  # may see the usage of all users
    Column("quota_limit", BigInteger),  # NULL: without limit
    Column("quota_used", BigInteger, nullable=False),  # charged usage records of the user in the period
    Column("rate_tat_us", BigInteger, nullable=False),  # theoretical arrival time in microseconds
    Column("created_at", BigInteger, nullable=False),
    Column("quota_period", _ascii(8), nullable=False, server_default="none"),  # none, day or month
    Column("period_started_at", BigInteger, nullable=False, server_default="0"),  # of quota_used
    **_MYSQL,
    sqlite_autoincrement=True,  # an id is never used twice: usage records outlive their user
)

user_secrets = Table(
    "user_secrets",
    metadata,
    Column("id", Integer, primary_key=True),  # grows with each new secret
    _of_user(),
    Column("secret", _ascii(512), nullable=False),  # encrypted
    Column("created_at", BigInteger, nullable=False),
    Index("ix_user_secrets_user", "user_id"),
    **_MYSQL,
    sqlite_autoincrement=True,
)

nonces = Table(
    "nonces",
    metadata,
    _of_user(primary_key=True),
    Column("nonce", _ascii(64), primary_key=True),
    Column("request_id", RequestId, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_nonces_expiry", "user_id", "expires_at"),  # to delete a user's expired nonces
    **_MYSQL,
)

sign_in_codes = Table(
    "sign_in_codes",
    metadata,
    Column("code_sha256", _ascii(64), primary_key=True),
    _of_user(),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_sign_in_codes_user", "user_id"),
    Index("ix_sign_in_codes_expiry", "expires_at"),  # to delete expired codes
    **_MYSQL,
)

usage_records = Table(
    "usage_records",
    metadata,
    Column("request_id", RequestId, primary_key=True),
    Column("user_id", Integer, nullable=False),  # no foreign key: records outlive their user
    Column("username", _ascii(64), nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),  # NULL until the worker has reported the end
    Column("status_code", Integer),  # NULL while running
    Column("charged", Boolean, nullable=False),  # counts towards the user's quota; so does a running request
    Column("picture_sha256", _ascii(64)),
    Column("picture_width", Integer),
    Column("picture_height", Integer),
    Column("picture_format", _ascii(16)),
    Column("line_count", Integer),
    Column("character_count", Integer),
    Column("queue_ms", Integer),
    Column("fetch_ms", Integer),
    Column("decode_ms", Integer),
    Column("ocr_ms", Integer),
    Column("total_ms", Integer),
    Column("text_sha256", _ascii(64)),  # of the text, if OCR_USAGE__KEEP_TEXT is set
    Column("text", Text().with_variant(mysql.MEDIUMTEXT(), "mysql")),
    Index("ix_usage_running", "status_code", "started_at"),  # the few running requests, to find lost ones
    Index("ix_usage_newest", "started_at"),  # tail, purge
    Index("ix_usage_user", "user_id", "started_at"),  # reports, and counting the charged records of a period
    **_MYSQL,
)

usage_days = Table(
    "usage_days",
    metadata,
    # Sums of the ended requests of finished days: app/state/sql/rollup.py.
    Column("user_id", Integer, primary_key=True, autoincrement=False),  # EVERYBODY, or as in usage_records
    Column("day", BigInteger, primary_key=True, autoincrement=False),  # number of the UTC day since 1970
    Column("requests", BigInteger, nullable=False),
    Column("pictures", BigInteger, nullable=False),
    Column("characters", BigInteger, nullable=False),
    Column("by_code", Text, nullable=False),  # JSON: requests by status code
    Column("times", Text, nullable=False),  # JSON: recognised pictures by the shortest time of their bucket
    Index("ix_usage_days_sums", "user_id", "day", "requests", "pictures", "characters"),  # covering
    **_MYSQL,
)

rollups = Table(
    "rollups",
    metadata,
    Column("day", BigInteger, primary_key=True, autoincrement=False),  # as in usage_days
    Column("built", Boolean, nullable=False),  # usage_days has its sums; late records correct them
    Column(
        "late", BigInteger, nullable=False
    ),  # transactions that stored late records: a build that missed one is void
    **_MYSQL,
)
