"""Content embeddings on disk: a cache by content hash, and the current matrix of the catalogue.

    <cache folder>/<fingerprint>/<name>.npz     digests (N, 32) and values (N, D); shared between runs and deployments
    <folder>/parts/<sequence>.npz           upserted rows; the newest row of an item counts

Both only ever gain whole files (written aside, synced, then renamed), so any number of processes may write; a lock on
the folder of parts hands out their sequence. Parts are merged into one when there are many. Under that lock no part
goes away, so one that cannot be read is damaged and ends what needs it: the feed's mark is past its items, which would
stay without embeddings. What the cache holds can be encoded again, so a damaged file of it is left out.
"""

import fcntl
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from mmrec.content.matrix import ContentMatrix, FloatArray, content_matrix
from mmrec.disk.files import replacing
from mmrec.errors import StoreError

MAX_PARTS: Final = 32
"""More parts than this are merged at the next put."""
PARTS_LOCK: Final = "parts/writer.lock"
"""Held by whoever writes or merges parts; what copies them holds it, too. Below the store's folder."""
CATALOG_MARK: Final = "catalog_mark.json"
"""In the store's folder: how far the catalogue's topic was encoded into it; without it the next run begins anew."""
_PART: Final = ("item_ids", "removed", "encoders")
"""Arrays of every part, beside those of its modalities."""
_TRIES: Final = 3


class ContentStore:
    """Cache and matrix of one deployment.

    Args:
        folder: Where the matrix lives.
        cache_folder: Where vectors by content hash live; inside `folder` unless it is shared between runs.
    """

    def __init__(self, folder: str | Path, *, cache_folder: str | Path | None = None) -> None:
        self._folder = Path(folder)
        self._parts = self._folder / "parts"
        self._cache = Path(cache_folder) if cache_folder is not None else Path(folder) / "cache"
        self._known: dict[str, dict[bytes, FloatArray]] = {}

    # The cache: (fingerprint of the encoder, sha256 of the payload) -> vector.

    def lookup(self, fingerprint: str, digests: Sequence[bytes]) -> dict[bytes, FloatArray]:
        """Vectors of those digests that were encoded before, by digest."""
        known = self._known.get(fingerprint)
        if known is None:
            known = self._known[fingerprint] = self._read_cache(fingerprint)
        return {digest: known[digest] for digest in digests if digest in known}

    def remember(self, fingerprint: str, digests: Sequence[bytes], values_ND: FloatArray) -> None:
        """Add vectors to the cache; row n belongs to digests[n]."""
        if not digests:
            return
        folder = self._cache / fingerprint
        _write(
            folder / f"{uuid.uuid4().hex}.npz",
            {"digests": np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32), "values": values_ND},
        )
        if fingerprint in self._known:
            self._known[fingerprint].update(zip(digests, values_ND, strict=True))

    def _read_cache(self, fingerprint: str) -> dict[bytes, FloatArray]:
        found: dict[bytes, FloatArray] = {}
        for path in sorted((self._cache / fingerprint).glob("*.npz")):
            with suppress(*_UNREADABLE):  # what is left out is encoded again
                block = _read(path)
                found.update(zip((d.tobytes() for d in block["digests"]), block["values"], strict=True))
        return found

    # The matrix: item -> what each modality's encoder made of it.

    def put(self, matrix: ContentMatrix, *, removed: Sequence[str] = ()) -> None:
        """Insert or replace rows, and drop `removed` items.

        Raises:
            StoreError: parts were to be merged and one is damaged; the rows are there, and so is every part.
        """
        if not len(matrix) and not removed:
            return
        with self._sole_writer():
            paths = self._part_paths()
            sequence = int(paths[-1].stem) + 1 if paths else 1
            self._write_part(sequence, matrix, removed)
            if len(paths) + 1 > MAX_PARTS:
                self._merge()

    def load_matrix(self) -> ContentMatrix:
        """Every item's current row, items in ascending order; a modality's encoder is the newest part's.

        Rows that another encoder made are missing in that modality: they cannot be compared.

        Raises:
            StoreError: a part is damaged.
        """
        return _merged(self._read_parts())

    def item_ids(self) -> set[str]:
        """Ids of the matrix's items, without reading a vector.

        Raises:
            StoreError: a part is damaged.
        """
        found: set[str] = set()
        for part in self._read_parts(names=("item_ids", "removed")):
            found.difference_update(_json(part["removed"]))
            found.update(_json(part["item_ids"]))
        return found

    def _read_parts(self, *, names: Sequence[str] | None = None) -> list[dict[str, npt.NDArray[Any]]]:
        """All parts in order; a merge that replaces them meanwhile has them read again."""
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):
                return [self._read_part(path, names) for path in self._part_paths()]
        raise StoreError(f"parts under {self._parts} were replaced {_TRIES} times while they were read; try again")

    def _read_part(self, path: Path, names: Sequence[str] | None = None) -> dict[str, npt.NDArray[Any]]:
        try:
            part = _read(path, names=names)
            if absent := set(_PART if names is None else names) - set(part):
                raise KeyError(*absent)
            return part
        except FileNotFoundError:
            raise
        except _UNREADABLE as error:
            raise StoreError(
                f"{path} cannot be read ({type(error).__name__}: {error}); put it back from a backup, or remove it and "
                f"{self._folder / CATALOG_MARK} and run jobs.encode_items, which then encodes the whole catalogue"
            ) from error

    @contextmanager
    def _sole_writer(self) -> Iterator[None]:
        """Waits for other writers of parts; the system lets go of the lock when its holder ends."""
        self._parts.mkdir(parents=True, exist_ok=True)
        with (self._folder / PARTS_LOCK).open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _merge(self) -> None:
        paths = self._part_paths()
        parts = [self._read_part(path) for path in paths]
        # Replacing the newest part by the sum first keeps every state in between readable.
        self._write_part(int(paths[-1].stem), _merged(parts), ())
        for path in paths[:-1]:
            path.unlink(missing_ok=True)

    def _part_paths(self) -> list[Path]:
        return sorted(path for path in self._parts.glob("*.npz") if path.stem.isdigit())

    def _write_part(self, sequence: int, matrix: ContentMatrix, removed: Sequence[str]) -> None:
        arrays: dict[str, Any] = {"item_ids": _bytes(list(matrix.item_ids)), "removed": _bytes(list(removed))}
        arrays["encoders"] = _bytes(dict(matrix.encoders))
        arrays["fingerprints"] = _bytes(dict(matrix.fingerprints))
        for modality in matrix.modalities:
            arrays[f"values:{modality}"] = matrix.values[modality]
            arrays[f"present:{modality}"] = matrix.present[modality]
        _write(self._parts / f"{sequence:010d}.npz", arrays)


def _merged(parts: Sequence[Mapping[str, npt.NDArray[Any]]]) -> ContentMatrix:
    encoders: dict[str, tuple[str, str]] = {}
    for part in parts:
        encoders.update(_made_by(part))
    dims: dict[str, int] = {}
    vectors: dict[str, dict[str, FloatArray]] = {modality: {} for modality in encoders}
    items: set[str] = set()
    for part in parts:
        part_encoders = _made_by(part)
        for item_id in _json(part["removed"]):
            items.discard(item_id)
            for found in vectors.values():
                found.pop(item_id, None)
        item_ids = _json(part["item_ids"])
        items.update(item_ids)
        for modality, found in vectors.items():
            if part_encoders.get(modality) != encoders[modality]:
                for item_id in item_ids:
                    found.pop(item_id, None)
                continue
            values, present = part[f"values:{modality}"], part[f"present:{modality}"]
            dims[modality] = values.shape[1]
            for row, item_id in enumerate(item_ids):
                if present[row]:
                    found[item_id] = values[row]
                else:
                    found.pop(item_id, None)
    return content_matrix(
        sorted(items),
        vectors,
        embedding_dims=dims,
        encoders={m: encoders[m][0] for m in dims},
        fingerprints={m: encoders[m][1] for m in dims if encoders[m][1]},
    )


def _made_by(part: Mapping[str, npt.NDArray[Any]]) -> dict[str, tuple[str, str]]:
    """Modality -> (name, fingerprint) of its encoder."""
    fingerprints = _json(part["fingerprints"]) if "fingerprints" in part else {}
    return {modality: (name, fingerprints.get(modality, "")) for modality, name in _json(part["encoders"]).items()}


def _bytes(value: Any) -> npt.NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value).encode("utf-8"), dtype=np.uint8)


def _json(array: npt.NDArray[np.uint8]) -> Any:
    return json.loads(array.tobytes())


def _write(path: Path, arrays: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        np.savez(file, **arrays)


_UNREADABLE: Final = (OSError, ValueError, EOFError, KeyError, BadZipFile)
"""What NumPy raises over a file that is gone, cut, damaged, or that holds something else."""


def _read(path: Path, *, names: Sequence[str] | None = None) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a file, or only those named; _UNREADABLE where it is gone or damaged."""
    # np.load leaves a broken file open that it opened itself.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in (archive.files if names is None else names)}
