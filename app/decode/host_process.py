"""A running decode host and its children, as the worker holds them.

gevent replaces locks, sockets and process functions by ones that need its loop. What is used here are
CPython's own, since pictures are read in native threads.
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
    """The host has ended, is stuck or does not start."""


class Child:
    """A child of the host. It takes one job after the other until this end closes it, and then is killed."""

    def __init__(self, control: socket) -> None:
        """Raises OSError where the host has ended."""
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
        """How it ended, as the host reports it: see ENDING. None where it does not."""
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
        # Also when the owner forgets it, or the interpreter ends.
        self.end = weakref.finalize(self, _end, self._control, self._pidfd, self._idle)
        self._started = False

    def await_start(self) -> None:
        """Raises HostGone where it does not start."""
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
        """For one job: an idle child or a new one, killed afterwards unless the job was reusable and done."""
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
                self._idle.append(child)  # atomic, as pop is
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
        """Its children die with it."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)


def _spawn(control: int) -> int:
    """Start the host with one end of the control socket; its pidfd. posix_spawn copies no page tables."""
    python = Path(sys.prefix, "bin", "python3")  # under uWSGI sys.executable is no Python
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
    """Kill the host and leave no zombie; gevent's loop may have been faster."""
    control.close()
    while idle:
        idle.pop().close()
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    with suppress(ChildProcessError):
        waitid(os.P_PIDFD, pidfd, os.WEXITED)
    os.close(pidfd)
