"""Values that somebody's system has sent some day: texts, ids, numbers, times, enums, as JSON and as they are."""

import json
from random import Random
from typing import Final

HALF_PAIR: Final = "\ud83d"
TEXTS: Final = (
    *('tv 5"', "cat\\new", "it's", "100%", "a_b", "a|b", "a/b", "../x", "${x}", "{{x}}", "<b>", "&amp;", "`", "a,b;c"),
    *("~x", "~", " ", "  lead", "trail ", "a\tb", "a\nb", "a\r\nb", "\x00", "a\x00b", "\x1b[31m", "\x7f", "\x85"),
    *("ü", "u\u0308", "10½", "501™", "ﬁ", "İ", "ß", "\u200b", "\u200d", "می\u200cخواهم", "שלום", "\u202eabc"),
    *("👨\u200d👩\u200d👧", "\U0001f600", "\U0010ffff", "\ufffe", "\ufeffx", "\u2028", "数据", "ก็"),
    *("NA", "nan", "null", "None", "-", "?", "0", "-1", "1e5", "true", "[]", "{}", "mmrec.forget", "mmrec."),
    *("x" * 255, "x" * 256, "x" * 257, "ü" * 128, "ü" * 129, "x" * 3_002, "y" * 70_000),
)
"""Texts of valid UTF-8."""
NUMBERS: Final = (
    *("0", "-0", "1", "-1", "0.5", "-0.0", "1e5", "1E5", "1e-400", "1e308", "1.8e308", "1e400", "-1e400"),
    *("2147483647", "2147483648", "-2147483649", "4294967296", "9007199254740993", "9223372036854775807"),
    *("9223372036854775808", "18446744073709551616", "1e20", "0.1", "3.0", "3.7", "123456789012345678901234567890"),
    *("NaN", "Infinity", "-Infinity", "nan", "01", "+1", ".5", "5.", "0x10", "1_000", "1,299.00", "1" * 5_000),
)
"""JSON text, some of it none."""
TIMES: Final = (
    *("2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "0000-01-01T00:00:00Z"),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59-23:59", "10000-01-01T00:00:00Z"),
    *("2026-06-30T23:59:60Z", "2026-02-30T00:00:00Z", "2025-02-29T00:00:00Z", "2024-02-29T12:00:00Z"),
    *("2026-01-01T00:00:00", "2026-01-01", "2026-01-01 00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01t00:00:00z"),
    *("2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+05:30", "2026-01-01T00:00:00.1234567890Z", "yesterday", ""),
    *("0001-01-01T00:00:00+23:59", "٢٠٢٦-٠١-٠١T00:00:00Z", "2026-1-1T0:0:0Z", "1767225600", "1e20"),
)
ENUMS: Final = (
    *('"HIDDEN"', '"discontinued"', "77", "-1", "2147483648", '"AVAILABILITY_HIDDEN"', "3", "3.5", '"3"', '""', "null"),
    *('"availability_hidden"', "true", "[]", "{}"),
)
VALUES: Final = (
    *("null", "true", "false", '""', "[]", "{}", "[[]]", '{"a":{"b":[1]}}', '["x"]', "[1,2,3]", '"1"', '"NaN"'),
    *('"Infinity"', '"1e400"', '"\\ud83d"', '"\\udc00x"', '"\\u0000"', '{"":""}', '{"seconds":1}', '"0"', '"1,299.00"'),
)
"""JSON text of all types."""


def text(rng: Random) -> str:
    """Any text that UTF-8 can hold."""
    kind = rng.randrange(4)
    if kind == 0:
        return "".join(chr(_code_point(rng)) for _ in range(rng.randint(0, 12)))
    if kind == 1:
        return rng.choice(TEXTS) + rng.choice(TEXTS[:60])
    return rng.choice(TEXTS)


def _code_point(rng: Random) -> int:
    top = rng.choice((0x80, 0x800, 0xD800, 0x110000))
    found = rng.randrange(top)
    return found if not 0xD800 <= found < 0xE000 else 0x20AC


def json_text(rng: Random) -> str:
    """JSON of a text, half surrogate pairs included."""
    found = text(rng)
    if rng.random() < 0.15:
        found += HALF_PAIR if rng.random() < 0.5 else "\udc00"
    written = json.dumps(found, ensure_ascii=rng.random() < 0.5)
    return written if _is_utf8(written) else json.dumps(found)


def json_value(rng: Random) -> str:
    """JSON of anything, now and then of nothing."""
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice(NUMBERS)
    if kind == 1:
        return json.dumps(rng.choice(NUMBERS))
    if kind == 2:
        return json.dumps(rng.choice(TIMES))
    if kind == 3:
        return rng.choice(ENUMS)
    if kind == 4:
        return nested(rng)
    return json_text(rng) if kind < 7 else rng.choice(VALUES)


def nested(rng: Random) -> str:
    """An array or object in itself, a few or very many times."""
    depth = rng.choice((2, 20, 99, 101, 500, 1_000, 5_000, 30_000))
    opening, closing = rng.choice((("[", "]"), ('{"a":', "}"), ('[{"context":', "}]")))
    return (
        opening * depth + rng.choice(("", "1", '"x"', "null")) + closing * (depth if rng.random() < 0.8 else depth - 1)
    )


def _is_utf8(written: str) -> bool:
    try:
        written.encode()
    except UnicodeEncodeError:
        return False
    return True
