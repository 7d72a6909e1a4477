"""Fine-tuning the last blocks of EfficientNet-Lite0 on labels of pictures (METHODS M10).

    lower = lower_outputs(pictures, network, ...)                 once: the lower half stays as it is
    fit = FineTuneFit(lower, examples, network, config)           while not fit.is_over: fit.run_epoch()

    L = sum over attributes of cross-entropy(softmax(V_a upper(x)), y_a) over labelled items          AdamW
where x is the lower half's output for a picture or, as augmentation, for its mirror image, at even odds. Heads serve
the training alone: what is kept is the encoder, of the epoch with the best mean accuracy on the validation part (M23).
Axes: N pictures, C channels, H and W sides, A attributes.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from msgspec import Meta
from torch import Tensor, nn

from mmrec.content.device import CPU_BATCH
from mmrec.content.tuned_image import Lower, split
from mmrec.disk.files import replace_file
from mmrec.models.attribute_model import NO_LABEL, masked_cross_entropy
from mmrec.training.attribute_data import AttributeExamples
from mmrec.training.best_epoch import BestEpoch
from mmrec.training.stalling import has_stalled
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Positive, check

BATCH = 32
TOLD_PICTURES = 500
"""Pictures between two words on how far the lower half is."""


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig:
    """How the upper half is trained."""

    num_upper: Annotated[int, Meta(ge=1, le=15)] = 1
    """Blocks of 16 that are trained, with the widening layer after them; each costs time and memory."""
    max_epochs: AtLeastOne = 12
    patience: AtLeastOne = 4
    """Epochs without gain on the validation part after which fitting ends."""
    batch_size: AtLeastOne = 32
    learning_rate: Positive = 3e-4
    """Of the blocks."""
    head_learning_rate: Positive = 3e-3
    weight_decay: NotNegative = 1e-2
    label_smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.05
    seed: Count = 1

    def __post_init__(self) -> None:
        check(self, "finetune")


@dataclass(frozen=True, kw_only=True, eq=False)
class LowerOutputs:
    """What the upper half reads, of N pictures and of the mirror images of some; float16, on disk."""

    plain_NCHW: npt.NDArray[np.float16]
    mirrored_NCHW: npt.NDArray[np.float16]
    """Zeros where none was asked for."""


def lower_outputs(
    pictures: Iterator[npt.NDArray[np.uint8]],
    network: Any,
    *,
    mirrored_N: npt.NDArray[np.bool_],
    num_upper: int,
    folder: Path,
    tell: Callable[[str, Mapping[str, float]], None],
) -> LowerOutputs:
    """Outputs of the lower half, made once for a folder; a folder that was begun and not finished is made anew.

    Args:
        pictures: N arrays of (224, 224, 3), in the order of rows.
        mirrored_N: Whose mirror images are wanted, too: those that are trained on.
        folder: Of these pictures and this network alone; 38 KB a picture where one block is trained.
        tell: Says how far it is: tell(event, figures).
    """
    paths, done = [folder / "plain.npy", folder / "mirrored.npy"], folder / "done"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        lower, _ = split(network, num_upper=num_upper)
        shape = (len(mirrored_N), *_output_shape(lower))
        plain, mirrored = (np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape) for path in paths)
        row, told = 0, 0
        for images_NHWC in _batches(pictures):
            rows = np.arange(row, row + len(images_NHWC))
            plain[rows] = _through(lower, images_NHWC)
            wanted = mirrored_N[rows]
            if wanted.any():
                mirrored[rows[wanted]] = _through(lower, np.ascontiguousarray(images_NHWC[wanted][:, :, ::-1]))
            row += len(images_NHWC)
            if row - told >= TOLD_PICTURES:
                told = row
                tell("lower_half", {"pictures": row, "of": len(mirrored_N)})
        assert row == len(mirrored_N), f"{row} pictures came, {len(mirrored_N)} were announced"
        plain.flush()
        mirrored.flush()
        replace_file(done, "")
    plain, mirrored = (np.load(path, mmap_mode="r") for path in paths)
    return LowerOutputs(plain_NCHW=plain, mirrored_NCHW=mirrored)


def _output_shape(lower: Lower) -> tuple[int, ...]:
    return _through(lower, np.zeros((1, 224, 224, 3), dtype=np.uint8)).shape[1:]


def _through(lower: Lower, images_NHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.float16]:
    with torch.inference_mode():
        found: npt.NDArray[np.float16] = lower(torch.from_numpy(images_NHWC).permute(0, 3, 1, 2)).half().numpy()
    return found


def _batches(pictures: Iterator[npt.NDArray[np.uint8]]) -> Iterator[npt.NDArray[np.uint8]]:
    batch: list[npt.NDArray[np.uint8]] = []
    for picture in pictures:
        batch.append(picture)
        if len(batch) == CPU_BATCH:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


class FineTuneFit:
    """Epochs over the training part; its state is a checkpoint.

    Args:
        examples: Row n of its labels speaks of row n of `lower`.
        network: Whose upper half is trained, in place.
    """

    def __init__(self, lower: LowerOutputs, examples: AttributeExamples, network: Any, config: FineTuneConfig) -> None:
        self._lower, self._examples, self._config = lower, examples, config
        torch.manual_seed(config.seed)
        _, self.upper = split(network, num_upper=config.num_upper)
        width = network._conv_head.out_channels
        self._heads = nn.ModuleList(nn.Linear(width, len(classes)) for classes in examples.classes.values())
        self._optimizer = torch.optim.AdamW(
            [
                {"params": self.upper.parameters(), "lr": config.learning_rate, "full": config.learning_rate},
                {"params": self._heads.parameters(), "lr": 0.0, "full": config.head_learning_rate},
            ],
            weight_decay=config.weight_decay,
        )
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
        started_s, config = time.monotonic(), self._config
        for group in self._optimizer.param_groups:
            group["lr"] = group["full"] * (0.05 + 0.475 * (1 + math.cos(math.pi * self.epoch / config.max_epochs)))
        torch.manual_seed(config.seed * 1_000_003 + self.epoch)
        drawn = np.random.default_rng((config.seed, self.epoch))
        order = drawn.permutation(self._examples.parts["train"])
        self.upper.train()
        total = 0.0
        for start in range(0, len(order), config.batch_size):
            rows = np.sort(order[start : start + config.batch_size])
            mirrored_N = drawn.random(len(rows)) < 0.5
            x = np.where(
                mirrored_N[:, None, None, None], self._lower.mirrored_NCHW[rows], self._lower.plain_NCHW[rows]
            ).astype(np.float32)
            self._optimizer.zero_grad(set_to_none=True)
            loss = self._loss(torch.from_numpy(x), self._labels[torch.from_numpy(rows)])
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_([*self.upper.parameters(), *self._heads.parameters()], 5.0)
            self._optimizer.step()
            total += float(loss.detach()) * len(rows)
        self.epoch += 1
        scores = self.accuracies(self._examples.parts["validation"])
        figures: dict[str, Any] = {"epoch": float(self.epoch), "loss": total / max(1, len(order))}
        figures |= {f"accuracy.{name}": score for name, score in scores.items()}
        figures |= {"score": float(np.mean([*scores.values()])), "seconds": time.monotonic() - started_s}
        self.curves.append(figures)
        self._best.take(self.epoch, figures["score"], self._weights())
        return figures

    def _loss(self, x_NCHW: Tensor, labels_NA: Tensor) -> Tensor:
        vectors = nn.functional.dropout(self.upper(x_NCHW), 0.2, training=True)
        smoothing = self._config.label_smoothing
        parts = [
            masked_cross_entropy(logits := head(vectors), labels_NA[:, a], torch.ones(logits.shape[1]), smoothing)
            for a, head in enumerate(self._heads)
        ]
        return torch.stack(parts).sum()

    def keep_best(self) -> None:
        """Give the network the weights of the best epoch."""
        self._take(self._best.weights)

    def embeddings(self, rows: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float32]:
        """Vectors of pictures as the encoder makes them, shape (N, D); of all rows where none are named."""
        chosen = np.arange(len(self._lower.plain_NCHW)) if rows is None else rows
        self.upper.eval()
        with torch.inference_mode():
            found = [
                self.upper(torch.from_numpy(self._lower.plain_NCHW[chosen[start : start + BATCH]].astype(np.float32)))
                for start in range(0, len(chosen), BATCH)
            ]
        return torch.cat(found).numpy() if found else np.zeros((0, 0), dtype=np.float32)

    def accuracies(self, rows: npt.NDArray[np.int64]) -> dict[str, float]:
        """Attribute -> share of some items with a value whose class the head finds."""
        vectors = torch.from_numpy(self.embeddings(rows))
        with torch.inference_mode():
            said = [head(vectors).argmax(dim=1).numpy() for head in self._heads]
        found = {}
        for a, name in enumerate(self._examples.attributes):
            num_given = sum(1 for row in rows.tolist() if self._examples.values[name][row])
            labels = self._examples.labels_IA[rows, a]
            found[name] = float(((said[a] == labels) & (labels != NO_LABEL)).sum()) / max(1, num_given)
        return found

    def _weights(self) -> dict[str, Any]:
        return {"upper": self.upper.state_dict(), "heads": self._heads.state_dict()}

    def _take(self, state: Mapping[str, Any]) -> None:
        self.upper.load_state_dict(state["upper"])
        self._heads.load_state_dict(state["heads"])

    def state(self) -> dict[str, Any]:
        """Everything a resumed fit needs."""
        return {
            **self._weights(),
            "optimizer": self._optimizer.state_dict(),
            "epoch": self.epoch,
            "curves": self.curves,
            "best": self._best.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where state() was taken."""
        self._take(state)
        self._optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.curves = int(state["epoch"]), list(state["curves"])
        self._best.restore(state["best"])
