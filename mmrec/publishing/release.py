"""Releases: towers, ranker, collection, feature schema and weights that belong together.

    <releases>/<release_id>/release.json, model/...      written once, never changed
    <releases>/<release_id>/live.json                    how far its collection has followed the catalogue since
    <releases>/<release_id>/refused.json                 why a gate refused it, where one did
    <releases>/pointer.json                              which release serves, and which ones did before it

Promoting and rolling back replace the pointer, one small file, as a whole. The folder may be any fsspec URL.
"""

import json
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from fsspec.core import url_to_fs

from mmrec.config import PublishSettings
from mmrec.disk.files import replace_file
from mmrec.errors import (
    IncompatibleStateError,
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    ReleaseGateError,
)
from mmrec.index.vectors import StoredVectors, VectorStore

_FORMAT = 2
_POINTER = "pointer.json"
_LIVE = "live.json"
_REFUSED = "refused.json"
_MAX_HISTORY = 50
"""Steps that rollback() can go back."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """What one release consists of."""

    release_id: str
    created_s: float
    collection: str
    """Milvus collection of the item embeddings."""
    feature_fingerprint: str
    """Fingerprint of the feature schema the ranker was trained on."""
    feature_names: tuple[str, ...]
    """Columns of the ranker's rows, in order."""
    behavior_weights: Mapping[str, float]
    """Weights the ranker was trained with, by behavior."""
    half_lives_days: tuple[float, ...]
    """Half-lives of the item statistics behind the ranker's rows."""
    neighbor_decays: tuple[float, ...]
    """By age, per day, and by order: how own items counted in the neighbor score that the ranker was trained on."""
    encoders: Mapping[str, str]
    """Modality -> encoder that the towers accept."""
    embedding_dim: int
    num_items: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    embedding_offsets: Mapping[str, int] = field(default_factory=dict)
    """Partition of `item-embeddings` -> next offset that the collection has not seen."""
    embedding_topic: str = ""
    """"cluster id/topic id" the offsets belong to; another topic is read from its beginning."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Modality -> fingerprint of that encoder; absent where the model is older than fingerprints."""
    tower_fingerprint: str = ""
    """Of the model's files; empty where the release is older than this."""
    warm_from: str = ""
    """Id of the release that its training went on from; empty where it was trained from the start."""

    @property
    def collection_description(self) -> dict[str, Any]:
        """What the collection says it was made for: vectors of other towers or encoders cannot be compared."""
        return {
            "release_id": self.release_id,
            "tower": self.tower_fingerprint,
            "encoders": dict(sorted(self.encoders.items())),
            "fingerprints": dict(sorted(self.fingerprints.items())),
        }


@dataclass(frozen=True, kw_only=True)
class CollectionMark:
    """How far a release's collection has followed the topic `item-embeddings`."""

    topic: str
    """"cluster id/topic id" the offsets belong to."""
    offsets: Mapping[int, int]
    """Partition -> next offset that the collection has not seen."""

    def start(self, topic: str) -> dict[int, int] | None:
        """Where to read on in a topic; None where the mark speaks of another one: from its beginning."""
        return dict(self.offsets) if topic == self.topic else None


def new_release_id(created_s: float) -> str:
    """A fresh id that sorts by time, and is a legal part of a collection name."""
    return time.strftime("%Y%m%d_%H%M%S", time.gmtime(created_s)) + "_" + uuid.uuid4().hex[:6]


def collection_name(release_id: str) -> str:
    """Name of the collection of a release."""
    return f"items_{release_id}"


def tower_fingerprint(model_folder: Path) -> str:
    """Fingerprint of a model's files, whatever their folder is called."""
    digest = sha256()
    for path in sorted(path for path in model_folder.rglob("*") if path.is_file()):
        digest.update(
            f"{PurePosixPath(path.relative_to(model_folder))}\0{sha256(path.read_bytes()).hexdigest()}".encode()
        )
    return digest.hexdigest()[:16]


class ReleaseStore:
    """Releases in one folder."""

    def __init__(self, folder: str) -> None:
        self._fs, self._root = url_to_fs(folder)
        self._local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))
        self._fs.makedirs(self._root, exist_ok=True)

    def write(self, release: Release, model_folder: Path) -> None:
        """Keep a release and a copy of its model; it does not serve until it is promoted.

        Raises:
            InvalidRequestError: there is a release of that id already.
        """
        place = self._place(release.release_id)
        if self._fs.exists(f"{place}/release.json"):
            raise InvalidRequestError(
                f"release {release.release_id!r} exists already, and releases are never changed; give a new id"
            )
        for path in sorted(p for p in model_folder.rglob("*") if p.is_file()):
            target = f"{place}/model/{PurePosixPath(path.relative_to(model_folder))}"
            self._fs.makedirs(str(PurePosixPath(target).parent), exist_ok=True)
            self._fs.put_file(str(path), target)
        self._replace(f"{place}/release.json", {"format": _FORMAT, **asdict(release)})

    def read(self, release_id: str) -> Release:
        """A release by id.

        Raises:
            NotFoundError: there is none; the message names those that exist.
            IncompatibleStateError: it was written by another version of this code, or is broken.
        """
        document = self._read(f"{self._place(release_id)}/release.json")
        if document is None:
            known = ", ".join(self.list()) or "none"
            raise NotFoundError(f"no release {release_id!r}; there are {known}")
        if document.pop("format", None) != _FORMAT:
            raise IncompatibleStateError(f"release {release_id!r} has another format than {_FORMAT}; publish it again")
        try:
            lists = {name: tuple(document[name]) for name in ("feature_names", "half_lives_days", "neighbor_decays")}
            return Release(**{**document, **lists})
        except (KeyError, TypeError) as error:
            raise IncompatibleStateError(f"release {release_id!r} is broken: {error}; publish it again") from None

    def collection_mark(self, release: Release) -> CollectionMark:
        """How far the release's collection has followed the catalogue; at first as far as when it was written."""
        kept = self._read(f"{self._place(release.release_id)}/{_LIVE}") or {
            "topic": release.embedding_topic,
            "offsets": release.embedding_offsets,
        }
        return CollectionMark(topic=str(kept["topic"]), offsets={int(p): int(o) for p, o in kept["offsets"].items()})

    def is_followed(self, release_id: str) -> bool:
        """Whether somebody brings the release's collection up to the catalogue, or did."""
        return bool(self._fs.exists(f"{self._place(release_id)}/{_LIVE}"))

    def keep_collection_mark(self, release_id: str, mark: CollectionMark) -> None:
        """Remember how far a collection is, once everything up to there is in it."""
        offsets = {str(partition): offset for partition, offset in mark.offsets.items()}
        self._replace(f"{self._place(release_id)}/{_LIVE}", {"topic": mark.topic, "offsets": offsets})

    def keep_refusal(self, release_id: str, reason: str) -> None:
        """Remember why a gate did not let a release serve."""
        self._replace(f"{self._place(release_id)}/{_REFUSED}", {"reason": reason})

    def refusals(self) -> dict[str, str]:
        """Why gates refused releases, by id; of those that none refused, nothing."""
        found = {release_id: self._read(f"{self._place(release_id)}/{_REFUSED}") for release_id in self.list()}
        return {release_id: str(each.get("reason", "")) for release_id, each in found.items() if each is not None}

    def warm(self) -> dict[str, str]:
        """Which release each warm refit went on from, by id; of releases that cannot be read, nothing."""
        found: dict[str, str] = {}
        for release_id in self.list():
            try:
                document = self._read(f"{self._place(release_id)}/release.json") or {}
            except IncompatibleStateError:
                continue
            if origin := str(document.get("warm_from", "")):
                found[release_id] = origin
        return found

    def drop(self, release_id: str) -> None:
        """Delete a release that does not serve; rollback() goes past it.

        Raises:
            PreconditionError: it serves.
        """
        current, history = self._pointer()
        if release_id == current:
            raise PreconditionError(f"release {release_id!r} serves; promote another one first")
        if release_id in history:
            self._point(current, [each for each in history if each != release_id])
        self._fs.rm(self._place(release_id), recursive=True)

    def list(self) -> tuple[str, ...]:
        """Ids of all complete releases, oldest first."""
        self._fs.invalidate_cache()
        names = [PurePosixPath(path).name for path in self._fs.ls(self._root, detail=False)]
        return tuple(sorted(name for name in names if self._fs.exists(f"{self._place(name)}/release.json")))

    def current(self) -> str:
        """Id of the release that serves; empty where none was promoted."""
        return self._pointer()[0]

    def before(self) -> str:
        """Id that rollback() would go back to; empty where there is none."""
        _, history = self._pointer()
        return history[-1] if history else ""

    def promoted(self) -> tuple[str, ...]:
        """Ids that served, as far as rollback() goes back, the current one last."""
        current, history = self._pointer()
        return (*history, current) if current else history

    def promote(self, release_id: str) -> None:
        """Let a release serve; the one before is remembered for rollback()."""
        self.read(release_id)
        current, history = self._pointer()
        if current != release_id:
            self._point(release_id, (*history, current) if current else history)

    def rollback(self) -> str:
        """Let the release before serve again, and return its id; again, and the one before that does.

        Raises:
            NotFoundError: there was none before.
        """
        current, history = self._pointer()
        if not history:
            raise NotFoundError(f"no release before {current!r}; promote one by id")
        self.read(history[-1])
        self._point(history[-1], history[:-1])
        return history[-1]

    def _pointer(self) -> tuple[str, tuple[str, ...]]:
        """The release that serves, and those before it, the last one last."""
        pointer = self._read(f"{self._root}/{_POINTER}") or {}
        return str(pointer.get("release_id", "")), tuple(str(release_id) for release_id in pointer.get("history", ()))

    def _point(self, release_id: str, history: Sequence[str]) -> None:
        pointer = {"release_id": release_id, "history": history[-_MAX_HISTORY:]}
        self._replace(f"{self._root}/{_POINTER}", pointer)

    def model_folder(self, release_id: str) -> Path:
        """A local folder with the release's model; copied from where the releases are, if that is elsewhere."""
        place = f"{self._place(release_id)}/model"
        if self._local:
            return Path(place)
        target = Path(tempfile.mkdtemp(prefix=f"release_{release_id}_"))
        self._fs.get(f"{place}/", f"{target}/", recursive=True)
        return target

    def _place(self, release_id: str) -> str:
        return f"{self._root}/{release_id}"

    def _read(self, path: str) -> dict[str, Any] | None:
        try:
            document: dict[str, Any] = json.loads(self._fs.cat_file(path))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise IncompatibleStateError(f"{path} is no JSON: {error}; publish again") from None
        return document

    def _replace(self, path: str, document: dict[str, Any]) -> None:
        data = json.dumps(document, indent=1, sort_keys=True).encode()
        if self._local:
            replace_file(Path(path), data)
        else:
            temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
            self._fs.pipe_file(temporary, data)
            self._fs.mv(temporary, path)


def check_gates(metrics: Mapping[str, float], gates: PublishSettings) -> None:
    """Raise ReleaseGateError with every gate that was missed.

    Args:
        metrics: index_recall_at_100 is required; hr_at_10 and hr_at_10_popularity are judged where both are there, as
            are ndcg_at_10 and ndcg_at_10_served of a warm refit.
    """
    missed = []
    recall = metrics.get("index_recall_at_100", 0.0)
    if not recall >= gates.min_recall_at_100:
        missed.append(f"index recall@100 is {recall:.4f}, at least {gates.min_recall_at_100} is needed")
    model, popularity = metrics.get("hr_at_10"), metrics.get("hr_at_10_popularity")
    if model is not None and popularity is not None:
        needed = popularity + gates.min_margin_over_popularity
        if not model >= needed:
            missed.append(f"hr_at_10 is {model:.4f}, at least {needed:.4f} is needed (decayed popularity and margin)")
    refit, served = metrics.get("ndcg_at_10"), metrics.get("ndcg_at_10_served")
    if refit is not None and served is not None:
        needed = served * (1.0 - gates.max_loss_to_served)
        if not refit >= needed:
            missed.append(
                f"ndcg_at_10 on the newest lists is {refit:.4f}, at least {needed:.4f} is needed (the release that "
                f"serves has {served:.4f})"
            )
    if missed:
        raise ReleaseGateError("not promoted: " + "; ".join(missed))


def check_collection(release: Release, vectors: VectorStore) -> None:
    """Raise IncompatibleStateError where a release's collection was made for another one, its towers or its encoders.

    A collection that does not say what it was made for is older than such descriptions, and taken.
    """
    found, wanted = vectors.describe(release.collection), release.collection_description
    for name, made_for in found.items():
        if name in wanted and made_for != wanted[name]:
            raise IncompatibleStateError(
                f"collection {release.collection!r} was made for {name} {made_for!s:.200}, release "
                f"{release.release_id!r} has {wanted[name]!s:.200}: their vectors cannot be compared; publish its "
                "model again"
            )


def load_collection(release: Release, vectors: VectorStore, *, is_followed: bool = False) -> StoredVectors:
    """The whole collection of a release.

    Args:
        is_followed: Items have come into it and gone since it was written, so that their number says nothing.

    Raises:
        NotFoundError: it was dropped.
        IncompatibleStateError: it was made for another release, or holds another number of items than it was made with.
        StoreError: it cannot be read, or not whole.
    """
    check_collection(release, vectors)
    stored = vectors.load(release.collection)
    if not is_followed and len(stored.item_ids) != release.num_items:
        raise IncompatibleStateError(
            f"collection {release.collection!r} holds {len(stored.item_ids)} items, release {release.release_id!r} "
            f"was made with {release.num_items}; publish its model again"
        )
    return stored
