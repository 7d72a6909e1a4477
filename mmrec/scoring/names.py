"""Ids of a profile in their stored form: one text that is split into strings only when somebody reads it.

A profile holds hundreds of ids, and a batch touches a few of them. Making, copying and freeing all those strings would
be most of the work; finding one in the text and appending one costs next to nothing.

    text    U+001F id U+001F id U+001F ... U+001F        UTF-8; ids hold no control characters, so U+001F can part them
"""

from collections.abc import Iterable
from typing import Final

SEPARATOR: Final = b"\x1f"


class Names:
    """Ids in order; never changed."""

    __slots__ = ("_names", "_num", "_text")

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names: tuple[str, ...] | None = tuple(names)
        self._num = len(self._names)
        self._text: bytes | None = None

    @classmethod
    def stored(cls, text: bytes, num_names: int) -> "Names":
        """The names in a text that text() returned."""
        names = object.__new__(cls)
        names._names, names._num, names._text = None, num_names, text
        return names

    @classmethod
    def of_encoded(cls, encoded: list[bytes]) -> "Names":
        """The names that `encoded` returned, or others, as UTF-8 without the separator."""
        return cls.stored(SEPARATOR.join((b"", *encoded, b"")) if encoded else SEPARATOR, len(encoded))

    def __len__(self) -> int:
        return self._num

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Names) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Names({self.all!r})"

    @property
    def all(self) -> tuple[str, ...]:
        """Every name.

        Raises:
            ValueError: the stored text holds another number of names.
        """
        if self._names is None:
            names = tuple(self.text.decode().split("\x1f")[1:-1])
            if len(names) != self._num:
                raise ValueError(f"a text of {self._num} names holds {len(names)}")
            self._names = names
        return self._names

    @property
    def encoded(self) -> list[bytes]:
        """Every name as UTF-8."""
        return self.text.split(SEPARATOR)[1:-1]

    @property
    def text(self) -> bytes:
        """What is stored.

        Raises:
            ValueError: a name holds the separator.
        """
        if self._text is None:
            self._text = _text(self._names or ())
        return self._text

    def position(self, name: str) -> int:
        """Position of a name's first occurrence; -1 where it does not occur."""
        text = self.text
        at = text.find(SEPARATOR + name.encode() + SEPARATOR)
        return at if at < 0 else text.count(SEPARATOR, 0, at)

    def plus(self, names: tuple[str, ...]) -> "Names":
        """These names, followed by others."""
        return Names.stored(self.text + _text(names)[1:], self._num + len(names)) if names else self


def _text(names: tuple[str, ...]) -> bytes:
    text = "".join(["\x1f", *[name + "\x1f" for name in names]]).encode()
    if text.count(SEPARATOR) != len(names) + 1:
        offender = next(name for name in names if "\x1f" in name)
        raise ValueError(f"id {offender!r} holds the control character U+001F; ids may not hold control characters")
    return text
