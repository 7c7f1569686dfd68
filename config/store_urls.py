"""Validation of the URLs of the database and Redis.

The libraries' URL parsers quote invalid input in their errors, and that input may contain a password whose
special characters are not percent-encoded.
"""

from __future__ import annotations

import re

_HOST = r"([^\s:/?#@\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
# SQLAlchemy ends a password at the first @; redis-py ends it at the last @ and at a slash before it.
_MYSQL = re.compile(rf"mysql\+pymysql://([^:/@]*(:[^@]*)?@)?{_HOST}/[^/?#@]+(\?[^@]*)?")
_PLAIN = r"[!\"$-.0->@-Z\\^-~]*"
_REDIS = re.compile(rf"rediss?://({_PLAIN}@)?({_HOST})?(/[0-9]*)?(\?.*)?|unix://({_PLAIN}@)?/[^?#@]+(\?.*)?")
_ENCODE = "; percent-encode special characters of a password, @ as %40"


def checked_database_url(url: str) -> str:
    """Accept SQLite files and MySQL: the two tested databases that workers can share. Raises ValueError."""
    if url.startswith("mysql+pymysql://"):
        if not _MYSQL.fullmatch(url):
            raise ValueError(f"must be mysql+pymysql://USER:PASSWORD@HOST/DATABASE{_ENCODE}")
    elif not url.startswith("sqlite:///") or url == "sqlite:///" or ":memory:" in url:
        raise ValueError(
            "must be sqlite:///PATH or mysql+pymysql://USER:PASSWORD@HOST/DATABASE; "
            "a database in memory would not be shared by the workers"
        )
    return url


def checked_redis_url(url: str) -> str:
    """Accept an empty string (no Redis) or a URL of Redis. Raises ValueError."""
    if url and not _REDIS.fullmatch(url):
        raise ValueError(
            f"must be redis://:PASSWORD@HOST:PORT/NUMBER, rediss:// (TLS) or unix:///PATH{_ENCODE}"
        )
    return url
