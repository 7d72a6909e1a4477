"""Values from outside the system, made fit for messages to people."""

from typing import Final

_MAX_CHARACTERS: Final = 80


def shown(value: object) -> str:
    """A value for a message: ASCII, in quotes where it is text, 80 characters at most."""
    text = ascii(value)
    return text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 3] + "..."
