"""MovieLens as a world of ours, on a tiny folder made here; on the real one where it is there."""

import io
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf import json_format
from PIL import Image

from mmrec.catalog.movielens import MovieLens, ReplayChunk, movielens_folder, split_title
from mmrec.catalog.values import attribute_values
from mmrec.demo.world import MOVIELENS_RING
from mmrec.errors import MachineError
from mmrec.scoring.behaviors import media_behaviors
from mmrec.v1 import behavior_pb2
from tests.public_data import public_data


def jpeg(color: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 24), color).save(out, format="JPEG")
    return out.getvalue()


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "movielens_small_posters"
    folder.mkdir()
    movies = {
        "movieId": [7, 3, 5],
        "title": ["Matrix, The (1999)", "Seven (a.k.a. Se7en) (1995)", "Stranger Things"],
        "genres": ["Action|Sci-Fi", "Thriller", "(no genres listed)"],
    }
    pq.write_table(pa.table(movies), folder / "movies.parquet")
    ratings = {
        "userId": [1 + n // 3 for n in range(20)],
        "movieId": [(3, 5, 7)[n % 3] for n in range(20)],
        "rating": [4.0, 3.5] * 10,
        "timestamp": [*range(1_000, 1_018), 1_018, 1_018],
    }
    pq.write_table(pa.table(ratings), folder / "ratings.parquet")
    tags = {"userId": [1, 1, 2], "movieId": [7, 7, 7], "tag": ["Bullet  Time", "bullet time", "later"]}
    pq.write_table(pa.table({**tags, "timestamp": [1_001, 1_002, 1_018]}), folder / "tags.parquet")
    with tarfile.open(folder / "posters_128x192.tar", "w") as archive:
        for movie_id, color in ((7, "green"), (3, "red")):
            member = tarfile.TarInfo(f"posters/{movie_id}.jpg")
            member.size = len(jpeg(color))
            archive.addfile(member, io.BytesIO(jpeg(color)))
    return tmp_path


def column(chunks: list[ReplayChunk], name: str) -> list[object]:
    return [value for chunk in chunks for value in getattr(chunk, name).tolist()]


def test_films_have_their_text_genres_decade_and_own_poster(data_folder: Path) -> None:
    seven, stranger, matrix = MovieLens(movielens_folder(str(data_folder))).catalog()
    assert (matrix.item_id, matrix.title, matrix.domain) == ("m7", "The Matrix", "movies")
    assert attribute_values(matrix.attributes["genres"]) == ("Action", "Sci-Fi")
    assert matrix.attributes["decade"] == "1990s"
    assert (seven.image, matrix.image) == (jpeg("red"), jpeg("green"))
    assert stranger.image is None
    assert dict(stranger.attributes) == {}


def test_tags_of_the_live_part_stay_out_of_the_text(data_folder: Path) -> None:
    matrix = list(MovieLens(movielens_folder(str(data_folder))).catalog())[-1]
    assert matrix.description == "Action, sci-fi film of 1999. Viewers say: bullet time."


def test_history_and_live_part_at_one_second_and_hold_every_rating(data_folder: Path) -> None:
    world = MovieLens(movielens_folder(str(data_folder)))
    history, live = list(world.history()), list(world.live())
    assert max(column(history, "event_times_s")) < world.split_time_s == min(column(live, "event_times_s"))
    watches = [b for b in column(history + live, "behaviors") if b == "watch"]
    assert len(watches) == 20
    assert len(column(live, "event_ids")) == 3  # two ratings of the last second, one of them a like


def test_a_like_comes_just_before_the_watch_of_its_rating(data_folder: Path) -> None:
    chunks = list(MovieLens(movielens_folder(str(data_folder))).history())
    behaviors, items, times = (column(chunks, name) for name in ("behaviors", "item_ids", "event_times_s"))
    likes = [row for row, behavior in enumerate(behaviors) if behavior == "like"]
    assert likes
    for row in likes:
        assert (behaviors[row + 1], items[row + 1], times[row + 1]) == ("watch", items[row], times[row])


def test_shifting_ends_the_log_at_the_given_instant_and_keeps_order_gaps_and_ids(data_folder: Path) -> None:
    world = MovieLens(movielens_folder(str(data_folder)))
    now_s = 1_790_000_000.25
    plain = list(world.live())
    shifted = list(world.live(shift_s=world.shift_to(now_s)))
    assert column(shifted, "event_times_s")[-1] == now_s
    assert column(shifted, "event_ids") == column(plain, "event_ids")
    assert np.diff(column(shifted, "event_times_s")) == pytest.approx(np.diff(column(plain, "event_times_s")))


def test_records_are_proto_json_and_agree_with_the_columns(data_folder: Path) -> None:
    world = MovieLens(movielens_folder(str(data_folder)))
    for chunks, imported in ((list(world.history()), True), (list(world.live(shift_s=0.5)), False)):
        for chunk in chunks:
            for row, (key, value) in enumerate(chunk.records):
                event = json_format.Parse(value, behavior_pb2.BehaviorEvent())
                assert key.decode() == event.user_id == chunk.user_ids[row]
                assert (event.event_id, event.item_id) == (chunk.event_ids[row], chunk.item_ids[row])
                assert event.behavior == chunk.behaviors[row] in media_behaviors()
                assert event.event_time.seconds + event.event_time.nanos / 1e9 == chunk.event_times_s[row]
                assert event.imported is imported


def test_event_ids_are_unique(data_folder: Path) -> None:
    world = MovieLens(movielens_folder(str(data_folder)))
    pairs = column([*world.history(), *world.live()], "event_ids")
    assert len(set(pairs)) == len(pairs)


def test_posters_may_be_left_out(data_folder: Path) -> None:
    with_posters = list(MovieLens(movielens_folder(str(data_folder))).catalog())
    (data_folder / "movielens_small_posters" / "posters_128x192.tar").unlink()
    without = list(MovieLens(movielens_folder(str(data_folder))).catalog())
    assert without == [replace(item, image=None, media_type="") for item in with_posters]


@pytest.mark.parametrize(
    ("text", "title", "year"),
    [
        ("Matrix, The (1999)", "The Matrix", 1999),
        ("City of Lost Children, The (Cité des enfants perdus, La) (1995)",
         "The City of Lost Children (La Cité des enfants perdus)", 1995),
        ("Twelve Monkeys (a.k.a. 12 Monkeys) (1995)", "Twelve Monkeys (12 Monkeys)", 1995),
        ("Star Maker, The (Uomo delle stelle, L') (1995)", "The Star Maker (L'Uomo delle stelle)", 1995),
        ("Steal Big, Steal Little (1995)", "Steal Big, Steal Little", 1995),
        ("Hyena Road", "Hyena Road", 0),
    ],
)  # fmt: skip
def test_titles_read_as_people_say_them(text: str, title: str, year: int) -> None:
    assert split_title(text) == (title, year)


@pytest.mark.parametrize("folder", ["", "/nowhere"])
def test_missing_data_is_said_in_one_line_with_what_to_set_and_what_belongs_there(folder: str) -> None:
    with pytest.raises(MachineError, match=r"MMREC_DATA_DIR is .* holds movielens_small_posters/") as caught:
        movielens_folder(folder)
    assert "\n" not in str(caught.value)


def test_the_real_set_has_the_counts_of_its_provenance() -> None:
    try:
        folder = movielens_folder(str(public_data()))
    except MachineError as error:
        pytest.skip(str(error))
    world = MovieLens(folder)
    items = list(world.catalog())
    posters = [item.image for item in items if item.image is not None]
    assert (len(items), len(posters)) == (9_125, 4_758)
    for poster in posters[::500]:
        with Image.open(io.BytesIO(poster)) as picture:
            picture.load()
            assert picture.size == (128, 192)
    chunks = [*world.history(), *world.live()]
    assert column(chunks, "behaviors").count("watch") == 100_004
    assert len(set(column(chunks, "user_ids"))) == 671
    assert len(set(column(chunks, "event_ids"))) == sum(map(len, chunks))
    assert max(Counter(column(chunks, "user_ids")).values()) <= MOVIELENS_RING  # so every repeat is found
    assert column(list(world.live()), "behaviors").count("like") > 2_000
