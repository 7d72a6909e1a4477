"""SASRec in its published form, with a softmax instead of one drawn negative (METHODS M36).

    loss = mean over all places of  -ln( exp(h . v_next) / sum_j exp(h . v_j) )

The sum runs over all items, or over the next item and `num_negatives` others, drawn evenly and shared by a batch, each
of which stands for (I - 1) / num_negatives (sampled softmax: Bengio and Senécal, 2008). One cross-entropy instead of
one negative is what makes SASRec strong again (Klenitskiy and Vasilev, RecSys 2023). Every user is one sequence, read
once per epoch; batches are of sequences of about one length.

Axes: N sequences, L places, T places that have a next item, S drawn items, D numbers of a vector, I items.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mmrec.errors import SettingError
from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Between, Choice
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Positive, Share, check
from mmrec.zoo.pair_training import LearningCurve
from mmrec.zoo.sasrec_network import SASRecNetwork
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class SASRecOptions:
    """Size of the network, and how it learns."""

    embedding_dim: AtLeastOne = 64
    num_blocks: AtLeastOne = 2
    num_heads: AtLeastOne = 1
    max_length: AtLeastOne = 50
    """Newest items of a user that are read."""
    dropout: Share = 0.3
    learning_rate: Positive = 0.002
    weight_decay: NotNegative = 0.0
    num_epochs: AtLeastOne = 40
    min_steps: Count = 100
    """Steps at least, for data of few users: epochs are added until there are as many."""
    batch_size: AtLeastOne = 128
    num_negatives: Count = 512
    """Items drawn for each batch; 0 takes all items."""

    def __post_init__(self) -> None:
        check(self, "sasrec")
        if self.embedding_dim % self.num_heads:
            raise SettingError(
                ("sasrec", "num_heads"),
                f"is {self.num_heads} and embedding_dim {self.embedding_dim}; give a divisor of it",
            )


class SASRec:
    """Users by causal self-attention over their items."""

    name = "sasrec"

    def __init__(self, options: SASRecOptions) -> None:
        self._options = options
        self.learning_curve: LearningCurve = ()

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Train from the start."""
        del items
        options = self._options
        self.learning_curve = ()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = SASRecNetwork(
                max(data.num_items, 1),
                embedding_dim=options.embedding_dim,
                num_blocks=options.num_blocks,
                num_heads=options.num_heads,
                max_length=options.max_length,
                dropout=options.dropout,
            )
            sequences = sequences_of(data, max_length=options.max_length + 1)
            if sequences:
                self.learning_curve = self._train(sequences, generator=np.random.default_rng(seed))
        self._network.eval()

    def _train(self, sequences: list[IntArray], *, generator: np.random.Generator) -> LearningCurve:
        options, network = self._options, self._network
        optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=options.learning_rate,
            weight_decay=options.weight_decay,
            betas=(0.9, 0.98),
            fused=True,
        )
        network.train()
        num_batches = math.ceil(len(sequences) / options.batch_size)
        num_epochs = max(options.num_epochs, math.ceil(options.min_steps / num_batches))
        curve = []
        for epoch in range(1, num_epochs + 1):
            losses = []
            for batch in batches(sequences, batch_size=options.batch_size, generator=generator):
                optimizer.zero_grad(set_to_none=True)
                loss = self._loss(batch, generator)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                losses.append(float(loss.detach()))
            curve.append((float(epoch), float(np.mean(losses))))
        return tuple(curve)

    def _loss(self, batch: list[IntArray], generator: np.random.Generator) -> Tensor:
        rows_NL, lengths_N = padded([sequence[:-1] for sequence in batch])
        next_NL, _ = padded([sequence[1:] for sequence in batch])
        real_NL = torch.arange(rows_NL.shape[1]) < lengths_N[:, None]
        users_TD, next_T = self._network(rows_NL, lengths_N)[real_NL], next_NL[real_NL]
        vectors_ID = self._network.items.weight
        num_items, num_drawn = len(vectors_ID), self._options.num_negatives
        if not 0 < num_drawn < num_items:
            return functional.cross_entropy(users_TD @ vectors_ID.T, next_T)
        drawn_S = torch.from_numpy(generator.choice(num_items, num_drawn, replace=False))
        # A drawn item that is the next one does not stand against itself; each other one stands for (I - 1) / S.
        is_next_TS = drawn_S[None, :] == next_T[:, None]
        others_T = (num_items - 1) / (num_drawn - is_next_TS.sum(dim=1)).clamp(min=1)
        others_TS = (users_TD @ vectors_ID[drawn_S].T).masked_fill(is_next_TS, -1e9)
        own_T = (users_TD * vectors_ID[next_T]).sum(dim=-1)
        loss: Tensor = (torch.logaddexp(own_T, others_T.log() + others_TS.logsumexp(dim=-1)) - own_T).mean()
        return loss

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """0 for every item where there is no history."""
        del users_N
        vectors_ID = self._network.items.weight
        scores_NI = np.zeros((len(histories), len(vectors_ID)), dtype=np.float32)
        recent = histories.newest(self._options.max_length)
        asked = np.flatnonzero(recent.lengths_N)
        if not len(asked):
            return scores_NI
        rows_NL, lengths_N = padded([recent.items_H[recent.offsets[n] : recent.offsets[n + 1]] for n in asked])
        with torch.inference_mode():
            users_NLD = self._network(rows_NL, lengths_N)
            last_ND = users_NLD[torch.arange(len(asked)), lengths_N - 1]
            scores_NI[asked] = (last_ND @ vectors_ID.T).numpy()
        return scores_NI


def sequences_of(data: Interactions, *, max_length: int) -> list[IntArray]:
    """Newest items of every user with two events or more, oldest first."""
    by_user = np.argsort(data.users_E, kind="stable")
    bounds = np.searchsorted(data.users_E[by_user], np.arange(data.num_users + 1))
    items_E = data.items_E[by_user]
    pairs = zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    return [items_E[max(start, stop - max_length) : stop] for start, stop in pairs if stop - start >= 2]


def batches(sequences: list[IntArray], *, batch_size: int, generator: np.random.Generator) -> Iterator[list[IntArray]]:
    """All sequences once, those of about one length together, batches in random order."""
    lengths = np.array([len(sequence) for sequence in sequences]) + generator.random(len(sequences))
    order = np.argsort(lengths)
    starts = np.arange(0, len(sequences), batch_size)
    for start in generator.permutation(starts).tolist():
        yield [sequences[n] for n in order[start : start + batch_size].tolist()]


def padded(sequences: list[IntArray]) -> tuple[Tensor, Tensor]:
    """Rows padded on the right, shape (N, L), and lengths, shape (N,)."""
    lengths_N = np.array([len(sequence) for sequence in sequences])
    rows_NL = np.zeros((len(sequences), int(lengths_N.max())), dtype=np.int64)
    rows_NL[np.arange(rows_NL.shape[1]) < lengths_N[:, None]] = np.concatenate(sequences)
    return torch.from_numpy(rows_NL), torch.from_numpy(lengths_N)


SASREC = ZooModel(
    name="sasrec",
    options=SASRecOptions,
    build=SASRec,
    about="self-attentive sequential recommendation (Kang and McAuley, ICDM 2018), with a softmax over drawn items",
    space={
        "dropout": Choice((0.1, 0.2, 0.3, 0.4, 0.5, 0.6)),
        "learning_rate": Between(0.0005, 0.003, is_log=True),
        "weight_decay": Choice((0.0, 0.01, 0.1)),
        "num_epochs": Choice((10, 20, 40, 80)),
        "num_negatives": Choice((256, 512, 2048)),
    },
)
