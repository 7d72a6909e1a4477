"""What a log in a bucket holds while a backup is put back into it, and after a crash in between."""

from pathlib import Path

from mmrec.state.backup_buckets import replace_objects
from tests.object_places import OpenFolder


def test_what_is_kept_is_newer_than_the_backups_and_what_it_lacks_comes_from_there(tmp_path: Path) -> None:
    source, bucket = OpenFolder(tmp_path / "source"), OpenFolder(tmp_path / "bucket")
    for name in ("imports/both.json", "imports/lost.json"):
        source.write(name, b"old")
    bucket.write("imports/both.json", b"new")
    replace_objects(tmp_path / "source", bucket, registry={}, kept=("imports",))
    found = {entry.name: stored.data for entry in bucket.entries() if (stored := bucket.read(entry.name)) is not None}
    assert found == {"imports/both.json": b"new", "imports/lost.json": b"old"}
