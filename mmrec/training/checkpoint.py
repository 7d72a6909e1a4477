"""Where a run keeps what it needs to go on, and what it hands over.

<out>/weights.safetensors, model.json      the bundle
<out>/curves.json                          losses and shares per epoch
<out>/metrics.json                         figures
<run>/progress.jsonl                       one line per event, as it happens
<checkpoint>/towers.pt                     model, optimizer, epoch, curves
"""

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mmrec.disk.files import replace_file
from mmrec.training.fit_towers import TowerFit
from mmrec.training.run import Trained

RUN_FORMAT = "2"
"""Of what checkpoints of all recipes hold; goes up when an older one can no longer be read."""
STATE = "towers.pt"
METRICS = "metrics.json"


def save_state(fit: TowerFit, folder: Path) -> None:
    """Write a checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(fit.state(), folder / STATE)


def restore_state(fit: TowerFit, folder: Path) -> None:
    """Go on where a checkpoint was written."""
    fit.restore(torch.load(folder / STATE, map_location="cpu", weights_only=True))


def write_trained(trained: Trained, out: Path) -> None:
    """Write the model, its curves, and last its figures."""
    trained.bundle.save(out)
    (out / "curves.json").write_text(json.dumps(trained.curves), encoding="utf-8")
    replace_file(out / METRICS, json.dumps(dict(trained.bundle.metrics), indent=1))


def open_run(run: Path, *, describes: str) -> bool:
    """Make the folder of a run ready; True where an earlier run of the same work stands there and can go on.

    Args:
        describes: What the run works on; a run on anything else, or of another RUN_FORMAT, is thrown away.
    """
    mark, text = run / "describes.txt", f"format {RUN_FORMAT}: {describes}"
    if mark.exists() and mark.read_text(encoding="utf-8") == text:
        return True
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    mark.write_text(text, encoding="utf-8")
    return False


class ProgressFile:
    """Lines that a worker writes and the job's own process reads, whatever machine the worker is on."""

    def __init__(self, out: Path) -> None:
        self._path = out / "progress.jsonl"
        self._read = 0

    def write(self, event: str, figures: Mapping[str, Any]) -> None:
        """Add one line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, **figures}) + "\n")

    def new_lines(self) -> list[dict[str, Any]]:
        """Whole lines written since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    @contextmanager
    def told(self, tell: Callable[..., None], *, every_s: float = 0.5) -> Iterator[None]:
        """Within, every new line is told from a thread of its own: tell(event, **figures)."""
        over = threading.Event()

        def follow() -> None:
            ended = False
            while not ended:
                ended = over.wait(every_s)
                for line in self.new_lines():
                    event = str(line.pop("event"))
                    tell(event, **{k: round(v, 4) if isinstance(v, float) else v for k, v in line.items()})

        teller = threading.Thread(target=follow, daemon=True)
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()
