"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Gives the system what malloc keeps free for later; it takes some milliseconds.

    Python frees the plan of a cold start among objects that stay, and malloc gives back by itself only what is free at
    the end of its heap.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # a C library other than glibc has none
    if trim is not None:
        trim(0)
