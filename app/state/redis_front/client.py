"""The way to Redis: short time limits, no retries, a circuit-breaker, and what its faults mean."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import BlockingConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisTimeout
from redis.retry import Retry

from app.errors import DependencyUnavailable
from app.ports import Clock

PAUSE_S = 0.25
"""How long Redis is left alone after it did not answer; then one caller tries, and the others are refused."""

_LUA = Path(__file__).parent / "lua"
_GONE = (RedisConnectionError, RedisTimeout, OSError)


class RedisUnavailable(DependencyUnavailable):
    """sent: the command was on its way, so that nobody knows whether it was carried out.

    code: the first word of Redis's own refusal, where it answered.
    """

    def __init__(self, detail: str, *, sent: bool = False, code: str = "") -> None:
        super().__init__(f"redis: {detail}", retry_after=1)
        self.sent = sent
        self.code = code


class RedisLink:
    """Connects when it is first used: it may be built before a fork, but not used before one.

    timeout_ms: for an answer; half of it for a connection. connections: of this process at most.
    failed: told of each fault, for the metrics.
    """

    def __init__(
        self, url: str, *, timeout_ms: int, connections: int, clock: Clock, failed: Callable[[], None]
    ) -> None:
        try:
            self._pool = BlockingConnectionPool.from_url(
                url,
                max_connections=connections,
                timeout=timeout_ms / 1000,
                socket_timeout=timeout_ms / 1000,
                socket_connect_timeout=timeout_ms / 2000,
                retry=Retry(NoBackoff(), 0),  # redis-py's own ten retries would repeat what is not idempotent
                driver_info=None,  # two round trips less for each connection
                protocol=2,
                decode_responses=True,
            )
        except (TypeError, ValueError):  # whose text may quote the password
            raise ValueError("the URL of Redis cannot be parsed") from None
        self._clock = clock
        self._failed = failed
        self._fault = ""
        self._closed_until = 0.0

    def ask(self, *command: str | float) -> Any:
        """Redis's answer, as strings and integers. Raises RedisUnavailable, NoScriptError."""
        closed_until = self._enter()
        with self._faults_noted():
            connection = self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            if self._closed_until != closed_until:
                self._refuse_while_closed()  # others have found out while this one waited for a connection
            with self._faults_noted(sent=True):  # before the next one gets the connection
                connection.send_command(*command)
                answer = connection.read_response()
        except (RedisError, DependencyUnavailable):
            raise
        except BaseException:  # a greenlet that was ended must not leave its answer to the next caller
            connection.disconnect()
            raise
        finally:
            self._pool.release(connection)  # type: ignore[no-untyped-call]
        self._open()
        return answer

    def close(self) -> None:
        self._pool.disconnect()

    def _enter(self) -> float:
        """Until when the others are refused, as this caller knows it."""
        self._refuse_while_closed()
        if self._fault:
            self._closed_until = self._clock.monotonic() + PAUSE_S  # for the others: this call finds out
        return self._closed_until

    def _refuse_while_closed(self) -> None:
        if self._clock.monotonic() < self._closed_until:
            raise RedisUnavailable(f"left alone for a moment after: {self._fault}")

    @contextmanager
    def _faults_noted(self, *, sent: bool = False) -> Iterator[None]:
        try:
            yield
        except _GONE as error:
            unavailable = RedisUnavailable(str(error), sent=sent)
            self._fault = unavailable.detail
            self._closed_until = self._clock.monotonic() + PAUSE_S
            self._failed()
            raise unavailable from error
        except RedisError as error:  # it answers, but will not: no memory, no disk, a replica, no rights
            self._open()
            if isinstance(error, NoScriptError):
                raise
            self._failed()
            raise RedisUnavailable(str(error), code=str(error).partition(" ")[0]) from error

    def _open(self) -> None:
        self._fault, self._closed_until = "", 0.0


class Script:
    """A Lua script of ours, run under its digest; sent whole to a Redis that does not know it."""

    def __init__(self, link: RedisLink, name: str) -> None:
        self._link = link
        self.text = (_LUA / f"{name}.lua").read_text()
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, keys: Sequence[str], *arguments: str | float) -> Any:
        """Raises RedisUnavailable."""
        call = (len(keys), *keys, *arguments)
        try:
            return self._link.ask("EVALSHA", self.digest, *call)
        except NoScriptError:
            return self._link.ask("EVAL", self.text, *call)
