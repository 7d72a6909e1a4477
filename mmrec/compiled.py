"""Functions that Numba compiles to machine code, for the loops of a request: a NumPy call costs a microsecond or more
of overhead, and a list took hundreds of them.

    @formula
    def fresh(age, unit): return 1.0 / (1.0 + age / unit)        plain Python, and part of compiled code that calls it

    @compiled(reads(FLOAT, 1), FLOAT)
    def freshest(ages_I, unit): ...                              compiled for these types when its module is imported

So no request waits for a compiler. Machine code is kept in the cache folder (mmrec.home), by what the formulas say that
a function calls: Numba itself notices changes of the function's own file alone. Where the folder cannot be written,
every process compiles for itself, some ten seconds at its start. Compiled functions let go of the interpreter's lock
while they run, never raise, and check no bounds: callers give rows that exist.
"""

import hashlib
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, Final, TypeVar

from mmrec.home import cache_folder

# Untyped on purpose: Numba brings no annotations.
numba: Any = importlib.import_module("numba")
_extending: Any = importlib.import_module("numba.extending")
_Function = TypeVar("_Function", bound=Callable[..., Any])
FLOAT: Final[Any] = numba.types.float64
SINGLE: Final[Any] = numba.types.float32
INT: Final[Any] = numba.types.int64
SMALL_INT: Final[Any] = numba.types.int32
BOOL: Final[Any] = numba.types.boolean
_FORMULAS: Final[dict[Any, str]] = {}
"""What each formula says, with all that it calls."""


def reads(dtype: Any, ndim: int, layout: str = "A") -> Any:
    """The type of an array that is only read, of any strides; layout "C" for one that is contiguous."""
    return numba.types.Array(dtype, ndim, layout, readonly=True)


def reads_stored(dtype: Any, ndim: int) -> Any:
    """The same for an array that is a view of stored bytes and may lie at any address."""
    return numba.types.Array(dtype, ndim, "A", readonly=True, aligned=False)


def writes(dtype: Any, ndim: int) -> Any:
    """The type of a contiguous array that a function fills."""
    return numba.types.Array(dtype, ndim, "C")


def formula(function: _Function) -> _Function:
    """A function of numbers that both Python and compiled code call; Python calls it as it is written.

    What it calls is a formula already.
    """
    _extending.register_jitable(function)
    _FORMULAS[function] = _said(function)
    return function


def compiled(*argument_types: Any) -> Callable[[_Function], _Function]:
    """Compile a function for arguments of these types, now.

    Args:
        argument_types: By position; arrays by reads() and writes().

    Returns:
        A decorator; what it gives takes positional arguments, and raises TypeError for those of other types.
    """

    def made(function: _Function) -> _Function:
        before, folder = numba.config.CACHE_DIR, _kept_in(function)
        numba.config.CACHE_DIR = str(folder) if folder is not None else ""
        try:
            ready: _Function = numba.njit([argument_types], nogil=True, cache=folder is not None, error_model="numpy")(
                function
            )
        finally:
            numba.config.CACHE_DIR = before
        return ready

    return made


def _said(function: Callable[..., Any]) -> str:
    """What a function and all formulas that it calls say, constants of modules included."""
    code = function.__code__
    named = {name: function.__globals__.get(name) for name in code.co_names}
    constants = {name: value for name, value in named.items() if isinstance(value, int | float)}
    called = [_FORMULAS[value] for value in named.values() if isinstance(value, FunctionType) and value in _FORMULAS]
    return repr((code.co_code, code.co_consts, code.co_names, constants, called))


def _kept_in(function: Callable[..., Any]) -> Path | None:
    """Where the machine code of a function is kept; None where nothing can be written."""
    said = hashlib.sha256(f"{numba.__version__} {_said(function)}".encode()).hexdigest()[:16]
    folder = cache_folder() / "compiled" / said
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None
