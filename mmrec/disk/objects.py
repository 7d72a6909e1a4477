"""Named bytes in one place: the port behind which the event log and the releases lie, and the form it has as a folder.

    objects = FolderObjects(Path("log"))
    objects.create("manifest/000000000001.json", data)      False where there is one already
    objects.swap("manifest/state.json", data, seen=version)  only who has seen the newest version replaces it

The other form is a bucket (mmrec.stores.s3_objects). Laws, for both (tests/contract/test_objects.py):
- A reader finds the old bytes of an object or the new ones, never a part of them; also after a crash.
- Of several who create one object at once, exactly one does; of several who swap one version, exactly one does. Who
  finds the very bytes that it wants to give has done so: an answer may get lost, and the call be repeated.
- What a call has done is durable when it returns, and every process finds it.
- An object that is open can be read to its end, though it be removed meanwhile.

Names are paths with slashes, relative to the place. Those that end in ".tmp" belong to writers of a folder who have not
finished, or never will.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mmrec.disk.files import DurableFiles
from mmrec.disk.locks import locked

_SWAP_LOCK = ".swap.lock"
"""A file in each folder of a place in which objects are swapped; it stays, and is no object."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What an object holds."""

    data: bytes
    version: str
    """Of these bytes; another one after each write."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An object in a listing."""

    name: str
    num_bytes: int
    written_s: float
    """When it was last written, by the clock of who keeps it."""


class Objects(Protocol):
    """Objects of one place.

    Where a folder fails, OSError; where a bucket does, StoreError (UnreachableError where it may do so for the moment).
    """

    @property
    def keeps_out(self) -> bool:
        """Whether alone() keeps others out; where it cannot, who removes must leave time to those who write."""
        ...

    def place(self, name: str = "") -> str:
        """Where an object is, for people."""
        ...

    def within(self, folder: str, *, private: bool = False) -> "Objects":
        """The objects whose names begin with a folder; names are then relative to it.

        Args:
            private: What is made there only its owner may read, where the place knows owners; a bucket has policies.
        """
        ...

    def read(self, name: str) -> Stored | None:
        """An object whole; None where there is none."""
        ...

    def version(self, name: str) -> str:
        """Its version, without reading it; empty where there is none."""
        ...

    def entries(self, folder: str = "") -> list[Entry]:
        """All objects below a folder, ascending by name."""
        ...

    def opened(self, name: str) -> AbstractContextManager[Path]:
        """A file on this machine with its bytes, and the ending of its name. What opens it can read it to its end.

        Raises:
            FileNotFoundError: there is no such object.
        """
        ...

    def write(self, name: str, data: bytes) -> None:
        """Make an object, or replace it, whatever it was."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Make an object unless there is one; False where there is."""
        ...

    def swap(self, name: str, data: bytes, *, seen: str) -> bool:
        """Replace an object whose newest version was seen ("": that there is none); False where it is another."""
        ...

    def writing(self, name: str) -> AbstractContextManager[Path]:
        """A file on this machine to be written, which becomes the object at the end, if it is there then.

        For what is large or written piece by piece; replaces the object, whatever it was. Nothing is made where the
        block fails.
        """
        ...

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        ...

    def alone(self, name: str, *, shared: bool = False) -> AbstractContextManager[None]:
        """Wait until nobody else works under this name (shared: nobody who wants to be alone), where keeps_out."""
        ...


class FolderObjects:
    """Objects as files of a folder, on one machine or a POSIX share: the reference."""

    keeps_out = True

    def __init__(self, root: Path, *, files: DurableFiles | None = None, private: bool = False) -> None:
        """Nothing is made before it is needed.

        Args:
            files: How files are written; tests interrupt it.
            private: Whether only their owner may read them.
        """
        self._root = root
        self._files = files or DurableFiles()
        self._mode = 0o600 if private else 0o666

    def place(self, name: str = "") -> str:
        """See Objects."""
        return str(self._path(name) if name else self._root)

    def within(self, folder: str, *, private: bool = False) -> "FolderObjects":
        """See Objects."""
        return type(self)(self._path(folder), files=self._files, private=private)

    def read(self, name: str) -> Stored | None:
        """See Objects."""
        try:
            with self._path(name).open("rb") as file:
                return Stored(data=file.read(), version=_version(os.fstat(file.fileno())))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def version(self, name: str) -> str:
        """See Objects."""
        try:
            return _version(self._path(name).stat())
        except (FileNotFoundError, NotADirectoryError):
            return ""

    def entries(self, folder: str = "") -> list[Entry]:
        """See Objects; files that go meanwhile may be among them or not."""
        found = []
        for path in (self._path(folder) if folder else self._root).rglob("*"):
            try:
                facts = path.stat()
            except FileNotFoundError:
                continue
            if path.name != _SWAP_LOCK and path.is_file():
                name = path.relative_to(self._root).as_posix()
                found.append(Entry(name=name, num_bytes=facts.st_size, written_s=facts.st_mtime))
        return sorted(found, key=lambda entry: entry.name)

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        """See Objects."""
        yield self._path(name)

    def write(self, name: str, data: bytes) -> None:
        """See Objects."""
        path, beside = self._prepared(name)
        self._files.write(beside, data, mode=self._mode)
        self._files.move(beside, path)

    def create(self, name: str, data: bytes) -> bool:
        """See Objects."""
        path, beside = self._prepared(name)
        self._files.write(beside, data, mode=self._mode)
        mine = self._files.link(beside, path)
        self._files.remove(beside)
        return mine or self._holds(name, data)

    def swap(self, name: str, data: bytes, *, seen: str) -> bool:
        """See Objects."""
        path, beside = self._prepared(name)
        with locked(path.with_name(_SWAP_LOCK), mode=self._mode):
            found = self.read(name)  # opened: a share answers what is only looked up from its cache for seconds
            if (found.version if found is not None else "") != seen:
                return found is not None and found.data == data
            self._files.write(beside, data, mode=self._mode)
            self._files.move(beside, path)
        return True

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """See Objects."""
        path, beside = self._prepared(name)
        yield beside
        if beside.exists():
            self._files.sync(beside)
            self._files.move(beside, path)

    def remove(self, name: str) -> None:
        """See Objects."""
        self._files.remove(self._path(name))

    @contextmanager
    def alone(self, name: str, *, shared: bool = False) -> Iterator[None]:
        """See Objects; held through a file of that name."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path, shared=shared):
            yield

    def _holds(self, name: str, data: bytes) -> bool:
        found = self.read(name)
        return found is not None and found.data == data

    def _prepared(self, name: str) -> tuple[Path, Path]:
        """Where an object goes, and a name beside it that no other writer has."""
        path = self._path(name)
        self._files.make_folder(path.parent)
        return path, path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")

    def _path(self, name: str) -> Path:
        return self._root / checked_name(name)


def checked_name(name: str) -> str:
    """The name of an object, or of a folder of them; ValueError where it leads elsewhere."""
    if not name or name.startswith("/") or any(part in {"", ".", ".."} for part in name.split("/")):
        raise ValueError(f"{name!r} names no object; give a relative path with slashes and without . and ..")
    return name


def conditional_problem(objects: Objects) -> str:
    """Why a place does not do: that it ignores conditions; else empty. Leaves no object behind.

    Raises:
        StoreError: it cannot be reached, or refuses.
    """
    name = f"conditions-{uuid.uuid4().hex}"
    made = objects.create(name, b"1")
    try:
        if not made or objects.create(name, b"2"):
            return "an object can be made twice: the condition If-None-Match is ignored"
        first = objects.version(name)
        if not objects.swap(name, b"3", seen=first) or objects.swap(name, b"4", seen=first):
            return "an object that has changed is replaced: the condition If-Match is ignored"
    finally:
        objects.remove(name)
    return ""


def copied_in(objects: Objects, name: str, path: Path) -> None:
    """Keep a file of this machine as an object; OSError where it cannot be read."""
    with objects.writing(name) as target:
        shutil.copyfile(path, target)


def copied_out(objects: Objects, folder: str, target: Path) -> None:
    """The objects below a folder as files of `target`, which comes to be whole or not at all.

    Where `target` is there already it is left as it is: who calls this names it by what cannot change.
    """
    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as made:
        fresh = Path(made) / "files"
        fresh.mkdir()
        for entry in objects.entries(folder):
            path = fresh / Path(entry.name).relative_to(folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            with objects.opened(entry.name) as source:
                shutil.copyfile(source, path)
        try:
            fresh.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was first, with the same bytes
                raise


def _version(facts: os.stat_result) -> str:
    return f"{facts.st_ino}.{facts.st_mtime_ns}.{facts.st_size}"
