"""Profiles on a worker's disk: all of a part or none, and of one micro-batch only."""

import pytest

from jobs.kept_profiles import PORTION, ProfileKeeper, kept_profiles
from mmrec.features.values import PackedProfile

PROFILES = {f"u{n}": PackedProfile(packed=bytes([n % 251]) * n, clear=f"{{{n}}}") for n in range(PORTION + 3)}


def test_what_is_kept_is_read_again(tmp_path) -> None:
    with ProfileKeeper(tmp_path / "new", batch="b1", part="0") as keeper:
        keeper.put(dict(list(PROFILES.items())[:2]))
        keeper.put({})
        keeper.put(dict(list(PROFILES.items())[2:]))
    portions = kept_profiles(tmp_path / "new", batch="b1", part="0")
    assert portions is not None
    assert {key: value for portion in portions for key, value in portion.items()} == PROFILES


def test_a_part_that_is_not_here_or_was_broken_off_is_none(tmp_path) -> None:
    with pytest.raises(RuntimeError), ProfileKeeper(tmp_path, batch="b1", part="0") as keeper:
        keeper.put(PROFILES)
        raise RuntimeError
    assert kept_profiles(tmp_path, batch="b1", part="0") is None
    assert kept_profiles(tmp_path, batch="b1", part="1") is None


def test_another_batch_takes_the_room(tmp_path) -> None:
    for batch in ("b1", "b2"):
        with ProfileKeeper(tmp_path, batch=batch, part="0") as keeper:
            keeper.put(PROFILES)
    assert kept_profiles(tmp_path, batch="b1", part="0") is None
    assert [path.name for path in tmp_path.iterdir()] == ["b2-0.arrow"]
