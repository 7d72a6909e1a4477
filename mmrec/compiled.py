"""Functions that Numba compiles to machine code, for the loops of a request: a NumPy call costs a microsecond or more
of overhead, and a list took hundreds of them.

    @formula
    def fresh(age, unit): return 1.0 / (1.0 + age / unit)        plain Python, and part of compiled code that calls it

    @compiled(reads(FLOAT, 1), FLOAT)
    def freshest(ages_I, unit): ...                              compiled for these types on its first call

    compile_all()                                                now, so that no request waits for a compiler

A process that calls none pays for none: Numba is imported with the first of them. Machine code is kept in the cache
folder (mmrec.home), by what the function and the formulas that it calls say: Numba itself notices changes of the
function's own file alone. Where the folder cannot be written, every process compiles for itself, half a minute of work.
Compiled functions let go of the interpreter's lock while they run, never raise, and check no bounds: callers give rows
that exist.
"""

import hashlib
import importlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, Final, Generic, NamedTuple, ParamSpec, TypeVar

from mmrec.home import cache_folder

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")
_Function = TypeVar("_Function", bound=Callable[..., Any])
FLOAT: Final = "float64"
SINGLE: Final = "float32"
INT: Final = "int64"
SMALL_INT: Final = "int32"
BOOL: Final = "boolean"
_LOCK: Final = threading.RLock()
_FORMULAS: Final[dict[Any, str]] = {}
"""What each formula says, with all that it calls."""
_REGISTERED: Final[set[Any]] = set()
"""Formulas that Numba knows."""
_FUNCTIONS: "Final[list[Compiled[..., Any]]]" = []


class ArrayType(NamedTuple):
    """The type of an array argument."""

    dtype: str
    ndim: int
    layout: str = "A"
    readonly: bool = True
    aligned: bool = True


ArgumentType = str | ArrayType | tuple[Any, ...]
"""Of a number, an array, or a tuple of such."""


def reads(dtype: str, ndim: int, layout: str = "A") -> ArrayType:
    """The type of an array that is only read, of any strides; layout "C" for one that is contiguous."""
    return ArrayType(dtype, ndim, layout)


def reads_stored(dtype: str, ndim: int) -> ArrayType:
    """The same for an array that is a view of stored bytes and may lie at any address."""
    return ArrayType(dtype, ndim, aligned=False)


def writes(dtype: str, ndim: int) -> ArrayType:
    """The type of a contiguous array that a function fills."""
    return ArrayType(dtype, ndim, "C", readonly=False)


def formula(function: _Function) -> _Function:
    """A function of numbers that both Python and compiled code call; Python calls it as it is written.

    What it calls is a formula already.
    """
    _FORMULAS[function] = _said(function)
    return function


class Compiled(Generic[_Given, _Made]):
    """A function that is compiled on its first call."""

    def __init__(self, function: Callable[_Given, _Made], argument_types: tuple[ArgumentType, ...]) -> None:
        self.__doc__, self.plain = function.__doc__, function
        self._argument_types = argument_types
        self._ready: Callable[_Given, _Made] | None = None

    def __call__(self, *args: _Given.args, **kwargs: _Given.kwargs) -> _Made:
        """Call it; TypeError where arguments are of other types."""
        return (self._ready or self.compile())(*args, **kwargs)

    def compile(self) -> Callable[_Given, _Made]:
        """Compile it now, unless it is."""
        with _LOCK:
            if self._ready is None:
                self._ready = _machine_code(self.plain, self._argument_types)
            return self._ready


def compiled(*argument_types: ArgumentType) -> Callable[[Callable[_Given, _Made]], Compiled[_Given, _Made]]:
    """Compile a function for arguments of these types, by position.

    Args:
        argument_types: Of numbers by name, of arrays by reads() and writes().
    """

    def made(function: Callable[_Given, _Made]) -> Compiled[_Given, _Made]:
        _FUNCTIONS.append(ready := Compiled(function, argument_types))
        return ready

    return made


def compile_all() -> int:
    """Compile every function of the modules that are imported; how many there are."""
    for function in _FUNCTIONS:
        function.compile()
    return len(_FUNCTIONS)


def _machine_code(function: Callable[..., Any], argument_types: tuple[ArgumentType, ...]) -> Callable[..., Any]:
    # Untyped on purpose: Numba brings no annotations.
    numba: Any = importlib.import_module("numba")
    extending: Any = importlib.import_module("numba.extending")
    for each in _FORMULAS.keys() - _REGISTERED:
        extending.register_jitable(each)
        _REGISTERED.add(each)
    signature = tuple(_numba_type(each, numba.types) for each in argument_types)
    before, folder = numba.config.CACHE_DIR, _kept_in(function, numba.__version__)
    numba.config.CACHE_DIR = str(folder) if folder is not None else ""
    try:
        ready: Callable[..., Any] = numba.njit([signature], nogil=True, cache=folder is not None, error_model="numpy")(
            function
        )
    finally:
        numba.config.CACHE_DIR = before
    return ready


def _numba_type(argument: ArgumentType, types: Any) -> Any:
    if isinstance(argument, str):
        return getattr(types, argument)
    if isinstance(argument, ArrayType):
        dtype = getattr(types, argument.dtype)
        return types.Array(dtype, argument.ndim, argument.layout, readonly=argument.readonly, aligned=argument.aligned)
    return types.Tuple([_numba_type(each, types) for each in argument])


def _said(function: Callable[..., Any]) -> str:
    """What a function and all formulas that it calls say, constants of modules included."""
    code = function.__code__
    named = {name: function.__globals__.get(name) for name in code.co_names}
    constants = {name: value for name, value in named.items() if isinstance(value, int | float)}
    called = [_FORMULAS[value] for value in named.values() if isinstance(value, FunctionType) and value in _FORMULAS]
    return repr((code.co_code, code.co_consts, code.co_names, constants, called))


def _kept_in(function: Callable[..., Any], version: str) -> Path | None:
    """Where the machine code of a function is kept; None where nothing can be written."""
    said = hashlib.sha256(f"{version} {_said(function)}".encode()).hexdigest()[:16]
    folder = cache_folder() / "compiled" / said
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None
