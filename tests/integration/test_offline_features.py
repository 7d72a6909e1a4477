"""The job that answers "what were the features then": strictly before counts, the instant itself does not."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.apply import apply_repository
from jobs.offline_features import run
from mmrec.errors import InvalidRequestError
from mmrec.events.columns import EVENT_SCHEMA
from mmrec.wiring import open_event_log
from tests.servers import Deployment

pytestmark = pytest.mark.integration
START = 1_767_225_600.0


def one_event(*, offset: int, user_key: str, item_id: str, time_s: float) -> dict:
    blank = {f.name: {"string": "", "bool": False}.get(str(f.type), 0) for f in EVENT_SCHEMA}
    times = {"event_time_s": time_s, "known_time_s": time_s, "ingest_time_s": time_s}
    names = {"user_key": user_key, "item_id": item_id, "behavior": "cart", "event_id": f"e{offset}", "topic_id": "t"}
    return {**blank, **times, **names, "offset": offset}


def test_features_of_an_instant_do_not_know_what_happens_at_it(
    settings: Callable[..., Deployment], tmp_path: Path
) -> None:
    deployment = settings()
    stores, scoring = deployment.settings.stores, deployment.settings.scoring
    apply_repository(stores, scoring.decay_per_day)
    rows = [one_event(offset=n, user_key="ann", item_id=f"i{n}", time_s=START + 100 * n) for n in range(5)]
    open_event_log(deployment.settings).append(pa.Table.from_pylist(rows, schema=EVENT_SCHEMA), batch_key="0")
    asked = {
        "user_key": ["ann", "ann", "bob"],
        "item_id": ["i3", "i3", "i3"],
        "time_s": [START + 300.0, START + 300.001, START + 300.001],
    }
    pq.write_table(pa.table(asked), tmp_path / "asked.parquet")
    assert run(str(deployment.config), tmp_path / "asked.parquet", tmp_path / "out.parquet") == 3
    found = pq.read_table(tmp_path / "out.parquet")
    assert found["own_touched"].to_pylist() == [0.0, 1.0, 0.0]
    assert found["item_counted"].to_pylist() == [0.0, 1.0, 1.0]
    assert found["user_events_log"].to_pylist() == pytest.approx([1.386294, 1.609438, 0.0], rel=1e-5)


def test_a_question_list_without_its_columns_is_refused(settings: Callable[..., Deployment], tmp_path: Path) -> None:
    deployment = settings()
    pq.write_table(pa.table({"user_key": ["ann"]}), tmp_path / "asked.parquet")
    with pytest.raises(InvalidRequestError, match=r"lacks \['item_id', 'time_s'\]; give the columns user_key"):
        run(str(deployment.config), tmp_path / "asked.parquet", tmp_path / "out.parquet")
