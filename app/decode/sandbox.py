"""Privileges that the decode host drops at its start, and resource limits of its children."""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38  # of Linux's prctl.h
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000  # of sched.h
_CAPABILITIES_VERSION = 0x20080522  # of capability.h
_EMPTY_FOLDER = "/proc/self/fdinfo"  # contains only the numbers of the host's own descriptors
_OPEN_FILES = 16
_BACKSTOP_CPU_S = 2

_libc = ctypes.CDLL(None, use_errno=True)


def isolate() -> list[str]:
    """Drop access to network and files, and all capabilities, as far as the system permits.

    Returns the names of what was dropped. No module can be imported afterwards. Containers often permit none
    of it; then only the resource limits remain.
    """
    left = []
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0 or _libc.unshare(_CLONE_NEWNET) == 0:
        left.append("network")
    with suppress(OSError):
        os.chroot(_EMPTY_FOLDER)
        os.chdir("/")
        left.append("files")
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0), (ctypes.c_uint32 * 6)()
    if _libc.capset(header, none) == 0:
        left.append("capabilities")
    return left


def die_with(parent: int) -> None:
    """Make this child end with its parent: be killed when it ends, or exit now if it has ended."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


class Meter:
    """Limits of this process for one job: SIGPROF and SIGALRM end it, and the kernel refuses memory."""

    def __init__(self, *, cpu_s: float, memory_bytes: int, idle_bytes: int) -> None:
        """memory_bytes: in addition to idle_bytes, which the idle process has mapped."""
        self._allowed = idle_bytes + memory_bytes
        spent = resource.getrusage(resource.RUSAGE_SELF)
        backstop = math.ceil(spent.ru_utime + spent.ru_stime + cpu_s) + _BACKSTOP_CPU_S
        resource.setrlimit(resource.RLIMIT_CPU, (backstop, resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_PROF, cpu_s)

    def leave(self, size: int) -> None:
        """Reserve this many bytes of the memory budget for the worker."""
        resource.setrlimit(resource.RLIMIT_AS, (max(0, self._allowed - size), self._allowed))

    @staticmethod
    def end_after(seconds: float) -> None:
        """End the process after this real time; 0 cancels it."""
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def stop(self) -> None:
        """Remove the time limits and the worker's reserve, because a job is received before it is limited."""
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        self.leave(0)


def mapped_bytes() -> int:
    """Address space of this process in bytes, to which RLIMIT_AS applies."""
    return int(Path("/proc/self/statm").read_bytes().split()[0]) * os.sysconf("SC_PAGE_SIZE")
