"""Damage to JSON objects that keeps them JSON, mostly: types swapped, names doubled, values out of every bound.

A document is a dict; it is written with a writer of our own, because what is wanted (names that stand twice, numbers
that are none, half surrogate pairs) is what a good writer never makes.
"""

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

from tests.fuzz import awkward
from tests.fuzz.byte_damage import damaged

Members = list[tuple[str, Any]]
BYTE_DAMAGE: Final = 0.3
"""Share of documents that are broken as bytes rather than as JSON."""


class Raw(str):
    """JSON text that is written as it is."""


def written(value: Any, rng: Random | None = None) -> str:
    """JSON of a value whose objects may be lists of (name, value)."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Mapping):
        value = list(value.items())
    if isinstance(value, list) and value and all(isinstance(v, tuple) for v in value):
        colon = rng.choice((":", ": ", " : ")) if rng is not None else ":"
        names = (json.dumps(name) if not isinstance(name, Raw) else str(name) for name, _ in value)
        return "{" + ",".join(f"{n}{colon}{written(v)}" for n, (_, v) in zip(names, value, strict=True)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value, ensure_ascii=rng is not None and rng.random() < 0.5)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _set(members: Members, rng: Random, value: Any) -> Members:
    at = rng.randrange(len(members))
    return [(n, value if i == at else v) for i, (n, v) in enumerate(members)]


def _any_value(members: Members, rng: Random) -> Members:
    return _set(members, rng, Raw(awkward.json_value(rng)))


def _any_text(members: Members, rng: Random) -> Members:
    return _set(members, rng, Raw(awkward.json_text(rng)))


def _any_number(members: Members, rng: Random) -> Members:
    numbers = [i for i, (_, v) in enumerate(members) if isinstance(v, int | float)] or [rng.randrange(len(members))]
    at, value = rng.choice(numbers), Raw(rng.choice(awkward.NUMBERS))
    return [(n, value if i == at else v) for i, (n, v) in enumerate(members)]


def _any_time(members: Members, rng: Random) -> Members:
    times = [i for i, (n, _) in enumerate(members) if n.endswith(("time", "Time"))] or [rng.randrange(len(members))]
    at, value = rng.choice(times), rng.choice(awkward.TIMES)
    return [(n, value if i == at else v) for i, (n, v) in enumerate(members)]


def _dropped(members: Members, rng: Random) -> Members:
    at = rng.randrange(len(members))
    return members[:at] + members[at + 1 :]


def _null(members: Members, rng: Random) -> Members:
    return _set(members, rng, None)


def _twice(members: Members, rng: Random) -> Members:
    name, value = rng.choice(members)
    again = rng.choice((name, _camel(name), _camel(name)))
    return [*members, (again, value if rng.random() < 0.5 else Raw(awkward.json_value(rng)))]


def _unknown(members: Members, rng: Random) -> Members:
    name = rng.choice(("new_field", "", "EventId", "event-id", awkward.text(rng)[:300], "__proto__", "user_id "))
    return [*members, (name, Raw(awkward.json_value(rng)))]


def _camel_case(members: Members, _: Random) -> Members:
    return [(_camel(n), v) for n, v in members]


def _escaped_name(members: Members, rng: Random) -> Members:
    at = rng.randrange(len(members))
    name = Raw('"' + "".join(f"\\u{ord(c):04x}" for c in members[at][0]) + '"')
    return [(name if i == at else n, v) for i, (n, v) in enumerate(members)]


def _inside(members: Members, rng: Random) -> Members:
    """Damage one level deeper."""
    inner = [i for i, (_, v) in enumerate(members) if isinstance(v, Mapping) and v]
    if not inner:
        return _any_value(members, rng)
    at = rng.choice(inner)
    broken = rng.choice((_any_value, _any_text, _null, _twice, _unknown))(list(members[at][1].items()), rng)
    return [(n, broken if i == at else v) for i, (n, v) in enumerate(members)]


def _in_a_list(members: Members, rng: Random) -> Members:
    lists = [i for i, (_, v) in enumerate(members) if isinstance(v, list) and v]
    if not lists:
        return _set(members, rng, [])
    at = rng.choice(lists)
    values = list(members[at][1])
    row = rng.randrange(len(values))
    if isinstance(values[row], Mapping) and rng.random() < 0.8:
        values[row] = rng.choice((_any_value, _dropped, _null, _twice, _in_a_list))(list(values[row].items()), rng)
    else:
        values[row] = Raw(awkward.json_value(rng))
    return [(n, values if i == at else v) for i, (n, v) in enumerate(members)]


DAMAGES: Final[tuple[Callable[[Members, Random], Members], ...]] = (
    *(_any_value, _any_value, _any_text, _any_text, _any_number, _any_number, _any_time, _dropped, _null, _twice),
    *(_unknown, _camel_case, _escaped_name, _inside, _inside, _in_a_list, _in_a_list),
)


def damaged_document(document: Mapping[str, Any], rng: Random) -> tuple[bytes, str]:
    """A value made of a document, broken in one to three ways, and by what first."""
    if rng.random() < BYTE_DAMAGE:
        return damaged(written(document).encode(), rng)
    members: Members = list(document.items())
    names = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        damage = rng.choice(DAMAGES)
        members = damage(members, rng) or [("a", 1)]
        names.append(damage.__name__.strip("_"))
    return written(members, rng).encode(), names[0]


def damaged_key(key: bytes, rng: Random) -> bytes | None:
    """A key, mostly as it was."""
    if rng.random() < 0.85:
        return key
    return rng.choice((None, b"", damaged(key, rng)[0], awkward.text(rng).encode(), key + b"x", b"\xff\xfe"))
