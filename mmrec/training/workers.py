"""Workers that fit one model together: what they must agree on so that their batches are one.

A wrapper such as DistributedDataParallel averages gradients. The loss of a joint batch is a mean over all its labels
against all its keys, so that averages alone are not enough: weights are summed over the workers, keys are gathered with
their gradient, and figures are summed before anybody decides on them. One worker needs no process group.

Axes: N rows of one worker, W workers.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as group
from torch import Tensor

from mmrec.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Workers:
    """One worker's view of all of them."""

    number: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count:
            raise ConfigurationError(f"worker {self.number} of {self.count}; give a number from 0 to {self.count - 1}")
        if self.count > 1 and not (group.is_initialized() and group.get_world_size() == self.count):
            raise ConfigurationError(f"{self.count} workers need a process group of as many; start them as one run")

    def sum(self, values: Tensor) -> Tensor:
        """Sum over the workers, the same in each; without gradient."""
        total = values.detach().clone()
        if self.count > 1:
            group.all_reduce(total)
        return total

    def gathered(self, rows_N: Tensor) -> Tensor:
        """Rows of all workers, the first worker's first, (W * N, ...); gradients come back to the rows they are of.

        Args:
            rows_N: As many in every worker.
        """
        if self.count == 1:
            return rows_N
        gathered: Tensor = _Gathered.apply(rows_N, self)  # type: ignore[no-untyped-call]
        return gathered


class _Gathered(torch.autograd.Function):
    """all_gather whose backward gives each worker the sum of what all workers' losses say about its rows."""

    @staticmethod
    def forward(ctx: Any, rows_N: Tensor, workers: Workers) -> Tensor:
        ctx.workers, ctx.num_rows = workers, len(rows_N)
        pieces = [torch.empty_like(rows_N) for _ in range(workers.count)]
        group.all_gather(pieces, rows_N.contiguous())
        return torch.cat(pieces)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        summed = ctx.workers.sum(gradients[0])
        own = slice(ctx.workers.number * ctx.num_rows, (ctx.workers.number + 1) * ctx.num_rows)
        return summed[own], None
