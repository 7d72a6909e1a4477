"""A part of a page that may fail without the rest: what it shows, or what failed and what to do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from mmrec.console.shown_text import shown_text
from mmrec.errors import DeadlineError, InvalidRequestError, MmrecError, NotFoundError, PreconditionError

Value = TypeVar("Value")
_ADVICE: Final = (
    (InvalidRequestError, 400, "Change what was asked for."),
    (NotFoundError, 404, "Look for another one."),
    (PreconditionError, 409, "Look at the newest state, and decide again."),
    (DeadlineError, 504, "Try again; if it stays slow, `mmrec status` shows which program is behind."),
    (
        MmrecError,
        503,
        "`mmrec status` shows which program does not run, `mmrec logs PROGRAM` why; the rest of this page works.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Part(Generic[Value]):
    """Either `value`, or `failed` and `advice` in words."""

    value: Value | None = None
    failed: str = ""
    advice: str = ""
    status: int = 200
    """As HTTP has them."""


def attempt(what: str, work: Callable[[], Value]) -> Part[Value]:
    """What `work` gives; errors of mmrec in words, any other as it is.

    Args:
        what: What is shown there, such as "the list".
    """
    try:
        return Part(value=work())
    except MmrecError as error:
        status, advice = next((status, said) for kind, status, said in _ADVICE if isinstance(error, kind))
        return Part(failed=f"{what}: {shown_text(str(error), max_characters=400)}", advice=advice, status=status)
