"""Fitting an attribute model (METHODS M11): AdamW, early stopping on the validation part, the best epoch kept (M23).

    fit = AttributeFit(examples, config)
    while not fit.is_over: fit.run_epoch()         state() and restore() go on bit for bit where a run was stopped
    fit.finished()                                 AttributeHeads of the best epoch, calibrated on the validation part

What is best: the mean accuracy over attributes on the validation part, of a running average of the weights (Polyak
averaging, theta' = d_t theta' + (1 - d_t) theta, d_t = min(d, (1 + t) / (10 + t)) at step t), which is also what is
kept: it is smoother than any one epoch.
Axes: N items, M modalities, F inputs, A attributes, C classes.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from msgspec import Meta
from torch import Tensor, nn

from mmrec.content.attribute_heads import AttributeHeads, Head, all_patterns, pattern, side_by_side, softmax
from mmrec.content.matrix import FloatArray
from mmrec.models.attribute_model import (
    NO_LABEL,
    AttributeLoss,
    AttributeModelSettings,
    AttributeNetwork,
    class_weights,
)
from mmrec.training.attribute_data import AttributeDataConfig, AttributeExamples
from mmrec.training.best_epoch import BestEpoch
from mmrec.training.stalling import has_stalled
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Positive, check

MAX_MODALITIES_APART = 4
"""Up to here every set of modalities has its own temperature."""
LOG_TEMPERATURES = (math.log(0.05), math.log(20.0))


@dataclass(frozen=True, kw_only=True)
class AttributeFitConfig:
    """A complete run."""

    data: AttributeDataConfig = field(default_factory=AttributeDataConfig)
    model: AttributeModelSettings = field(default_factory=AttributeModelSettings)
    max_epochs: AtLeastOne = 22
    patience: AtLeastOne = 6
    """Epochs without gain on the validation part after which fitting ends."""
    batch_size: AtLeastOne = 256
    learning_rate: Positive = 2e-3
    weight_decay: NotNegative = 0.05
    average_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.98
    """d of the running average of weights, per step; 0 takes them as they are."""
    seed: Count = 1
    """Of first weights, order and dropout."""

    def __post_init__(self) -> None:
        check(self, "attribute_fit")


class AttributeFit:
    """Epochs over the training part of one process; its state is a checkpoint."""

    def __init__(self, examples: AttributeExamples, config: AttributeFitConfig) -> None:
        self._examples, self._config = examples, config
        torch.manual_seed(config.seed)
        dims = [examples.content.values[m].shape[1] for m in examples.modalities]
        sizes = {name: len(classes) for name, classes in examples.classes.items()}
        self._network = AttributeNetwork(config.model, dims, sizes)
        train = examples.parts["train"]
        values_NF, present_NF = side_by_side(examples.content, examples.modalities)
        self._network.fit_scale(values_NF[train], present_NF[train])
        weights = {
            name: class_weights(
                np.bincount(_known(examples.labels_IA[train, a]), minlength=len(classes)),
                config.model.class_weights,
                most=config.model.max_class_weight,
            )
            for a, (name, classes) in enumerate(examples.classes.items())
        }
        self._loss = AttributeLoss(config.model, weights)
        parameters = [
            {"params": self._network.parameters(), "weight_decay": config.weight_decay},
            {"params": self._loss.parameters(), "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate)
        self._average = torch.optim.swa_utils.AveragedModel(self._network, avg_fn=_averaging(config.average_decay))
        present = np.stack([examples.content.present[m] for m in examples.modalities], axis=1)
        self._values, self._present = torch.from_numpy(np.where(present_NF, values_NF, 0.0)), torch.from_numpy(present)
        self._labels = torch.from_numpy(examples.labels_IA)
        self.epoch = 0
        self.curves: list[dict[str, Any]] = []
        self._best = BestEpoch()

    @property
    def best_epoch(self) -> int:
        """1-based; 0 before the first."""
        return self._best.epoch

    @property
    def is_over(self) -> bool:
        """Whether the last epoch is through, or nothing was gained for `patience` of them."""
        scores = [figures["score"] for figures in self.curves]
        return self.epoch >= self._config.max_epochs or has_stalled(scores, self._config.patience)

    def run_epoch(self) -> dict[str, Any]:
        """One pass over the training part; returns and keeps the epoch's figures."""
        started_s = time.monotonic()
        config, train = self._config, self._examples.parts["train"]
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        torch.manual_seed(config.seed * 1_000_003 + self.epoch)
        order = np.random.default_rng((config.seed, self.epoch)).permutation(train)
        self._network.train()
        losses = []
        for start in range(0, len(order), config.batch_size):
            rows = torch.from_numpy(order[start : start + config.batch_size])
            self._optimizer.zero_grad(set_to_none=True)
            present = self._hide_some(self._present[rows])
            logits = self._network(self._network.standard(self._values[rows], present))
            loss, parts = self._loss(logits, self._labels[rows])
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(self._network.parameters(), 5.0)
            self._optimizer.step()
            self._average.update_parameters(self._network)
            losses.append(parts)
        self.epoch += 1
        figures = {"epoch": float(self.epoch), **self._validated(np.mean(losses, axis=0).tolist())}
        figures["seconds"] = time.monotonic() - started_s
        self.curves.append(figures)
        self._best.take(self.epoch, figures["score"], self._average.module.state_dict())
        return figures

    def finished(self) -> AttributeHeads:
        """The model of the best epoch, with temperatures fitted on the validation part."""
        examples = self._examples
        self._network.load_state_dict(self._best.weights)
        encoders = {m: examples.content.encoders[m] for m in examples.modalities}
        return AttributeHeads(
            content_dims={m: examples.content.values[m].shape[1] for m in examples.modalities},
            encoders=encoders,
            fingerprints={m: f for m, f in examples.content.fingerprints.items() if m in encoders},
            heads=self._heads(),
            weights=self._network.arrays(),
            notes={
                "split": {part: len(rows) for part, rows in examples.parts.items()},
                "best_epoch": self.best_epoch,
                "epochs": self.epoch,
                "left_out": dict(examples.left_out),
                "config": asdict(self._config),
            },
        )

    def refitted(self) -> AttributeHeads:
        """The same model trained anew on training and validation part together, for as many epochs as were best.

        Nothing is chosen on the way, and temperatures are those of finished(): a quarter more examples for nothing.
        """
        heads, examples = self.finished(), self._examples
        both = np.sort(np.concatenate([examples.parts["train"], examples.parts["validation"]]))
        again = AttributeFit(replace(examples, parts={**examples.parts, "train": both}), self._config)
        for _ in range(self.best_epoch):
            again.run_epoch()
        kept: AttributeNetwork = again._average.module  # type: ignore[assignment]
        return replace(heads, weights=kept.arrays(), notes={**heads.notes, "refit_on": len(both)})

    def state(self) -> dict[str, Any]:
        """Everything a resumed fit needs."""
        return {
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "loss": self._loss.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "epoch": self.epoch,
            "curves": self.curves,
            "best": self._best.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where state() was taken."""
        for name, part in (("network", self._network), ("average", self._average), ("loss", self._loss)):
            part.load_state_dict(state[name])
        self._optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.curves = int(state["epoch"]), list(state["curves"])
        self._best.restore(state["best"])

    def _rate(self) -> float:
        """Falls from the configured rate to a tenth of it along a cosine over the epochs."""
        progress = self.epoch / max(1, self._config.max_epochs)
        return self._config.learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))

    def _hide_some(self, present_NM: Tensor) -> Tensor:
        """With one modality hidden for some of the items that have several."""
        share = self._config.model.modality_dropout
        several = present_NM.sum(dim=1) > 1
        hit = (torch.rand(len(present_NM)) < share) & several
        # The present modality with the largest draw goes.
        draws = torch.where(present_NM, torch.rand(present_NM.shape), torch.tensor(-1.0))
        hidden = nn.functional.one_hot(draws.argmax(dim=1), present_NM.shape[1]).bool()
        return present_NM & ~(hidden & hit[:, None])

    def _logits(self, network: nn.Module, rows: npt.NDArray[np.int64], present_NM: Tensor) -> list[FloatArray]:
        model: AttributeNetwork = network  # type: ignore[assignment]
        model.eval()
        with torch.inference_mode():
            inputs = model.standard(self._values[torch.from_numpy(rows)], present_NM)
            return [each.numpy() for each in model(inputs)]

    def _validated(self, train_losses: list[float]) -> dict[str, Any]:
        """Figures of an epoch: losses, and accuracy of what the validation part has labels for."""
        rows = self._examples.parts["validation"]
        logits = self._logits(self._average.module, rows, self._present[torch.from_numpy(rows)])
        figures: dict[str, Any] = {"loss": float(sum(train_losses))}
        right = []
        for a, name in enumerate(self._examples.attributes):
            labels_N = self._examples.labels_IA[rows, a]
            given_N = np.array([bool(self._examples.values[name][row]) for row in rows])
            hits = float((logits[a].argmax(axis=1) == labels_N).sum()) / max(1, int(given_N.sum()))
            right.append(hits)
            figures |= {
                f"loss.{name}": train_losses[a],
                f"validation_loss.{name}": _negative_log_likelihood(logits[a], labels_N, 1.0),
                f"accuracy.{name}": hits,
            }
        figures["score"] = float(np.mean(right))
        return figures

    def _heads(self) -> dict[str, Head]:
        """Classes, and a temperature for each set of modalities that an item may have."""
        examples, rows = self._examples, self._examples.parts["validation"]
        found: dict[str, dict[str, float]] = {name: {} for name in examples.attributes}
        several = len(examples.modalities) <= MAX_MODALITIES_APART
        patterns = all_patterns(examples.modalities) if several else [examples.modalities]
        for chosen in patterns:
            kept = torch.tensor([m in chosen for m in examples.modalities])
            has_all = self._present[torch.from_numpy(rows)][:, kept].all(dim=1).numpy()
            if not has_all.any():
                continue
            judged = rows[has_all]
            logits = self._logits(self._network, judged, kept.repeat(len(judged), 1))
            for a, name in enumerate(examples.attributes):
                found[name][pattern(chosen)] = fitted_temperature(logits[a], examples.labels_IA[judged, a])
        return {name: Head(classes=classes, temperatures=found[name]) for name, classes in examples.classes.items()}


def _averaging(decay: float) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """How AveragedModel takes in the weights of another step."""

    def averaged(average: Tensor, weights: Tensor, step: Any) -> Tensor:
        kept = min(decay, (1.0 + float(step)) / (10.0 + float(step)))  # the first weights are soon forgotten
        return average + (weights - average) * (1.0 - kept)

    return averaged


def fit_attributes(
    examples: AttributeExamples,
    config: AttributeFitConfig,
    *,
    after_epoch: Callable[[Mapping[str, Any]], None] = lambda figures: None,
) -> AttributeHeads:
    """A whole run in one go."""
    fit = AttributeFit(examples, config)
    while not fit.is_over:
        after_epoch(fit.run_epoch())
    return fit.finished()


def fitted_temperature(logits_NC: FloatArray, labels_N: npt.NDArray[np.int64]) -> float:
    """The T with the least negative log-likelihood of softmax(logits / T), by golden section over log T.

    That likelihood has one optimum in 1 / T (it is concave there), so the section finds it. 1 where nothing is
    labelled.
    """
    if not len(_known(labels_N)):
        return 1.0
    low, high = LOG_TEMPERATURES
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if _negative_log_likelihood(logits_NC, labels_N, math.exp(left)) < _negative_log_likelihood(
            logits_NC, labels_N, math.exp(right)
        ):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2.0)


def _negative_log_likelihood(logits_NC: FloatArray, labels_N: npt.NDArray[np.int64], temperature: float) -> float:
    """Mean over labelled items; 0 where none is."""
    known = labels_N != NO_LABEL
    if not known.any():
        return 0.0
    chances = softmax(logits_NC[known].astype(np.float64) / temperature)[np.arange(known.sum()), labels_N[known]]
    return float(-np.log(np.maximum(chances, 1e-30)).mean())


def _known(labels_N: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    known: npt.NDArray[np.int64] = labels_N[labels_N != NO_LABEL]
    return known
