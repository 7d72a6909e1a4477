"""Pictures given by URI join their items: fetched in the background, while the feed goes on without them.

    images = RemoteImages(...)
    changes = images.arrange(changes)       # with what the cache has; what is to be fetched is written down
    ...publish changes...
    arrived = images.arrived()              # items whose picture came since: publish them, then
    images.published(arrived)

An item is published as soon as it is read, with the picture the cache has for its URI or with none, and once more when
its picture has come or changed. Fetching never holds up the feed: a fixed number of threads do it, each for a bounded
time. What fails is tried again: what may be for now after 1 minute, 2, 4, ... up to 6 hours, all else after a day, and
everything when the process starts. The picture an item had at the same URI stays meanwhile.
"""

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mmrec.catalog.item import CatalogItem
from mmrec.clock import Clock
from mmrec.config import ContentSettings
from mmrec.content.feed import CatalogChanges
from mmrec.content.fetch import ImageFetcher
from mmrec.content.fetch_errors import FetchError, FetchReason
from mmrec.content.image_cache import ImageCache, ImageMarks, KeptImage
from mmrec.content.payloads import digest
from mmrec.content.wanted_images import WantedImage, WantedImages

FIRST_PAUSE_S: Final = 60.0
LONGEST_PAUSE_S: Final = 6 * 3_600.0
REFUSED_PAUSE_S: Final = 86_400.0
_DAY_S: Final = 86_400.0
_SPARE_S: Final = 60.0
"""For resolving names and for waiting on the worker that tries pictures."""


@dataclass(frozen=True, kw_only=True)
class ArrivedImages:
    """What was fetched since the last time."""

    items: tuple[CatalogItem, ...] = ()
    """With their picture, where it is another than the one they were published with."""
    wanted: tuple[WantedImage, ...] = ()
    """What this answers."""
    failures: tuple[tuple[str, str, str], ...] = ()
    """(item id, reason, detail) of fetches that failed."""


@dataclass(frozen=True, kw_only=True)
class _Answer:
    wanted: WantedImage
    body: bytes | None = None
    """None where the item has it already, or where `error` says why not."""
    error: FetchError | None = None


class RemoteImages:
    """Fetches the pictures of one deployment's items.

    Args:
        settings: Limits.
        folder: Where the list of wanted pictures lives.
        cache_folder: Where pictures are kept; may be shared between deployments.
        problem: Why a picture cannot be read, or nothing; see mmrec.content.picture_worker.
        clock: For pauses and the age of what is kept.
    """

    def __init__(
        self,
        settings: ContentSettings,
        *,
        folder: Path,
        cache_folder: Path,
        problem: Callable[[bytes], str],
        clock: Clock,
    ) -> None:
        self._settings, self._problem, self._clock = settings, problem, clock
        self._fetcher = ImageFetcher(settings)
        self._cache = ImageCache(cache_folder, max_bytes=settings.image_cache_bytes)
        self._list = WantedImages(folder / "wanted_images.sqlite")
        self._list.hasten()
        self._orders: queue.SimpleQueue[WantedImage | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
        self._taken_s: dict[bytes, float] = {}
        """Value of a wanted image -> when it was handed to a thread."""
        self._under_way: dict[bytes, tuple[WantedImage, float]] = {}
        """The same -> what a thread is at, and since when."""
        self._ready: list[_Answer] = []
        self._ready_s = 0.0
        self._num_fetched = 0
        self._failed: Counter[str] = Counter()
        for _ in range(settings.num_image_fetchers):
            self._start_thread()

    def close(self) -> None:
        """Fetch nothing more; what is under way is tried again by the next process."""
        for _ in range(self._settings.num_image_fetchers):
            self._orders.put(None)
        self._list.close()

    def arrange(self, changes: CatalogChanges) -> CatalogChanges:
        """Changes with the pictures that are kept; what is to be fetched or asked for is on the list afterwards."""
        by_uri = {i: item for i, item in changes.items.items() if item.image is None and item.image_uri}
        filled, wanted, now_s = dict(changes.items), [], self._clock.now_s()
        for item_id, item in by_uri.items():
            kept = self._cache.read(item.image_uri)
            if kept is not None:
                filled[item_id] = replace(item, image=kept.body)
            if self._settings.image_schemes and (kept is None or not self._is_fresh(kept.marks, item, now_s)):
                wanted.append((item, digest(kept.body) if kept is not None else b""))
        still = {item.item_id for item, _ in wanted}
        self._list.replace(wanted, others=[i for i in [*changes.items, *changes.removed] if i not in still])
        return replace(changes, items=filled)

    def set_aside(self, item_ids: Iterable[str]) -> None:
        """Other records of these items have come: what they wanted counts no more, until arrange() has the new ones."""
        self._list.replace([], others=item_ids)

    def arrived(self, *, at_least: int = 1, at_most: int = 64, patience_s: float = 0.0) -> ArrivedImages:
        """Hand out what is due, and take what has come: nothing before there are `at_least`, all are through, or
        the first has waited for `patience_s`. Does not wait.
        """
        now_s = self._clock.now_s()
        self._collect(now_s)
        room = 2 * at_most - len(self._taken_s) - len(self._ready)
        taken = self._list.take(room, now_s=now_s, until_s=now_s + LONGEST_PAUSE_S) if room > 0 else []
        for wanted in taken:
            self._taken_s[wanted.value] = now_s
            self._orders.put(wanted)
        enough = len(self._ready) >= at_least or not self._taken_s or now_s - self._ready_s >= patience_s
        if not self._ready or not enough:
            return ArrivedImages()
        answers, self._ready = self._ready[:at_most], self._ready[at_most:]
        return self._settle(answers, now_s)

    def published(self, arrived: ArrivedImages) -> None:
        """The items of `arrived` have been published: they are wanted no more."""
        failed = {item_id for item_id, _, _ in arrived.failures}
        self._list.done(w for w in arrived.wanted if w.item.item_id not in failed)

    @property
    def is_busy(self) -> bool:
        """Whether something is under way or has come and was not taken."""
        return bool(self._taken_s or self._ready)

    def figures(self) -> dict[str, object]:
        """For a status file: fetched and failed here, and items without their picture now, by reason."""
        return {"fetched": self._num_fetched, "failed": dict(self._failed), "wanted": self._list.counts()}

    def _is_fresh(self, marks: ImageMarks, item: CatalogItem, now_s: float) -> bool:
        young = now_s - marks.fetched_s < self._settings.image_cache_days * _DAY_S
        return young and marks.update_time_s == item.update_time_s

    def _collect(self, now_s: float) -> None:
        longest_s = self._fetcher.longest_s + _SPARE_S
        for wanted, since_s in [*self._under_way.values()]:
            if now_s - since_s > longest_s:
                # Nothing ends a driver that hangs: the thread is left to itself, and another takes its place.
                del self._under_way[wanted.value]
                error = FetchError(FetchReason.UNREACHABLE, f"no answer within {longest_s:g} s", transient=True)
                self._answers.put(_Answer(wanted=wanted, error=error))
                self._start_thread()
        while not self._answers.empty():
            answer = self._answers.get()
            if self._taken_s.pop(answer.wanted.value, None) is None:
                continue  # answered, or given up, before
            if not self._ready:
                self._ready_s = now_s
            self._ready.append(answer)

    def _start_thread(self) -> None:
        # A daemon: one that hangs does not keep the process from ending.
        threading.Thread(target=self._fetch_all, daemon=True).start()

    def _settle(self, answers: list[_Answer], now_s: float) -> ArrivedImages:
        items, wanted, failures = [], [], []
        for answer in answers:
            item = answer.wanted.item
            if not self._list.is_current(answer.wanted):
                continue
            wanted.append(answer.wanted)
            if answer.error is not None:
                failures.append((item.item_id, str(answer.error.reason), str(answer.error)))
                self._put_off(answer.wanted, answer.error, now_s)
                continue
            self._num_fetched += 1
            if answer.body is not None:
                items.append(replace(item, image=answer.body))
        return ArrivedImages(items=tuple(items), wanted=tuple(wanted), failures=tuple(failures))

    def _put_off(self, wanted: WantedImage, error: FetchError, now_s: float) -> None:
        pause_s = min(FIRST_PAUSE_S * 2 ** min(wanted.attempts, 20), LONGEST_PAUSE_S)
        if not error.transient:
            pause_s = REFUSED_PAUSE_S
        self._failed[str(error.reason)] += 1
        self._list.failed(wanted, reason=str(error.reason), detail=str(error), next_s=now_s + pause_s)

    def _fetch_all(self) -> None:
        while (wanted := self._orders.get()) is not None:
            self._under_way[wanted.value] = wanted, self._clock.now_s()
            try:
                answer = _Answer(wanted=wanted, body=self._fetch(wanted))
            except FetchError as error:
                answer = _Answer(wanted=wanted, error=error)
            except Exception as error:  # one picture never ends the thread that fetches the next
                detail = f"{type(error).__name__}: {error}"
                answer = _Answer(wanted=wanted, error=FetchError(FetchReason.UNREACHABLE, detail, transient=True))
            self._answers.put(answer)
            if self._under_way.pop(wanted.value, None) is None:
                return  # given up; another thread is in this one's place

    def _fetch(self, wanted: WantedImage) -> bytes | None:
        """The item's picture, or None where it is published with that one."""
        item = wanted.item
        kept = self._cache.read(item.image_uri)
        if kept is None or not self._is_fresh(kept.marks, item, self._clock.now_s()):
            kept = self._ask(item, kept)
        return kept.body if digest(kept.body) != wanted.shown_digest else None

    def _ask(self, item: CatalogItem, kept: KeptImage | None) -> KeptImage:
        known = {} if kept is None else {"etag": kept.marks.etag, "last_modified": kept.marks.last_modified}
        fetched = self._fetcher.fetch(item.image_uri, **known)
        body = fetched.body
        if body is None:
            if kept is None:
                raise FetchError(FetchReason.REFUSED, "status 304, though we said of no picture that we have it")
            body = kept.body
        if (kept is None or body != kept.body) and (problem := self._problem(body)):
            raise FetchError(FetchReason.BROKEN, problem)
        marks = ImageMarks(
            update_time_s=item.update_time_s,
            fetched_s=self._clock.now_s(),
            etag=fetched.etag,
            last_modified=fetched.last_modified,
        )
        now_kept = KeptImage(body=body, marks=marks)
        self._cache.write(item.image_uri, now_kept)
        return now_kept
