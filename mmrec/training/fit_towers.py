"""Fitting the towers: which item comes next, among all items (user-item contrastive learning, METHODS M21).

    L = InfoNCE(user, item; tau)  +  w * InfoNCE(image, text; tau')        METHODS M19; tau learned, M20; AdamW, M23

Up to `max_items_full` items every item is a negative (full softmax: no sampling, so no correction). Above, negatives
are the batch's own positives and uniform items, each with its logQ. A user's own items are no negatives of theirs.
Single-device code: a shell may wrap `model` for several workers and hand each its share of the labels.

Axes: N batch, L history, I items, K negatives, D embedding.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmrec.content.matrix import ContentMatrix
from mmrec.errors import ConfigurationError
from mmrec.evaluation.metrics import ranks_in_rows
from mmrec.models.losses import Temperature, info_nce, paired_info_nce
from mmrec.models.settings import TowerSettings
from mmrec.models.towers import ItemTower, UserTower
from mmrec.training.examples import RetrievalExamples
from mmrec.training.tower_data import Batch, IntArray, fit_projections, make_batch, projected_content, usable_labels
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Positive, check


@dataclass(frozen=True, kw_only=True)
class TowerFitConfig:
    """How the towers are fit."""

    max_epochs: AtLeastOne = 6
    patience: AtLeastOne = 5
    """Early stopping (METHODS M23): epochs without gain in recall@50 on the development labels before fitting ends."""
    batch_size: AtLeastOne = 512
    """Labels per step and worker."""
    learning_rate: Positive = 3e-3
    weight_decay: NotNegative = 1e-4
    image_text_weight: NotNegative = 0.05
    """Weight of the image-text term; 0 leaves it out."""
    max_items_full: Count = 20_000
    """Catalogues up to this size use the full softmax."""
    num_uniform: AtLeastOne = 4_096
    """Uniform negatives per step beyond that size."""
    max_labels_per_epoch: Count = 60_000
    """Labels drawn per epoch over all workers; 0 takes all."""
    refit_epochs: Count = 2
    """Epochs over all labels, the newest included, after everything has been measured: freshness is accuracy."""
    seed: Count = 1

    def __post_init__(self) -> None:
        check(self, "fit_towers")


class TwoTowers(nn.Module):
    """Both towers and the temperature over one fixed catalogue; forward gives the loss of a batch."""

    projected_IMP: Tensor
    present_IM: Tensor
    log_q_I: Tensor

    def __init__(
        self, settings: TowerSettings, content: ContentMatrix, *, num_behaviors: int, config: TowerFitConfig
    ) -> None:
        super().__init__()
        if not content.modalities:
            raise ConfigurationError("the content store is empty; run `python -m jobs.encode_items` first")
        dims = {name: content.values[name].shape[1] for name in content.modalities}
        self.item_tower = ItemTower(settings, content_dims=dims, num_ids=len(content))
        self.user_tower = UserTower(settings, num_behaviors=num_behaviors)
        self.temperature, self.pair_temperature = Temperature(0.08), Temperature(0.1)
        self.config = config
        fit_projections(self.item_tower, content)
        projected, present = projected_content(self.item_tower, content)
        self.register_buffer("projected_IMP", projected, persistent=False)
        self.register_buffer("present_IM", present, persistent=False)
        self.register_buffer("log_q_I", torch.zeros(len(content)), persistent=False)

    def item_vectors(self) -> Tensor:
        """Embeddings of the catalogue, and a row of zeros that pads histories, (I + 1, D)."""
        ids = torch.arange(len(self.projected_IMP), device=self.projected_IMP.device)
        vectors = self.item_tower(self.projected_IMP, self.present_IM, ids)
        return torch.cat([vectors, vectors.new_zeros(1, vectors.shape[1])])

    def user_vectors(self, vectors_ID: Tensor, batch: Batch) -> Tensor:
        """Users of a batch, (N, D)."""
        users: Tensor = self.user_tower(
            functional.embedding(batch.rows_NL, vectors_ID), batch.behaviors_NL, batch.age_bins_NL, batch.valid_NL
        )
        return users

    def forward(self, batch: Batch) -> Tensor:
        """Loss of a batch, a scalar."""
        vectors = self.item_vectors()
        users = self.user_vectors(vectors, batch)
        num_items = len(self.projected_IMP)
        ignored = torch.zeros(len(users), num_items + 1, dtype=torch.bool, device=users.device)
        ignored.scatter_(1, batch.rows_NL, True)
        if num_items <= self.config.max_items_full:
            loss = info_nce(
                users,
                vectors[:-1],
                batch.labels_N,
                temperature=self.temperature(),
                ignored_NK=ignored[:, :-1],
                weights_N=batch.weights_N,
            )
        else:
            loss = self._sampled(users, vectors, batch, ignored)
        if self.config.image_text_weight > 0 and {"image", "text"} <= set(self.item_tower.modalities):
            loss = loss + self.config.image_text_weight * self._image_text()
        return loss

    def _sampled(self, users: Tensor, vectors: Tensor, batch: Batch, ignored: Tensor) -> Tensor:
        """The same over the batch's positives and uniform items, mixed, with logQ of the mixture."""
        num_items, config = len(self.projected_IMP), self.config
        uniform = torch.randint(num_items, (config.num_uniform,), device=users.device)
        keys = torch.cat([batch.labels_N, uniform])
        expected = len(users) * self.log_q_I.exp() + config.num_uniform / num_items
        positive = torch.arange(len(users), device=users.device)
        # Another copy of a query's own positive is no negative.
        same = keys[None, :] == batch.labels_N[:, None]
        return info_nce(
            users,
            vectors[keys],
            positive,
            temperature=self.temperature(),
            log_q_K=expected.log()[keys],
            ignored_NK=ignored[:, keys] | same,
            weights_N=batch.weights_N,
        )

    def _image_text(self, *, num_items: int = 256) -> Tensor:
        names = self.item_tower.modalities
        image, text = names.index("image"), names.index("text")
        both = torch.nonzero(self.present_IM[:, image] & self.present_IM[:, text]).squeeze(1)
        if len(both) < 2:
            return self.projected_IMP.new_zeros(())
        chosen = both[torch.unique(torch.randint(len(both), (num_items,), device=both.device))]
        tokens: Tensor = functional.normalize(self.item_tower.tokens(self.projected_IMP[chosen]), dim=-1)
        return paired_info_nce(tokens[:, image], tokens[:, text], temperature=self.pair_temperature())


class TowerFit:
    """Epochs over the labels of one worker; its state is a checkpoint.

    Args:
        examples: Retrieval examples; its vocabulary is the catalogue.
        content: Content of exactly that vocabulary, in its order.
        worker: (number of this worker, number of workers): each takes every n-th label.
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
        self.model, self._examples, self._config = model, examples, config
        self._behavior_ids, self._max_history, self._worker = behavior_ids, max_history, worker
        self._device = device or torch.device("cpu")
        # What runs forward: the model itself, or the model inside a wrapper that averages gradients.
        self._forward = wrapped or model
        model.log_q_I.copy_(torch.from_numpy(examples.log_sampling_probability_I.astype(np.float32)))
        self._optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.epoch = 0
        self.curves: list[dict[str, float]] = []

    def alone(self) -> "TowerFit":
        """The same fit on this process and the CPU, whatever wrapped it."""
        single = TowerFit(
            self.model.cpu(),
            self._examples,
            behavior_ids=self._behavior_ids,
            config=self._config,
            max_history=self._max_history,
        )
        single.restore(self.state())
        return single

    def run_epoch(self, labels: IntArray, *, learning_rate: float | None = None) -> dict[str, float]:
        """One pass over a seeded draw of `labels`; returns and keeps the epoch's figures."""
        started_s = time.monotonic()
        rate = learning_rate if learning_rate is not None else self._rate()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        # The same seed in every worker for the draw, another for dropout.
        torch.manual_seed(self._config.seed * 1_000_003 + self.epoch * 1_009 + self._worker[0])
        self._forward.train()
        total, steps = 0.0, 0
        for batch in self._batches(labels):
            self._optimizer.zero_grad(set_to_none=True)
            loss = self._forward(batch)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
            self._optimizer.step()
            total, steps = total + float(loss.detach()), steps + 1
        self.epoch += 1
        figures = {
            "epoch": float(self.epoch),
            "loss": total / max(steps, 1),
            "temperature": float(self.model.temperature().detach()),
            "seconds": time.monotonic() - started_s,
        }
        self.curves.append(figures)
        return figures

    def _rate(self) -> float:
        """Falls from the configured rate to a tenth of it along a cosine over the epochs."""
        progress = self.epoch / max(1, self._config.max_epochs)
        return self._config.learning_rate * (0.1 + 0.45 * (1 + float(np.cos(np.pi * progress))))

    def _batches(self, labels: IntArray) -> Iterator[Batch]:
        generator = np.random.default_rng((self._config.seed, self.epoch))
        order = generator.permutation(labels)
        if self._config.max_labels_per_epoch:
            order = order[: self._config.max_labels_per_epoch]
        number, num_workers = self._worker
        # Every worker makes the same number of steps, or gradient averaging would wait for ever.
        order = order[: len(order) // num_workers * num_workers][number::num_workers]
        for start in range(0, len(order), self._config.batch_size):
            yield self._on_device(self._batch(order[start : start + self._config.batch_size]))

    def _batch(self, labels: IntArray) -> Batch:
        return make_batch(self._examples, labels, max_history=self._max_history, behavior_ids=self._behavior_ids)

    def _on_device(self, batch: Batch) -> Batch:
        return Batch(**{name: getattr(batch, name).to(self._device) for name in Batch.__dataclass_fields__})

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
        ranks = []
        with torch.inference_mode():
            vectors = self.model.item_vectors()
            for start in range(0, len(labels), batch_size):
                batch = self._on_device(self._batch(labels[start : start + batch_size]))
                if scores_I is None:
                    scores = self.model.user_vectors(vectors, batch) @ vectors.T
                else:
                    fixed = torch.zeros(len(vectors), device=vectors.device)
                    fixed[: len(scores_I)] = torch.from_numpy(scores_I).to(vectors.device)
                    scores = fixed.repeat(len(batch.labels_N), 1)
                own = scores.gather(1, batch.labels_N[:, None])
                scores.scatter_(1, batch.rows_NL, -2.0)
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
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where state() was taken."""
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.curves = int(state["epoch"]), list(state["curves"])


def labels_of_part(examples: RetrievalExamples, part: Any, *, max_history: int) -> IntArray:
    """Usable labels of a Part, ascending in time."""
    return usable_labels(examples, examples.of_part(part), max_history=max_history)
