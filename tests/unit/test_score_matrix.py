"""The exported matrix is the plain sum over what was known, whoever logged in or was forgotten."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmrec.errors import InvalidRequestError
from mmrec.events.control import IDENTIFY
from mmrec.events.forgotten import MemoryForgottenUsers
from mmrec.scoring.plain_sum import LedgerEvent, plain_sum
from mmrec.state.score_matrix import score_matrix
from mmrec.state.score_matrix_files import write_scores
from tests.unit.test_rebuild import CONFIG, NOW_S, Log, Row, rows

AS_OF_S = NOW_S + 150


def world() -> tuple[Log, MemoryForgottenUsers, dict[tuple[str, str], float]]:
    """120 events, a login, 60 more of which 29 are known too late; u2 was forgotten at the 50th."""
    log, forgotten = Log(), MemoryForgottenUsers()
    log.add(*rows(120, seed=1))
    log.add(Row(user_key="u1", item_id="~a0", behavior=IDENTIFY, age_s=0.0))
    log.add(*rows(60, seed=2))
    log.add(Row(user_key="u3", item_id="~a1", behavior=IDENTIFY, age_s=0.0))  # too late
    forgotten.forget("u2", known_time_s=NOW_S + 50)
    events = [
        LedgerEvent(
            event_id=str(n),
            user_key="u1" if row.user_key == "~a0" else row.user_key,
            item_id=row.item_id,
            behavior=row.behavior,
            event_time_s=NOW_S - row.age_s,
        )
        for n, row in enumerate(log.rows)
        if n < 150 and row.behavior != IDENTIFY and not (row.user_key == "u2" and n <= 50)
    ]
    return log, forgotten, plain_sum(events, behaviors=CONFIG.behaviors, decay_per_day=0.05, as_of_s=AS_OF_S)


@pytest.mark.parametrize("rows_per_part", [20, 1_000])
@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_the_file_holds_the_plain_sum_of_what_was_known(tmp_path: Path, suffix: str, rows_per_part: int) -> None:
    log, forgotten, expected = world()
    path = tmp_path / f"scores{suffix}"
    parts = score_matrix(log.log, as_of_s=AS_OF_S, forgotten=forgotten, config=CONFIG, rows_per_part=rows_per_part)
    written = write_scores(parts, path, as_of_s=AS_OF_S)
    if suffix == ".parquet":
        table = pq.read_table(path)
        found = {(r["user_key"], r["item_id"]): r["score"] for r in table.to_pylist()}
        assert table.num_rows == len(found)
    else:
        with np.load(path) as file:
            assert file["shape"].tolist() == [written.num_users, written.num_items]
            assert float(file["as_of_s"]) == AS_OF_S
            users = np.repeat(file["user_keys"], np.diff(file["indptr"]))
            items = file["item_ids"][file["indices"]]
            found = dict(zip(zip(users.tolist(), items.tolist(), strict=True), file["data"].tolist(), strict=True))
    assert found == pytest.approx(expected, rel=1e-12)
    assert written.num_scores == len(expected)
    assert list(tmp_path.iterdir()) == [path]


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"\.npz or \.parquet"):
        write_scores([], tmp_path / "scores.csv", as_of_s=NOW_S)
    with pytest.raises(InvalidRequestError, match="no folder"):
        write_scores([], tmp_path / "none" / "scores.npz", as_of_s=NOW_S)


def test_an_empty_log_gives_an_empty_matrix(tmp_path: Path) -> None:
    parts = score_matrix(Log().log, as_of_s=NOW_S, forgotten=MemoryForgottenUsers(), config=CONFIG)
    assert write_scores(parts, tmp_path / "s.npz", as_of_s=NOW_S).num_scores == 0
