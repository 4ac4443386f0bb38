"""The stack on which a thread's signal handlers run, given back to the thread after OpenVINO has taken it.

OpenVINO's CPU plugin installs an alternate signal stack of its own in the thread that loads it, and when an instance of
the plugin goes, it puts back the stack that it found: that of another instance, which may be freed already. The next
signal with a Python handler (Ctrl-C, SIGTERM) then ends the process with SIGSEGV and without a word. A thread without
an alternate stack runs its handlers on its usual one, and what the plugin does later leaves that as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_DISABLE = 2
"""``SS_DISABLE`` of sigaltstack(2)."""


@contextmanager
def usual_signal_stack() -> Iterator[None]:
    """Do what loads OpenVINO's CPU plugin in this block; after it the thread has no alternate signal stack."""
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
