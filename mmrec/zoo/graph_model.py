"""Models over the graph of who touched what, behind the port that every model has (METHODS M36).

    build=lambda options: GraphModel("light_gcn", options, learn)

What learns returns what scores: a FittedGraph (mmrec.zoo.graph_embeddings), or more where a model adds to its cosines.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import torch
from torch import nn

from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.zoo.content_inputs import content_inputs
from mmrec.zoo.graph_embeddings import GraphOptions
from mmrec.zoo.pair_training import LearningCurve
from mmrec.zoo.touched_pairs import TouchedPairs

Options = TypeVar("Options", bound=GraphOptions)
ContentOptions = TypeVar("ContentOptions", bound="ReadsContent")
Network = TypeVar("Network", bound=nn.Module)


class FittedModel(Protocol):
    """What fitting leaves."""

    learning_curve: LearningCurve

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array: ...


class GraphModel:
    """What is learned from the graph, and what was learned last."""

    def __init__(
        self,
        name: str,
        options: Options,
        learn: Callable[[Interactions, ItemFeatures, Options, int], FittedModel],
    ) -> None:
        """Not fitted yet.

        Args:
            name: Of the model.
            learn: Trains from the start on (events, items, options, seed).
        """
        self.name = name
        self._learn = lambda data, items, seed: learn(data, items, options, seed)

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Train from the start."""
        self.fitted = self._learn(data, items, seed)

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Cosines, and what the model adds to them; 0 where nothing is known of a user."""
        return self.fitted.score(users_N, histories)

    @property
    def learning_curve(self) -> LearningCurve:
        """Mean loss by epoch of the last fit."""
        return self.fitted.learning_curve


class ReadsContent(Protocol):
    """Options of a graph model that reads content."""

    @property
    def num_components(self) -> int: ...


def content_network(
    make: Callable[[TouchedPairs, Mapping[str, Float32Array], ContentOptions], Network],
    pairs: TouchedPairs,
    items: ItemFeatures,
    options: ContentOptions,
    *,
    seed: int,
) -> Network:
    """A network over pairs and content before its first step, drawn with a seed.

    Args:
        make: Makes it of pairs, kinds of content (mmrec.zoo.content_inputs) and options.
    """
    inputs = content_inputs(items, num_components=options.num_components)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(pairs, inputs, options)
