"""Search quality on fashion_catalog: words, vectors and both, on queries made of attributes, judged by attribute match.

    python -m tests.benchmarks.search_quality                         titles by MiniLM
    python -m tests.benchmarks.search_quality --alignment FOLDER      and photographs, in the space of an alignment

Items are split by groups, so that equal titles or pictures never straddle. Weights are chosen on queries over the
validation items; what is reported is NDCG@10 on queries over the test items, in four conditions: titles as they are,
which mostly name the attributes, and titles without the words of any attribute; queries spelled right, and with one
edit. Attribute values are not searched in any of these: they decide what is right. Writes results/search_quality.json.
"""

import argparse
import hashlib
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from mmrec.catalog.values import folded
from mmrec.content.encoder import Encoder
from mmrec.content.registry import LazyEncoder
from mmrec.content.store import ContentStore
from mmrec.evaluation.content_metrics import graded_ndcg
from mmrec.evaluation.group_split import group_split
from mmrec.evaluation.search_queries import AttributeQuery, attribute_queries, match_gains, misspelled
from mmrec.home import cache_folder
from mmrec.index.vectors import best_positions
from mmrec.search.index import EXACT_ITEMS, LEXICAL_SHARE, SearchIndex
from mmrec.search.lexical import ItemText
from mmrec.search.query import LEXICAL, MeantVector, QueryPart
from mmrec.search.words import words
from tests.benchmarks.receipt import write_receipt
from tests.public_data import public_data

ORDER = ("baseColour", "gender", "usage", "articleType")
ALWAYS = "articleType"
NUM_QUERIES = 300
K = 10
SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
SEED = 20_260_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Condition:
    """One way to ask over one set of titles."""

    titles: str
    """ "as they are" or "bare"."""
    spelling: str
    """ "right" or "wrong"."""

    @property
    def name(self) -> str:
        return f"{'titles' if self.titles == 'as they are' else 'bare_titles'}_{self.spelling}"


CONDITIONS = tuple(Condition(titles=t, spelling=s) for t in ("as they are", "bare") for s in ("right", "wrong"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alignment", type=Path)
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    study = Study(asked.alignment)
    chosen = study.chosen_share()
    figures: dict[str, Any] = {"lexical_share_chosen": chosen, "lexical_share_built_in": LEXICAL_SHARE}
    samples: dict[str, Any] = {}
    for condition in CONDITIONS:
        scores = {how: study.scores("test", condition, how, share=chosen) for how in ("lexical", "vector", "fused")}
        for how, scores_Q in scores.items():
            figures[f"ndcg_at_10_{condition.name}_{how}"] = round(float(scores_Q.mean()), 4)
            print(condition.name, how, round(float(scores_Q.mean()), 4), flush=True)
            samples[f"{condition.name}_{how}"] = np.round(scores_Q, 4).tolist()
    for how in ("lexical", "vector", "fused"):
        figures[f"ndcg_at_10_{how}"] = round(
            float(np.mean([figures[f"ndcg_at_10_{c.name}_{how}"] for c in CONDITIONS])), 4
        )
    print("\n".join(f"{name:48} {value}" for name, value in figures.items()))
    write_receipt("search_quality", figures, samples, packages=("numpy", "torch"), output=asked.output)


class Study:
    """Items, queries and their vectors."""

    def __init__(self, alignment: Path | None) -> None:
        self.rows, pictures = _items()
        split = group_split(
            [folded(row["productDisplayName"]) for row in self.rows],
            [hashlib.sha256(picture).hexdigest() for picture in pictures],
            seed=1,
        )
        self.parts = {part: split[part] for part in ("validation", "test")}
        names = {value for row in self.rows for name in ORDER for value in words(row.get(name, ""))}
        self.bare = [
            " ".join(w for w in row["productDisplayName"].split() if not names & {*words(w)}) for row in self.rows
        ]
        self.queries: dict[tuple[str, str], list[tuple[AttributeQuery, str]]] = {}
        for part, rows in self.parts.items():
            generator = np.random.default_rng(SEED)
            made = attribute_queries(
                [self.rows[row] for row in rows],
                order=ORDER,
                always=ALWAYS,
                num_queries=NUM_QUERIES,
                generator=generator,
            )
            self.queries[part, "right"] = [(query, query.text) for query in made]
            self.queries[part, "wrong"] = [(q, misspelled(q.text, generator=generator)) for q in made]
        self.embed = Embedding(alignment)
        self._indexes: dict[tuple[str, str], SearchIndex] = {}
        self._known_gains: dict[tuple[str, str], np.ndarray] = {}
        used = np.concatenate(list(self.parts.values()))
        texts = [text for row in used for text in (self.title(int(row), "as they are"), self.title(int(row), "bare"))]
        self.embed.texts([*texts, *(text for made in self.queries.values() for _, text in made)])
        if alignment is not None:
            self.embed.pictures({self.rows[row]["id"]: pictures[row] for row in used.tolist()})
        self.embed.texts(
            [
                self.index(part, condition.titles).corrected(text)
                for part in self.parts
                for condition in CONDITIONS
                for _, text in self.queries[part, condition.spelling]
            ]
        )

    def title(self, row: int, titles: str) -> str:
        return self.rows[row]["productDisplayName"] if titles == "as they are" else self.bare[row]

    def index(self, part: str, titles: str) -> SearchIndex:
        """The items of one part, searched by one set of titles; made once."""
        if (part, titles) in self._indexes:
            return self._indexes[part, titles]
        index = self._indexes[part, titles] = SearchIndex()
        for row in self.parts[part].tolist():
            title = self.title(row, titles)
            index.put(str(row), ItemText(title=title), self.embed.item(title, self.rows[row]["id"]))
        return index

    def chosen_share(self) -> float:
        """The share of words that does best over all conditions, on the validation items."""
        means = np.mean([self._by_share(condition) for condition in CONDITIONS], axis=0)
        print({share: round(float(mean), 4) for share, mean in zip(SHARES, means, strict=True)}, flush=True)
        return SHARES[int(means.argmax())]

    def _by_share(self, condition: Condition) -> np.ndarray:
        """Mean NDCG@10 by share, on the validation items: each query is searched once."""
        index, allowed_I = self.index("validation", condition.titles), self._everything("validation")
        assert len(allowed_I) <= EXACT_ITEMS, "every item is a candidate, whatever the share"
        scores: list[list[float]] = []
        for query, text in self.queries["validation", condition.spelling]:
            found = index.find([self._asked(index, text, "fused")], allowed_I=allowed_I, num_candidates=400)
            gains_I = self._gains("validation", query)
            values = {e.name: e.values_N for e in found.evidence}
            words_N = values.get(LEXICAL, np.zeros(len(found.rows_N)))
            vector_N = np.mean([v for name, v in values.items() if name != LEXICAL], axis=0)
            scores.append(
                [
                    graded_ndcg(gains_I[found.rows_N[best_positions(s * words_N + (1 - s) * vector_N, K)]], gains_I, K)
                    for s in SHARES
                ]
            )
        return np.mean(scores, axis=0)

    def scores(self, part: str, condition: Condition, how: str, *, share: float) -> np.ndarray:
        """NDCG@10 of each query."""
        index, allowed_I = self.index(part, condition.titles), self._everything(part)
        index.lexical_share = share
        found = []
        for query, text in self.queries[part, condition.spelling]:
            rows_N = index.find([self._asked(index, text, how)], allowed_I=allowed_I, num_candidates=400).rows_N
            gains_I = self._gains(part, query)
            found.append(graded_ndcg(gains_I[rows_N[:K]], gains_I, K))
        return np.array(found)

    def _asked(self, index: SearchIndex, text: str, how: str) -> QueryPart:
        """The query as serving asks it; vectors alone have no vocabulary to put a misspelled word right by."""
        return QueryPart(
            words=text if how != "vector" else "",
            vectors=() if how == "lexical" else self.embed.query(index.corrected(text) if how == "fused" else text),
        )

    def _everything(self, part: str) -> np.ndarray:
        return np.ones(len(self.parts[part]), dtype=np.bool_)

    def _gains(self, part: str, query: AttributeQuery) -> np.ndarray:
        key = part, query.text
        if key not in self._known_gains:
            self._known_gains[key] = match_gains(query, [self.rows[row] for row in self.parts[part].tolist()])
        return self._known_gains[key]


class Embedding:
    """Vectors by MiniLM, and where there is an alignment, in its space."""

    def __init__(self, alignment: Path | None) -> None:
        self._store = ContentStore(cache_folder() / "content", cache_folder=cache_folder() / "content")
        self._text = LazyEncoder("text", "minilm", num_threads=1)
        self._image = LazyEncoder("image", "efficientnet-lite0", num_threads=1)
        self._texts: dict[str, np.ndarray] = {}
        self._pictures: Mapping[str, np.ndarray] = {}
        self._alignment: Any = None
        if alignment is not None:
            from mmrec.content.alignment import AlignmentModel

            self._alignment = AlignmentModel.load(alignment)
            self._image = LazyEncoder("image", self._alignment.encoders["image"], num_threads=1)

    def texts(self, texts: Sequence[str]) -> None:
        self._texts |= self._encoded(self._text, {text: text.encode() for text in texts if text})

    def pictures(self, pictures: Mapping[str, bytes]) -> None:
        self._pictures = self._encoded(self._image, pictures)

    def _encoded(self, encoder: Encoder, payloads: Mapping[str, bytes]) -> dict[str, np.ndarray]:
        digests = {name: hashlib.sha256(payload).digest() for name, payload in payloads.items()}
        known = self._store.lookup(encoder.fingerprint, list(digests.values()))
        missing = {digests[name]: payload for name, payload in payloads.items() if digests[name] not in known}
        for start in range(0, len(missing), 256):
            some = list(missing)[start : start + 256]
            encoded = encoder.encode([missing[digest] for digest in some])
            self._store.remember(encoder.fingerprint, some, encoded.values_ND)
        known = self._store.lookup(encoder.fingerprint, list(digests.values()))
        return {name: np.asarray(known[digest], dtype=np.float32) for name, digest in digests.items()}

    def item(self, title: str, item_id: str) -> dict[str, MeantVector]:
        vectors = {"text": self._texts[title]} if title else {}
        if self._alignment is not None:
            vectors["image"] = self._pictures[item_id]
        return {modality: self._meant(modality, vector) for modality, vector in vectors.items()}

    def query(self, text: str) -> tuple[MeantVector, ...]:
        return (self._meant("text", self._texts[text]),)

    def _meant(self, modality: str, vector: np.ndarray) -> MeantVector:
        if self._alignment is None:
            return MeantVector(meaning=modality, values_D=vector)
        return MeantVector(meaning="aligned", values_D=self._alignment.embed(modality, vector[None])[0])


def _items() -> tuple[list[dict[str, str]], list[bytes]]:
    folder = public_data() / "fashion_catalog"
    table = pq.read_table(folder / "items.parquet").to_pylist()
    with tarfile.open(folder / "images.tar") as archive:
        pictures = {
            Path(member.name).stem: file.read()
            for member in archive
            if (file := archive.extractfile(member)) is not None
        }
    rows = [
        {name: str(value) for name, value in row.items() if value not in (None, "")}
        for row in table
        if row["has_image"] and row["productDisplayName"] and str(row["id"]) in pictures
    ]
    return rows, [pictures[row["id"]] for row in rows]


if __name__ == "__main__":
    main()
