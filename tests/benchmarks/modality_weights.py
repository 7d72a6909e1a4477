"""Which modality S1's fusions lean on, by category: the mean weight of each over a category's items (METHODS M17, M39).

    python -m tests.benchmarks.modality_weights [--data s3] [--attribute category] [--output FILE]

One fit per fusion, seed 1, on all events of the data set. Writes tests/benchmarks/results/modality_weights.json.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmrec.evaluation.catalogue_parts import means_by_part, parts_by
from mmrec.evaluation.interactions import BoolArray
from mmrec.experiments.data_sets import DataSet, read_data_set
from mmrec.zoo.s1_fusion import S1Fusion, S1Options
from tests.benchmarks.receipt import write_receipt
from tests.public_data import public_data

FUSIONS = ("weighted-sum", "attention")
"""Those that weigh; the others count what is there alike."""
ENCODERS = {"text": "hashing-tf", "image": "color-lab"}


def weights_by_category(found: DataSet, attribute: str, fusion: str) -> dict[str, dict[str, float]]:
    """Category -> modality -> mean weight."""
    model = S1Fusion(S1Options(fusion=fusion))  # type: ignore[arg-type]
    model.fit(found.data, found.items, seed=1)
    weights_IM, parts = model.modality_weights(), parts_by(found.items, attribute)
    counted_I: BoolArray = weights_IM.sum(axis=1) > 0
    means_PM = means_by_part(weights_IM, parts, counted_I=counted_I)
    return {
        name or "none": dict(zip(model.modalities, np.round(means_M, 4).tolist(), strict=True))
        for name, means_M in zip(parts.names, means_PM, strict=True)
        if not np.isnan(means_M).any()
    }


def main() -> None:
    """Fit, and write the receipt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="s3")
    parser.add_argument("--attribute", default="category")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = read_data_set(options.data, data_folder=str(public_data()), encoders=ENCODERS)
    samples: dict[str, Any] = {fusion: weights_by_category(found, options.attribute, fusion) for fusion in FUSIONS}
    figures = {
        f"{fusion}_{category}_{modality}_weight": weight
        for fusion, of_fusion in samples.items()
        for category, weights in of_fusion.items()
        for modality, weight in weights.items()
    }
    path = write_receipt("modality_weights", figures, samples, packages=("numpy", "torch"), output=options.output)
    print(path)


if __name__ == "__main__":
    main()
