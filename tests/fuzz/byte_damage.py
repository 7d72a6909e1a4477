"""Damage to bytes, whatever they mean."""

import gzip
from collections.abc import Callable
from random import Random
from typing import Final

_INSERTED: Final = (
    *(b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xc0\x80", b"\xed\xa0\xbd", b"\xf4\x90\x80\x80", b"\x80", b"\xe2\x82"),
    *(b"\n", b"\r\n", b"\x1a", b'"', b"\\", b"{", b"}", b"[", b",", b":", b"\\u0000", b"\\ud83d", b"//", b"\x0b"),
)


def _flipped(data: bytes, rng: Random) -> bytes:
    broken = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 3, 10))):
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
    return bytes(broken)


def _set(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256)))]) + data[at + 1 :]


def _truncated(data: bytes, rng: Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _beheaded(data: bytes, rng: Random) -> bytes:
    return data[rng.randrange(1, len(data) + 1) :]


def _inserted(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(_INSERTED) + data[at:]


def _prefixed(data: bytes, rng: Random) -> bytes:
    return (
        rng.choice((b"\xef\xbb\xbf", b"\xef\xbb\xbf\xef\xbb\xbf", b"\xff\xfe", b" ", b"\x00", b"\x00\x00\x00\x00\x01"))
        + data
    )


def _cut_out(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randint(1, 16) :]


def _repeated(data: bytes, rng: Random) -> bytes:
    at, size = rng.randrange(len(data)), rng.randint(1, 64)
    return data[: at + size] + data[at : at + size] * rng.choice((1, 2, 50)) + data[at + size :]


def _spliced(data: bytes, rng: Random) -> bytes:
    at, other = rng.randrange(len(data)), rng.randrange(len(data))
    return data[:at] + data[other:]


def _doubled(data: bytes, rng: Random) -> bytes:
    return data + rng.choice((b"", b"\n", b",")) + data


def _random(_: bytes, rng: Random) -> bytes:
    return rng.randbytes(rng.choice((1, 2, 8, 64, 1_000)))


def _empty(_: bytes, rng: Random) -> bytes:
    return rng.choice((b"", b" ", b"\n", b"null", b"0", b'""', b"[]", b"{}", b"\x00"))


def _packed(data: bytes, _: Random) -> bytes:
    return gzip.compress(data, mtime=0)


def _in_another_encoding(data: bytes, rng: Random) -> bytes:
    return data.decode("utf-8", errors="replace").encode(
        rng.choice(("utf-16", "utf-32-le", "latin-1")), errors="replace"
    )


DAMAGES: Final[tuple[Callable[[bytes, Random], bytes], ...]] = (
    *(_flipped, _flipped, _set, _truncated, _beheaded, _inserted, _inserted, _prefixed, _cut_out, _repeated),
    *(_spliced, _doubled, _random, _empty, _packed, _in_another_encoding),
)


def damaged(data: bytes, rng: Random) -> tuple[bytes, str]:
    """The bytes, broken, and by what."""
    if not data:
        return _random(data, rng), "random"
    damage = rng.choice(DAMAGES)
    return damage(data, rng), damage.__name__.strip("_")
