"""A training's options and figures where MLflow finds them: a folder as its file store lays it out.

log = MLflowFolder.open(Path("mlruns"), experiment="mmrec towers", run_id=kept_run_id(run), ...)
log.tell("towers_epoch", epoch=3, ndcg=0.12)         metric towers_epoch.ndcg at step 3
mlflow ui --backend-store-uri mlruns                 where MLflow is installed; nothing here needs it

ROOT/EXPERIMENT/meta.yaml                            JSON, which is YAML
ROOT/EXPERIMENT/RUN/meta.yaml                        status 1 while it runs, 3 finished, 4 failed
ROOT/EXPERIMENT/RUN/params/NAME                      one value
ROOT/EXPERIMENT/RUN/metrics/NAME                     a line per value: instant in ms, value, step
"""

import json
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from mmrec.clock import Clock
from mmrec.disk.files import replace_file
from mmrec.errors import ConfigurationError

RUNNING: Final = 1
FINISHED: Final = 3
FAILED: Final = 4
_LONGEST_PARAMETER: Final = 6_000
"""Characters, of MLflow's own."""


def kept_run_id(run: Path) -> str:
    """The id of the run that a folder of checkpoints belongs to, drawn at the first call; a run that goes on has it."""
    path = run / "mlflow_run"
    if not path.exists():
        replace_file(path, uuid.uuid4().hex)
    return path.read_text(encoding="utf-8")


@dataclass(frozen=True, kw_only=True, eq=False)
class MLflowFolder:
    """One run of an experiment."""

    folder: Path
    meta: dict[str, Any]
    clock: Clock
    told: set[tuple[str, int]] = field(default_factory=set)
    """Figures of epochs that were written."""

    @classmethod
    @contextmanager
    def open(
        cls, root: Path, *, experiment: str, run_id: str, run_name: str, parameters: Mapping[str, Any], clock: Clock
    ) -> Iterator["MLflowFolder"]:
        """Write within; ends as finished, or as failed where something is raised.

        A run that was there before begins anew, since a training that goes on tells all its lines again.

        Args:
            root: Created where it is not there.
            experiment: Runs of one name stand side by side.
            run_id: 32 hexadecimal digits.
            run_name: What MLflow shows.
            parameters: Options; kept as text.
            clock: Gives the instants of figures.

        Raises:
            ConfigurationError: `root` is a file.
        """
        if root.exists() and not root.is_dir():
            raise ConfigurationError(f"--mlflow {root} is a file; give a folder, new or with earlier runs")
        now_ms = int(clock.now_s() * 1000)
        home = root / _experiment_id(experiment)
        shutil.rmtree(home / run_id, ignore_errors=True)
        for part in ("metrics", "params", "tags", "artifacts"):
            (home / run_id / part).mkdir(parents=True)
        if not (home / "meta.yaml").exists():
            _write_meta(home, _experiment_meta(home, experiment, now_ms))
        log = cls(folder=home / run_id, meta=_run_meta(home, run_id, run_name, now_ms), clock=clock)
        _write_meta(log.folder, log.meta)
        (log.folder / "tags" / "mlflow.runName").write_text(run_name, encoding="utf-8")
        for name, value in parameters.items():
            (log.folder / "params" / _file_name(name)).write_text(str(value)[:_LONGEST_PARAMETER], encoding="utf-8")
        status = FAILED
        try:
            yield log
            status = FINISHED
        finally:
            _write_meta(log.folder, {**log.meta, "status": status, "end_time": int(clock.now_s() * 1000)})

    def tell(self, event: str, **figures: Any) -> None:
        """Add the numbers of one line of progress, each as EVENT.NAME at step `epoch` (0 without one).

        An epoch counts once: those after the newest checkpoint are run, and told, again by a training that goes on.
        """
        step, now_ms = int(figures.get("epoch", 0)), int(self.clock.now_s() * 1000)
        if "epoch" in figures and (event, step) in self.told:
            return
        self.told.add((event, step))
        for name, value in figures.items():
            if isinstance(value, int | float) and name != "epoch":
                with (self.folder / "metrics" / _file_name(f"{event}.{name}")).open("a", encoding="utf-8") as file:
                    file.write(f"{now_ms} {float(value)} {step}\n")


def _experiment_id(experiment: str) -> str:
    """Digits, as MLflow's own are; the same for one name."""
    return str(int.from_bytes(blake2b(experiment.encode(), digest_size=7).digest(), "big")).zfill(18)


def _file_name(name: str) -> str:
    """MLflow takes letters, digits, and _ - . / and spaces; a slash would be a folder."""
    return re.sub(r"[^\w. -]", "_", name)


def _experiment_meta(home: Path, experiment: str, now_ms: int) -> dict[str, Any]:
    return {
        "artifact_location": home.resolve().as_uri(),
        "creation_time": now_ms,
        "experiment_id": home.name,
        "last_update_time": now_ms,
        "lifecycle_stage": "active",
        "name": experiment,
    }


def _run_meta(home: Path, run_id: str, run_name: str, now_ms: int) -> dict[str, Any]:
    return {
        "artifact_uri": (home / run_id / "artifacts").resolve().as_uri(),
        "end_time": None,
        "entry_point_name": "",
        "experiment_id": home.name,
        "lifecycle_stage": "active",
        "run_id": run_id,
        "run_name": run_name,
        "run_uuid": run_id,
        "source_name": "jobs.train",
        "source_type": 4,
        "source_version": "",
        "start_time": now_ms,
        "status": RUNNING,
        "tags": [],
        "user_id": "mmrec",
    }


def _write_meta(folder: Path, meta: Mapping[str, Any]) -> None:
    replace_file(folder / "meta.yaml", json.dumps(meta, indent=1))
