"""Fitting the towers: which item comes next, among all items (user-item contrastive learning, METHODS M21).

    L = InfoNCE(user, item; tau)  +  w * InfoNCE(image, text; tau')        METHODS M19; tau learned, M20; AdamW, M23

Up to `max_items_full` items every item is a negative (full softmax: no sampling, so no correction). Above, each step
draws negatives that all its labels share, some as labels are, some evenly, each with its logQ, and embeds these and the
items of its histories alone. A user's own items are no negatives of theirs. The pooling tower reads one history per
label, the causal one a history per user with all labels on the way (mmrec.training.tower_sequences). A shell may wrap
`model` for several workers: together they make the steps that one worker would make with their batches joined
(mmrec.training.workers).

Axes: N labels, C histories, L events, I items, K negatives, R items that a step embeds, D embedding.
"""

import copy
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmrec.content.matrix import ContentMatrix
from mmrec.errors import ConfigurationError
from mmrec.evaluation.metrics import hits_at_k, ndcg_at_k, ranks_in_rows
from mmrec.models.bundle import ModelBundle
from mmrec.models.causal_tower import CausalUserTower, user_tower
from mmrec.models.losses import Temperature, info_nce, paired_info_nce, sampled_softmax
from mmrec.models.settings import TowerSettings
from mmrec.models.towers import ItemTower
from mmrec.training.examples import RetrievalExamples
from mmrec.training.tower_data import (
    Batch,
    IntArray,
    fit_projections,
    history_lengths,
    joint_batches,
    make_batch,
    projected_content,
    usable_labels,
)
from mmrec.training.tower_sequences import SequenceBatch, Sequences, one_by_one, sequence_batch, sequences_of
from mmrec.training.workers import Workers
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Positive, check

_ITEMS_AT_ONCE = 65_536
_SCORES_AT_ONCE = 2**25
"""Of ranks(): 128 MiB."""
TEMPERATURE: Final = "towers_temperature"
"""Figure of a model: where its towers' temperature stood last, since its weights do not hold it."""


@dataclass(frozen=True, kw_only=True)
class TowerFitConfig:
    """How the towers are fit."""

    max_epochs: AtLeastOne = 8
    patience: AtLeastOne = 2
    """Early stopping (METHODS M23): epochs without gain in NDCG on the development labels before fitting ends."""
    batch_size: AtLeastOne = 512
    """Labels per step and worker."""
    learning_rate: Positive = 3e-3
    weight_decay: NotNegative = 1e-4
    image_text_weight: NotNegative = 0.05
    """Weight of the image-text term; 0 leaves it out."""
    max_items_full: Count = 20_000
    """Catalogues up to this size use the full softmax."""
    num_uniform: AtLeastOne = 4_096
    """Negatives per step, shared by all workers, that are drawn evenly beyond that size."""
    num_labelled: Count = 512
    """Negatives beside them that are drawn as labels are: often what is often the label."""
    precision: Literal["float32", "bf16"] = "float32"
    """Numbers of the towers' matrix products; the loss, weights and what ships are float32 either way."""
    max_labels_per_epoch: Count = 60_000
    """Labels drawn per epoch over all workers; 0 takes all."""
    refit_epochs: Count = 2
    """Epochs over the labels of one part more, once before the figures and once after: freshness is accuracy."""
    seed: Count = 1

    def __post_init__(self) -> None:
        check(self, "fit_towers")


class TwoTowers(nn.Module):
    """Both towers and the temperature over one fixed catalogue; forward gives the loss of a batch."""

    projected_IMP: Tensor
    present_IM: Tensor
    chances_I: Tensor
    chances_through_I: Tensor

    def __init__(
        self, settings: TowerSettings, content: ContentMatrix, *, num_behaviors: int, config: TowerFitConfig
    ) -> None:
        super().__init__()
        if not content.modalities:
            raise ConfigurationError("the content store is empty; run `python -m jobs.encode_items` first")
        dims = {name: content.values[name].shape[1] for name in content.modalities}
        self.item_tower = ItemTower(settings, content_dims=dims, num_ids=len(content))
        self.user_tower = user_tower(settings, num_behaviors=num_behaviors)
        self.temperature, self.pair_temperature = Temperature(0.08), Temperature(0.1)
        self.config = config
        fit_projections(self.item_tower, content)
        projected, present = projected_content(self.item_tower, content)
        self.register_buffer("projected_IMP", projected, persistent=False)
        self.register_buffer("present_IM", present, persistent=False)
        self.register_buffer("chances_I", torch.zeros(len(content)), persistent=False)
        self.register_buffer("chances_through_I", torch.zeros(len(content), dtype=torch.float64), persistent=False)
        self.item_tower.begin_ids(present, seed=config.seed)
        self.workers = Workers()
        # What is drawn in a step is the same in every worker; torch's own generator differs, for dropout.
        self.draws = torch.Generator()

    def begin_as(self, model: ModelBundle, content: ContentMatrix) -> None:
        """Begin as a trained model's towers, ids by item: what it knew stays, items it had not met are new to it.

        Args:
            model: Of the same settings, behaviors and encoders.
            content: The catalogue, as in the constructor.
        """
        weights = model.item_tower.state_dict()
        weights["ids.weight"] = self.item_tower.ids.weight.detach().clone()
        self.item_tower.load_state_dict(weights)
        self.user_tower.load_state_dict(model.user_tower.state_dict())
        row_of = {item_id: row for row, item_id in enumerate(model.known_item_ids)}
        new = len(model.known_item_ids)  # the row of zeros
        rows_I = torch.tensor([row_of.get(item_id, new) for item_id in content.item_ids], dtype=torch.int64)
        self.item_tower.keep_ids(model.item_tower.ids.weight.detach()[rows_I])
        self.projected_IMP.copy_(projected_content(self.item_tower, content)[0])
        tau = float(model.metrics.get(TEMPERATURE, self.temperature().detach()))
        with torch.no_grad():
            self.temperature.log_tau.fill_(math.log(tau))

    def learn_counts(self, counts_I: IntArray) -> None:
        """Take note of what steps will draw: how often each item is the label.

        Sets the chance that a drawn label is the item, and how much its id counts.
        """
        chances_I = counts_I / max(float(counts_I.sum()), 1.0)
        self.chances_I.copy_(torch.from_numpy(chances_I.astype(np.float32)))
        self.chances_through_I.copy_(torch.from_numpy(np.cumsum(chances_I)))
        self.item_tower.trust_ids(counts_I)

    def item_vectors(self) -> Tensor:
        """Embeddings of the catalogue, and a row of zeros that pads histories, (I + 1, D)."""
        ids = torch.arange(len(self.projected_IMP), device=self.projected_IMP.device)
        # In portions: what the layers between hold of a large catalogue is many times its vectors.
        parts = [
            self.item_tower(self.projected_IMP[rows], self.present_IM[rows], rows)
            for rows in torch.split(ids, _ITEMS_AT_ONCE)
        ]
        return torch.cat([*parts, parts[0].new_zeros(1, parts[0].shape[1])])

    def user_vectors(self, vectors_RD: Tensor, rows_CL: Tensor, batch: Batch | SequenceBatch) -> Tensor:
        """Users at the labels of a batch, (N, D); `rows_CL` are its histories as rows of `vectors_RD`."""
        items = functional.embedding(rows_CL, vectors_RD)
        users: Tensor
        if isinstance(batch, SequenceBatch):
            users = self.user_tower(items, batch.behaviors_CL, batch.ages_s_CL, batch.read_ages_s_CL)
            return users[batch.sequences_N, batch.places_N]
        users = self.user_tower(items, batch.behaviors_NL, batch.age_bins_NL, batch.valid_NL)
        return users

    def forward(self, batch: Batch | SequenceBatch) -> Tensor:
        """Part of the joint batch's loss, a scalar; its mean over the workers is that loss."""
        loss = self._full(batch) if len(self.projected_IMP) <= self.config.max_items_full else self._sampled(batch)
        # Each worker's mean weighs as its labels do among all labels of the step.
        weight = batch.weights_N.sum()
        loss = loss * (self.workers.count * weight / self.workers.sum(weight).clamp(min=1e-9))
        if self.config.image_text_weight > 0 and {"image", "text"} <= set(self.item_tower.modalities):
            loss = loss + self.config.image_text_weight * self._image_text()
        return loss

    def _full(self, batch: Batch | SequenceBatch) -> Tensor:
        vectors = self.item_vectors()
        users = self.user_vectors(vectors, batch.rows_CL, batch)
        ignored = torch.zeros(len(batch.rows_CL), len(vectors), dtype=torch.bool, device=users.device)
        ignored.scatter_(1, batch.rows_CL, True)
        with torch.autocast(users.device.type, enabled=False):
            return info_nce(
                users,
                vectors[:-1],
                batch.labels_N,
                temperature=self.temperature(),
                ignored_NK=ignored[batch.sequences_N, :-1],
                weights_N=batch.weights_N,
            )

    def _sampled(self, batch: Batch | SequenceBatch) -> Tensor:
        """The same over items that the step draws, each with the number of its copies that are expected.

        E(copies of i among the K) = K_labelled * q_i + K_uniform / I
        """
        num_items, num_labels, rows_CL = len(self.projected_IMP), len(batch.labels_N), batch.rows_CL
        drawn_K = self.drawn()
        present_CL = rows_CL < num_items
        read = torch.cat([batch.labels_N, drawn_K, rows_CL[present_CL]])
        rows_R, places = torch.unique(read, return_inverse=True)
        vectors_RD = self.item_tower(self.projected_IMP[rows_R], self.present_IM[rows_R], rows_R)
        padded = torch.cat([vectors_RD, vectors_RD.new_zeros(1, vectors_RD.shape[1])])
        places_CL = torch.full_like(rows_CL, len(rows_R))
        places_CL[present_CL] = places[num_labels + len(drawn_K) :]
        users = self.user_vectors(padded, places_CL, batch)
        positives, keys = (
            functional.embedding(each, vectors_RD)
            for each in (places[:num_labels], places[num_labels : num_labels + len(drawn_K)])
        )
        expected_K = self.config.num_labelled * self.chances_I[drawn_K] + self.config.num_uniform / num_items
        own = drawn_K[None, :] == batch.labels_N[:, None]
        with torch.autocast(users.device.type, enabled=False):
            return sampled_softmax(
                users,
                positives,
                keys,
                temperature=self.temperature(),
                log_expected_K=expected_K.log(),
                ignored_NK=own | _among(drawn_K, rows_CL)[batch.sequences_N],
                weights_N=batch.weights_N,
            )

    def drawn(self) -> Tensor:
        """Items of a step's negatives, (K,), the same in every worker."""
        num_items, device = len(self.chances_I), self.chances_I.device
        evenly = torch.randint(num_items, (self.config.num_uniform,), generator=self.draws)
        # The last item by whose end so large a share of all labels has been counted.
        shares = torch.rand(self.config.num_labelled, dtype=torch.float64, generator=self.draws)
        labelled = torch.searchsorted(self.chances_through_I, shares.to(device), right=True)
        return torch.cat([evenly.to(device), labelled.clamp(max=num_items - 1)])

    def _image_text(self, *, num_items: int = 256) -> Tensor:
        names = self.item_tower.modalities
        image, text = names.index("image"), names.index("text")
        both = torch.nonzero(self.present_IM[:, image] & self.present_IM[:, text]).squeeze(1)
        if len(both) < 2:
            return self.projected_IMP.new_zeros(())
        drawn = torch.randint(len(both), (num_items,), generator=self.draws)
        chosen = both[torch.unique(drawn).to(both.device)]
        tokens: Tensor = functional.normalize(self.item_tower.tokens(self.projected_IMP[chosen]), dim=-1)
        return paired_info_nce(tokens[:, image], tokens[:, text], temperature=self.pair_temperature())


def _among(keys_K: Tensor, rows_CL: Tensor) -> Tensor:
    """Whether key k is in row c, (C, K)."""
    items_S, places_K = torch.unique(keys_K, return_inverse=True)
    found_CL = torch.searchsorted(items_S, rows_CL).clamp(max=len(items_S) - 1)
    hit_CL = items_S[found_CL] == rows_CL
    # One column more takes what is not among the keys.
    mask = torch.zeros(len(rows_CL), len(items_S) + 1, dtype=torch.bool, device=keys_K.device)
    mask.scatter_(1, torch.where(hit_CL, found_CL, len(items_S)), True)
    return mask[:, places_K]


class TowerFit:
    """Epochs over the labels of one worker; its state is a checkpoint.

    Args:
        examples: Retrieval examples; its vocabulary is the model's catalogue.
        worker: (number of this worker, number of workers): each takes every n-th history of a step.
    """

    def __init__(
        self,
        model: TwoTowers,
        examples: RetrievalExamples,
        *,
        behavior_ids: tuple[int, ...],
        config: TowerFitConfig,
        max_history: int,
        device: torch.device | None = None,
        worker: tuple[int, int] = (0, 1),
        wrapped: nn.Module | None = None,
    ) -> None:
        self.model, self.examples, self._config = model, examples, config
        self._behavior_ids, self._max_history = behavior_ids, max_history
        model.workers = Workers(number=worker[0], count=worker[1])
        self._device = device or torch.device("cpu")
        # What runs forward: the model itself, or the model inside a wrapper that averages gradients.
        self._forward = wrapped or model
        self._optimizer = self._fresh_optimizer()
        self._counts_I = np.zeros(len(examples.item_ids), dtype=np.int64)
        self._fitted: tuple[IntArray, Sequences] | None = None
        self.epoch = 0
        self.curves: list[dict[str, float]] = []
        self.best: dict[str, Any] = {}
        """Epoch, score and weights of the best epoch so far; empty before the first one was judged."""

    def _fresh_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self.model.parameters(), lr=self._config.learning_rate, weight_decay=self._config.weight_decay, fused=True
        )

    def alone(self) -> "TowerFit":
        """The same fit on this process and the CPU, whatever wrapped it."""
        single = TowerFit(
            self.model.cpu(),
            self.examples,
            behavior_ids=self._behavior_ids,
            config=self._config,
            max_history=self._max_history,
        )
        single.restore(self.state())
        return single

    def run_epoch(self, labels: IntArray, *, learning_rate: float | None = None) -> dict[str, float]:
        """One pass over a seeded draw of `labels`; returns and keeps the epoch's figures, the same in every worker."""
        started_s = time.monotonic()
        rate = learning_rate if learning_rate is not None else self._rate()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._learn_counts(np.bincount(self.examples.label_rows_N[labels], minlength=len(self._counts_I)))
        workers, seed = self.model.workers, self._config.seed * 1_000_003 + self.epoch * 1_009
        # The same seed in every worker for what is drawn, another for dropout.
        self.model.draws.manual_seed(seed)
        torch.manual_seed(seed + workers.number)
        self._forward.train()
        total, steps = torch.zeros((), dtype=torch.float64, device=self._device), 0
        for batch in self._batches(labels):
            self._optimizer.zero_grad(set_to_none=True)
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._config.precision == "bf16"):
                loss = self._forward(batch)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
            self._optimizer.step()
            total, steps = total + loss.detach(), steps + 1
        self.epoch += 1
        figures = {
            "epoch": float(self.epoch),
            "loss": float(workers.sum(total)) / workers.count / max(steps, 1),
            "temperature": float(self.model.temperature().detach()),
            "seconds": time.monotonic() - started_s,
        }
        self.curves.append(figures)
        return figures

    def _learn_counts(self, counts_I: IntArray) -> None:
        self._counts_I = counts_I.astype(np.int64)
        self.model.learn_counts(self._counts_I)

    def judge(self, labels: IntArray) -> bool:
        """Add figures on labels that are not fitted to the newest epoch's; whether its NDCG is the best so far.

        Each worker ranks its share of them, and all get the same figures: they end together.
        """
        workers = self.model.workers
        ranks = self.ranks(labels[workers.number :: workers.count])
        gains = ndcg_at_k(ranks, len(self._counts_I))
        sums = [gains.sum(), hits_at_k(ranks, 50).sum(), hits_at_k(ranks, 10).sum(), float(len(ranks))]
        *totals, num_ranks = workers.sum(torch.tensor(sums, dtype=torch.float64, device=self._device)).tolist()
        figures = dict(zip(("ndcg", "recall_at_50", "hr_at_10"), (t / max(num_ranks, 1) for t in totals), strict=True))
        self.curves[-1] |= figures
        score = figures["ndcg"]
        # Without labels to judge by, the newest epoch is the best.
        if self.best and num_ranks and score <= self.best["score"]:
            return False
        self.best = {"epoch": self.epoch, "score": score, "model": copy.deepcopy(self.model.state_dict())}
        return True

    def return_to_best(self) -> None:
        """Weights of the best judged epoch; the optimizer begins anew. Nothing where no epoch was judged."""
        if self.best:
            self.model.load_state_dict(self.best["model"])
            self._optimizer = self._fresh_optimizer()

    def _rate(self) -> float:
        """Falls from the configured rate to a tenth of it along a cosine over the epochs."""
        progress = self.epoch / max(1, self._config.max_epochs)
        return self._config.learning_rate * (0.1 + 0.45 * (1 + float(np.cos(np.pi * progress))))

    def _batches(self, labels: IntArray) -> Iterator[Batch | SequenceBatch]:
        workers, config, sequences = self.model.workers, self._config, self._sequences(labels)
        steps = joint_batches(
            history_lengths(self.examples, sequences.heads_C, max_history=self._max_history),
            sizes_C=sequences.sizes_C,
            batch_size=config.batch_size * workers.count,
            max_labels=config.max_labels_per_epoch,
            generator=np.random.default_rng((config.seed, self.epoch)),
        )
        for step in steps:
            # Every worker has a part in every step, or the others would wait for it for ever.
            if len(step) >= workers.count:
                yield self._batch(sequences, step[workers.number :: workers.count])

    def _sequences(self, labels: IntArray) -> Sequences:
        """Labels as they are read; those of the last epoch are kept, since the next one has the same."""
        if self._fitted is None or not np.array_equal(self._fitted[0], labels):
            find = sequences_of if self._reads_sequences else one_by_one
            self._fitted = (labels, find(self.examples, labels, max_history=self._max_history))
        return self._fitted[1]

    @property
    def _reads_sequences(self) -> bool:
        return isinstance(self.model.user_tower, CausalUserTower)

    def _batch(self, sequences: Sequences, chosen: IntArray) -> Batch | SequenceBatch:
        """Some of the sequences on the model's device; for the pooling tower they have one label each."""
        batch: Batch | SequenceBatch
        if self._reads_sequences:
            batch = sequence_batch(
                self.examples, sequences, chosen, max_history=self._max_history, behavior_ids=self._behavior_ids
            )
        else:
            labels = sequences.labels_N[chosen]
            batch = make_batch(self.examples, labels, max_history=self._max_history, behavior_ids=self._behavior_ids)
        return type(batch)(**{f.name: getattr(batch, f.name).to(self._device) for f in fields(batch)})

    def ranks(
        self, labels: IntArray, *, scores_I: npt.NDArray[np.float32] | None = None, batch_size: int = 512
    ) -> IntArray:
        """1-based rank of each label's item among all items (METHODS M35) but the user's history, shape (N,).

        Ties (at random, by the seed) and scores that are no numbers as in evaluation.metrics.ranks_in_rows.

        Args:
            scores_I: One score per item, >= 0, ranked instead of the towers' similarity: a baseline on the same terms.
        """
        self.model.eval()
        generator = np.random.default_rng(self._config.seed)
        ranks, sequences = [], one_by_one(self.examples, labels, max_history=self._max_history)
        batch_size = max(1, min(batch_size, _SCORES_AT_ONCE // len(self._counts_I)))
        with torch.inference_mode():
            vectors = self.model.item_vectors()
            for start in range(0, len(labels), batch_size):
                batch = self._batch(sequences, np.arange(start, min(start + batch_size, len(labels))))
                if scores_I is None:
                    scores = self.model.user_vectors(vectors, batch.rows_CL, batch) @ vectors.T
                else:
                    fixed = torch.zeros(len(vectors), device=vectors.device)
                    fixed[: len(scores_I)] = torch.from_numpy(scores_I).to(vectors.device)
                    scores = fixed.repeat(len(batch.labels_N), 1)
                own = scores.gather(1, batch.labels_N[:, None])
                scores.scatter_(1, batch.rows_CL, -2.0)
                scores[:, -1] = -2.0
                scores.scatter_(1, batch.labels_N[:, None], own)
                ranks.append(ranks_in_rows(scores.cpu().numpy(), own[:, 0].cpu().numpy(), generator=generator))
        return np.concatenate(ranks) if ranks else np.zeros(0, dtype=np.int64)

    def state(self) -> dict[str, Any]:
        """Everything a resumed fit needs."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "epoch": self.epoch,
            "curves": self.curves,
            "counts_I": torch.from_numpy(self._counts_I),
            "best": self.best,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where state() was taken."""
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.curves, self.best = int(state["epoch"]), list(state["curves"]), dict(state["best"])
        self._learn_counts(state["counts_I"].numpy())


def labels_of_part(examples: RetrievalExamples, part: Any, *, max_history: int) -> IntArray:
    """Usable labels of a Part, ascending in time."""
    return usable_labels(examples, examples.of_part(part), max_history=max_history)
