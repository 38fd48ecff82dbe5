"""A process that must not outlive the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(pid: int | None = None) -> None:
    """Let the kernel end this process when its parent dies: the belt to the heartbeat's braces (Linux).

    ``pid`` is the parent's, where it may have died before this was called.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if pid is not None and os.getppid() != pid:
            os._exit(1)
