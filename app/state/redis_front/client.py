"""The connection to Redis: short time limits, no retries, a circuit breaker, and what each fault means."""

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
from app.state.redis_front.circuit_breaker import CircuitBreaker

PAUSE_S = 0.25
"""How long callers are refused after Redis did not answer, before one of them tries again."""

_LUA = Path(__file__).parent / "lua"
_NO_ANSWER = (RedisConnectionError, RedisTimeout, OSError)


class RedisUnavailable(DependencyUnavailable):
    """sent: the command was on its way, so Redis may have carried it out.

    code: the first word of Redis's error reply; empty where Redis did not answer.
    """

    def __init__(self, detail: str, *, sent: bool = False, code: str = "") -> None:
        super().__init__(f"redis: {detail}", retry_after=1)
        self.sent = sent
        self.code = code


class RedisLink:
    """Connects at the first command: build it before a fork if need be, but use it only after the fork.

    timeout_ms: limit for an answer; half of it for a connection. connections: upper limit in this process.
    failed: called at each fault, for the metrics.
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
                driver_info=None,  # saves two round trips for each connection
                protocol=2,
                decode_responses=True,
            )
        except (TypeError, ValueError):  # whose text may quote the password
            raise ValueError("the URL of Redis cannot be parsed") from None
        self._failed = failed
        self._breaker = CircuitBreaker(clock, PAUSE_S, _paused)

    def ask(self, *command: str | float) -> Any:
        """Redis's answer, as strings and integers. Raises RedisUnavailable, NoScriptError."""
        ticket = self._breaker.enter()
        with self._report_faults():
            connection = self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            self._breaker.recheck(ticket)
            with self._report_faults(sent=True):  # before the next caller gets the connection
                connection.send_command(*command)
                answer = connection.read_response()
        except (RedisError, DependencyUnavailable):
            raise
        except BaseException:  # a greenlet that was killed must not leave its answer to the next caller
            connection.disconnect()
            raise
        finally:
            self._pool.release(connection)  # type: ignore[no-untyped-call]
        self._breaker.succeed()
        return answer

    def close(self) -> None:
        self._pool.disconnect()

    @contextmanager
    def _report_faults(self, *, sent: bool = False) -> Iterator[None]:
        try:
            yield
        except _NO_ANSWER as error:
            unavailable = RedisUnavailable(str(error), sent=sent)
            self._breaker.fail(unavailable.detail)
            self._failed()
            raise unavailable from error
        except RedisError as error:  # an error reply: no memory, no disk, a read-only replica, no permission
            self._breaker.succeed()
            if isinstance(error, NoScriptError):
                raise
            self._failed()
            raise RedisUnavailable(str(error), code=str(error).partition(" ")[0]) from error


def _paused(failure: str, _remaining_s: float) -> RedisUnavailable:
    return RedisUnavailable(f"calls are paused after: {failure}")


class Script:
    """A Lua script of ours, called by its digest, and sent in full to a Redis that does not have it yet."""

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
