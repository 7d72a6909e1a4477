"""What a training leaves for MLflow: its file layout, whole after a failure, one run for one training."""

import json
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mmrec.clock import ManualClock
from mmrec.errors import ConfigurationError
from mmrec.training.mlflow_folder import FAILED, FINISHED, RUNNING, MLflowFolder, kept_run_id

RUN = "0" * 31 + "7"


def opened(root: Path, clock: ManualClock, experiment: str = "mmrec towers") -> AbstractContextManager[MLflowFolder]:
    return MLflowFolder.open(
        root,
        experiment=experiment,
        run_id=RUN,
        run_name="model",
        parameters={"learning_rate": 0.003, "alignment": ""},
        clock=clock,
    )


def meta(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "meta.yaml").read_text())
    return found


def test_options_and_curves_stand_where_mlflow_reads_them(tmp_path: Path) -> None:
    clock = ManualClock(1_000.0)
    with opened(tmp_path / "mlruns", clock) as log:
        assert meta(log.folder)["status"] == RUNNING
        log.tell("towers_epoch", epoch=1.0, ndcg=0.25, best=True)
        clock.advance(2.0)
        log.tell("towers_epoch", epoch=2.0, ndcg=0.5, best=False)
        log.tell("validated", hr_at_10=0.1, description={"split": "time"}, note="none")
    assert (log.folder / "metrics" / "towers_epoch.ndcg").read_text() == "1000000 0.25 1\n1002000 0.5 2\n"
    assert (log.folder / "metrics" / "validated.hr_at_10").read_text() == "1002000 0.1 0\n"
    assert {path.name for path in (log.folder / "metrics").iterdir()} == {
        *("towers_epoch.ndcg", "towers_epoch.best", "validated.hr_at_10")
    }
    assert (log.folder / "params" / "learning_rate").read_text() == "0.003"
    assert (log.folder / "tags" / "mlflow.runName").read_text() == "model"
    run, experiment = meta(log.folder), meta(log.folder.parent)
    assert (run["run_id"], run["status"], run["start_time"], run["end_time"]) == (RUN, FINISHED, 1_000_000, 1_002_000)
    assert run["experiment_id"] == experiment["experiment_id"] == log.folder.parent.name
    assert experiment["name"] == "mmrec towers"
    assert str(run["artifact_uri"]).startswith("file://")


def test_a_training_that_breaks_off_is_failed_and_begins_anew_when_it_goes_on(tmp_path: Path) -> None:
    clock = ManualClock(1.0)
    with pytest.raises(RuntimeError), opened(tmp_path, clock) as log:
        log.tell("epoch", epoch=1, loss=3.0)
        raise RuntimeError("broken off")
    assert meta(log.folder)["status"] == FAILED
    with opened(tmp_path, clock) as again:
        again.tell("epoch", epoch=1, loss=3.0)
    assert again.folder == log.folder
    assert (again.folder / "metrics" / "epoch.loss").read_text() == "1000 3.0 1\n"
    with opened(tmp_path, clock, experiment="mmrec align") as other:
        assert other.folder.parent != again.folder.parent


def test_a_run_keeps_its_id(tmp_path: Path) -> None:
    first = kept_run_id(tmp_path)
    assert len(first) == 32
    assert int(first, 16) >= 0
    assert kept_run_id(tmp_path) == first


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlruns").write_text("")
    with pytest.raises(ConfigurationError, match=r"--mlflow .*mlruns is a file; give a folder"):
        opened(tmp_path / "mlruns", ManualClock(0.0)).__enter__()


def test_an_epoch_that_is_told_again_counts_once(tmp_path: Path) -> None:
    with opened(tmp_path, ManualClock(1_000.0)) as log:
        for epoch in (1, 2, 2, 3):
            log.tell("towers_epoch", epoch=epoch, ndcg=epoch / 10)
        steps = [line.split()[2] for line in (log.folder / "metrics" / "towers_epoch.ndcg").read_text().splitlines()]
    assert steps == ["1", "2", "3"]
