"""What `mmrec evaluate` reads of files: no text from after the split, no place that is no number."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmrec.errors import InvalidRequestError
from mmrec.experiments.data_sets import read_data_set
from mmrec.experiments.event_table import read_events

MOVIELENS = "movielens_small_posters"


def movielens(folder: Path, tag: str) -> Path:
    """Two films that differ in nothing but what viewers said of one."""
    folder.mkdir()
    tables = {
        "movies": {"movieId": [1, 2], "title": ["Alike (1999)"] * 2, "genres": ["Drama"] * 2},
        "ratings": {"userId": [1, 1], "movieId": [1, 2], "rating": [5.0, 4.5], "timestamp": [1_000, 1_010]},
        "tags": {"userId": [1], "movieId": [2], "tag": [tag], "timestamp": [2_000]},
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder


def test_what_viewers_say_after_the_split_is_no_content_of_a_film(tmp_path: Path) -> None:
    found = []
    for tag in ("dull", "a masterpiece with submarines"):
        shutil.rmtree(tmp_path / MOVIELENS, ignore_errors=True)
        movielens(tmp_path / MOVIELENS, tag)
        found.append(read_data_set(MOVIELENS, data_folder=str(tmp_path), encoders={"text": "hashing-tf"}))
    texts_ID = found[0].items.vectors["text"]
    assert found[0].items.present["text"].all() and np.array_equal(texts_ID[0], texts_ID[1])
    assert np.array_equal(texts_ID, found[1].items.vectors["text"])
    assert len(found[0].data) == 4, "a watch and a like of each"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_place_that_is_no_number_is_said_with_its_file_and_line(value: str, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(f"user_id,item_id,position\nu,i,0\nu,j,{value}\n")
    with pytest.raises(InvalidRequestError, match=f"events.csv, line 3: column position is '{value}'; give a position"):
        read_events(path)


def test_small_numbers_in_a_column_called_time_may_be_meant_as_places(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user_id,item_id,time\nu,i,2\nu,j,1\n")
    with pytest.raises(
        InvalidRequestError, match=r"column time holds numbers such as 2, .* give --column position=time"
    ):
        read_events(path)
    data = read_events(path, columns={"position": "time"})
    assert data.clock == "positions" and [data.item_ids[row] for row in data.items_E] == ["j", "i"]
