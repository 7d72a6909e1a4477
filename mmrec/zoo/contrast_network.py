"""Users and items in one space by content, users once per domain (METHODS M19, M21, M22).

    x_u^d = sum over own items i of domain d of  a_ui x_i / sum of a_ui         content of the user, by modality
    f     = the item tower's content                                             (mmrec.models.towers)
    E_u^d = norm( f(x_u^d) + H_d f(x_u^d) + sum of  a_ui s_i id_i / sum of a_ui )        H_d: begins at 0; s, id: M24
    v_i   = norm( f(x_i) + s_i id_i )
    L     = InfoNCE(E_u^d, v_i; tau),   d the domain of i, against touched items drawn evenly of that domain

a_ui weighs what a user did (mmrec.zoo.history_matrix); modalities that an item lacks do not count in x. An event whose
user did nothing in its domain before teaches nothing here: that is what alignment is for.

Axes: N events, K domains, I items, S drawn items, M modalities, P principal components, D embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from mmrec.evaluation.interactions import IntArray
from mmrec.models.fusion import shown_only
from mmrec.models.losses import Temperature, info_nce
from mmrec.models.towers import ItemTower, unit
from mmrec.zoo.content_values import ContentValues
from mmrec.zoo.contrast_options import LEAST_TEMPERATURE, ContrastOptions
from mmrec.zoo.graph_embeddings import multiplied, with_transpose
from mmrec.zoo.history_matrix import Sparse


@dataclass(frozen=True, kw_only=True, eq=False)
class Users:
    """Users once per domain."""

    vectors_NKD: Tensor
    """Of length 1; zeros where a user did nothing in a domain, or on items without content alone."""
    known_NK: Tensor
    """Where that is not so."""

    def of_domains(self, domains_N: Tensor) -> tuple[Tensor, Tensor]:
        """Vector and whether it is known, of one domain each; shapes (N, D) and (N,)."""
        rows = torch.arange(len(domains_N))
        return self.vectors_NKD[rows, domains_N], self.known_NK[rows, domains_N]


class ContrastNetwork(nn.Module):
    """Item tower, a head per domain for users, and the temperature.

    Args:
        domain_I: Domain of each item, from 0.
        counts_I: How often each item is one to learn from.
        use_ids: Whether items have a learned vector beside their content (METHODS M24).
    """

    projected_IMP: Tensor
    present_IM: Tensor

    def __init__(
        self,
        options: ContrastOptions,
        content: ContentValues,
        *,
        domain_I: IntArray,
        counts_I: IntArray,
        use_ids: bool,
        seed: int,
    ) -> None:
        super().__init__()
        num_items, self.num_domains = len(domain_I), int(domain_I.max(initial=0)) + 1
        self.domain_I = torch.from_numpy(domain_I)
        dims = {name: values_IX.shape[1] for name, values_IX in content.values.items()}
        self.tower = ItemTower(options.towers(use_ids=use_ids), content_dims=dims, num_ids=num_items)
        for name, projection in self.tower.projections.items():
            projection.fit(content.values[name][content.present[name]])  # type: ignore[operator]
        with torch.no_grad():
            projected = self.tower.project({n: torch.from_numpy(x_IX) for n, x_IX in content.values.items()})
        present = np.stack([content.present[name] for name in self.tower.modalities], axis=1)
        self.register_buffer("present_IM", torch.from_numpy(present), persistent=False)
        self.register_buffer("projected_IMP", shown_only(projected, self.present_IM), persistent=False)
        if use_ids:
            self.tower.begin_ids(self.present_IM, seed=seed)
            self.tower.trust_ids(counts_I)
        self.heads = nn.ModuleList(
            nn.Linear(options.embedding_dim, options.embedding_dim, bias=False) for _ in range(self.num_domains)
        )
        for head in self.heads:
            nn.init.zeros_(head.weight)  # type: ignore[arg-type]
        self.temperature = Temperature(options.temperature, low=LEAST_TEMPERATURE, high=1.0)
        self.temperature.log_tau.requires_grad_(options.temperature_kind == "learned")

    def items(self, rows: Tensor) -> Tensor:
        """The v of some items, shape (len(rows), D)."""
        found: Tensor = self.tower(self.projected_IMP[rows], self.present_IM[rows], rows)
        return found

    def content(self, tokens_NMP: Tensor, present_NM: Tensor) -> Tensor:
        """Norm(f), without any id; shape (N, D)."""
        without_id = torch.full((len(tokens_NMP),), self.tower.ids.num_embeddings - 1)
        found: Tensor = self.tower(tokens_NMP, present_NM, without_id)
        return found

    def users(self, own: Sequence[Sparse]) -> Users:
        """E of users.

        Args:
            own: a, one matrix of shape (N, I) per domain.
        """
        found = [self._of_domain(own_NI, head) for own_NI, head in zip(own, self.heads, strict=True)]
        vectors_NKD = torch.stack(found, dim=1)
        return Users(vectors_NKD=vectors_NKD, known_NK=vectors_NKD.detach().abs().sum(-1) > 0)

    def _of_domain(self, own_NI: Sparse, head: nn.Module) -> Tensor:
        num_modalities, width = self.projected_IMP.shape[1:]
        weights_NM = torch.from_numpy((own_NI @ self.present_IM.numpy().astype(np.float32)).astype(np.float32))
        flat_IX = self.projected_IMP.flatten(1).numpy()
        sums_NMP = torch.from_numpy((own_NI @ flat_IX).astype(np.float32)).reshape(-1, num_modalities, width)
        present_NM = weights_NM > 0
        means_NMP = sums_NMP / torch.where(present_NM, weights_NM, torch.ones_like(weights_NM)).unsqueeze(-1)
        content_ND = self.content(means_NMP, present_NM)
        vectors_ND: Tensor = content_ND + head(content_ND)
        if self.tower.settings.use_ids:
            totals_N = np.asarray(own_NI.sum(axis=1)).ravel()
            shares_NI = sparse.diags_array(1.0 / np.where(totals_N > 0, totals_N, 1.0)) @ own_NI
            ids_ID = self.tower.ids.weight[:-1] * self.tower.id_shares_I[:-1].unsqueeze(1)
            vectors_ND = vectors_ND + multiplied(with_transpose(shares_NI), ids_ID)
        return unit(vectors_ND)

    def contrast(self, users: Users, positives_N: Tensor, drawn_S: Tensor) -> Tensor:
        """InfoNCE of users, each from the domain of the item it is asked for; a scalar."""
        domains_N = self.domain_I[positives_N]
        queries_ND, known_N = users.of_domains(domains_N)
        own_U, place_N = torch.unique(positives_N, return_inverse=True)
        keys_KD = self.items(torch.cat([own_U, drawn_S]))
        # What others of the batch are asked for is no negative: popular items would be pushed down for being popular.
        not_drawn_NU = torch.ones(len(positives_N), len(own_U), dtype=torch.bool)
        strange_NS = (self.domain_I[drawn_S] != domains_N[:, None]) | (drawn_S == positives_N[:, None])
        return info_nce(
            queries_ND,
            keys_KD,
            place_N,
            temperature=self.temperature(),
            ignored_NK=torch.cat([not_drawn_NU, strange_NS], dim=1),
            weights_N=known_N.to(queries_ND.dtype),
        )
