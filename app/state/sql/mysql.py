"""How MySQL is connected to: every wait has an end, and every session is set up alike.

What is asked of it is what MySQL 8 and MariaDB have in common.
"""

from __future__ import annotations

import math

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

_NO_SUCH_TABLE = 1146

SQL_MODE = "TRADITIONAL,ONLY_FULL_GROUP_BY"
"""Strict: a value that does not fit is an error, and not cut. Servers differ in their own default."""


def engine(url: URL, *, busy_timeout_ms: int, timeout_s: float, connections: int) -> Engine:
    """READ COMMITTED: a statement sees what was committed before it, as on SQLite, and locks no gaps.

    The driver is pure Python on sockets that gevent patches. No gevent timeout may end one of its calls:
    limits are set here, and a connection on which one was reached is closed and never used again.
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
        hide_parameters=True,  # errors go into the log; what they were about may be a secret
        pool_size=connections,
        max_overflow=0,
        pool_timeout=busy_timeout_ms / 1000,
        pool_pre_ping=True,  # a server that was restarted costs nobody a request
    )


def lacks_table(error: DBAPIError) -> bool:
    """A database without our tables, which SQLite reports as it reports a broken one."""
    return error.orig is not None and error.orig.args[:1] == (_NO_SUCH_TABLE,)
