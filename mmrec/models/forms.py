"""The ranking network in every form that may serve it; each is made of the fitted network when a release is loaded.

    numpy       NumPy on copies of the weights (mmrec.models.export)
    onnx        one ONNX graph, standardization to log utility, run by ONNX Runtime
    onnx-int8   the same with weights in 8 bits, inputs of each layer quantized as they come (Jacob et al., CVPR 2018)
    pruned      NumPy, without the half of each hidden layer that matters least (Li et al., ICLR 2017)

A form may serve where its NDCG on held-out lists is at least 99.5 % of the network's, which training finds out; which
is fastest is measured by tests.benchmarks.deployable_forms (METHODS M30). One thread each, since requests share the
processor. Axes: N rows, F features, H hidden units, B behaviors.
"""

from collections.abc import Callable, Collection, Mapping
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mmrec.models.export import NumpyRanker
from mmrec.models.ranker import CLIP, Ranker
from mmrec.models.settings import RankerSettings

Scores = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float64]]
"""Feature rows (N, F) to log utilities (N,)."""
KEPT_NDCG: Final = 0.995
"""Of the network's, that a form must keep."""
KEPT_UNITS: Final = 0.5
"""Of a hidden layer, after pruning."""


class OnnxRanker:
    """An ONNX graph of a ranker, ready to run."""

    def __init__(self, graph: bytes) -> None:
        import onnxruntime  # only where it ranks

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def __call__(self, rows_NF: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Log utilities, shape (N,)."""
        rows_NF = np.ascontiguousarray(rows_NF, dtype=np.float32)
        found: npt.NDArray[np.float32] = self._session.run(None, {"rows": rows_NF})[0]
        return found.astype(np.float64)


def onnx_graph(ranker: Ranker) -> Any:
    """The ranker from feature rows to log utilities as one ONNX model; equal to the network up to rounding."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, values: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype=dtype), name))
        return name

    def add(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def linear(x: str, layer: nn.Linear, name: str) -> str:
        product = add("MatMul", [x, constant(f"{name}.weight", _array(layer.weight).T)], f"{name}.product")
        return add("Add", [product, constant(f"{name}.bias", _array(layer.bias))], f"{name}.sum")

    x = add("Sub", ["rows", constant("mean", _array(ranker.mean_F))], "centered")
    x = add("Div", [x, constant("deviation", _array(ranker.deviation_F))], "scaled")
    x = add("Clip", [x, constant("low", -CLIP), constant("high", CLIP)], "clipped")
    x = add("Where", [add("IsNaN", [x], "unknown"), constant("zero", 0.0), x], "standardized")
    hidden, layers = x, [layer for layer in ranker.deep if isinstance(layer, nn.Linear)]
    for number, layer in enumerate(layers[:-1]):
        hidden = add("Gelu", [linear(hidden, layer, f"deep.{number}")], f"deep.{number}.out")
    deep, skip = linear(hidden, layers[-1], "deep.last"), linear(x, ranker.skip, "skip")
    logits = add("Add", [deep, skip], "logits")
    # log sigmoid(z) = -softplus(-z)
    chances = add("Neg", [add("Softplus", [add("Neg", [logits], "turned")], "soft")], "log_chances")
    parts = add("Add", [chances, constant("log_weights", np.log(_array(ranker.weights_B)))], "parts")
    add("ReduceLogSumExp", [parts, constant("axes", [1], np.int64)], "scores", keepdims=0)
    graph = helper.make_graph(
        nodes,
        "ranker",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["N", ranker.skip.in_features])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def in_int8(model: Any) -> bytes:
    """An ONNX model with 8-bit weights in its products, serialized."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.onnx", Path(folder) / "made.onnx"
        ready = onnx.shape_inference.infer_shapes(model)
        # What ONNX Runtime's own preparation leaves behind, and its quantization warns without.
        onnx.helper.set_model_props(ready, {"onnx.quant.pre_process": "onnxruntime.quant"})
        onnx.save(ready, str(given))
        quantize_dynamic(given, made, weight_type=QuantType.QInt8)
        return made.read_bytes()


def pruned(ranker: Ranker, *, kept_share: float = KEPT_UNITS) -> Ranker:
    """A smaller network: of each hidden layer the units with the largest norm in times norm out.

    Args:
        ranker: Not changed.
        kept_share: Of the units, above 0; at least one of a layer stays.
    """
    layers = [layer for layer in ranker.deep if isinstance(layer, nn.Linear)]
    kept: list[torch.Tensor] = [torch.arange(layers[0].in_features)]
    for before, after in pairwise(layers):
        weights_H = before.weight.detach().norm(dim=1) * after.weight.detach().norm(dim=0)
        num_kept = max(1, round(len(weights_H) * kept_share))
        kept.append(weights_H.argsort(descending=True, stable=True)[:num_kept].sort().values)
    kept.append(torch.arange(layers[-1].out_features))
    settings = RankerSettings(hidden_dims=tuple(len(rows) for rows in kept[1:-1]), dropout=0.0)
    weights = tuple(float(weight) for weight in ranker.weights_B)
    made = Ranker(settings, num_features=layers[0].in_features, behavior_weights=weights)
    with torch.no_grad():
        for name in ("mean_F", "deviation_F", "weights_B"):
            getattr(made, name).copy_(getattr(ranker, name))
        made.skip.load_state_dict(ranker.skip.state_dict())
        smaller = [layer for layer in made.deep if isinstance(layer, nn.Linear)]
        for place, (layer, old) in enumerate(zip(smaller, layers, strict=True)):
            layer.weight.copy_(old.weight[kept[place + 1]][:, kept[place]])
            layer.bias.copy_(old.bias[kept[place + 1]])
    return made.eval()


def _array(tensor: Any) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = np.ascontiguousarray(tensor.detach().cpu().numpy(), dtype=np.float32)
    return found


FORMS: Final[Mapping[str, Callable[[Ranker], Scores]]] = {
    "onnx": lambda ranker: OnnxRanker(onnx_graph(ranker).SerializeToString()),
    "onnx-int8": lambda ranker: OnnxRanker(in_int8(onnx_graph(ranker))),
    "pruned": lambda ranker: NumpyRanker(pruned(ranker)),
    "numpy": NumpyRanker,
}
"""Forms by name, the fastest first."""
EXACT: Final = "numpy"
"""The form that is the network itself, up to rounding."""


def fastest(kept: Collection[str]) -> str:
    """The fastest of some forms; EXACT where none is named."""
    return next((name for name in FORMS if name in kept), EXACT)
