"""The recipe of .github/CONTRIBUTING.md for a model to compare, followed in a copy of the package."""

from pathlib import Path

from tests.unit.test_recipes import insert, package, run

__all__ = ["package"]

MODEL_FILE = '''"""The items a user touched last come first."""

from dataclasses import dataclass

import numpy as np

from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.wire.declared import AtLeastOne, check
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class LatestOptions:
    length: AtLeastOne = 3

    def __post_init__(self) -> None:
        check(self, "latest")


class Latest:
    name = "latest"

    def __init__(self, options: LatestOptions) -> None:
        self._length, self._num_items = options.length, 0

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        self._num_items = data.num_items

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        newest = histories.newest(self._length)
        scores_NI = np.zeros((len(users_N), self._num_items), dtype=np.float32)
        scores_NI[newest.targets_H, newest.items_H] = 1.0 + np.arange(len(newest.items_H))
        return scores_NI


LATEST = ZooModel(name="latest", options=LatestOptions, build=Latest, space={"length": Choice((1, 3, 5))})
'''


def test_a_model_is_one_file_and_one_line_in_the_registry(package: Path) -> None:
    room = package / "mmrec" / "zoo"
    (room / "latest.py").write_text(MODEL_FILE)
    registry = room / "registry.py"
    insert(registry, "from mmrec.zoo.latest import LATEST\n", before="from mmrec.zoo.popularity")
    insert(registry, "    LATEST,\n", before="    POPULARITY,")
    rows = [f"u{user},i{(user + place // 2) % 5},{place}" for user in range(8) for place in range(6)]
    (package / "events.csv").write_text("\n".join(["user_id,item_id,position", *rows]) + "\n")
    run(package, "-c", ASKED, str(package / "events.csv"), str(package / "run"))


ASKED = """
import json
import sys
from pathlib import Path

from typer.testing import CliRunner

from mmrec.cli.main import app

events, out = sys.argv[1:]
command = ["evaluate", "--events", events, "--models", "latest,random", "--seen", "any", "--out", out]
said = CliRunner().invoke(app, command)
assert said.exit_code == 0, said.output
models = json.loads((Path(out) / "report.json").read_text())["models"]
assert models["latest"]["hr_at_5"] == 1.0, models["latest"]
assert models["latest"]["tuning"]["trials"] == 4
"""
