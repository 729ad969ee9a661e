"""The one way kernels are compiled: cached on disk, without the interpreter lock, and typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import njit

_P = ParamSpec("_P")
_R = TypeVar("_R")


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a function with numba at its first call."""
    kernel: Callable[_P, _R] = njit(cache=True, nogil=True, error_model="numpy")(function)
    return kernel


def inlined(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a small function into its callers, so that the arrays it is given cost nothing to hand over."""
    kernel: Callable[_P, _R] = njit(cache=True, nogil=True, error_model="numpy", inline="always")(function)
    return kernel
