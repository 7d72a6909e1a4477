"""The MovieLens form: movies and ratings, as .csv or .parquet, where there are also tags and posters.

    movieId,title,genres                1,Toy Story (1995),Adventure|Animation|Children
    userId,movieId,rating,timestamp     1,31,2.5,1260759144

Films are items and ratings events as in the data set `movielens` (mmrec.catalog.movielens), with the same ids; times
are the file's own.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from mmrec.catalog.importers.cells import cell_text
from mmrec.catalog.importers.event_rows import EventReader
from mmrec.catalog.importers.image_source import ImageSource, find_pictures
from mmrec.catalog.importers.importer import Importer, ImportSource, Part
from mmrec.catalog.importers.instants import Clock
from mmrec.catalog.importers.mapping import ImportOptions, refuse_columns
from mmrec.catalog.importers.plain import events_of, said_of_pictures
from mmrec.catalog.importers.reading import Noticed, Reading
from mmrec.catalog.importers.table import Table, is_table, open_table
from mmrec.catalog.item import CatalogItem
from mmrec.catalog.movielens import BEHAVIORS, LIKED_FROM, common_tags, film_item, plain_tag
from mmrec.errors import InvalidRequestError

USUAL: Final[Mapping[str, str]] = {f"rating>={LIKED_FROM:g}": BEHAVIORS[1], "rating>0": BEHAVIORS[0]}
"""The like stands before the watch of the same rating, as in the data set."""
_NEEDED: Final = {"movies": {"movieId", "title"}, "ratings": {"userId", "movieId", "rating"}}


def recognizes(path: Path) -> bool:
    """A folder with such movies or ratings, or one of the two files."""
    return bool({"movies", "ratings"} & _tables(path).keys())


def _tables(path: Path, encoding: str = "") -> dict[str, Table]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    found: dict[str, Table] = {}
    for file in files:
        name = file.name.partition(".")[0].lower()
        if name not in ("movies", "ratings", "tags") or not file.is_file() or not is_table(file):
            continue
        try:
            table = open_table(file, encoding=encoding)
        except (InvalidRequestError, LookupError):
            continue
        if _NEEDED.get(name, {"movieId", "tag"}) <= set(table.columns):
            found.setdefault(name, table)
    return found


def open_movielens(path: Path, options: ImportOptions) -> ImportSource:
    """A folder of the form, or one of its files.

    Raises:
        InvalidRequestError: there are neither movies nor ratings, or columns are named.
    """
    tables = _tables(path, options.encoding)
    movies, ratings = tables.get("movies"), tables.get("ratings")
    if movies is None and ratings is None:
        raise InvalidRequestError(f"{path} holds neither movies nor ratings of the MovieLens form")
    refuse_columns("movielens", options)
    said: list[str] = []
    items = events = None
    if movies is not None and options.kind != "events":
        posters = _posters(options.images, movies.path.parent)
        items = _items(movies, tables.get("tags"), posters)
        said += [f"{movies.path.name}: {movies.kind}", "movieId -> item_id", "title -> title and attribute decade"]
        said += ["genres -> attribute genres", *said_of_pictures(posters)]
    if ratings is not None and options.kind != "items":
        columns = {"user_id": "userId", "item_id": "movieId"}
        columns |= {"event_time": "timestamp"} if "timestamp" in ratings.columns else {}
        reader = EventReader(
            columns=columns,
            context={"rating": "rating"},
            rules=options.rules,
            clock=Clock(unit=options.time_unit or "s"),
            user_prefix="u",
            item_prefix="m",
        )
        events = events_of(ratings, reader)
        said += [f"{ratings.path.name}: {ratings.kind}", *(f"{column} -> {name}" for name, column in columns.items())]
    return ImportSource(form="movielens", path=path, mapping=tuple(said), items=items, events=events)


def _posters(given: str, folder: Path) -> ImageSource | None:
    archive = next(iter(sorted(folder.glob("posters*.tar"))), None)
    return find_pictures(given or (str(archive) if archive else ""), beside=folder)


def _items(movies: Table, tags: Table | None, posters: ImageSource | None) -> Part[CatalogItem]:
    def read(reading: Reading) -> Iterator[CatalogItem]:
        said = {} if tags is None else _tags(tags)
        for number, cells in movies.rows(reading, overflow="title"):
            movie_id, place = cell_text(cells["movieId"]).strip(), f"{movies.row_word} {number}"
            if not movie_id:
                reading.note(Noticed.MISSING_ID, place, column="movieId")
                continue
            poster = posters.of(movie_id) if posters else None
            if poster is not None and not poster.content:
                reading.note(Noticed.LARGE_FILE, place, poster.name)
            reading.num_items += 1
            yield film_item(
                movie_id,
                title=cell_text(cells["title"]),
                genres=cell_text(cells.get("genres")),
                tags=said.get(movie_id, []),
                poster=(poster.content or None) if poster else None,
            )

    files = [movies.path, *([tags.path] if tags else []), *([posters.path] if posters else [])]
    return Part(files=tuple(files), read=read)


def _tags(table: Table) -> dict[str, list[str]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for _, cells in table.rows(Reading()):
        if tag := plain_tag(cell_text(cells["tag"])):
            counts[cell_text(cells["movieId"]).strip()][tag] += 1
    return {movie_id: common_tags(found) for movie_id, found in counts.items()}


MOVIELENS: Final = Importer(
    name="movielens",
    about="MovieLens: movies and ratings as .csv or .parquet, with tags and posters*.tar",
    recognizes=recognizes,
    open=open_movielens,
    usual_behaviors=USUAL,
)
