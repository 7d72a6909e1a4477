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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from mmrec.config import Settings
from mmrec.content.store import CATALOG_MARK
from mmrec.disk.files import DurableFiles, replace_file
from mmrec.disk.locks import locked
from mmrec.errors import IncompatibleStateError, InvalidRequestError, NotFoundError, StoreError
from mmrec.events.forgotten import ENTRY
from mmrec.events.log import local_folder
from mmrec.features.ports import GenerationStore
from mmrec.features.schema import GENERATIONS
from mmrec.forgetting.pending import num_pending, pending_folder
from mmrec.state.profile_dump import dump_profiles, load_profiles

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_STORE_FILES: Final = ("feature_store.yaml", "registry.db")
_PORTION: Final = 1 << 20
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
    _log_to(copy, local_folder(settings.stores.event_log))
    copy.tree(Path(settings.stores.releases), "releases")
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
    database: str,
    store_only: bool = False,
    overwrite: bool = False,
    told: Told = lambda num_bytes: None,
) -> Backup:
    """Put a backup back; nothing of the deployment may run, and the caller holds the writer's lock.

    Args:
        open_store: Opens the restored repository; used where the backup holds profiles.
        database: As above: what stands there goes.
        store_only: Leave log and releases as they are: recover() brings the store up to the log.

    Raises:
        NotFoundError, IncompatibleStateError: see verify(); or the registries of forgotten users have different keys.
        InvalidRequestError: there is state already and `overwrite` was not given.
    """
    facts = verify(folder, told=told)
    repository, log = Path(settings.stores.feature_repo), local_folder(settings.stores.event_log)
    present = [str(place) for place in (repository / _STORE_FILES[1], log / "events") if place.exists()]
    if present and not overwrite:
        raise InvalidRequestError(f"{' and '.join(present)} would be replaced; give --yes if that is what you want")
    if not store_only:
        entries = _joined_entries(folder / "log" / "forgotten", log / "forgotten")
        _replace(folder / "log", log, entries=entries)
        for name, place in (("releases", settings.stores.releases), ("content", settings.stores.content)):
            if (folder / name).is_dir():
                _replace(folder / name, Path(place), entries=None)
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


def _log_to(copy: "_Copy", log: Path) -> None:
    tables = [log / name for name in ("events", "served") if (log / name).is_dir()]
    with ExitStack() as stack:
        for table in tables:  # nothing is compacted away meanwhile; appends go on
            stack.enter_context(locked(table / "tend.lock"))
        for table in tables:  # what the manifest names is there: files come before it
            copy.tree(table / "manifest", f"log/{table.name}/manifest")
            copy.tree(table, f"log/{table.name}", leave_out=("manifest", "tend.lock"))
    copy.tree(log / "imports", "log/imports")
    copy.tree(log / "forgotten", "log/forgotten")


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

    def note(self, name: str) -> None:
        digest, size = sha256(), 0
        with (self._folder / name).open("rb") as file:
            while data := file.read(_PORTION):
                digest.update(data)
                size += len(data)
                self._told(len(data))
        self.files[name] = {"sha256": digest.hexdigest(), "bytes": size}


def _joined_entries(theirs: Path, ours: Path) -> bytes:
    """Entries of both registries, each once.

    Raises:
        IncompatibleStateError: both have entries or pending requests, under different keys, so that hashes of one say
            nothing in the other.
    """
    if _is_keyed(ours) and _is_keyed(theirs) and (ours / "key").read_bytes() != (theirs / "key").read_bytes():
        raise IncompatibleStateError(
            f"{ours} and {theirs} were made with different keys and cannot be joined; where the first one may be lost, "
            f"with the pending requests in {pending_folder(ours.parent)}, move both away and restore again"
        )
    sides = [path for path in (ours, theirs) if (path / "entries").is_file()]
    entries: dict[bytes, None] = {}
    for path in sides:
        data = (path / "entries").read_bytes()
        whole = len(data) // ENTRY.size * ENTRY.size
        entries.update(dict.fromkeys(data[n : n + ENTRY.size] for n in range(0, whole, ENTRY.size)))
    return b"".join(entries)


def _is_keyed(registry: Path) -> bool:
    """Whether something stands under the key of a registry: its entries, or names of pending requests beside it."""
    entries = registry / "entries"
    return (entries.is_file() and entries.stat().st_size > 0) or num_pending(registry.parent) > 0


def _replace(source: Path, target: Path, *, entries: bytes | None) -> None:
    """`source` in place of `target`, which stays as it is until the copy is whole."""
    fresh, old = (target.with_name(f".{target.name}.{word}") for word in ("restored", "replaced"))
    for path in (fresh, old):
        shutil.rmtree(path, ignore_errors=True)
    for path in _files(source):
        place = fresh / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        _copied(path, place)
    fresh.mkdir(parents=True, exist_ok=True)
    if entries is not None:
        registries = sorted((source / "forgotten", target / "forgotten"), key=_is_keyed, reverse=True)
        for key in [registry / "key" for registry in registries if (registry / "key").is_file()][:1]:
            (fresh / "forgotten").mkdir(exist_ok=True)
            _copied(key, fresh / "forgotten" / "key")
        if entries:
            (fresh / "forgotten" / "entries").write_bytes(entries)
    # What was imported since stands in Kafka and must not be sent again; of requests to forget that have no receipt yet
    # nothing else knows the anonymous ids.
    for name in ("imports", "forgetting"):
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
