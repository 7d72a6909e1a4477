"""A file is imported once, however often it is broken off and repeated, as the plain sum shows."""

import json
import random
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pytest

from mmrec.disk.objects import FolderObjects
from mmrec.errors import InvalidRequestError, StoreError
from mmrec.events.event_edits import EventEdit
from mmrec.events.event_files import read_records, retimed
from mmrec.events.feed import feed
from mmrec.events.import_marks import ImportMarks
from mmrec.events.producer import MemoryRecordProducer
from mmrec.wire.instants import rfc3339
from tests.unit.test_rebuild import CONFIG, NOW_S, Log, Row, check, rows
from tests.unit.test_stream import Deployment, finish

TOPIC = "behavior-events"
ROWS = [row for row in rows(3_000, seed=1) if not row.user_key.startswith("~")]


def write_file(path: Path, events: list[Row]) -> Path:
    lines = [
        {
            "event_id": f"e{n}",
            "user_id": row.user_key,
            "item_id": row.item_id,
            "behavior": row.behavior,
            "event_time": rfc3339(NOW_S - row.age_s),
        }
        for n, row in enumerate(events)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


class Broker(MemoryRecordProducer):
    """The deployment's topic; it goes away after so many records, in the middle of a portion."""

    def __init__(self, deployment: Deployment, *, until: int) -> None:
        self._partition = deployment.records[TOPIC, 0]
        self._left = until

    def send_many(self, topic: str, records: Iterable[tuple[bytes, bytes | None]]) -> int:
        wanted = list(records)
        self._partition += [(key, value or b"") for key, value in wanted[: self._left]]
        if len(wanted) > self._left:
            raise StoreError("the broker is down")
        self._left -= len(wanted)
        return len(wanted)


def send(deployment: Deployment, file: Path, folder: Path, *, until: int = 1 << 30) -> None:
    marks = ImportMarks(FolderObjects(folder), file)
    if not marks.mark.is_done:
        rest = islice(read_records(file), marks.mark.num_sent, None)
        feed(retimed(rest, imported=True), Broker(deployment, until=until), TOPIC, told=marks.sent)
        marks.done()


def test_an_import_that_is_broken_off_and_repeated_counts_every_event_once(tmp_path: Path) -> None:
    deployment, file, marks = Deployment(), write_file(tmp_path / "history.jsonl", ROWS), tmp_path / "imports"
    for until in (300, 1_700):
        with pytest.raises(StoreError):
            send(deployment, file, marks, until=until)
    send(deployment, file, marks)
    num_sent = len(deployment.records[TOPIC, 0])
    assert num_sent == len(ROWS) + 300 + 700  # what the broker had of portions that were not answered
    send(deployment, file, marks)
    copy = tmp_path / "the same under another name.jsonl"
    copy.write_bytes(file.read_bytes())
    send(deployment, copy, marks)
    assert len(deployment.records[TOPIC, 0]) == num_sent
    stream = finish(deployment, random.Random(3), crash_share=0.1)
    assert stream.progress.counts.document()["accepted"] == len(ROWS)
    assert deployment.log.read(columns=["imported"])["imported"].to_pylist() == [True] * len(ROWS)
    expected = Log()
    expected.rows = ROWS
    check(deployment.store, expected)


def test_a_file_that_grew_is_another_file_and_its_old_events_are_found_by_their_ids(tmp_path: Path) -> None:
    deployment, file, marks = Deployment(), write_file(tmp_path / "history.jsonl", ROWS[:400]), tmp_path / "imports"
    send(deployment, file, marks)
    send(deployment, write_file(file, ROWS[:500]), marks)
    assert len(deployment.records[TOPIC, 0]) == 900
    stream = finish(deployment, random.Random(3), crash_share=0.0)
    assert stream.progress.counts.document()["accepted"] == 500
    assert max(len([r for r in ROWS[:500] if r.user_key == f"u{n}"]) for n in range(5)) < CONFIG.ring_size


def test_an_import_under_other_options_is_another_one_and_leaves_out_what_was_sent(tmp_path: Path) -> None:
    file, folder = write_file(tmp_path / "history.jsonl", ROWS[:10]), tmp_path / "imports"
    plain = ImportMarks(FolderObjects(folder), file)
    plain.begin(behaviors={"": "", "cart": "cart"})
    plain.sent(4)
    assert ImportMarks(FolderObjects(folder), file, {"behaviors": {"view": "browse"}}).before == {}  # not sent whole
    plain.done(num_refused=1)
    mapped = ImportMarks(FolderObjects(folder), file, {"behaviors": {"view": "browse"}})
    assert (mapped.mark.is_done, mapped.mark.num_sent) == (False, 0)
    assert mapped.before == {"": "", "cart": "cart"}
    edit = EventEdit(behaviors={"view": "browse"})
    mapped.begin(behaviors={"view": "browse"}, left_out=edit.sent_before(mapped.before))
    mapped.done()
    again = ImportMarks(FolderObjects(folder), file, {"behaviors": {"view": "browse"}})
    assert (again.mark.is_done, again.mark.left_out) == (True, ["", "cart"])
    assert ImportMarks(FolderObjects(folder), file).mark.num_refused == 1
    with pytest.raises(InvalidRequestError, match="imported as cart, not browse"):
        EventEdit(behaviors={"cart": "browse"}).sent_before(plain.before | {"cart": "cart"})


def test_marks_of_before_there_were_options_are_read(tmp_path: Path) -> None:
    file, folder = write_file(tmp_path / "history.jsonl", ROWS[:10]), tmp_path / "imports"
    ImportMarks(FolderObjects(folder), file).done()
    (path,) = folder.iterdir()
    path.write_text('{"name": "history.jsonl", "num_sent": 7, "is_done": true}')
    assert ImportMarks(FolderObjects(folder), file).mark.num_sent == 7
    assert ImportMarks(FolderObjects(folder), file, {"time_unit": "ms"}).before == {}
