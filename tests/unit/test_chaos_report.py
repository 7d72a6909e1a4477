"""The table and the figures of a chaos run."""

from tests.benchmarks.chaos_stream_kills import Kills
from tests.benchmarks.chaos_stream_report import figures, table
from tests.benchmarks.chaos_stream_run import Outcome


def outcome(*, lost: int, recoveries_s: list[float]) -> Outcome:
    return Outcome(
        kills={"older store": Kills(wanted=3, done=2, recoveries_s=recoveries_s)},
        acknowledged=100,
        deliveries=101,
        sent_again=5,
        lost=lost,
        wrong_profiles=1,
        counts={"accepted": 100, "duplicate": 1},
        seconds=10.0,
    )


def test_figures_stand_for_all_stores_and_for_each() -> None:
    found = figures({"sqlite": outcome(lost=0, recoveries_s=[1.0, 3.0]), "redis": outcome(lost=2, recoveries_s=[])})
    wanted = {"kills": 4, "kills_wanted": 6, "acknowledged": 200, "lost": 2, "wrong_profiles": 2, "seconds": 20.0}
    assert {name: found[name] for name in wanted} == wanted
    assert (found["lost_sqlite"], found["lost_redis"]) == (0, 2)
    assert (found["older_store_kills_sqlite"], found["older_store_recovered_sqlite"]) == (2, 2)
    assert (found["older_store_recovery_p50_s_sqlite"], found["older_store_recovery_max_s_sqlite"]) == (2.0, 3.0)
    assert "older_store_recovery_p50_s_redis" not in found


def test_the_table_has_a_line_per_kind_and_one_for_all() -> None:
    lines = table({"sqlite": outcome(lost=0, recoveries_s=[1.0])})
    assert lines[1].split() == ["sqlite", "older", "store", "2", "1", "1.0", "1.0"]
    assert lines[-1].split() == ["all", "2", "100", "1", "0", "1", "10"]
