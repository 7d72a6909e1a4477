"""Workers that fit one model together: what they must agree on so that their batches are one.

A wrapper such as DistributedDataParallel averages gradients. The loss of a joint batch is a mean over all its labels,
each with a weight, so that averages alone are not enough: weights are summed over the workers, and so are figures
before anybody decides on them. Negatives need no word between them: all workers draw the same ones. One worker needs no
process group.
"""

from dataclasses import dataclass

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
