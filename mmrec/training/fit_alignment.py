"""Fitting an alignment: pictures find their texts and texts their pictures, among hard negatives (METHODS M19, M20).

    L = InfoNCE(image, text; tau) + w * ( InfoNCE(image, image'; tau) + InfoNCE(text, text'; tau) )

' is another view of the same input. InfoNCE runs both ways, and items of one group are right answers for each other. A
batch is made of random items and of their nearest neighbors by the model's own vectors of the epoch before: what it
still takes for each other is told apart together. AdamW, one cosine. Axes: N batch, R training rows, D embedding.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from msgspec import Meta
from torch import Tensor, nn

from mmrec.content.alignment import IMAGE, SIDES, TEXT
from mmrec.content.matrix import FloatArray
from mmrec.evaluation.content_metrics import first_right_ranks, nearest
from mmrec.evaluation.metrics import hit_rate
from mmrec.models.alignment import Aligner, AlignmentSettings, fitted_projections
from mmrec.training.alignment_data import AlignmentPairs
from mmrec.training.best_epoch import BestEpoch
from mmrec.training.stalling import has_stalled
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Positive, Share, check

IntArray = npt.NDArray[np.int64]
Views = Callable[[str, IntArray, np.random.Generator], FloatArray]
"""views(modality, rows, generator): inputs of another view of those rows, drawn at random."""


@dataclass(frozen=True, kw_only=True)
class AlignmentFitConfig:
    """How one pair of heads is fitted."""

    model: AlignmentSettings = field(default_factory=AlignmentSettings)
    max_epochs: AtLeastOne = 10
    patience: AtLeastOne = 5
    """Epochs without gain in recall@10 on the validation part before fitting ends; the best epoch is kept."""
    batch_size: Annotated[int, Meta(ge=2)] = 1_024
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.05
    l1: NotNegative = 0.0
    """Weight of the mean of |w| over all weights (METHODS M23)."""
    view_weight: NotNegative = 0.0
    """w: weight of the two-view terms; 0 leaves them out. On 3,000 fashion photographs .1 gains a point of recall@10
    for twice the time, which hard negatives use better."""
    hard_share: Share = 0.5
    """Share of a batch that are neighbors of its other items; 0 draws all at random. On 3,000 fashion photographs a
    half gains 8 points of recall@10 in 8 epochs (.63 to .71), which have twice the steps then."""
    temperature: Positive = 0.07
    """Where tau begins."""
    learned_temperature: bool = True
    seed: Count = 1

    def __post_init__(self) -> None:
        check(self, "fit_alignment")


NUM_NEIGHBORS = 10
"""Neighbors of an item among which its hard negatives are drawn."""


class AlignmentFit:
    """Epochs over the training pairs of one worker; its state is a checkpoint.

    Args:
        pairs: All pairs; the training part is fitted on, the validation part stops and chooses.
        worker: (number of this worker, number of workers): each takes every n-th item.
        views: Gives other views of training rows; None shows the inputs again, so that dropout alone makes views.
        wrap: What shares gradients among workers.
    """

    def __init__(
        self,
        pairs: AlignmentPairs,
        config: AlignmentFitConfig,
        *,
        device: torch.device | None = None,
        worker: tuple[int, int] = (0, 1),
        views: Views | None = None,
        wrap: Callable[[nn.Module], nn.Module] = lambda model: model,
    ) -> None:
        self._pairs, self.config, self._worker = pairs, config, worker
        self._device = device or torch.device("cpu")
        self._rows = pairs.parts["train"]
        self._views = views
        self.projections = fitted_projections(pairs.of(self._rows), projected_dim=config.model.projected_dim)
        self._z = {m: self._projected(m, values) for m, values in pairs.inputs.items()}
        torch.manual_seed(config.seed)
        self.model = Aligner(
            config.model,
            self.projections,
            temperature=config.temperature,
            learned=config.learned_temperature,
        ).to(self._device)
        self._forward = wrap(self.model)
        self._optimizer = torch.optim.AdamW(_groups(self.model, config.weight_decay), lr=config.learning_rate)
        self.epoch = 0
        self.curves: list[dict[str, float]] = []
        self._best = BestEpoch()

    @property
    def is_over(self) -> bool:
        """Whether the last epoch has run, or nothing was gained for `patience` of them."""
        recalls = [curve["recall_at_10"] for curve in self.curves]
        return self.epoch >= self.config.max_epochs or has_stalled(recalls, self.config.patience)

    def run_epoch(self) -> dict[str, float]:
        """One pass over the training pairs; returns and keeps the epoch's figures."""
        started_s, config = time.monotonic(), self.config
        for group in self._optimizer.param_groups:
            group["lr"] = config.learning_rate * (
                0.02 + 0.49 * (1 + math.cos(math.pi * self.epoch / config.max_epochs))
            )
        neighbors = self._neighbors() if config.hard_share > 0 and self.epoch else None
        torch.manual_seed(config.seed * 1_000_003 + self.epoch * 1_009 + self._worker[0])
        self.model.train()
        losses = []
        generator = np.random.default_rng((config.seed, self.epoch))
        for rows in self._batches(generator, neighbors):
            self._optimizer.zero_grad(set_to_none=True)
            loss = self._forward(
                self._tensors(rows, generator),
                self._tensors(rows, generator) if config.view_weight > 0 else {},
                torch.from_numpy(self._pairs.groups_N[rows]).to(self._device),
                config.view_weight,
            )
            losses.append(float(loss.detach()))
            if config.l1 > 0:
                loss = loss + config.l1 * mean_size(self.model)
            torch.autograd.backward(loss)
            self._optimizer.step()
        self.epoch += 1
        figures = {
            "epoch": float(self.epoch),
            "loss": float(np.mean(losses)),
            "temperature": float(self.model.temperature().detach()),
            **self.measured(self._pairs.parts["validation"]),
            "seconds": time.monotonic() - started_s,
        }
        self._best.take(self.epoch, figures["recall_at_10"], self.model.state_dict())
        self.curves.append(figures)
        return figures

    def best(self) -> Aligner:
        """The model after its best epoch, on the CPU, ready to serve."""
        model = self.model.cpu()
        if self._best.epoch:
            model.load_state_dict(self._best.weights)
        return model.eval()

    def measured(self, rows: IntArray) -> dict[str, float]:
        """recall@10 in a gallery of `rows`, the mean of both ways, and the loss of all of them as one batch."""
        if len(rows) < 2:
            return {"recall_at_10": 0.0, "validation_loss": 0.0}
        groups = self._pairs.groups_N[rows]
        with torch.inference_mode():
            self.model.eval()
            inputs = self._as_given(rows)
            loss = float(self.model(inputs, {}, torch.from_numpy(groups).to(self._device), 0.0))
            found = {modality: vectors.cpu().numpy() for modality, vectors in self.model.embed(inputs).items()}
        recalls = [
            hit_rate(first_right_ranks(found[a], found[b], query_keys=groups, gallery_keys=groups), 10)
            for a, b in ((TEXT, IMAGE), (IMAGE, TEXT))
        ]
        return {"recall_at_10": float(np.mean(recalls)), "validation_loss": loss}

    def _tensors(self, rows: IntArray, generator: np.random.Generator) -> dict[str, Tensor]:
        """Inputs of a step: as they are given, or one view of each."""
        if self._views is None:
            return self._as_given(rows)
        return {m: self._projected(m, self._views(m, rows, generator)) for m in SIDES}

    def _as_given(self, rows: IntArray) -> dict[str, Tensor]:
        chosen = torch.from_numpy(rows).to(self._device)
        return {modality: z[chosen] for modality, z in self._z.items()}

    def _projected(self, modality: str, values_NX: FloatArray) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            projected: Tensor = self.projections[modality](torch.from_numpy(values_NX)).to(self._device)
        return projected

    def _neighbors(self) -> IntArray:
        """Training rows that each one's text finds, itself and its group left out; (R, NUM_NEIGHBORS), -1 for none."""
        groups = self._pairs.groups_N[self._rows]
        with torch.inference_mode():
            self.model.eval()
            inputs = self._as_given(self._rows)
            found = {modality: vectors.cpu().numpy() for modality, vectors in self.model.embed(inputs).items()}
        own = {int(group): np.flatnonzero(groups == group) for group in np.unique(groups)}
        return nearest(found[TEXT], found[IMAGE], NUM_NEIGHBORS, leave_out=lambda query: own[int(groups[query])])

    def _batches(self, generator: np.random.Generator, neighbors: IntArray | None) -> Iterator[IntArray]:
        number, num_workers = self._worker
        order = generator.permutation(len(self._rows))
        # Every worker makes the same number of steps, or gradient averaging would wait for ever.
        order = order[: len(order) // num_workers * num_workers][number::num_workers]
        drawn = max(1, round(self.config.batch_size * (1.0 - self.config.hard_share))) if neighbors is not None else 0
        size = drawn or self.config.batch_size
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            if neighbors is not None:
                wanted = self.config.batch_size - drawn
                askers = generator.choice(rows, wanted)
                hard = neighbors[askers, generator.integers(0, neighbors.shape[1], wanted)]
                rows = np.unique(np.concatenate([rows, hard[hard >= 0]]))
            yield self._rows[rows]

    def state(self) -> dict[str, Any]:
        """Everything a resumed fit needs."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "epoch": self.epoch,
            "curves": self.curves,
            "best": self._best.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where state() was taken."""
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.curves = int(state["epoch"]), list(state["curves"])
        self._best.restore(state["best"])


def mean_size(model: nn.Module) -> Tensor:
    """Mean of |w| over the weights of linear layers: what L1 regularization holds down."""
    weights = [parameter.abs() for parameter in model.parameters() if parameter.ndim == 2]
    return torch.stack([weight.sum() for weight in weights]).sum() / sum(weight.numel() for weight in weights)


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights decay; biases and the temperature do not."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in learned if p.ndim == 2], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.ndim != 2], "weight_decay": 0.0},
    ]
