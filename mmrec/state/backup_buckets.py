"""Backups and what they are put back into, where that is a bucket.

    keep_backup(folder, bucket, ...)        a backup made in a folder, kept in a bucket
    fetch_backup(bucket, folder)            the same back on this machine, to be verified and restored
    replace_objects(source, bucket, ...)    a log or releases put back into their bucket

A bucket has no folder that could be replaced at once. So what says that the rest is whole goes first and comes last:
of a backup its manifest, of a log the state and entries of its tables, of releases the pointer. In between a backup
does not count, and a log says that its manifest is gone; the same command then completes it.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from mmrec.disk.objects import Objects, copied_in
from mmrec.errors import InvalidRequestError, NotFoundError

_MANIFEST = "manifest.json"
_LAST = (_MANIFEST, "pointer.json")
_STATE = "manifest/state.json"


def keep_backup(folder: Path, bucket: Objects, *, overwrite: bool) -> None:
    """Keep a finished backup.

    Raises:
        InvalidRequestError: something is there and `overwrite` was not given, or it is no backup.
    """
    check_free(bucket, overwrite=overwrite)
    replace_objects(folder, bucket, registry={}, kept=())


def check_free(bucket: Objects, *, overwrite: bool) -> None:
    """InvalidRequestError where a backup cannot be kept, as keep_backup()."""
    if not bucket.entries():
        return
    if not overwrite:
        raise InvalidRequestError(
            f"{bucket.place()} is not empty; give another place, or --yes to replace what is there"
        )
    if not bucket.version(_MANIFEST):
        raise InvalidRequestError(f"{bucket.place()} holds something that is no backup; give another place")


def fetch_backup(bucket: Objects, folder: Path) -> None:
    """Copy a backup to this machine; NotFoundError where there is no finished one."""
    if not bucket.version(_MANIFEST):
        raise NotFoundError(f"{bucket.place()} holds no finished backup: {_MANIFEST} is missing")
    for entry in bucket.entries():
        target = folder / entry.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with bucket.opened(entry.name) as path:
            shutil.copyfile(path, target)


def replace_objects(source: Path, target: Objects, *, registry: Mapping[str, bytes], kept: tuple[str, ...]) -> None:
    """The files of `source` in place of what is there.

    Args:
        registry: Objects with other bytes than the file of that name, or none; written where they have any.
        kept: Folders of `target` that stay: they are newer; `source` gives what they lack.
    """
    files = {path.relative_to(source).as_posix(): path for path in source.rglob("*") if path.is_file()}
    names = [entry.name for entry in target.entries()]
    stay = {name for name in names if name.split("/")[0] in kept}
    there = [name for name in names if name not in stay]
    for name in sorted(there, key=_goes_at):
        if _says_whole(name) or (name not in files and not registry.get(name)):
            target.remove(name)
    for name, data in registry.items():  # before any row that it covers
        if data:
            target.write(name, data)
    for name in sorted(files, key=_goes_at, reverse=True):
        if name not in registry and name not in stay:
            copied_in(target, name, files[name])


def _goes_at(name: str) -> tuple[int, str]:
    """Sorts names as they are removed; in the reverse order they are written.

    A table without its state, or without the first of its entries, says so; without the last ones it would look whole.
    """
    if name in _LAST:
        return 0, name
    return (1 if name.endswith(_STATE) else 2 if _says_whole(name) else 3), name


def _says_whole(name: str) -> bool:
    return name in _LAST or "manifest" in name.split("/")[:-1]
