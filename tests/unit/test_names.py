"""Ids kept as one text are the same list of strings, whichever way it is read or changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec.scoring.names import Names

IDS = st.lists(st.text(st.characters(exclude_characters="\x1f", exclude_categories=("Cs",)), max_size=4), max_size=8)


@given(IDS, IDS)
def test_names_are_the_list_they_were_made_of(ids: list[str], more: list[str]) -> None:
    stored = Names.stored(Names(ids).text, len(ids))
    assert stored.all == tuple(ids)
    assert stored == Names(ids)
    assert stored.plus(tuple(more)).all == (*ids, *more)
    assert Names.of_encoded(stored.encoded) == stored
    assert stored.encoded == [name.encode() for name in ids]
    for name in {*ids, *more}:
        assert stored.position(name) == (ids.index(name) if name in ids else -1)


def test_a_name_with_the_separator_is_refused() -> None:
    with pytest.raises(ValueError, match="control character"):
        _ = Names(["a\x1fb"]).text
    with pytest.raises(ValueError, match="control character"):
        Names(["a"]).plus(("b\x1f",))
    with pytest.raises(ValueError, match="holds 2"):
        _ = Names.stored(Names(["a", "b"]).text, 3).all
