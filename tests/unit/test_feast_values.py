"""Stored values of Feast: what is none is refused by what it begins with."""

import pytest

from mmrec.stores.feast.insides import bytes_value, value_message


def test_bytes_come_back_from_their_stored_value() -> None:
    for value in (b"", b"\x00\xff", bytes(range(256)) * 9):
        assert bytes_value(value_message(value)) == value


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (b"\xff\xff", r"what begins b'\\xff\\xff' is no stored value"),
        (value_message(b"profile")[:-1], "is no stored value"),
        (value_message("text"), "holds no bytes"),
        (b"", "holds no bytes"),
    ],
)
def test_what_is_no_bytes_value_is_refused_however_it_is_broken(stored: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        bytes_value(stored)
