"""Connections to MySQL: every wait has a limit, and every session has the same settings.

We use only what MySQL 8 and MariaDB have in common.
"""

from __future__ import annotations

import math

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

_NO_SUCH_TABLE = 1146

SQL_MODE = "TRADITIONAL,ONLY_FULL_GROUP_BY"
"""Strict: a value that does not fit is an error instead of being cut. The servers' defaults differ."""


def engine(url: URL, *, busy_timeout_ms: int, timeout_s: float, connections: int) -> Engine:
    """READ COMMITTED: a statement sees what was committed before it, as on SQLite, and locks no gaps.

    The driver is pure Python on sockets that gevent patches. No gevent timeout may interrupt its calls: the
    limits are set here, and a connection that reached one is closed and not used again.
    """
    return create_engine(
        url,
        connect_args={
            "charset": "utf8mb4",
            "sql_mode": SQL_MODE,
            "init_command": f"SET SESSION innodb_lock_wait_timeout = {math.ceil(busy_timeout_ms / 1000)}",
            "connect_timeout": timeout_s,
            "read_timeout": timeout_s,
            "write_timeout": timeout_s,
        },
        isolation_level="READ COMMITTED",
        hide_parameters=True,  # errors go into the log, and a parameter may be a secret
        pool_size=connections,
        max_overflow=0,
        pool_timeout=busy_timeout_ms / 1000,
        pool_pre_ping=True,  # so that no request fails after a restart of the server
    )


def lacks_table(error: DBAPIError) -> bool:
    """Whether the database does not have our tables."""
    return error.orig is not None and error.orig.args[:1] == (_NO_SUCH_TABLE,)
