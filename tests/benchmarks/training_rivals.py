"""What bench_training compares: the shipped towers with the causal user tower, and SASRec as it was published.

Both learn from the same events, one epoch at a time, and answer the harness. The published SASRec (Kang and McAuley,
ICDM 2018): 2 blocks, 1 head, 50 numbers a vector, dropout .5 on Beauty, Adam at .001 with betas .9 and .98, 128
sequences a step, each padded to 50 places; at every place binary cross-entropy of the next item and of one drawn item
that the user did not have. The network is mmrec.zoo.sasrec_network; what trains it stands here, plain.

Axes: N sequences of a step or targets, L places, I items, E events.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mmrec.content.matrix import ContentMatrix
from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.models.settings import TowerSettings
from mmrec.training.example_config import Part
from mmrec.training.examples import RetrievalExamples
from mmrec.training.fit_towers import TowerFit, TowerFitConfig, TwoTowers, labels_of_part
from mmrec.training.tower_sequences import one_by_one, sequence_batch
from mmrec.zoo.sasrec import padded, sequences_of
from mmrec.zoo.sasrec_network import SASRecNetwork

BEHAVIOR = 1
LONGEST = 50
PEER_BATCH, PEER_DIM, PEER_DROPOUT, PEER_RATE = 128, 50, 0.5, 0.001
TOWERS = TowerSettings(
    user_tower="causal",
    user_blocks=1,
    embedding_dim=64,
    hidden_dim=64,
    projected_dim=32,
    fusion="weighted-sum",
    dropout=0.2,
    id_shrinkage=0.0,
    id_dropout=0.0,
    max_history=LONGEST,
)
FIT = TowerFitConfig(
    max_epochs=30,
    batch_size=2_048,
    learning_rate=0.004,
    max_items_full=0,
    num_uniform=256,
    num_labelled=256,
    max_labels_per_epoch=0,
)


class CausalTowers:
    """The shipped towers: all labels of a user in one pass, negatives that a step shares."""

    name = "causal-towers"

    def __init__(
        self, data: Interactions, items: ItemFeatures, *, settings: TowerSettings, config: TowerFitConfig
    ) -> None:
        self._num_items = data.num_items
        self._examples = examples_of(data)
        torch.manual_seed(config.seed)
        model = TwoTowers(settings, content_of(data, items), num_behaviors=1, config=config)
        self._fit = TowerFit(model, self._examples, behavior_ids=(BEHAVIOR,), config=config, max_history=LONGEST)
        self._labels = labels_of_part(self._examples, Part.TOWERS, max_history=LONGEST)
        self.num_sequences = len(np.unique(self._examples.user_index_N[self._labels]))
        self._config, self._vectors = config, torch.zeros(0)

    @property
    def network(self) -> TwoTowers:
        """What learns."""
        return self._fit.model

    @property
    def is_over(self) -> bool:
        """Whether the planned epochs are done: the rate has fallen to its least."""
        return self._fit.epoch >= self._config.max_epochs

    def run_epoch(self) -> None:
        """One pass over all labels."""
        self._fit.run_epoch(self._labels)

    def ready(self) -> None:
        """To be called between an epoch and score()."""
        self.network.eval()
        with torch.inference_mode():
            self._vectors = self._fit.model.item_vectors()

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Similarity of every item; 0 for users without a history."""
        del users_N
        scores = np.zeros((len(histories), self._num_items), dtype=np.float32)
        asked = np.flatnonzero(histories.lengths_N)
        examples = examples_before(histories, self._examples.item_ids)
        alone = one_by_one(examples, asked, max_history=LONGEST)
        batch = sequence_batch(examples, alone, np.arange(len(asked)), max_history=LONGEST, behavior_ids=(BEHAVIOR,))
        with torch.inference_mode():
            users = self.network.user_vectors(self._vectors, batch.rows_CL, batch)
            scores[asked] = (users @ self._vectors[:-1].T).numpy()
        return scores


class PublishedSASRec:
    """One drawn negative at every place, binary cross-entropy, all sequences padded to 50."""

    name = "sasrec-published"
    is_over = False

    def __init__(self, data: Interactions, *, seed: int) -> None:
        torch.manual_seed(seed)
        self._generator, self._num_items = np.random.default_rng(seed), data.num_items
        self.network = SASRecNetwork(
            data.num_items, embedding_dim=PEER_DIM, num_blocks=2, num_heads=1, max_length=LONGEST, dropout=PEER_DROPOUT
        )
        self._sequences = sequences_of(data, max_length=LONGEST + 1)
        self.num_sequences = len(self._sequences)
        self._optimizer = torch.optim.Adam(self.network.parameters(), lr=PEER_RATE, betas=(0.9, 0.98))

    def run_epoch(self) -> None:
        """Every user once."""
        self.network.train()
        order = self._generator.permutation(len(self._sequences))
        for start in range(0, len(order), PEER_BATCH):
            batch = [self._sequences[n] for n in order[start : start + PEER_BATCH].tolist()]
            self._optimizer.zero_grad()
            torch.autograd.backward(self.loss(batch))
            self._optimizer.step()

    def loss(self, batch: list[IntArray]) -> Tensor:
        """Mean over the places that have a next item."""
        rows, lengths = padded_to([each[:-1] for each in batch], LONGEST)
        nexts, _ = padded_to([each[1:] for each in batch], LONGEST)
        real = torch.arange(LONGEST) < lengths[:, None]
        drawn = torch.from_numpy(self._others(batch))
        users = self.network(rows, lengths)
        right = (users * self.network.items(nexts)).sum(-1)[real]
        wrong = (users * self.network.items(drawn)).sum(-1)[real]
        return functional.softplus(-right).mean() + functional.softplus(wrong).mean()

    def _others(self, batch: list[IntArray]) -> IntArray:
        """An item for each place that the user did not have, (N, L)."""
        had = np.stack([np.resize(each, LONGEST + 1) for each in batch])
        drawn = self._generator.integers(0, self._num_items, (len(batch), LONGEST))
        for _ in range(20):
            again = (drawn[:, :, None] == had[:, None, :]).any(axis=2)
            if not again.any():
                break
            drawn[again] = self._generator.integers(0, self._num_items, int(again.sum()))
        return drawn

    def ready(self) -> None:
        """To be called between an epoch and score()."""
        self.network.eval()

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Product with every item; 0 for users without a history."""
        del users_N
        scores = np.zeros((len(histories), self._num_items), dtype=np.float32)
        recent = histories.newest(LONGEST)
        asked = np.flatnonzero(recent.lengths_N)
        rows, lengths = padded([recent.items_H[recent.offsets[n] : recent.offsets[n + 1]] for n in asked])
        with torch.inference_mode():
            last = self.network(rows, lengths)[torch.arange(len(asked)), lengths - 1]
            scores[asked] = (last @ self.network.items.weight.T).numpy()
        return scores


def padded_to(sequences: list[IntArray], length: int) -> tuple[Tensor, Tensor]:
    """Rows padded at the end to a length, and their lengths."""
    rows, lengths = padded(sequences)
    return functional.pad(rows, (0, length - rows.shape[1])), lengths


def examples_of(data: Interactions) -> RetrievalExamples:
    """Every event with one or more of its user before it, as a label after the newest 50 of these."""
    by_user = np.argsort(data.users_E, kind="stable")
    users, items, times = data.users_E[by_user], data.items_E[by_user], data.times_E[by_user]
    starts = np.searchsorted(users, users)
    before = np.minimum(np.arange(len(users)) - starts, LONGEST)
    labels = np.flatnonzero(before > 0)
    return _examples(
        data.item_ids,
        lengths=before[labels],
        taken=_ranges(labels - before[labels], before[labels]),
        items=items,
        times=times,
        as_of=times[labels],
        label_rows=items[labels],
        users=users[labels],
    )


def examples_before(histories: Histories, item_ids: tuple[str, ...]) -> RetrievalExamples:
    """The histories of targets; what is asked is not known to them."""
    return _examples(
        item_ids,
        lengths=histories.lengths_N,
        taken=np.arange(len(histories.items_H)),
        items=histories.items_H,
        times=histories.times_H,
        as_of=histories.as_of_N,
        label_rows=np.zeros(len(histories), dtype=np.int64),
        users=np.arange(len(histories)),
    )


def _ranges(starts: IntArray, lengths: IntArray) -> IntArray:
    ends = np.cumsum(lengths)
    return np.arange(int(lengths.sum())) + np.repeat(starts - (ends - lengths), lengths)


def _examples(
    item_ids: tuple[str, ...],
    *,
    lengths: IntArray,
    taken: IntArray,
    items: IntArray,
    times: np.ndarray,
    as_of: np.ndarray,
    label_rows: IntArray,
    users: IntArray,
) -> RetrievalExamples:
    return RetrievalExamples(
        item_ids=tuple(item_ids),
        history_offsets=np.append(0, np.cumsum(lengths)),
        history_rows_E=items[taken].astype(np.int32),
        history_behavior_ids_E=np.full(len(taken), BEHAVIOR, dtype=np.uint8),
        history_ages_s_E=(np.repeat(as_of, lengths) - times[taken]).astype(np.float32),
        label_rows_N=label_rows.astype(np.int32),
        label_behavior_ids_N=np.full(len(lengths), BEHAVIOR, dtype=np.uint8),
        label_times_N=np.asarray(as_of, dtype=np.float64),
        label_weights_N=np.ones(len(lengths)),
        user_index_N=users.astype(np.int32),
        parts_N=np.full(len(lengths), Part.TOWERS, dtype=np.uint8),
        hidden_N=np.zeros(len(lengths), dtype=np.bool_),
    )


def content_of(data: Interactions, items: ItemFeatures) -> ContentMatrix:
    """Content of the items as the towers read it."""
    return ContentMatrix(
        item_ids=tuple(data.item_ids),
        values=dict(items.vectors),
        present=dict(items.present),
        encoders={name: name for name in items.vectors},
    )
