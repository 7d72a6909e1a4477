"""Fine-tuning: halves of a network, what training moves and what it leaves, the encoder it makes, files of labels."""

import gzip
import io
import json
import struct
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmrec.catalog.item import CatalogItem
from mmrec.catalog.pictures import read_picture
from mmrec.config import Settings
from mmrec.content.modalities.image import IMAGE, EfficientNetLite0Encoder
from mmrec.content.tuned_image import save_tuned, split
from mmrec.errors import ConfigurationError, InvalidRequestError
from mmrec.training.finetune_recipe import FINETUNE, FineTuneOptions, labelled_pictures
from mmrec.training.idx_files import read_idx, read_labelled_pictures
from mmrec.training.recipe import DeploymentData, train_here

NO_DATA = DeploymentData(settings=Settings(), content=None, entries=None, items=None)  # type: ignore[arg-type]


def png(seed: int) -> bytes:
    drawn = np.random.default_rng(seed)
    color = np.array([255, 40, 40] if seed % 2 else [40, 40, 255])
    noisy = np.clip(color + drawn.integers(-40, 40, size=(32, 32, 3)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "PNG")
    return file.getvalue()


@cache
def bare() -> EfficientNetLite0Encoder:
    return EfficientNetLite0Encoder()


def pixels(*seeds: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([read_picture(png(seed), size=224) for seed in seeds])).permute(0, 3, 1, 2)


@pytest.mark.parametrize("num_upper", [1, 3])
def test_the_upper_half_of_the_lower_half_is_the_encoder(num_upper) -> None:
    lower, upper = split(bare().network, num_upper=num_upper)
    upper.train()  # statistics of batch norms stay as they are in training, too
    with torch.inference_mode():
        found = upper(lower(pixels(1, 2)))
    bare().network.eval()
    np.testing.assert_allclose(found.numpy(), bare().encode([png(1), png(2)]).values_ND, atol=1e-4)


def test_a_tuned_folder_is_an_encoder_of_its_own_fingerprint(tmp_path) -> None:
    name = str(tmp_path / "tuned")
    save_tuned(Path(name), bare().network, {"seed": 1})
    same = IMAGE.load(name)
    assert same.name == name
    np.testing.assert_array_equal(same.encode([png(3)]).values_ND, bare().encode([png(3)]).values_ND)
    first = IMAGE.fingerprint(name)
    assert first != IMAGE.fingerprint("efficientnet-lite0")
    changed = EfficientNetLite0Encoder()
    with torch.no_grad():
        changed.network._conv_head.weight.mul_(1.5)
    save_tuned(Path(name), changed.network, {"seed": 1})
    assert IMAGE.fingerprint(name) != first
    assert not np.array_equal(IMAGE.load(name).encode([png(3)]).values_ND, bare().encode([png(3)]).values_ND)
    (tmp_path / "tuned" / "efficientnet-lite0.safetensors").write_bytes(b"cut")
    with pytest.raises(InvalidRequestError, match="holds no fine-tuned efficientnet-lite0"):
        IMAGE.load(name)


def shop(num_items: int = 26) -> DeploymentData:
    items = [
        CatalogItem(
            item_id=f"i{number:02d}",
            title=f"Product {number}",
            image=png(number) if number else b"no picture",
            attributes={"color": "red" if number % 2 else "blue"},
        )
        for number in range(num_items)
    ]
    return replace(NO_DATA, items=lambda: iter(items))


def options(**more: object) -> FineTuneOptions:
    return FineTuneOptions(attributes=("color",), epochs=2, **more)  # type: ignore[arg-type]


def test_a_run_writes_an_encoder_whose_upper_half_has_learned(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MMREC_CACHE_DIR", str(tmp_path / "cache"))
    told = []
    train_here(FINETUNE, options(), shop(), out=tmp_path / "tuned", tell=lambda event, **f: told.append((event, f)))
    metrics = json.loads((tmp_path / "tuned" / "metrics.json").read_text())
    assert metrics["pictures"] == 25, "what cannot be read is left out"
    assert metrics["neighbors_after.color"] == metrics["neighbors_before.color"] == 1.0
    losses = [figures["loss"] for event, figures in told if event == "finetune_epoch"]
    assert losses[-1] < losses[0]
    made = EfficientNetLite0Encoder(name="tuned", folder=tmp_path / "tuned").network.state_dict()
    before = bare().network.state_dict()
    moved = {name for name, tensor in made.items() if not torch.equal(tensor, before[name])}
    assert any(name.startswith("_blocks.15.") for name in moved)
    assert "_conv_head.weight" in moved
    lower = {name for name in made if name.startswith(("_conv_stem", "_bn0", *(f"_blocks.{n}." for n in range(15))))}
    statistics = {name for name in made if "running" in name}
    assert not moved & (lower | statistics)


def test_a_catalogue_without_pictures_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no item has a picture that can be read"):
        FINETUNE.prepare(options(), replace(NO_DATA, items=lambda: iter([CatalogItem(item_id="a")])))


# Files of labels


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def made(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    drawn = np.random.default_rng(0)
    pictures, labels = drawn.integers(0, 256, (7, 28, 28)).astype(np.uint8), drawn.integers(0, 10, 7).astype(np.uint8)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pictures[:5])))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(labels[:5]))
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(pictures[5:]))
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels[5:])))
    return pictures, labels


def test_files_in_the_form_of_fashion_mnist_are_read_gzipped_or_not(tmp_path) -> None:
    pictures, labels = made(tmp_path)
    found = read_labelled_pictures(tmp_path)
    np.testing.assert_array_equal(found[0], pictures)
    np.testing.assert_array_equal(found[1], labels)
    shown = [*labelled_pictures(FineTuneOptions(idx_folder=str(tmp_path)), NO_DATA)]
    assert [each.entry.attributes["label"] for each in shown] == [str(label) for label in labels.tolist()]
    assert read_picture(shown[0].pixels, size=224).shape == (224, 224, 3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an IDX file of bytes begins"),
        (b"\x89PNG....", "an IDX file of bytes begins"),
        (b"\0\0\x0d\x01" + bytes(8), "an IDX file of bytes begins"),
        (b"\0\0\x08\x03\0\0", "ends within its first 16 bytes"),
        (idx(np.zeros((3, 2, 2), np.uint8))[:-1], "cut or damaged"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "cut or damaged"),
    ],
)
def test_damaged_files_of_labels_say_what_is_wrong(tmp_path, content, said) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(ConfigurationError, match=said):
        read_idx(tmp_path / "train-images-idx3-ubyte")


def test_a_folder_that_lacks_a_file_or_a_label_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="has no train-images-idx3-ubyte"):
        read_labelled_pictures(tmp_path)
    made(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(4, np.uint8)))
    with pytest.raises(ConfigurationError, match="give one label a picture"):
        read_labelled_pictures(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(ConfigurationError, match="give both"):
        read_labelled_pictures(tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_idx(tmp_path / "train-images-idx3-ubyte.gz")
