"""Text of strangers as it is shown: nothing in it moves what stands around it, and none of it is endless.

Pages escape markup and put such text into an element of its own direction (<bdi>); here goes what these leave: control
characters, marks that turn the direction of text (Unicode Standard Annex 9), and length.
"""

import unicodedata
from typing import Final

MAX_CHARACTERS: Final = 200
_INSTEAD: Final = "\N{REPLACEMENT CHARACTER}"
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that have no shape of their own."""
_JOINERS: Final = frozenset("\u200c\u200d")
"""Parts of words and of emoji in several scripts."""
_MAX_MARKS: Final = 4
"""Marks on one letter: more of them are drawn over the lines above and below."""


def shown_text(text: str, *, max_characters: int = MAX_CHARACTERS) -> str:
    """One line of text to be shown, `max_characters` at most; what has no shape is replaced, spaces are one."""
    shown, num_marks = [], 0
    for character in " ".join(text[: 4 * max_characters].split()):
        category = unicodedata.category(character)
        num_marks = num_marks + 1 if category in ("Mn", "Me") else 0
        if num_marks > _MAX_MARKS:
            continue
        shown.append(_INSTEAD if category in _UNSEEN and character not in _JOINERS else character)
    whole = "".join(shown)
    return whole if len(whole) <= max_characters else whole[: max_characters - 1] + "…"
