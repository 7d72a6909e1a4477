"""MovieLens small with posters as a world of ours: films are items, ratings are behaviors watch and like.

    world = MovieLens(movielens_folder(data_folder))
    shift_s = world.shift_to(now_s)                        # the last rating is now, order and gaps stay
    for chunk in world.history(shift_s=shift_s): producer.send(chunk.records)

Every rating is a `watch`; one of LIKED_FROM or more is a `like` too (mmrec.scoring.behaviors.media_behaviors). The
like comes just before the watch of the same rating and has the same time: who is asked for a list before a like must
not know yet that the film was watched. The last tenth of the log by time is live, what is before it is history.
Source and licence: PROVENANCE.md of the data folder (Harper & Konstan 2015).
"""

import json
import re
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from mmrec.catalog.item import CatalogItem
from mmrec.catalog.values import VALUE_SEPARATOR, attribute_values
from mmrec.errors import MachineError

FOLDER = "movielens_small_posters"
POSTERS = "posters_128x192.tar"
FILES = ("movies.parquet", "ratings.parquet", "tags.parquet")
DOMAIN = "movies"
BEHAVIORS = ("watch", "like")
LIKED_FROM = 4.0
LIVE_SHARE = 0.1
MAX_TAGS = 10
CHUNK_RATINGS = 4_096
NO_GENRES = "(no genres listed)"
_YEAR = re.compile(r"\s*\((\d{4})[^()]*\)\s*$")
_ARTICLE = re.compile(r"^(.*), (The|A|An|La|Le|Les|L'|El|Il|Das|Der|Die|Los|Las|Lo|I|Un|Une|Det|Den)$")
_POSTER = re.compile(r"posters/(\d+)\.jpg")


def movielens_folder(data_folder: str) -> Path:
    """The data set inside the folder that MMREC_DATA_DIR names.

    Raises:
        MachineError: `data_folder` is empty or does not hold the data set.
    """
    if not data_folder:
        raise MachineError(
            f"MovieLens needs its data, and MMREC_DATA_DIR is not set; set it to the folder that holds {FOLDER}/"
            f" with {', '.join(FILES)} and, for pictures, {POSTERS}"
        )
    folder = Path(data_folder).expanduser() / FOLDER
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise MachineError(
            f"MMREC_DATA_DIR is {data_folder}, and {folder} lacks {', '.join(missing)}; set it to the folder that holds"
            f" {FOLDER}/ with {', '.join(FILES)}"
        )
    return folder


@dataclass(frozen=True, kw_only=True)
class ReplayChunk:
    """Events of the log in the order of time, aligned; like mmrec.simulator.chunks.EventChunk for a ledger."""

    event_ids: np.ndarray
    """Object array of str."""
    user_ids: np.ndarray
    item_ids: np.ndarray
    behaviors: np.ndarray
    event_times_s: np.ndarray
    """Epoch seconds, float64, shifted; to the millisecond."""
    is_duplicate: np.ndarray
    is_late: np.ndarray
    is_bot: np.ndarray
    records: list[tuple[bytes, bytes]]
    """(key, value) of each record of topic `behavior-events`."""

    def __len__(self) -> int:
        return len(self.event_ids)


class MovieLens:
    """Films, posters and ratings of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        table = pq.read_table(folder / "ratings.parquet", columns=["userId", "movieId", "rating", "timestamp"])
        order = np.argsort(table["timestamp"].to_numpy(), kind="stable")
        self._users = table["userId"].to_numpy()[order]
        self._movies = table["movieId"].to_numpy()[order]
        self._ratings = table["rating"].to_numpy()[order]
        self._times_s = table["timestamp"].to_numpy()[order].astype(np.int64)

    @property
    def last_time_s(self) -> float:
        """Original epoch seconds of the last rating."""
        return float(self._times_s[-1])

    @property
    def split_time_s(self) -> float:
        """Original epoch seconds of the first live rating."""
        return float(self._times_s[int(len(self._times_s) * (1 - LIVE_SHARE))])

    def shift_to(self, end_s: float) -> float:
        """Seconds to add to original times so that the last rating is at `end_s`."""
        return end_s - self.last_time_s

    def catalog(self, *, with_images: bool = True) -> Iterator[CatalogItem]:
        """All films by ascending movie id, rated or not; about half have a poster.

        Tags are part of the description only where they were given before the live part begins.
        """
        tags = self._tags()
        table = pq.read_table(self._folder / "movies.parquet", columns=["movieId", "title", "genres"])
        for row in table.sort_by("movieId").to_pylist():
            movie_id = int(row["movieId"])
            yield film_item(
                str(movie_id),
                title=str(row["title"]),
                genres=str(row["genres"] or ""),
                tags=tags.get(movie_id, []),
                poster=self._poster(movie_id) if with_images else None,
            )

    def history(self, *, shift_s: float = 0.0) -> Iterator[ReplayChunk]:
        """Ratings before the live part, flagged as imported."""
        return self._chunks(0, self._split, shift_s, imported=True)

    def live(self, *, shift_s: float = 0.0) -> Iterator[ReplayChunk]:
        """The last tenth of the ratings, not flagged."""
        return self._chunks(self._split, len(self._times_s), shift_s, imported=False)

    @property
    def _split(self) -> int:
        # Ratings of one second stay together.
        return int(np.searchsorted(self._times_s, int(self.split_time_s), side="left"))

    @cached_property
    def _posters(self) -> dict[int, tuple[int, int]]:
        """Offset and size in the archive by movie id; empty where there is no archive."""
        path = self._folder / POSTERS
        if not path.is_file():
            return {}
        with tarfile.open(path, "r:") as archive:
            return {
                int(match.group(1)): (member.offset_data, member.size)
                for member in archive
                if (match := _POSTER.fullmatch(member.name))
            }

    def _poster(self, movie_id: int) -> bytes | None:
        place = self._posters.get(movie_id)
        if place is None:
            return None
        with (self._folder / POSTERS).open("rb") as archive:
            archive.seek(place[0])
            return archive.read(place[1])

    def _tags(self) -> dict[int, list[str]]:
        table = pq.read_table(self._folder / "tags.parquet", columns=["movieId", "tag", "timestamp"])
        counts: dict[int, Counter[str]] = defaultdict(Counter)
        for row in table.to_pylist():
            tag = plain_tag(str(row["tag"] or ""))
            if tag and row["timestamp"] < self.split_time_s:
                counts[int(row["movieId"])][tag] += 1
        return {movie_id: common_tags(found) for movie_id, found in counts.items()}

    def _chunks(self, first: int, last: int, shift_s: float, *, imported: bool) -> Iterator[ReplayChunk]:
        shift_ms = round(shift_s * 1000)
        for start in range(first, last, CHUNK_RATINGS):
            part = slice(start, min(start + CHUNK_RATINGS, last))
            yield _chunk(
                self._users[part],
                self._movies[part],
                self._ratings[part],
                self._times_s[part] * 1000 + shift_ms,
                imported=imported,
            )


def film_item(movie_id: str, *, title: str, genres: str, tags: Sequence[str], poster: bytes | None) -> CatalogItem:
    """A film as an item.

    Args:
        title: As MovieLens writes it, see split_title().
        genres: With "|" between them.
        tags: What viewers said, for the description.
    """
    name, year = split_title(title)
    kinds = [genre for genre in attribute_values(genres) if genre != NO_GENRES]
    attributes = {"genres": VALUE_SEPARATOR.join(kinds)} if kinds else {}
    if year:
        attributes["decade"] = f"{year // 10 * 10}s"
    return CatalogItem(
        item_id=item_id_of(movie_id),
        title=name,
        description=_describe(kinds, year, tags),
        domain=DOMAIN,
        attributes=attributes,
        image=poster,
        media_type="image/jpeg" if poster is not None else "",
    )


def plain_tag(text: str) -> str:
    """A tag in small letters, with single spaces."""
    return " ".join(text.lower().split())


def common_tags(counts: Counter[str]) -> list[str]:
    """The MAX_TAGS most frequent ones, equal ones by the alphabet."""
    return sorted(counts, key=lambda tag: (-counts[tag], tag))[:MAX_TAGS]


def item_id_of(movie_id: int | str) -> str:
    """Our item id of a MovieLens movie id."""
    return f"m{movie_id}"


def user_id_of(user_id: int) -> str:
    """Our user id of a MovieLens user id."""
    return f"u{user_id}"


def split_title(text: str) -> tuple[str, int]:
    """Title as people say it, and the year (0 where none is named): "Matrix, The (1999)" is "The Matrix", 1999."""
    found = _YEAR.search(text)
    year = int(found.group(1)) if found else 0
    bare = _YEAR.sub("", text).strip()
    main, bracket, others = bare.partition(" (")
    title = _article_first(main)
    if bracket and others.endswith(")"):
        also = others[:-1].removeprefix("a.k.a. ").removeprefix("a.k.a ").strip()
        return f"{title} ({_article_first(also)})", year
    return (title if not bracket else bare), year


def _article_first(title: str) -> str:
    found = _ARTICLE.match(title.strip())
    if not found:
        return title.strip()
    gap = "" if found.group(2).endswith("'") else " "
    return f"{found.group(2)}{gap}{found.group(1)}"


def _describe(genres: Sequence[str], year: int, tags: Sequence[str]) -> str:
    kinds = ", ".join(genre.lower() for genre in genres)
    sentences = []
    if kinds or year:
        of_year = f" of {year}" if year else ""
        sentences.append(f"{kinds.capitalize()} film{of_year}." if kinds else f"Film{of_year}.")
    if tags:
        sentences.append(f"Viewers say: {', '.join(tags)}.")
    return " ".join(sentences)


def _chunk(
    users: np.ndarray, movies: np.ndarray, ratings: np.ndarray, times_ms: np.ndarray, *, imported: bool
) -> ReplayChunk:
    flag = ',"imported":true}' if imported else "}"
    texts = np.datetime_as_string(times_ms.astype("datetime64[ms]")).tolist()
    columns: list[tuple[str, str, str, str, float]] = []
    records: list[tuple[bytes, bytes]] = []
    for user, movie, rating, time_ms, text in zip(
        users.tolist(), movies.tolist(), ratings.tolist(), times_ms.tolist(), texts, strict=True
    ):
        user_id, item_id = user_id_of(user), item_id_of(movie)
        for behavior in ("like", "watch") if rating >= LIKED_FROM else ("watch",):
            event_id = f"ml-{user}-{movie}-{behavior}"
            columns.append((event_id, user_id, item_id, behavior, time_ms / 1000))
            value = (
                f'{{"event_id":"{event_id}","user_id":"{user_id}","item_id":"{item_id}","behavior":"{behavior}",'
                f'"event_time":"{text}Z","domain":"{DOMAIN}","context":{json.dumps({"rating": str(rating)})}{flag}'
            )
            records.append((user_id.encode(), value.encode()))
    event_ids, user_ids, item_ids, behaviors, event_times = zip(*columns, strict=True)
    never = np.zeros(len(columns), dtype=bool)
    return ReplayChunk(
        event_ids=np.array(event_ids, dtype=object),
        user_ids=np.array(user_ids, dtype=object),
        item_ids=np.array(item_ids, dtype=object),
        behaviors=np.array(behaviors, dtype=object),
        event_times_s=np.array(event_times, dtype=np.float64),
        is_duplicate=never,
        is_late=never,
        is_bot=never,
        records=records,
    )
