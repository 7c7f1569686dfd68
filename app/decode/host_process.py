"""The worker's handles of a decode host and its children.

Pictures are decoded in native threads, where gevent's locks, sockets and process functions do not work. This
module uses CPython's originals.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import weakref
from _socket import AF_UNIX, SOCK_STREAM, socket, socketpair
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from posix import posix_spawn, waitid

from gevent.monkey import get_original

from app.decode.channel import ENDING, Broken, Closed, Connection, send_descriptors

ROOT = Path(__file__).resolve().parent.parent.parent
STARTS_WITHIN_S = 20
JOBS_PER_CHILD = 100
REPORTS_WITHIN_S = 2

_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from app.decode.host_child import main; main()"
_SIGNALS = [signal.SIGPIPE, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT]


class HostGone(Exception):
    """The host has ended, hangs or does not start."""


class Child:
    """A child of the host. It takes jobs one after another; close() kills it."""

    def __init__(self, control: socket) -> None:
        """Raises OSError if the host has ended."""
        self._connection, theirs = socketpair(AF_UNIX, SOCK_STREAM)
        self._ending, report = os.pipe()
        self._jobs = 0
        try:
            send_descriptors(control, theirs.fileno(), report)
        except OSError:
            self.close()
            raise
        finally:
            theirs.close()
            os.close(report)

    def begin_job(self, seconds: float) -> Connection:
        self._jobs += 1
        return Connection(self._connection, seconds)

    @property
    def may_go_on(self) -> bool:
        return self._jobs < JOBS_PER_CHILD

    @property
    def has_ended(self) -> bool:
        return self._ending_within(0)

    def ending(self) -> tuple[int, int, float] | None:
        """Signal, exit status and CPU seconds (see ENDING); None if the host reports none in time."""
        found = os.read(self._ending, ENDING.size) if self._ending_within(REPORTS_WITHIN_S) else b""
        if len(found) != ENDING.size:
            return None
        ended_by, status, cpu_s = ENDING.unpack(found)
        return ended_by, status, cpu_s

    def close(self) -> None:
        self._connection.close()
        os.close(self._ending)

    def _ending_within(self, seconds: float) -> bool:
        waiting = get_original("select", "poll")()
        waiting.register(self._ending, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))


class HostProcess:
    """One running host."""

    def __init__(self) -> None:
        self._control, theirs = socketpair(AF_UNIX, SOCK_STREAM)
        try:
            self._pidfd = _spawn(theirs.fileno())
        finally:
            theirs.close()
        self._idle: deque[Child] = deque()
        # Runs also when the object is collected or the interpreter exits.
        self.end = weakref.finalize(self, _end, self._control, self._pidfd, self._idle)
        self._started = False

    def await_start(self) -> None:
        """Raises HostGone if the host does not start."""
        if self._started:
            return
        try:
            started, _ = Connection(self._control, STARTS_WITHIN_S).receive()
        except (Closed, Broken, OSError) as error:
            started = {"failed": repr(error)}
        if "failed" in started:
            raise HostGone(str(started["failed"]))
        self._started = True

    @contextmanager
    def child(self, *, reusable: bool) -> Iterator[Child]:
        """A child for one job. It is killed afterwards, unless reusable is set and the job succeeded."""
        child = self._idle_child() if reusable else None
        try:
            child = child or Child(self._control)
        except OSError as error:
            raise HostGone(repr(error)) from None
        keep = False
        try:
            yield child
            keep = reusable and child.may_go_on
        finally:
            if keep:
                self._idle.append(child)  # atomic, like pop
            else:
                child.close()

    def _idle_child(self) -> Child | None:
        with suppress(IndexError):
            while True:
                child = self._idle.pop()
                if not child.has_ended:
                    return child
                child.close()
        return None

    def kill(self) -> None:
        """Kill the host, and with it its children."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)


def _spawn(control: int) -> int:
    """Start the host and return its pidfd. posix_spawn is faster than fork, which copies page tables."""
    python = Path(sys.prefix, "bin", "python3")  # under uWSGI, sys.executable is not Python
    program = str(python) if python.exists() else sys.executable
    quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    pid = posix_spawn(
        program,
        [program, "-I", "-c", _PROGRAM, str(ROOT)],
        {},
        file_actions=[(os.POSIX_SPAWN_DUP2, control, 0), *quiet],
        setsigdef=_SIGNALS,
        setsigmask=[],
    )
    return os.pidfd_open(pid)


def _end(control: socket, pidfd: int, idle: deque[Child]) -> None:
    """Kill the host and reap it, unless gevent's loop has reaped it."""
    control.close()
    while idle:
        idle.pop().close()
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    with suppress(ChildProcessError):
        waitid(os.P_PIDFD, pidfd, os.WEXITED)
    os.close(pidfd)
