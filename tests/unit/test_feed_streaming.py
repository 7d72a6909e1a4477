"""A catalogue streams through encoders: portions in order, little in memory, each input once, also after a kill."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from mmrec.catalog.item import CatalogItem
from mmrec.content.catalog_feed import MAX_RECORDS, record_portions, take_ahead
from mmrec.content.encode import BATCH, FillHere, begin, finish
from mmrec.content.encoder import Encodings
from mmrec.content.feed_progress import FeedProgress
from mmrec.content.registry import LazyEncoder
from mmrec.content.store import ContentStore
from mmrec.errors import StoreError
from mmrec.events.producer import TopicRecord
from mmrec.wire.portions import bounded_portions
from tests.unit.test_catalog_feed import NOW_S, Deployment, item, record

NUM_ITEMS = 4 * BATCH


class Watched:
    """hashing-tf, which counts what it reads and can be told to do something at a payload."""

    def __init__(self, at: Mapping[int, Callable[[], None]] | None = None) -> None:
        self._encoder = LazyEncoder("text", "hashing-tf")
        self.name, self.modality, self.fingerprint = "hashing-tf", "text", self._encoder.fingerprint
        self.seen: list[bytes] = []
        self._at = at or {}

    @property
    def embedding_dim(self) -> int:
        return self._encoder.embedding_dim

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        for payload in payloads:
            self._at.get(len(self.seen), lambda: None)()
            self.seen.append(payload)
        return self._encoder.encode(payloads)


def titled(number: int) -> TopicRecord:
    return record(number, f"i{number}".encode(), item(f"i{number}", title=f"Dress of design {number}"))


RECORDS = [titled(number) for number in range(NUM_ITEMS)]


def run(folder: Path, encoder: Watched, *, records: Sequence[TopicRecord] = RECORDS, rows: int = BATCH) -> Deployment:
    """What the job does with a topic, from the mark on."""
    deployment = Deployment(folder)
    encoders = {"text": encoder}
    feed = deployment.feed(encoders=encoders)
    left = [each for each in records if each.offset >= feed.mark.offsets.get(0, 0)]
    portions = bounded_portions(left, bytes_of=lambda _: 1, max_bytes=rows, max_rows=rows)
    for _ in take_ahead(feed, portions, filler=FillHere(encoders, deployment.store), now_s=lambda: NOW_S):
        pass
    return deployment


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.unit.test_feed_streaming import Watched, run
run(Path(sys.argv[1]), Watched({int(sys.argv[2]): lambda: os.kill(os.getpid(), signal.SIGKILL)}))
"""


def test_a_killed_run_goes_on_where_it_stopped_and_encodes_no_more_than_one_batch_twice(tmp_path: Path) -> None:
    killed_at = 2 * BATCH + BATCH // 2
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(killed_at)], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    second = Watched()
    assert set(run(tmp_path, second).store.item_ids()) == {f"i{number}" for number in range(NUM_ITEMS)}
    assert len(second.seen) == NUM_ITEMS - 2 * BATCH
    third = Watched()
    run(tmp_path, third)
    assert third.seen == []


def test_another_run_of_another_deployment_encodes_nothing(tmp_path: Path) -> None:
    run(tmp_path, Watched())
    (tmp_path / "mark.json").unlink()
    again = Watched()
    run(tmp_path, again)
    assert again.seen == []


def test_an_encoder_that_was_trained_in_place_has_the_catalogue_encoded_anew(tmp_path: Path) -> None:
    run(tmp_path, Watched())
    retrained = Watched()
    retrained.fingerprint = "f" * 32
    deployment = run(tmp_path, retrained)
    assert len(retrained.seen) == NUM_ITEMS
    assert deployment.store.load_matrix().fingerprints == {"text": "f" * 32}


def test_what_several_portions_share_is_encoded_once(tmp_path: Path) -> None:
    same = [record(n, f"i{n}".encode(), item(f"i{n}", title=f"Dress {n % 8}")) for n in range(40)]
    encoder = Watched()
    deployment = run(tmp_path, encoder, records=same, rows=10)
    assert len(encoder.seen) == 8
    assert deployment.store.num_items() == 40


def test_portions_are_read_no_further_ahead_than_asked_and_published_in_order(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    feed, read = deployment.feed(), []

    def portions() -> Iterator[list[TopicRecord]]:
        for number in range(6):
            read.append(number)
            yield [RECORDS[number]]

    filler = FillHere({"text": Watched(), "attributes": LazyEncoder("attributes", "attribute-hash")}, deployment.store)
    for published, _ in enumerate(take_ahead(feed, portions(), filler=filler, now_s=lambda: NOW_S, num_ahead=2)):
        assert feed.mark.offsets == {0: published + 1}
        assert len(read) <= published + 3
    assert {each.key for each in deployment.broker.records("item-embeddings")} == {b"i%d" % n for n in range(6)}


def test_a_newer_record_in_a_later_portion_counts(tmp_path: Path) -> None:
    changed = [titled(0), record(1, b"i0", item("i0", title="Another dress")), record(2, b"i0", None), titled(3)]
    deployment = run(tmp_path, Watched(), records=changed, rows=1)
    assert deployment.store.item_ids() == {"i3"}


def test_vectors_that_went_away_are_never_taken_for_broken_inputs(tmp_path: Path) -> None:
    store, encoders = ContentStore(tmp_path), {"text": Watched()}
    items = [CatalogItem(item_id="a", title="Red dress")]
    finish(begin(items, encoders, store), encoders, store)
    under_way = begin(items, encoders, store)
    (tmp_path / "cache" / f"{encoders['text'].fingerprint}.sqlite").unlink()
    with pytest.raises(StoreError, match="lost 1 text"):
        finish(under_way, encoders, store)


def test_records_are_taken_together_up_to_a_number_and_a_length() -> None:
    assert [len(each) for each in record_portions([titled(n) for n in range(MAX_RECORDS + 1)])] == [MAX_RECORDS, 1]
    lengths = list(bounded_portions([3, 3, 9, 1, 1], bytes_of=int, max_bytes=6, max_rows=10))
    assert lengths == [[3, 3], [9], [1, 1]]
    assert list(bounded_portions([], bytes_of=int, max_bytes=6, max_rows=10)) == []


def test_progress_is_told_in_offsets_with_the_time_left_at_the_rate_so_far() -> None:
    progress = FeedProgress(start={0: 10}, end={0: 110, 1: 100}, started_s=NOW_S)
    assert progress.figures({0: 10}, now_s=NOW_S, num_items=0)["remaining_s"] is None
    told = progress.figures({0: 60}, now_s=NOW_S + 10, num_items=40)
    assert told == {"num_done": 50, "num_all": 200, "items_per_s": 4.0, "remaining_s": 30.0}
    assert progress.figures({0: 400, 1: 100}, now_s=NOW_S + 10, num_items=40)["remaining_s"] == 0.0
    assert FeedProgress(start={}, end={}, started_s=NOW_S).figures({}, now_s=NOW_S, num_items=0)["num_all"] == 0


def test_what_became_of_inputs_stands_in_a_table_by_reason(tmp_path: Path) -> None:
    feed = Deployment(tmp_path).feed()
    feed.take([titled(0), titled(0), record(1, b"dark", item("dark", title="The"))], now_s=NOW_S)
    lines = [line.split() for line in feed.counts.table().splitlines()]
    assert ["text", "encoded", "2"] in lines
    assert ["text", "broken", "1"] in lines
    assert ["attributes", "missing", "2"] in lines
    assert ["item", "missing_image", "2"] in lines
    assert np.isfinite(feed.counts.num_items)
