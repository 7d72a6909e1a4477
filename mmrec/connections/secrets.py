"""Secrets are files: a setting names one, and its content is read when a connection is made.

    password = read_secret(settings.kafka.password_file, setting="kafka.password_file")

So no secret stands in a configuration, an environment, a log or a receipt, and a renewed one is used at the next
connection.
"""

import stat
from pathlib import Path
from typing import Final

from mmrec.errors import ConfigurationError

_MAX_BYTES: Final = 64 * 1024
_OTHERS: Final = stat.S_IRWXO


def read_secret(path: str, *, setting: str) -> str:
    """The content of a file, without the newline at its end.

    Args:
        setting: Name of the setting that names the file, for errors.

    Raises:
        ConfigurationError: secret_problem() has something to say; the secret itself is never quoted.
    """
    if problem := secret_problem(path):
        raise ConfigurationError(f"{setting} is {path!r}: {problem}")
    return Path(path).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")


def secret_problem(path: str) -> str:
    """Why a file is no secret: it cannot be read, everybody may, or it holds no single line of text; else empty."""
    if problem := private_problem(path):
        return problem
    content = Path(path).read_bytes()
    if len(content) > _MAX_BYTES:
        return f"it has {len(content):,} bytes; a secret has {_MAX_BYTES:,} at most"
    try:
        text = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        return "it is no UTF-8 text"
    if not text:
        return "it is empty; write the secret into it"
    if any(not character.isprintable() for character in text):
        return "it has several lines, or characters that cannot be typed; write the secret alone into it"
    return ""


def private_problem(path: str) -> str:
    """Why a file does not do as one that only its owner and group may read; else empty."""
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):
            return "it is no file"
        with Path(path).open("rb"):
            pass
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    if mode & _OTHERS:
        return f"everybody on this machine may use it (mode {stat.S_IMODE(mode):04o}); give it mode 0600 or 0440"
    return ""
