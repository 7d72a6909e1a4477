"""One trained model as serving uses it: item tower, user tower, ranker; NumPy in, NumPy out.

A folder holds it: `weights.safetensors` (all tensors), `model.json` (settings, names, metrics), the trees where they
rank (mmrec.models.trees), and the files of an alignment where the item tower reads one (mmrec.content.alignment). User
tower and ranker run many times a second on one row or a few hundred: there NumPy copies of the weights are used, which
a parity test keeps equal to the networks.
Axes: I items, M modalities, L history, D embedding, N candidates, F features, B behaviors.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mmrec.content.alignment import ALIGNED, AlignmentModel, with_aligned
from mmrec.content.matrix import ContentMatrix, is_same_encoder
from mmrec.errors import IncompatibleStateError, SettingError
from mmrec.models.causal_tower import CausalUserTower, user_tower
from mmrec.models.export import NumpyCausalTower, NumpyUserTower, numpy_user_tower
from mmrec.models.forms import EXACT, FORMS, Scores, fastest
from mmrec.models.ranker import Ranker
from mmrec.models.settings import RankerSettings, TowerSettings
from mmrec.models.towers import ItemTower, UserTower
from mmrec.models.trees import FILE as TREES_FILE
from mmrec.models.trees import TreeRanker

FloatArray = npt.NDArray[np.float32]
FORMAT = 1
_CHUNK = 8_192


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelBundle:
    """Towers and ranker that were trained together."""

    tower_settings: TowerSettings
    ranker_settings: RankerSettings
    item_tower: ItemTower
    user_tower: UserTower | CausalUserTower
    ranker: Ranker
    known_item_ids: tuple[str, ...]
    """Items with an id vector, by row of the table."""
    feature_names: tuple[str, ...]
    """Columns the ranker was trained on, in order; serving compares them with its own."""
    behavior_ids: tuple[int, ...]
    """Stable ids of the behaviors known to the user tower, ascending."""
    behavior_weights: tuple[float, ...]
    """Weights w_b of the final utility, aligned with `behavior_ids`."""
    content_dims: Mapping[str, int]
    """Modality -> width of its encoder."""
    encoders: Mapping[str, str]
    """Modality -> encoder name that the item tower was trained with."""
    metrics: Mapping[str, Any]
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Modality -> fingerprint of that encoder; absent where the model is older than fingerprints."""
    alignment: AlignmentModel | None = None
    """Where the item tower also reads what an alignment makes of pictures and texts, as one more modality."""
    trees: TreeRanker | None = None
    """Where they rank; None where the network does."""
    source_weights: Mapping[str, float] = field(default_factory=dict)
    """What each recall source counts, by name, as training found out; one that is not named counts as it says itself
    (mmrec.recall.fusion)."""
    kept_forms: tuple[str, ...] = (EXACT,)
    """Forms of the ranking network that keep its quality, as far as training looked (mmrec.models.forms)."""
    form: str = EXACT
    """The form that it ranks in here; not saved."""

    def __post_init__(self) -> None:
        if refused := {name: weight for name, weight in self.source_weights.items() if not 0 < weight < math.inf}:
            raise ValueError(f"weights of recall sources are {refused}; give numbers above 0")
        for network in (self.item_tower, self.user_tower, self.ranker):
            network.eval()

    @property
    def embedding_dim(self) -> int:
        """D of item and user embeddings."""
        return self.tower_settings.embedding_dim

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {item_id: row for row, item_id in enumerate(self.known_item_ids)}

    @cached_property
    def _fast_user_tower(self) -> NumpyUserTower | NumpyCausalTower:
        return numpy_user_tower(self.user_tower, self.behavior_ids)

    @cached_property
    def _fast_ranker(self) -> Scores:
        return FORMS[self.form](self.ranker)

    def in_form(self, asked: str) -> "ModelBundle":
        """The same, ranking in a form by name, or in the "fastest" one that keeps the network's quality.

        Trees rank as they are, whatever is asked for.
        """
        return replace(self, form=fastest(self.kept_forms) if asked == "fastest" else asked)

    def item_embeddings(self, content: ContentMatrix) -> FloatArray:
        """Unit-norm vectors of any items, known or new, shape (I, D)."""
        content = self._read(content)
        vectors = np.zeros((len(content), self.embedding_dim), dtype=np.float32)
        ids = np.array([self._row_of.get(i, len(self.known_item_ids)) for i in content.item_ids], dtype=np.int64)
        with torch.inference_mode():
            for start in range(0, len(content), _CHUNK):
                rows = slice(start, min(start + _CHUNK, len(content)))
                projected, present = self._projected(content, rows)
                vectors[rows] = self.item_tower(projected, present, torch.from_numpy(ids[rows])).numpy()
        return vectors

    def modality_weights(self, content: ContentMatrix) -> dict[str, FloatArray]:
        """Share of each modality in each item's fused content, modality -> (I,); 0 where missing (METHODS M17)."""
        content = self._read(content)
        names = self.item_tower.modalities
        shares = np.zeros((len(content), len(names)), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(content), _CHUNK):
                rows = slice(start, min(start + _CHUNK, len(content)))
                shares[rows] = self.item_tower.fuse(*self._projected(content, rows)).weights_NM.numpy()
        return {name: shares[:, m] for m, name in enumerate(names)}

    def _read(self, content: ContentMatrix) -> ContentMatrix:
        """Content as the item tower was trained on it."""
        return content if self.alignment is None else with_aligned(content, self.alignment)

    def _projected(self, content: ContentMatrix, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        values, present = {}, []
        num_rows = rows.stop - rows.start
        for name in self.item_tower.modalities:
            usable = is_same_encoder(name, content, self)
            if usable and content.values[name].shape[1] != self.content_dims[name]:
                raise IncompatibleStateError(
                    f"{name} vectors of {self.encoders[name]!r} are {content.values[name].shape[1]} wide, "
                    f"the model was trained with {self.content_dims[name]}; encode the catalogue again"
                )
            # Vectors of another encoder mean nothing to this model: the modality counts as missing.
            block = content.values[name][rows] if usable else np.zeros((num_rows, self.content_dims[name]), np.float32)
            flags = content.present[name][rows] if usable else np.zeros(num_rows, np.bool_)
            values[name] = torch.from_numpy(np.ascontiguousarray(block))
            present.append(torch.from_numpy(np.ascontiguousarray(flags)))
        return self.item_tower.project(values), torch.stack(present, dim=1)

    def user_embedding(
        self, history_LD: FloatArray, behavior_ids_L: npt.NDArray[np.uint8], ages_s_L: npt.NDArray[np.float64]
    ) -> FloatArray:
        """Unit-norm vector of a user, shape (D,); zeros when L = 0. History is oldest first, ages in seconds."""
        if not len(history_LD):
            return np.zeros(self.embedding_dim, dtype=np.float32)
        return self._fast_user_tower(history_LD, behavior_ids_L, ages_s_L)

    def rank(self, features_NF: FloatArray) -> npt.NDArray[np.float64]:
        """Ranking scores, shape (N,), higher is better: log of the expected utility, sum_b w_b p_b."""
        if features_NF.shape[1] != len(self.feature_names):
            raise IncompatibleStateError(
                f"feature rows have {features_NF.shape[1]} columns, the ranker was trained on {len(self.feature_names)}"
            )
        return self.trees(features_NF) if self.trees is not None else self._fast_ranker(features_NF)

    def save(self, folder: Path) -> None:
        """Write weights.safetensors, model.json and, where trees rank, these: all that serving needs (METHODS M30)."""
        folder.mkdir(parents=True, exist_ok=True)
        networks = {"item_tower": self.item_tower, "user_tower": self.user_tower, "ranker": self.ranker}
        tensors = {
            f"{name}.{key}": tensor.detach().cpu().contiguous()
            for name, network in networks.items()
            for key, tensor in network.state_dict().items()
        }
        save_file(tensors, str(folder / "weights.safetensors"))
        if self.alignment is not None:
            self.alignment.save(folder)
        (folder / TREES_FILE).unlink(missing_ok=True)  # of a model that was here before
        described = {
            "format": FORMAT,
            "tower_settings": asdict(self.tower_settings),
            "ranker_settings": asdict(self.ranker_settings),
            "known_item_ids": self.known_item_ids,
            "feature_names": self.feature_names,
            "behavior_ids": self.behavior_ids,
            "behavior_weights": self.behavior_weights,
            "content_dims": dict(self.content_dims),
            "encoders": dict(self.encoders),
            "fingerprints": dict(self.fingerprints),
            "metrics": dict(self.metrics),
            "trees": self.trees.save(folder) if self.trees is not None else None,
            "source_weights": dict(self.source_weights),
            "kept_forms": self.kept_forms,
        }
        (folder / "model.json").write_text(json.dumps(described), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "ModelBundle":
        """Read a saved bundle.

        Raises:
            IncompatibleStateError: files are missing or this code cannot use them.
        """
        try:
            described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            if described["format"] != FORMAT:
                raise IncompatibleStateError(f"{folder} has format {described['format']}, this code reads {FORMAT}")
            ranker_settings = RankerSettings(
                **{**described["ranker_settings"], "hidden_dims": tuple(described["ranker_settings"]["hidden_dims"])}
            )
            bundle = new_bundle(
                tower_settings=TowerSettings(**described["tower_settings"]),
                ranker_settings=ranker_settings,
                known_item_ids=tuple(described["known_item_ids"]),
                feature_names=tuple(described["feature_names"]),
                behavior_ids=tuple(described["behavior_ids"]),
                behavior_weights=tuple(described["behavior_weights"]),
                content_dims=described["content_dims"],
                encoders=described["encoders"],
                metrics=described["metrics"],
                fingerprints=described.get("fingerprints", {}),
                alignment=AlignmentModel.load(folder) if ALIGNED in described["content_dims"] else None,
                trees=_trees(folder, described),
                source_weights=described.get("source_weights", {}),
                kept_forms=tuple(described.get("kept_forms", (EXACT,))),
            )
            tensors = load_file(str(folder / "weights.safetensors"))
            for name in ("item_tower", "user_tower", "ranker"):
                own = {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
                getattr(bundle, name).load_state_dict(own)
        except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError, SettingError) as error:
            raise IncompatibleStateError(f"no usable model in {folder}: {error}; train and publish again") from None
        return bundle


def new_bundle(
    *,
    tower_settings: TowerSettings,
    ranker_settings: RankerSettings,
    known_item_ids: tuple[str, ...],
    feature_names: tuple[str, ...],
    behavior_ids: tuple[int, ...],
    behavior_weights: tuple[float, ...],
    content_dims: Mapping[str, int],
    encoders: Mapping[str, str],
    metrics: Mapping[str, Any] | None = None,
    fingerprints: Mapping[str, str] | None = None,
    alignment: AlignmentModel | None = None,
    trees: TreeRanker | None = None,
    source_weights: Mapping[str, float] | None = None,
    kept_forms: tuple[str, ...] = (EXACT,),
) -> ModelBundle:
    """A bundle of these shapes whose networks are untrained."""
    return ModelBundle(
        tower_settings=tower_settings,
        ranker_settings=ranker_settings,
        item_tower=ItemTower(tower_settings, content_dims=content_dims, num_ids=len(known_item_ids)),
        user_tower=user_tower(tower_settings, num_behaviors=len(behavior_ids)),
        ranker=Ranker(ranker_settings, num_features=len(feature_names), behavior_weights=behavior_weights),
        known_item_ids=known_item_ids,
        feature_names=feature_names,
        behavior_ids=behavior_ids,
        behavior_weights=behavior_weights,
        content_dims=dict(content_dims),
        encoders=dict(encoders),
        metrics=dict(metrics or {}),
        fingerprints=dict(fingerprints or {}),
        alignment=alignment,
        trees=trees,
        source_weights=dict(source_weights or {}),
        kept_forms=kept_forms,
    )


def _trees(folder: Path, described: Mapping[str, Any]) -> TreeRanker | None:
    """The trees of a folder; None where its network ranks."""
    calibration = described.get("trees")
    if calibration is None:
        return None
    return TreeRanker.load(folder, calibration, num_features=len(described["feature_names"]))
