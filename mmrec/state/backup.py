"""The whole state of a deployment as one folder, made while the stream runs, and put back.

    made = backup(settings, Path("backups/monday"), config=Path("mmrec.toml"), ...)
    restore(settings, Path("backups/monday"), ...)          with the stack stopped

    manifest.json      format, instant, SHA-256 and size of every file; written last: without it there is no backup
    store/             feature_store.yaml, registry.db, and online.db, or, of Redis, profiles-a.bin and profiles-b.bin
    log/               the event log, served lists included, and the registry of forgotten users
    releases/          and content/ where asked for
    mmrec.toml         for people; a restore leaves the configuration alone

The store is copied before the log, so the log is never behind it: the stream's recover() applies what the copy of the
store lacks, and Kafka gives what came after the backup. Forgotten users stay forgotten: their registry is joined, never
replaced, and the stream sweeps a restored store at its start.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from mmrec.config import Settings
from mmrec.content.store import CATALOG_MARK
from mmrec.disk.files import DurableFiles, replace_file
from mmrec.disk.objects import FolderObjects, Objects
from mmrec.errors import IncompatibleStateError, InvalidRequestError, NotFoundError, StoreError
from mmrec.events.forgotten import ENTRY
from mmrec.features.ports import GenerationStore
from mmrec.features.schema import GENERATIONS
from mmrec.forgetting.pending import FOLDER, num_pending
from mmrec.state.backup_buckets import replace_objects
from mmrec.state.profile_dump import dump_profiles, load_profiles

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_STORE_FILES: Final = ("feature_store.yaml", "registry.db")
_PORTION: Final = 1 << 20
_KEY, _ENTRIES = "forgotten/key", "forgotten/entries"
_DATABASE_SUFFIXES: Final = tuple(
    f".{kind}{log}" for kind in ("sqlite", "tmp") for log in ("", "-wal", "-shm", "-journal")
)
"""Of the content store's databases, which are copied at one instant: a file and its log, one by one, would not fit."""
Told = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Backup:
    """What a backup holds."""

    made_time_s: float
    num_files: int
    num_bytes: int


def backup(
    settings: Settings,
    folder: Path,
    *,
    store: GenerationStore,
    log: Objects,
    releases: Objects,
    database: str,
    config: Path,
    made_time_s: float,
    with_content: bool,
    overwrite: bool,
    told: Told = lambda num_bytes: None,
) -> Backup:
    """Copy the state into `folder`.

    Args:
        store: The deployment's; read where there is no database file.
        log: The deployment's event log, and what is kept beside it.
        releases: The deployment's.
        database: File of the feature repository that is the whole online store; empty where there is none.
        told: Handed the bytes of each portion that was copied.

    Raises:
        InvalidRequestError: the folder is not empty and `overwrite` was not given.
    """
    if folder.exists() and any(folder.iterdir()):
        if not overwrite:
            raise InvalidRequestError(f"{folder} is not empty; give another folder, or --yes to replace what is there")
        if not (folder / MANIFEST).is_file():
            raise InvalidRequestError(f"{folder} holds something that is no backup; give another folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    copy = _Copy(folder, told)
    _store_to(copy, Path(settings.stores.feature_repo), store, database=database)
    _log_to(copy, log)
    copy.objects(releases, "releases")
    if with_content:
        _content_to(copy, Path(settings.stores.content))
    copy.file(config, "mmrec.toml")
    document = {"format": FORMAT, "made_time_s": made_time_s, "files": copy.files}
    replace_file(folder / MANIFEST, json.dumps(document, indent=1))
    return _facts(document)


def verify(folder: Path, *, told: Told = lambda num_bytes: None) -> Backup:
    """Read a backup whole and compare it with its manifest.

    Raises:
        NotFoundError: there is no finished backup.
        IncompatibleStateError: a file is missing, is not what it was, or the format is another one.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFoundError(f"{folder} holds no finished backup: {MANIFEST} is missing")
    document = json.loads(path.read_text(encoding="utf-8"))
    if document.get("format") != FORMAT:
        raise IncompatibleStateError(f"{path} has format {document.get('format')}; this code reads {FORMAT}")
    for name, facts in document["files"].items():
        if not (folder / name).is_file():
            raise IncompatibleStateError(f"{folder} lacks {name}; the backup is not whole")
        digest = sha256()
        with (folder / name).open("rb") as file:
            while data := file.read(_PORTION):
                digest.update(data)
                told(len(data))
        if digest.hexdigest() != facts["sha256"]:
            raise IncompatibleStateError(f"{folder / name} is not what it was when the backup was made")
    return _facts(document)


def restore(
    settings: Settings,
    folder: Path,
    *,
    open_store: Callable[[], GenerationStore],
    log: Objects,
    releases: Objects,
    database: str,
    store_only: bool = False,
    overwrite: bool = False,
    told: Told = lambda num_bytes: None,
) -> Backup:
    """Put a backup back; nothing of the deployment may run, and the caller holds the writer's lock.

    Args:
        open_store: Opens the restored repository; used where the backup holds profiles.
        log: As above; and `releases`.
        database: As above: what stands there goes.
        store_only: Leave log and releases as they are: recover() brings the store up to the log.

    Raises:
        NotFoundError, IncompatibleStateError: see verify(); or the registries of forgotten users have different keys.
        InvalidRequestError: there is state already and `overwrite` was not given.
    """
    facts = verify(folder, told=told)
    repository = Path(settings.stores.feature_repo)
    present = [str(place) for place in (repository / _STORE_FILES[1],) if place.exists()]
    present += [log.place("events")] if log.entries("events") else []
    if present and not overwrite:
        raise InvalidRequestError(f"{' and '.join(present)} would be replaced; give --yes if that is what you want")
    if not store_only:
        entries = _joined_entries(FolderObjects(folder / "log"), log)
        _put_back(folder / "log", log, entries=entries)
        for name, place in (("releases", releases), ("content", FolderObjects(Path(settings.stores.content)))):
            if (folder / name).is_dir():
                _put_back(folder / name, place, entries=None)
    repository.mkdir(parents=True, exist_ok=True)
    for name in (database, f"{database}-wal", f"{database}-shm") if database else ():
        (repository / name).unlink(missing_ok=True)
    for path in (folder / "store").iterdir():
        if path.suffix != ".bin":
            _copied(path, repository / path.name)
    dumps = sorted((folder / "store").glob("profiles-*.bin"))
    if dumps:
        store = open_store()
        for path in dumps:
            load_profiles(store, path, write_time_s=facts.made_time_s)
    return facts


def _store_to(copy: "_Copy", repository: Path, store: GenerationStore, *, database: str) -> None:
    for name in _STORE_FILES:
        copy.file(repository / name, f"store/{name}")
    if database:
        copy.database(repository / database, f"store/{database}")
        return
    for name in GENERATIONS:
        dump_profiles(store, name, copy.place(f"store/profiles-{name}.bin"))
        copy.note(f"store/profiles-{name}.bin")


def _log_to(copy: "_Copy", log: Objects) -> None:
    tables = [name for name in ("events", "served") if log.entries(name)]
    with ExitStack() as stack:
        for table in tables:  # nothing is compacted away meanwhile, where that can be kept out; appends go on
            stack.enter_context(log.alone(f"{table}/tend.lock"))
        for table in tables:  # what the manifest names is there: files come before it
            copy.objects(log.within(table).within("manifest"), f"log/{table}/manifest")
            copy.objects(log.within(table), f"log/{table}", leave_out=("manifest", "tend.lock"))
            copy.check_named(table)
    for name in ("imports", "forgotten"):
        copy.objects(log.within(name), f"log/{name}")


def _content_to(copy: "_Copy", content: Path) -> None:
    # The mark first: items that the matrix has ahead of it are encoded again; those it lacks behind it would be lost.
    copy.file(content / CATALOG_MARK, f"content/{CATALOG_MARK}")
    for path in sorted(content.rglob("*.sqlite")):
        copy.database(path, f"content/{path.relative_to(content).as_posix()}")
    copy.tree(content, "content", leave_out=(CATALOG_MARK,), leave_out_suffixes=_DATABASE_SUFFIXES, is_cache=True)


class _Copy:
    """Files on their way into a backup, with their digests."""

    def __init__(self, folder: Path, told: Told) -> None:
        self.files: dict[str, dict[str, Any]] = {}
        self._folder = folder
        self._told = told

    def place(self, name: str) -> Path:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def file(self, source: Path, name: str) -> None:
        if source.is_file():
            _copied(source, self.place(name))
            self.note(name)

    def database(self, source: Path, name: str) -> None:
        """An SQLite file as it stands at one instant, whoever writes meanwhile."""
        with (
            closing(sqlite3.connect(source, timeout=60.0)) as connection,
            closing(sqlite3.connect(self.place(name))) as target,
        ):
            connection.backup(target)
        self.note(name)

    def tree(
        self,
        source: Path,
        name: str,
        *,
        leave_out: tuple[str, ...] = (),
        leave_out_suffixes: tuple[str, ...] = (".tmp",),
        is_cache: bool = False,
    ) -> None:
        """All files below `source` that are no temporary ones; of a cache, those that are not dropped meanwhile."""
        for path in _files(source):
            relative = path.relative_to(source)
            if relative.parts[0] in leave_out or path.suffix in leave_out_suffixes:
                continue
            try:
                self.file(path, f"{name}/{relative.as_posix()}")
            except FileNotFoundError as error:
                if not is_cache:
                    raise StoreError(f"{path} went away while it was copied; make the backup again") from error

    def objects(self, source: Objects, name: str, *, leave_out: tuple[str, ...] = ()) -> None:
        """All objects that are not half written."""
        for entry in source.entries():
            if entry.name.split("/")[0] in leave_out or entry.name.endswith(".tmp"):
                continue
            try:
                with source.opened(entry.name) as path:
                    self.file(path, f"{name}/{entry.name}")
            except FileNotFoundError as error:
                place = source.place(entry.name)
                raise StoreError(f"{place} went away while it was copied; make the backup again") from error

    def check_named(self, table: str) -> None:
        """StoreError where the copy of a table of the log lacks a file that its manifest names."""
        place = self._folder / "log" / table
        for path in (place / "manifest").glob("*.json"):
            document = json.loads(path.read_text(encoding="utf-8"))
            named = [*document.get("files", ()), *(part["file"] for part in document.get("parts", ()))]
            if lacking := next((name for name in named if not (place / name).is_file()), ""):
                raise StoreError(f"{lacking} was compacted away while {table} was copied; make the backup again")

    def note(self, name: str) -> None:
        digest, size = sha256(), 0
        with (self._folder / name).open("rb") as file:
            while data := file.read(_PORTION):
                digest.update(data)
                size += len(data)
                self._told(len(data))
        self.files[name] = {"sha256": digest.hexdigest(), "bytes": size}


def _joined_entries(theirs: Objects, ours: Objects) -> bytes:
    """Entries of the registries beside two logs, each once.

    Raises:
        IncompatibleStateError: both have entries or pending requests, under different keys, so that hashes of one say
            nothing in the other.
    """
    if _is_keyed(ours) and _is_keyed(theirs) and _read(ours, _KEY) != _read(theirs, _KEY):
        raise IncompatibleStateError(
            f"{ours.place('forgotten')} and {theirs.place('forgotten')} were made with different keys and cannot be "
            f"joined; where the first one may be lost, with the pending requests in {ours.place(FOLDER)}, move both "
            "away and restore again"
        )
    entries: dict[bytes, None] = {}
    for side in (ours, theirs):
        data = _read(side, _ENTRIES)
        whole = len(data) // ENTRY.size * ENTRY.size
        entries.update(dict.fromkeys(data[n : n + ENTRY.size] for n in range(0, whole, ENTRY.size)))
    return b"".join(entries)


def _is_keyed(log: Objects) -> bool:
    """Whether something stands under the key of a log's registry: its entries, or names of pending requests."""
    return bool(_read(log, _ENTRIES)) or num_pending(log) > 0


def _read(log: Objects, name: str) -> bytes:
    found = log.read(name)
    return found.data if found is not None else b""


def _put_back(source: Path, target: Objects, *, entries: bytes | None) -> None:
    """`source` in place of what is there; in a folder as a whole at once, in a bucket so that a crash is seen."""
    registry: dict[str, bytes] = {}
    if entries is not None:
        sides = sorted((FolderObjects(source), target), key=_is_keyed, reverse=True)
        registry = {_KEY: next((key for side in sides if (key := _read(side, _KEY))), b""), _ENTRIES: entries}
    if target.keeps_out:
        _replace(source, Path(target.place()), registry=registry)
    else:
        replace_objects(source, target, registry=registry, kept=("imports", FOLDER) if registry else ())


def _replace(source: Path, target: Path, *, registry: Mapping[str, bytes]) -> None:
    """`source` in place of `target`, which stays as it is until the copy is whole."""
    fresh, old = (target.with_name(f".{target.name}.{word}") for word in ("restored", "replaced"))
    for path in (fresh, old):
        shutil.rmtree(path, ignore_errors=True)
    for path in _files(source):
        place = fresh / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        _copied(path, place)
    fresh.mkdir(parents=True, exist_ok=True)
    for name, data in registry.items():
        if data:
            FolderObjects(fresh).within("forgotten", private=True).write(name.removeprefix("forgotten/"), data)
    # What was imported since stands in Kafka and must not be sent again; of requests to forget that have no receipt yet
    # nothing else knows the anonymous ids.
    for name in ("imports", FOLDER) if registry else ():
        for path in _files(target / name):
            (fresh / name).mkdir(exist_ok=True)
            _copied(path, fresh / name / path.name)
    if target.exists():
        target.replace(old)
    fresh.replace(target)
    shutil.rmtree(old, ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _copied(source: Path, target: Path) -> None:
    try:
        shutil.copy2(source, target)
        DurableFiles().sync(target)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"{source} could not be copied to {target}: {error}") from error


def _facts(document: dict[str, Any]) -> Backup:
    files = document["files"].values()
    return Backup(
        made_time_s=document["made_time_s"], num_files=len(files), num_bytes=sum(facts["bytes"] for facts in files)
    )
