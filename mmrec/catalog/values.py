"""Values of items: how people see them, how they are compared, and how one string holds several.

    shown_text(sent)                what is shown: as sent, but for control characters and, once, HTML entities
    folded(text)                    what is compared, encoded and filtered by; never shown
    attribute_values("Action | Comedy") -> ("Action", "Comedy")        the one reading of the "|" convention

Folding is close to toNFKC_Casefold of the Unicode Standard (section 3.13.5): compatibility forms, case, and characters
that only format (joiners, variation selectors) make no difference.
"""

import html
import math
import re
import unicodedata
from html.entities import html5
from typing import Final

VALUE_SEPARATOR: Final = "|"
"""Stands between the values of an attribute that has several."""
SEARCHED_CHARACTERS: Final = 1_024
"""Of a description: what search reads of it."""
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?")
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_CONTROL_RUN: Final = re.compile("\\s*[\x00-\x1f\x7f-\x9f](?:\\s|[\x00-\x1f\x7f-\x9f])*")
_ENTITY: Final = re.compile(r"&(?:#[0-9]{1,8}|#[xX][0-9a-fA-F]{1,8}|[A-Za-z][A-Za-z0-9]{1,31});")
_FORMATTING: Final = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Variation selectors, which are marks by category; characters of category Cf go as well."""


def has_controls(text: str) -> bool:
    """Whether a text holds control characters (C0, DEL, C1)."""
    return _CONTROLS.search(text) is not None


def has_entities(text: str) -> bool:
    """Whether decoding HTML entities would change a text."""
    return decode_entities(text) != text


def decode_entities(text: str) -> str:
    """HTML entities as characters, once: "&amp;amp;" becomes "&amp;". Only those that end in ";" and that exist."""
    return _ENTITY.sub(_entity, text) if "&" in text else text


def _entity(found: re.Match[str]) -> str:
    # Numbers by HTML's own table (&#150; is a dash of Windows-1252); a name that does not exist stays as it was sent.
    return html.unescape(found[0]) if found[0][1] == "#" else html5.get(found[0][1:], found[0])


def shown_text(text: str) -> str:
    """A text as people see it: as it was sent, without control characters, without white space around it.

    Control characters, with white space beside them, become one space. Joiners, emoji, fractions, superscripts and
    either Unicode form of an accent stay.
    """
    return text.strip() if text.isprintable() else _CONTROL_RUN.sub(" ", text).strip()


def is_blank(text: str) -> bool:
    """Whether nobody would see anything of a text: white space, control and formatting characters, entities of them."""
    return not any(
        unicodedata.category(character)[0] not in "CZ" for character in _FORMATTING.sub("", decode_entities(text))
    )


def normal_text(text: str) -> str:
    """A text for encoders: NFKC, without control and formatting characters, with single spaces. Never shown."""
    normal = unicodedata.normalize("NFKC", text)
    if normal.isascii() and normal.isprintable():
        return " ".join(normal.split())
    return " ".join("".join(" " if unicodedata.category(c)[0] == "C" else c for c in normal).split())


def folded(text: str) -> str:
    """A value as it is compared. Folding twice is folding once; a text of nothing but formatting stays as it is."""
    if text.isascii() and text.isprintable():
        return " ".join(text.lower().split())
    bare = "".join(c for c in _FORMATTING.sub("", _folded_once(text)) if unicodedata.category(c) != "Cf")
    return " ".join(_folded_once(bare).split()) or text


def number_of(value: str) -> float | None:
    """The finite number that a value is written as, such as "13.3"; None for anything else, units included."""
    text = folded(value)
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


def _folded_once(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def attribute_values(value: str) -> tuple[str, ...]:
    """The values that an attribute string holds, in their order, without white space around them; "" holds none."""
    if VALUE_SEPARATOR not in value:
        return (one,) if (one := value.strip()) else ()
    return tuple(part for each in value.split(VALUE_SEPARATOR) if (part := each.strip()))
