"""Releases: towers, ranker, collection, feature schema and weights that belong together.

    <releases>/<release_id>/release.json, model/...      written once, never changed
    <releases>/<release_id>/live.json                    how far its collection has followed the catalogue since
    <releases>/<release_id>/refused.json                 why a gate refused it, where one did
    <releases>/pointer.json                              which release serves, and which ones did before it

Promoting and rolling back replace the pointer, one small file, as a whole and only as it was seen. In a bucket, models
are copied to a cache of this machine when they are first needed.
"""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from mmrec.config import PublishSettings
from mmrec.disk.objects import Objects, copied_in, copied_out
from mmrec.errors import (
    IncompatibleStateError,
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    ReleaseGateError,
    StoreError,
)
from mmrec.home import cache_folder
from mmrec.index.vectors import StoredVectors, VectorStore

_FORMAT = 2
_RELEASE = "release.json"
_POINTER = "pointer.json"
_LIVE = "live.json"
_REFUSED = "refused.json"
_MAX_HISTORY = 50
"""Steps that rollback() can go back."""
_TRIES = 20
"""Of moving the pointer, where others move it at the same time."""


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
    """Releases in one place."""

    def __init__(self, objects: Objects, *, cache: Path | None = None) -> None:
        """Nothing is made before it is needed.

        Args:
            cache: Where models of a bucket are copied to; `releases` of the machine's cache if left out.
        """
        self._objects = objects
        self._cache = cache

    def write(self, release: Release, model_folder: Path) -> None:
        """Keep a release and a copy of its model; it does not serve until it is promoted.

        Raises:
            InvalidRequestError: there is a release of that id already.
        """
        release_id = _checked_id(release.release_id)
        taken = InvalidRequestError(
            f"release {release_id!r} exists already, and releases are never changed; give a new id"
        )
        if self._objects.version(f"{release_id}/{_RELEASE}"):
            raise taken
        for path in sorted(p for p in model_folder.rglob("*") if p.is_file()):
            copied_in(self._objects, f"{release_id}/model/{path.relative_to(model_folder).as_posix()}", path)
        if not self._objects.create(f"{release_id}/{_RELEASE}", _document({"format": _FORMAT, **asdict(release)})):
            raise taken

    def read(self, release_id: str) -> Release:
        """A release by id.

        Raises:
            NotFoundError: there is none; the message names those that exist.
            IncompatibleStateError: it was written by another version of this code, or is broken.
        """
        document = self._read(f"{_checked_id(release_id)}/{_RELEASE}")
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
        kept = self._read(f"{release.release_id}/{_LIVE}") or {
            "topic": release.embedding_topic,
            "offsets": release.embedding_offsets,
        }
        return CollectionMark(topic=str(kept["topic"]), offsets={int(p): int(o) for p, o in kept["offsets"].items()})

    def is_followed(self, release_id: str) -> bool:
        """Whether somebody brings the release's collection up to the catalogue, or did."""
        return bool(self._objects.version(f"{release_id}/{_LIVE}"))

    def keep_collection_mark(self, release_id: str, mark: CollectionMark) -> None:
        """Remember how far a collection is, once everything up to there is in it."""
        offsets = {str(partition): offset for partition, offset in mark.offsets.items()}
        self._objects.write(f"{release_id}/{_LIVE}", _document({"topic": mark.topic, "offsets": offsets}))

    def keep_refusal(self, release_id: str, reason: str) -> None:
        """Remember why a gate did not let a release serve."""
        self._objects.write(f"{release_id}/{_REFUSED}", _document({"reason": reason}))

    def refusals(self) -> dict[str, str]:
        """Why gates refused releases, by id; of those that none refused, nothing."""
        found = {release_id: self._read(f"{release_id}/{_REFUSED}") for release_id in self.list()}
        return {release_id: str(each.get("reason", "")) for release_id, each in found.items() if each is not None}

    def warm(self) -> dict[str, str]:
        """Which release each warm refit went on from, by id; of releases that cannot be read, nothing."""
        found: dict[str, str] = {}
        for release_id in self.list():
            try:
                document = self._read(f"{release_id}/{_RELEASE}") or {}
            except IncompatibleStateError:
                continue
            if origin := str(document.get("warm_from", "")):
                found[release_id] = origin
        return found

    def drop(self, release_id: str) -> None:
        """Delete a release that does not serve; rollback() goes past it.

        Raises:
            PreconditionError: it serves.
            StoreError: somebody else moves the pointer all the time.
        """
        for _ in range(_TRIES):
            current, history, seen = self._seen_pointer()
            if release_id == current:
                raise PreconditionError(f"release {release_id!r} serves; promote another one first")
            kept = tuple(each for each in history if each != release_id)
            if kept == history or self._point(current, kept, seen):
                break
        else:
            raise self._contended()
        # What makes it a release goes first: half of one does not count.
        names = [entry.name for entry in self._objects.entries(_checked_id(release_id))]
        for name in sorted(names, key=lambda name: name != f"{release_id}/{_RELEASE}"):
            self._objects.remove(name)

    def list(self) -> tuple[str, ...]:
        """Ids of all complete releases, oldest first."""
        paths = (entry.name.split("/") for entry in self._objects.entries())
        return tuple(sorted(path[0] for path in paths if path[1:] == [_RELEASE]))

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

    def last_trained(self) -> str:
        """Id of the last release that served and is no warm refit; empty where there is none that far back."""
        warm = self.warm()
        return next((each for each in reversed(self.promoted()) if each not in warm), "")

    def promote(self, release_id: str) -> None:
        """Let a release serve; the one before is remembered for rollback().

        Raises:
            NotFoundError, IncompatibleStateError: as read().
            StoreError: somebody else moves the pointer all the time.
        """
        self.read(release_id)
        for _ in range(_TRIES):
            current, history, seen = self._seen_pointer()
            if current == release_id or self._point(release_id, (*history, current) if current else history, seen):
                return
        raise self._contended()

    def rollback(self, expected: str = "") -> str:
        """Let the release before serve again, and return its id; again, and the one before that does.

        Args:
            expected: Id of the release to go back from, so that two who do so at once go back once; empty for any.

        Raises:
            NotFoundError: there was none before.
            PreconditionError: another release serves than `expected`.
            StoreError: somebody else moves the pointer all the time.
        """
        for _ in range(_TRIES):
            current, history, seen = self._seen_pointer()
            if expected and current != expected:
                raise PreconditionError(
                    f"{current or 'no release'} serves, and not {expected}; look again before going back"
                )
            if not history:
                raise NotFoundError(f"no release before {current!r}; promote one by id")
            self.read(history[-1])
            if self._point(history[-1], history[:-1], seen):
                return history[-1]
        raise self._contended()

    def _pointer(self) -> tuple[str, tuple[str, ...]]:
        """The release that serves, and those before it, the last one last."""
        current, history, _ = self._seen_pointer()
        return current, history

    def _seen_pointer(self) -> tuple[str, tuple[str, ...], str]:
        """The same, and the version of the pointer that says so."""
        found = self._objects.read(_POINTER)
        pointer = _parsed(found.data, self._objects.place(_POINTER)) if found is not None else {}
        history = tuple(str(release_id) for release_id in pointer.get("history", ()))
        return str(pointer.get("release_id", "")), history, found.version if found is not None else ""

    def _point(self, release_id: str, history: Sequence[str], seen: str) -> bool:
        pointer = {"release_id": release_id, "history": history[-_MAX_HISTORY:]}
        return self._objects.swap(_POINTER, _document(pointer), seen=seen)

    def _contended(self) -> StoreError:
        place = self._objects.place(_POINTER)
        return StoreError(
            f"{place} was moved by somebody else {_TRIES} times in a row; look who promotes, and try again"
        )

    def model_folder(self, release_id: str) -> Path:
        """A folder of this machine with the release's model; copied from where the releases are, if that is elsewhere.

        A copy stays for other processes and later starts; it never changes, as its release never does.
        """
        name = f"{_checked_id(release_id)}/model"
        if self._objects.keeps_out:
            return Path(self._objects.place(name))
        # Releases of another place may have the same id.
        where = sha256(self._objects.place().encode()).hexdigest()[:16]
        target = (self._cache or cache_folder() / "releases") / where / release_id
        copied_out(self._objects, name, target)
        return target

    def _read(self, name: str) -> dict[str, Any] | None:
        found = self._objects.read(name)
        return None if found is None else _parsed(found.data, self._objects.place(name))


def _checked_id(release_id: str) -> str:
    if not release_id or "/" in release_id or release_id.startswith("."):
        raise NotFoundError(f"no release {release_id!r}; an id is a name without slashes")
    return release_id


def _document(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True).encode()


def _parsed(data: bytes, place: str) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(data)
    except ValueError as error:
        raise IncompatibleStateError(f"{place} is no JSON: {error}; publish again") from None
    return document


def check_gates(metrics: Mapping[str, float], gates: PublishSettings) -> None:
    """Raise ReleaseGateError with every gate that was missed.

    Args:
        metrics: index_recall_at_100 is required; hr_at_10 and hr_at_10_popularity are judged where both are there, as
            are ndcg_at_10 and, of a warm refit, ndcg_at_10_served and ndcg_at_10_trained.
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
    refit = metrics.get("ndcg_at_10")
    for name, whose in (("served", "the release that serves"), ("trained", "the last whole training")):
        other = metrics.get(f"ndcg_at_10_{name}")
        if refit is None or other is None:
            continue
        needed = other * (1.0 - gates.max_loss_to_served)
        if not refit >= needed:
            missed.append(
                f"ndcg_at_10 on the newest lists is {refit:.4f}, at least {needed:.4f} is needed ({whose} has "
                f"{other:.4f})"
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
