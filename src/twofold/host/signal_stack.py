"""Restore a thread's usual stack for signal handlers after OpenVINO has replaced it.

OpenVINO's CPU plugin installs an alternate signal stack in the thread that loads it. When an instance of the plugin is
destroyed, it restores the stack that it had found: possibly that of another instance, already freed. The next signal
with a Python handler (Ctrl-C, SIGTERM) then ends the process with SIGSEGV and without a message. A thread without an
alternate stack runs its handlers on the usual one, and later actions of the plugin leave that unchanged.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_DISABLE = 2
"""``SS_DISABLE`` of sigaltstack(2)."""


@contextmanager
def usual_signal_stack() -> Iterator[None]:
    """Load OpenVINO's CPU plugin inside this block; afterwards the thread has no alternate signal stack."""
    try:
        yield
    finally:
        _disable()


def _disable() -> None:
    if sys.platform != "linux":  # elsewhere the plugin leaves the stack alone
        return
    import ctypes

    class Stack(ctypes.Structure):
        """``stack_t``."""

        _fields_ = (("ss_sp", ctypes.c_void_p), ("ss_flags", ctypes.c_int), ("ss_size", ctypes.c_size_t))

    ctypes.CDLL(None).sigaltstack(ctypes.byref(Stack(None, _DISABLE, 0)), None)
