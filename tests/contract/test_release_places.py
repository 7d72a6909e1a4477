"""What releases promise wherever they lie: in a folder, and in a bucket."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mmrec.disk.objects import FolderObjects, Objects
from mmrec.errors import IncompatibleStateError, InvalidRequestError, NotFoundError, PreconditionError
from mmrec.publishing.release import CollectionMark, Release, ReleaseStore


def release(release_id: str) -> Release:
    return Release(
        release_id=release_id,
        created_s=1.5,
        collection=f"items_{release_id}",
        feature_fingerprint="f",
        feature_names=("a", "b"),
        behavior_weights={"browse": 1.0},
        half_lives_days=(1.0, 7.0),
        neighbor_decays=(0.1, 0.2),
        encoders={"text": "plain"},
        embedding_dim=4,
        num_items=3,
        embedding_topic="c/t",
        embedding_offsets={"0": 7},
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    (folder / "parts").mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    (folder / "parts" / "weights.bin").write_bytes(bytes(range(256)) * 100)
    return folder


@pytest.fixture
def store(objects: Objects, tmp_path: Path) -> ReleaseStore:
    return ReleaseStore(objects, cache=tmp_path / "cache")


def test_a_release_is_written_once_and_comes_back_whole(store: ReleaseStore, model: Path) -> None:
    assert store.list() == ()
    assert store.current() == store.before() == ""
    with pytest.raises(NotFoundError, match=r"no release 'r1'; there are none"):
        store.read("r1")
    store.write(release("r1"), model)
    assert store.read("r1") == release("r1")
    assert store.list() == ("r1",)
    folder = store.model_folder("r1")
    assert {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == {
        p.relative_to(model): p.read_bytes() for p in model.rglob("*") if p.is_file()
    }
    assert store.model_folder("r1") == folder
    with pytest.raises(InvalidRequestError, match="'r1' exists already"):
        store.write(release("r1"), model)


def test_a_release_without_its_last_file_does_not_count(store: ReleaseStore, objects: Objects, model: Path) -> None:
    store.write(release("r1"), model)
    objects.write("r2/model/model.json", b"{}")  # as if its writer ended here
    assert store.list() == ("r1",)
    objects.write("r3/release.json", b"{")
    with pytest.raises(IncompatibleStateError, match=r"release\.json is no JSON"):
        store.read("r3")


def test_the_pointer_goes_on_and_back(store: ReleaseStore, model: Path) -> None:
    for name in ("r1", "r2", "r3"):
        store.write(release(name), model)
    for name in ("r1", "r2", "r2", "r3"):
        store.promote(name)
    assert (store.current(), store.before()) == ("r3", "r2")
    assert [store.rollback(), store.rollback()] == ["r2", "r1"]
    with pytest.raises(NotFoundError, match="no release before 'r1'"):
        store.rollback()
    with pytest.raises(NotFoundError, match="no release 'r9'; there are r1, r2, r3"):
        store.promote("r9")


def test_a_release_that_does_not_serve_is_dropped_with_its_files_and_its_steps(
    store: ReleaseStore, objects: Objects, model: Path
) -> None:
    for name in ("r1", "r2", "r3"):
        store.write(replace(release(name), warm_from="r1" if name == "r3" else ""), model)
        store.promote(name)
    with pytest.raises(PreconditionError, match="'r3' serves"):
        store.drop("r3")
    assert store.warm() == {"r3": "r1"}
    store.drop("r2")
    store.drop("r2")
    assert (store.list(), store.promoted()) == (("r1", "r3"), ("r1", "r3"))
    assert objects.entries("r2") == []
    assert store.rollback() == "r1"


def test_who_promotes_at_the_same_time_as_others_takes_nobodys_step_back(store: ReleaseStore, model: Path) -> None:
    names = [f"r{number}" for number in range(4)]
    for name in names:
        store.write(release(name), model)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(store.promote, names))
    gone_back = [store.current(), *(store.rollback() for _ in names[1:])]
    assert sorted(gone_back) == names


def test_two_who_go_back_from_the_same_release_at_once_go_back_once(store: ReleaseStore, model: Path) -> None:
    for name in ("r1", "r2", "r3"):
        store.write(release(name), model)
        store.promote(name)

    refusal = "r2 serves, and not r3; look again before going back"

    def go_back(_: int) -> str:
        try:
            return store.rollback("r3")
        except PreconditionError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        found = set(pool.map(go_back, range(2)))
    assert "r2" in found
    assert found <= {"r2", refusal}, "two that write the same pointer at the same time have both written it"
    with pytest.raises(PreconditionError, match=refusal):
        store.rollback("r3")
    assert (store.current(), store.before()) == ("r2", "r1")


def test_marks_and_refusals_are_kept_beside_a_release(store: ReleaseStore, model: Path) -> None:
    store.write(release("r1"), model)
    assert store.collection_mark(store.read("r1")) == CollectionMark(topic="c/t", offsets={0: 7})
    assert not store.is_followed("r1")
    store.keep_collection_mark("r1", CollectionMark(topic="c/t", offsets={0: 9, 1: 2}))
    assert store.is_followed("r1")
    assert store.collection_mark(store.read("r1")) == CollectionMark(topic="c/t", offsets={0: 9, 1: 2})
    assert store.refusals() == {}
    store.keep_refusal("r1", "worse than popularity")
    assert store.refusals() == {"r1": "worse than popularity"}


@pytest.mark.parametrize("release_id", ["", "../r1", "a/b", ".hidden"])
def test_an_id_that_leads_elsewhere_names_no_release(tmp_path: Path, release_id: str) -> None:
    store = ReleaseStore(FolderObjects(tmp_path))
    with pytest.raises(NotFoundError, match="an id is a name without slashes"):
        store.read(release_id)
    with pytest.raises(NotFoundError, match="an id is a name without slashes"):
        store.model_folder(release_id)
