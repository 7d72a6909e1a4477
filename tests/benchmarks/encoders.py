"""What encoders know of fashion_catalog: article type by five nearest neighbors, base color by linear probe.

    python -m tests.benchmarks.encoders                         default pictures, MiniLM, hashed words and TF-IDF
    python -m tests.benchmarks.encoders --images NAME ... --texts NAME ... --num-items 3000

Pictures by each encoder of --images; titles by each of --texts, cleaned in each way of METHODS M8. Items are split by
groups, so that equal titles or pictures never straddle; 30 % are asked about. TF-IDF is fitted to the others' titles.
Vectors are cached by content, so a second run encodes nothing. Writes results/encoders.json.
"""

import argparse
import tarfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from mmrec.catalog.values import folded
from mmrec.config import ContentSettings
from mmrec.content.cleaning import CLEANINGS
from mmrec.content.fitted_file import write_fitted
from mmrec.content.payloads import digest
from mmrec.content.registry import LazyEncoder
from mmrec.content.store import ContentStore
from mmrec.content.tfidf import fit_tfidf
from mmrec.evaluation.content_metrics import FloatArray, accuracy, knn_labels
from mmrec.evaluation.group_split import group_split
from mmrec.evaluation.linear_probe import probed_labels
from mmrec.home import cache_folder
from tests.benchmarks.receipt import write_receipt
from tests.public_data import public_data

TFIDF = "tfidf"
NEIGHBORS = 5
BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    images = ("efficientnet-lite0", "color-histogram", "color-lab", ContentSettings().image_encoder)
    parser.add_argument("--images", nargs="*", default=images)
    parser.add_argument("--texts", nargs="*", default=("minilm", "hashing-tf", TFIDF))
    parser.add_argument("--num-items", type=int, default=10_000_000, help="of those with a photograph, drawn at random")
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    study = Study(asked.num_items)
    figures: dict[str, Any] = {"num_items": len(study.titles), "num_asked": len(study.test)}
    for name in asked.images:
        vectors = study.encoded("image", name, study.photographs)
        figures[f"article_type_5nn_{name}"] = study.by_neighbors(vectors, study.article_types)
        figures[f"base_color_probe_{name}"] = study.by_probe(vectors, study.base_colors)
    for name in asked.texts:
        for cleaning, clean in CLEANINGS.items():
            vectors = study.texts(name, [clean(title).encode() for title in study.titles])
            figures[f"article_type_5nn_title_{name}_{cleaning}"] = study.by_neighbors(vectors, study.article_types)
    for figure, value in figures.items():
        print(f"{figure:70} {value}")
    write_receipt("encoders", figures, samples={}, packages=("torch", "transformers", "numpy"), output=asked.output)


class Study:
    """Photographed items, and which of them are asked about."""

    def __init__(self, num_items: int) -> None:
        folder = public_data() / "fashion_catalog"
        rows = [row for row in pq.read_table(folder / "items.parquet").to_pylist() if row["has_image"]]
        if num_items < len(rows):
            rows = [rows[n] for n in np.sort(np.random.default_rng(1).choice(len(rows), num_items, replace=False))]
        self.titles = [str(row["productDisplayName"]) for row in rows]
        self.article_types = np.array([str(row["articleType"]) for row in rows])
        self.base_colors = np.array([str(row["baseColour"]) for row in rows])
        with tarfile.open(folder / "images.tar") as archive:
            files = (archive.extractfile(f"images/{row['id']}.jpg") for row in rows)
            self.photographs = [file.read() for file in files if file is not None]
        parts = group_split([folded(title) for title in self.titles], [str(row["image_md5"]) for row in rows], seed=1)
        self.test = parts["test"]
        self.train = np.sort(np.concatenate([parts["train"], parts["validation"]]))
        self._cache = ContentStore(cache_folder() / "benchmarks", cache_folder=cache_folder() / "content")

    def encoded(self, modality: str, name: str, payloads: Sequence[bytes]) -> FloatArray:
        """Vectors of payloads, shape (items, D)."""
        encoder, wanted = LazyEncoder(modality, name), {digest(payload): payload for payload in payloads}
        left = sorted(wanted.keys() - self._cache.lookup(encoder.fingerprint, list(wanted)).keys())
        for start in range(0, len(left), BATCH):
            some = left[start : start + BATCH]
            found = encoder.encode([wanted[key] for key in some])
            # What cannot be read has zeros: it is nobody's neighbor.
            self._cache.remember(encoder.fingerprint, some, found.values_ND)
        known = self._cache.lookup(encoder.fingerprint, list(wanted))
        return np.stack([known[digest(payload)] for payload in payloads]).astype(np.float32)

    def texts(self, name: str, payloads: Sequence[bytes]) -> FloatArray:
        """Vectors of titles; TF-IDF is fitted to those that are not asked about."""
        if name != TFIDF:
            return self.encoded("text", name, payloads)
        with TemporaryDirectory() as folder:
            write_fitted(f"{folder}/tfidf.json", fit_tfidf(payloads[row] for row in self.train))
            return LazyEncoder("text", f"{TFIDF}:{folder}/tfidf.json").encode(payloads).values_ND

    def by_neighbors(self, vectors_ND: FloatArray, labels: Any) -> float:
        """Accuracy of the majority of the nearest items that are not asked about."""
        told = knn_labels(vectors_ND[self.test], vectors_ND[self.train], labels[self.train], k=NEIGHBORS)
        return round(accuracy(labels[self.test], told), 4)

    def by_probe(self, vectors_ND: FloatArray, labels: Any) -> float:
        """Accuracy of a linear classifier."""
        told = probed_labels(vectors_ND[self.train], labels[self.train], vectors_ND[self.test])
        return round(accuracy(labels[self.test], told), 4)


if __name__ == "__main__":
    main()
