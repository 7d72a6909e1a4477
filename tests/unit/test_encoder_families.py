"""Encoders of transformers' families, by folder: tiny models of random weights, saved as people's folders are."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import erf
from transformers import AutoImageProcessor, AutoModel, BertTokenizer, logging
from transformers.models.bert import BertConfig, BertModel
from transformers.models.clip import CLIPConfig, CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.dinov2 import Dinov2Config, Dinov2Model
from transformers.models.mobilenet_v2 import MobileNetV2Config, MobileNetV2Model
from transformers.models.resnet import ResNetConfig, ResNetModel
from transformers.models.siglip import SiglipConfig, SiglipModel
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.vit import ViTConfig, ViTForImageClassification, ViTModel

from mmrec.catalog.item import CatalogItem
from mmrec.config import Settings
from mmrec.content.modalities.image import IMAGENET_DEVIATION, IMAGENET_MEAN, PrintedImageEncoder
from mmrec.content.registry import encoder
from mmrec.content.store import ContentStore
from mmrec.errors import InvalidRequestError, NotFoundError
from mmrec.evaluation.content_metrics import unit_rows
from mmrec.models.printed_heads import PRINTED_DIM, PrintedImageHead, PrintedTextHead
from mmrec.models.settings import TowerSettings
from mmrec.models.towers import ItemTower
from mmrec.reports.encoded_catalogue import EncodedCatalogue, ReportEncoders, encode_catalogue
from mmrec.training.one_space import one_space_encoders, one_space_findings

SIDE = 32
LAYERS: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "blue", "dress", "shoe", "[MASK]"]
TEXTS: dict[str, Any] = {**LAYERS, "vocab_size": len(WORDS), "max_position_embeddings": 16, "pad_token_id": 0}
PICTURES: dict[str, Any] = {**LAYERS, "image_size": SIDE, "patch_size": 16}
RESNET = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
logging.disable_progress_bar()


def picture(seed: int, side: int = 48) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def save_tokenizer(folder: Path) -> None:
    names = ["input_ids", "attention_mask"]
    BertTokenizer(vocab={word: place for place, word in enumerate(WORDS)}, model_input_names=names).save_pretrained(
        folder
    )


def save_pictures(folder: Path, model: Any) -> None:
    model.save_pretrained(folder)
    side = {"height": SIDE, "width": SIDE}
    CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=side).save_pretrained(folder)


def clip(folder: Path) -> None:
    marks = {"bos_token_id": 2, "eos_token_id": 3}
    config = CLIPConfig(text_config={**TEXTS, **marks}, vision_config=PICTURES, projection_dim=24)
    save_pictures(folder, CLIPModel(config))
    save_tokenizer(folder)


def siglip(folder: Path) -> None:
    SiglipModel(SiglipConfig(text_config={**TEXTS, "projection_size": 32}, vision_config=PICTURES)).save_pretrained(
        folder
    )
    SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    save_tokenizer(folder)


MODELS: dict[str, Callable[[], Any]] = {
    "vit": lambda: ViTModel(ViTConfig(**PICTURES)),
    "vit_classifier": lambda: ViTForImageClassification(ViTConfig(**PICTURES)),
    "dinov2": lambda: Dinov2Model(Dinov2Config(**{**PICTURES, "mlp_ratio": 2})),
    "mobilenet_v2": lambda: MobileNetV2Model(MobileNetV2Config(image_size=SIDE, depth_multiplier=0.35)),
    "resnet": lambda: ResNetModel(RESNET),
}


def expected(family: str, folder: Path, pixels: torch.Tensor) -> torch.Tensor:
    """What the family's authors take, by the parts of the model."""
    model = AutoModel.from_pretrained(folder).eval()
    output = model(pixel_values=pixels)
    match family:
        case "vit":
            return torch.tanh(model.pooler.dense(output.last_hidden_state[:, 0]))
        case "vit_classifier" | "dinov2":
            return output.last_hidden_state[:, 0]
        case _:
            return output.last_hidden_state.mean((2, 3))


@pytest.mark.parametrize("family", sorted(MODELS))
def test_a_vision_model_by_folder_gives_what_its_family_pools(family: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    save_pictures(tmp_path, MODELS[family]())
    by_folder = encoder("image", str(tmp_path))
    files = [picture(1), b"none", picture(2)]
    found = by_folder.encode(files)
    assert found.reasons_N == ("", "broken", "")
    processor = CLIPImageProcessorPil.from_pretrained(tmp_path)
    seen = [Image.open(io.BytesIO(file)).resize((224, 224), Image.Resampling.BICUBIC) for file in files[::2]]
    pixels = processor(images=seen, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        wanted = expected(family, tmp_path, pixels).numpy()
    np.testing.assert_allclose(found.values_ND[[0, 2]], wanted, atol=1e-4)
    assert by_folder.embedding_dim == wanted.shape[1]


@pytest.mark.parametrize("save", [clip, siglip])
def test_texts_and_pictures_of_one_folder_share_a_space(save: Callable[[Path], None], tmp_path: Path) -> None:
    save(tmp_path)
    texts, pictures = encoder("text", str(tmp_path)), encoder("image", str(tmp_path))
    assert texts.embedding_dim == pictures.embedding_dim
    long = b"red dress " * 40
    vectors = texts.encode([b"red dress", b"blue shoe", long, b"red dress"]).values_ND
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[3], atol=1e-6)
    assert abs(float(vectors[0] @ vectors[1])) < 0.9999
    # The model's own logits are cosines of these vectors, scaled.
    model = AutoModel.from_pretrained(tmp_path).eval()
    picture_vector = pictures.encode([picture(3)]).values_ND[0]
    tokens = [[2, 4, 6, 3] + [0] * 12, [2, 5, 7, 3] + [0] * 12]
    pixels = np.asarray(Image.open(io.BytesIO(picture(3))).resize((224, 224), Image.Resampling.BICUBIC))
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    seen = processor(images=[Image.fromarray(pixels)], return_tensors="pt")
    with torch.inference_mode():
        output = model(input_ids=torch.tensor(tokens), **seen)
    cosines = vectors[:2] @ (picture_vector / np.linalg.norm(picture_vector))
    scale, bias = model.logit_scale.exp().item(), getattr(model, "logit_bias", torch.zeros(1)).item()
    np.testing.assert_allclose(output.logits_per_image[0].numpy(), cosines * scale + bias, rtol=1e-3, atol=1e-3)
    with pytest.raises(InvalidRequestError, match="give it without first-last:"):
        encoder("text", f"first-last:{tmp_path}")


def test_first_last_is_the_mean_of_the_first_and_the_last_hidden_layer_over_a_texts_own_tokens(
    tmp_path: Path,
) -> None:
    model = BertModel(BertConfig(**TEXTS)).eval()
    model.save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    found = encoder("text", f"first-last:{tmp_path}").encode([b"red dress", b"blue shoe red dress red"]).values_ND
    with torch.inference_mode():
        embedded = model.embeddings(input_ids=torch.tensor([[2, 4, 6, 3]]))
        first = model.encoder.layer[0](embedded)
        first = first if torch.is_tensor(first) else first[0]
        last = model.encoder.layer[1](first)
        last = last if torch.is_tensor(last) else last[0]
    mixed = (0.5 * first.mean(1) + 0.5 * last.mean(1))[0].numpy()
    np.testing.assert_allclose(found[0], mixed / np.linalg.norm(mixed), atol=1e-5)


def test_the_printed_image_is_the_average_of_a_resnets_last_feature_map_of_the_whole_picture(tmp_path: Path) -> None:
    model = ResNetModel(RESNET).eval()
    model.save_pretrained(tmp_path)
    printed = encoder("image", f"printed:{tmp_path}")
    found = printed.encode([picture(5, side=224)]).values_ND[0]
    pixels = np.asarray(Image.open(io.BytesIO(picture(5, side=224))), dtype=np.float32) / 255
    scaled = ((pixels - IMAGENET_MEAN) / IMAGENET_DEVIATION).astype(np.float32)
    with torch.inference_mode():
        last = model(pixel_values=torch.from_numpy(scaled.transpose(2, 0, 1))[None]).last_hidden_state
    np.testing.assert_allclose(found, last[0].mean((1, 2)).numpy(), atol=1e-5)
    assert printed.embedding_dim == 16
    assert PrintedImageEncoder("x", str(tmp_path), local=True).embedding_dim == 16
    assert ResNetConfig().hidden_sizes[-1] == 2048, "of ResNet-50"
    with pytest.raises(NotFoundError, match="printed:smth"):
        encoder("image", "printed:smth")


def test_only_a_resnet_is_read_as_printed(tmp_path: Path) -> None:
    save_pictures(tmp_path, MODELS["vit"]())
    with pytest.raises(InvalidRequestError, match="is a vit; give printed: and a ResNet"):
        encoder("image", f"printed:{tmp_path}")


def test_the_printed_image_head_is_its_equation() -> None:
    head, x = PrintedImageHead(6, hidden_dim=5), torch.randn(4, 6)
    w1, w2 = head.w1.weight.detach().numpy(), head.w2.weight.detach().numpy()
    inner = x.numpy() @ w1.T
    gelu = inner * 0.5 * (1.0 + erf(inner / np.sqrt(2.0)))
    np.testing.assert_allclose(head(x).detach().numpy(), gelu @ w2.T, atol=1e-5)
    assert PrintedImageHead(2_048)(torch.zeros(1, 2_048)).shape == (1, PRINTED_DIM)


def test_the_printed_text_head_is_its_equation_and_never_below_zero() -> None:
    head, x = PrintedTextHead(6), torch.randn(4, 6)
    found = head(x).detach().numpy()
    np.testing.assert_allclose(found, np.maximum(0.0, x.numpy() @ head.wt.weight.detach().numpy().T), atol=1e-5)
    assert found.shape == (4, PRINTED_DIM)
    assert (found >= 0).all()


def test_an_item_tower_learns_the_printed_layers_where_its_settings_ask_for_them() -> None:
    printed = TowerSettings(lifts="printed", hidden_dim=PRINTED_DIM, projected_dim=8, embedding_dim=16, fusion="concat")
    tower = ItemTower(printed, content_dims={"attributes": 4, "image": 10, "text": 6}, num_ids=0)
    assert [type(tower.lifts[name]) for name in tower.modalities] == [
        torch.nn.Linear,
        PrintedImageHead,
        PrintedTextHead,
    ]
    projected, present = torch.randn(5, 3, 8), torch.ones(5, 3, dtype=torch.bool)
    tokens = tower.tokens(projected)
    assert tokens.shape == (5, 3, PRINTED_DIM)
    torch.testing.assert_close(tokens[:, 1], tower.lifts["image"](projected[:, 1]))
    assert (tokens[:, 2] >= 0).all()
    tower(projected, present, torch.zeros(5, dtype=torch.int64)).sum().backward()
    assert all(float(lift.weight.grad.abs().sum()) > 0 for lift in (tower.lifts["image"].w1, tower.lifts["text"].wt))
    plain = ItemTower(TowerSettings(), content_dims={"image": 10, "text": 6}, num_ids=0)
    assert {type(lift) for lift in plain.lifts.values()} == {torch.nn.Linear}


def test_an_encoder_of_one_space_is_measured_as_it_is_on_the_items_that_an_alignment_is_measured_on(
    tmp_path: Path,
) -> None:
    drawn = np.random.default_rng(0)
    items = tuple(
        CatalogItem(item_id=f"i{n:03d}", title=f"Title {n}", attributes={"kind": "ab"[n % 2]}) for n in range(200)
    )
    shared = unit_rows(drawn.standard_normal((200, 24))).astype(np.float32)
    other = unit_rows(drawn.standard_normal((200, 16))).astype(np.float32)
    encoded = EncodedCatalogue(
        items=items, images={"./other": other, "./clip": shared}, text_encoder="./clip", texts_ID=shared
    )
    (found,) = one_space_findings(encoded, Settings())
    assert found.title.endswith("./clip")
    figures = found.parts[0].values
    assert figures["text_to_image_recall_at_10"] == figures["image_to_text_recall_at_10_strict"] == 1.0
    assert figures["chance"] == 10 / figures["gallery"] < 0.5
    wrong = replace(encoded, texts_ID=np.roll(shared, 1, axis=0))
    assert one_space_findings(wrong, Settings())[0].parts[0].values["text_to_image_recall_at_10"] < 0.8
    assert not one_space_findings(replace(encoded, text_encoder="minilm"), Settings())


def test_texts_of_a_report_are_cleaned_as_those_of_the_catalogue(tmp_path: Path) -> None:
    plain = [CatalogItem(item_id=f"i{n}", title=f"red dress {n}", image=picture(n)) for n in range(24)]
    marked = [replace(item, title=f"<b>{item.title}</b>") for item in plain]
    encoders = ReportEncoders(images=[encoder("image", "color-histogram")], text=encoder("text", "hashing-tf"))
    store = ContentStore(tmp_path / "store")
    expected, cleaned, as_they_are = (
        encode_catalogue(items, encoders, store=store, tell=lambda *a, **k: None, cleaning=cleaning).texts_ID
        for items, cleaning in ((plain, "none"), (marked, "plain"), (marked, "none"))
    )
    np.testing.assert_array_equal(cleaned, expected)
    assert (as_they_are != expected).any()


def test_a_folder_with_both_encoders_is_one_space_in_the_report(tmp_path: Path) -> None:
    torch.manual_seed(3)
    clip(folder := tmp_path / "clip")
    items = [
        CatalogItem(item_id=f"i{n}", title=f"{'red' if n % 2 else 'blue'} dress", image=picture(n)) for n in range(24)
    ]
    encoders = ReportEncoders(images=[encoder("image", str(folder))], text=encoder("text", str(folder)))
    encoded = encode_catalogue(items, encoders, store=ContentStore(tmp_path / "store"), tell=lambda *a, **k: None)
    assert one_space_encoders(encoded) == [str(folder)]
