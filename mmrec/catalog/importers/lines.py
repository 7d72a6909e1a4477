"""Lines of text files as people have them: plain, .gz or .zst; UTF-8 with or without BOM, UTF-16, Windows-1252.

    for number, line in text_lines(path, reading): ...

The encoding is that of the byte order mark, or UTF-16 where every second byte is zero. Otherwise a line is UTF-8, and
one that is not is Windows-1252, which is counted: files that were put together from several have both.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

import pyarrow as pa

from mmrec.catalog.importers.reading import Noticed, Reading
from mmrec.errors import InvalidRequestError

PACKED: Final = (".gz", ".zst")
_SEEN_BYTES: Final = 4_096
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def plain_suffix(path: Path) -> str:
    """The suffix that says the form, in small letters: ".csv" of "Items.CSV.gz"."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked.

    Raises:
        InvalidRequestError: it cannot be opened, or is packed in another way than its name says.
    """
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(path, "rb") as file:
                yield cast(IO[bytes], file)
        elif path.suffix.lower() == ".zst":
            with pa.input_stream(str(path), compression="zstd") as stream, io.BufferedReader(stream) as buffered:
                yield buffered
        else:
            with path.open("rb") as plain:
                yield plain
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise InvalidRequestError(f"{path} cannot be read: {error}") from None


def encoding_of(path: Path, given: str = "") -> str:
    """The encoding of a whole file, "" where each line decides between UTF-8 and Windows-1252.

    Args:
        given: What the caller says it is.

    Raises:
        InvalidRequestError: `given` is no encoding.
    """
    if given:
        try:
            return codecs.lookup(given).name
        except LookupError:
            raise InvalidRequestError(f"encoding {given!r} is not known; give one such as utf-8 or cp1252") from None
    with open_bytes(path) as file:
        start = file.read(_SEEN_BYTES)
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    if len(start) >= 4 and not len(start) % 2 and 0 in start:
        if not any(start[0::2]) or start[0::2].count(0) > len(start) * 0.4:
            return "utf-16-be"
        if start[1::2].count(0) > len(start) * 0.4:
            return "utf-16-le"
    return ""


def text_lines(path: Path, reading: Reading, *, encoding: str = "") -> Iterator[str]:
    """The lines of a file with their ends, in bounded memory but for one line.

    Args:
        encoding: As encoding_of() says.

    Raises:
        InvalidRequestError: the file cannot be read further.
    """
    with open_bytes(path) as file:
        if encoding:
            with io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="") as text:
                yield from text
            return
        for number, line in enumerate(file, start=1):
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError:
                reading.note(Noticed.ENCODING, f"line {number}", line)
                yield windows_text(line)


def byte_lines(path: Path, reading: Reading, *, encoding: str = "") -> Iterator[bytes]:
    """The same lines in UTF-8, without decoding those that are."""
    if encoding not in ("", "utf-8", "utf-8-sig"):
        yield from (line.encode("utf-8") for line in text_lines(path, reading, encoding=encoding))
        return
    with open_bytes(path) as file:
        first = True
        for line in file:
            yield line.removeprefix(codecs.BOM_UTF8) if first else line
            first = False


def windows_text(line: bytes) -> str:
    """Windows-1252; the five bytes that it leaves open are the control characters that they are in Latin-1."""
    try:
        return line.decode("cp1252")
    except UnicodeDecodeError:
        return "".join(bytes([byte]).decode("cp1252") if byte not in _OPEN_BYTES else chr(byte) for byte in line)


_OPEN_BYTES: Final = frozenset({0x81, 0x8D, 0x8F, 0x90, 0x9D})
