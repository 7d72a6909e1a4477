"""What every registry of forgotten users promises: in memory, in a folder, in a bucket."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mmrec.disk.objects import FolderObjects
from mmrec.errors import IncompatibleStateError
from mmrec.events.forgotten import ForgottenUsers, MemoryForgottenUsers
from mmrec.stores.log.forgotten_file import FileForgottenUsers
from tests.object_places import OBJECT_PLACES, place_for

Reopen = Callable[[], ForgottenUsers]


@pytest.fixture(params=["memory", *OBJECT_PLACES])
def reopen(request: pytest.FixtureRequest) -> Reopen:
    """Opens the same registry again; the one in memory is its own reopening."""
    if request.param == "memory":
        users = MemoryForgottenUsers()
        return lambda: users
    objects = place_for(request)
    return lambda: FileForgottenUsers(objects)


def kept_in(folder: Path) -> FileForgottenUsers:
    return FileForgottenUsers(FolderObjects(folder, private=True))


def test_only_forgotten_users_have_an_instant(reopen: Reopen) -> None:
    assert reopen().forgotten_s(["ann", "bob"]) == {}
    reopen().forget("ann", known_time_s=7.5)
    assert reopen().forgotten_s(["ann", "bob", "~ann"]) == {"ann": 7.5}
    assert reopen().num_forgotten() == 1


def test_the_newest_instant_stands_and_repeats_change_nothing(reopen: Reopen) -> None:
    users = reopen()
    for instant in (5.0, 5.0, 3.0, 9.0, 9.0):
        users.forget("ann", known_time_s=instant)
    assert reopen().forgotten_s(["ann"]) == {"ann": 9.0}
    assert reopen().num_forgotten() == 2


def test_several_are_forgotten_at_once_each_up_to_its_instant_and_what_is_known_stays(
    reopen: Reopen,
) -> None:
    reopen().forget("ann", known_time_s=7.0)
    reopen().forget_all({"ann": 5.0, "~tablet": 6.0, "bob": 8.0})
    assert reopen().forgotten_s(["ann", "~tablet", "bob", "eve"]) == {"ann": 7.0, "~tablet": 6.0, "bob": 8.0}
    reopen().forget_all({"ann": 9.0, "bob": 8.0})
    reopen().forget_all({})
    assert reopen().forgotten_s(["ann", "bob"]) == {"ann": 9.0, "bob": 8.0}
    assert reopen().num_forgotten() == 4


def test_a_reader_sees_what_another_forgot_since_it_was_opened(reopen: Reopen) -> None:
    reader, writer = reopen(), reopen()
    assert reader.num_forgotten() == 0
    writer.forget("ann", known_time_s=1.0)
    assert reader.forgotten_s(["ann"]) == {"ann": 1.0}
    reader.forget("bob", known_time_s=2.0)
    assert writer.num_forgotten() == reader.num_forgotten() == 2


def test_a_name_in_receipts_is_the_same_for_every_process(reopen: Reopen) -> None:
    assert reopen().hash_of("ann") == reopen().hash_of("ann") != reopen().hash_of("bob")
    assert len(reopen().hash_of("ann")) == 32


def test_files_hold_no_id_and_the_key_is_its_owners(tmp_path: Path) -> None:
    kept_in(tmp_path).forget("a-very-unique-id", known_time_s=1.0)
    assert b"a-very-unique-id" not in b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert [entry.name for entry in FolderObjects(tmp_path).entries()] == ["entries", "key"]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_an_entry_that_was_cut_short_is_not_read_and_is_overwritten(tmp_path: Path) -> None:
    kept_in(tmp_path).forget("ann", known_time_s=1.0)
    entries = tmp_path / "entries"
    entries.write_bytes(entries.read_bytes() + b"torn")
    assert kept_in(tmp_path).num_forgotten() == 1
    kept_in(tmp_path).forget("bob", known_time_s=2.0)
    assert kept_in(tmp_path).forgotten_s(["ann", "bob"]) == {
        "ann": 1.0,
        "bob": 2.0,
    }


def test_entries_without_their_key_are_refused_in_words(tmp_path: Path) -> None:
    kept_in(tmp_path).forget("ann", known_time_s=1.0)
    (tmp_path / "key").unlink()
    with pytest.raises(IncompatibleStateError, match="backup"):
        kept_in(tmp_path).forgotten_s(["ann"])
