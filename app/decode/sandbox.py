"""What the decode host gives up at its start, and what each of its children may use."""

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
_EMPTY_FOLDER = "/proc/self/fdinfo"  # nearly: it lists the host's own descriptors by number
_OPEN_FILES = 16
_BACKSTOP_CPU_S = 2

_libc = ctypes.CDLL(None, use_errno=True)


def isolate() -> list[str]:
    """Leave the network, the file system and every privilege, as far as the system permits; what was left.

    Whatever will be imported must have been. Containers often permit neither: then limits alone remain.
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
    """For a child: be killed when the thread that forked it ends, and end now if it already has."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


class Meter:
    """Limits of this process for one job. The kernel ends it by SIGPROF and SIGALRM, or refuses memory."""

    def __init__(self, *, cpu_s: float, memory_bytes: int, idle_bytes: int) -> None:
        """memory_bytes: beyond idle_bytes, what the process has mapped without any work."""
        self._allowed = idle_bytes + memory_bytes
        spent = resource.getrusage(resource.RUSAGE_SELF)
        backstop = math.ceil(spent.ru_utime + spent.ru_stime + cpu_s) + _BACKSTOP_CPU_S
        resource.setrlimit(resource.RLIMIT_CPU, (backstop, resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_PROF, cpu_s)

    def leave(self, size: int) -> None:
        """Leave that many bytes of the memory to the worker."""
        resource.setrlimit(resource.RLIMIT_AS, (max(0, self._allowed - size), self._allowed))

    @staticmethod
    def end_after(seconds: float) -> None:
        """Of real time; 0 is never."""
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def stop(self) -> None:
        """Take the limits of time away, and leave nothing: the next job is received before its limits are."""
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        self.leave(0)


def mapped_bytes() -> int:
    """What counts for the limit on memory: all that is mapped, in memory or not."""
    return int(Path("/proc/self/statm").read_bytes().split()[0]) * os.sysconf("SC_PAGE_SIZE")
