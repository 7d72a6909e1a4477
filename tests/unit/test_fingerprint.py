"""Fingerprints of encoders: what changes them, what does not, and that vectors of two are never mixed."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial, reduce
from itertools import count
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mmrec.config import Settings
from mmrec.content.code_digest import code_digest, reached_code
from mmrec.content.encoder import FINGERPRINT_LENGTH
from mmrec.content.matrix import content_matrix
from mmrec.content.modalities.image import efficientnet_file
from mmrec.content.registry import LazyEncoder, modality_named
from mmrec.content.weights_digest import RACY_NS, weights_digest
from mmrec.errors import IncompatibleStateError, InvalidRequestError, NotFoundError
from mmrec.models.bundle import ModelBundle
from mmrec.publishing.publish import check_model
from tests.serving_world import EMBEDDING_DIM
from tests.unit.test_release import untrained

ENCODER = '''
"""Prices."""
from functools import partial, reduce
from itertools import count

from {package}.bands import NUM_BANDS, neighbor

SCALE = 2.0


class Prices:
    """In bands."""

    name: str = "prices"
    width: int

    def encode(self, payloads: list[bytes]) -> list[float]:
        """Vectors."""
        return [neighbor(SCALE * float(payload)) for payload in payloads]  # of every payload


def other() -> int:
    return 7


by_name = lambda: Prices()
'''
BANDS = """
NUM_BANDS = 8


def neighbor(value: float) -> float:
    return min(value, NUM_BANDS)


def unrelated() -> None:
    return None
"""
Package = Callable[..., ModuleType]
NUMBERS = count()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Makes a package of two modules with some of their text replaced."""
    monkeypatch.syspath_prepend(tmp_path)
    made: list[str] = []

    def make(*changes: tuple[str, str]) -> ModuleType:
        name = f"shop_{next(NUMBERS)}"
        made.append(name)
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for file, text in (("prices", ENCODER), ("bands", BANDS)):
            changed = reduce(lambda told, change: told.replace(*change), changes, text)
            (folder / f"{file}.py").write_text(changed.replace("{package}", name))
        importlib.invalidate_caches()
        return importlib.import_module(f"{name}.prices")

    yield make
    for name in [each for each in sys.modules if each.partition(".")[0] in made]:
        del sys.modules[name]


def code(package: Package, *changes: tuple[str, str]) -> list[str]:
    """What code_digest reads of the changed package, without the package's own name."""
    module = package(*changes)
    own = module.__name__.partition(".")[0]
    return [f"{place}\0{text}".replace(own, "shop") for place, text in sorted(reached_code(module.Prices).items())]


@pytest.mark.parametrize(
    "change",
    [
        ("  # of every payload", ""),
        ('"""Vectors."""', '"""Vectors of payloads."""'),
        ("payloads: list[bytes]) -> list[float]", "payloads) -> object"),
        ('name: str = "prices"', 'name = "prices"'),
        ("return 7", "return 8"),
        ("return None", "return True"),
    ],
)
def test_comments_annotations_and_what_an_encoder_does_not_reach_leave_its_code_as_it_was(
    package: Package, change: tuple[str, str]
) -> None:
    assert code(package) == code(package, change)


@pytest.mark.parametrize(
    "change",
    [
        ("SCALE = 2.0", "SCALE = 2.5"),
        ("float(payload)", "float(payload[1:])"),
        ("NUM_BANDS = 8", "NUM_BANDS = 9"),
        ("min(value", "max(value"),
        ("class Prices:", "class Prices(dict):"),
    ],
)
def test_what_an_encoder_reaches_in_any_module_of_the_project_changes_its_code(
    package: Package, change: tuple[str, str]
) -> None:
    assert code(package) != code(package, change)


def test_a_partial_counts_with_its_arguments_and_a_function_without_a_name_with_what_it_calls(package: Package) -> None:
    module = package()
    assert code_digest(partial(module.Prices, a=1)) != code_digest(partial(module.Prices, a=2))
    assert code_digest(partial(module.Prices, a=1)) == code_digest(partial(module.Prices, a=1))
    assert code_digest(module.by_name) != code_digest(package(("SCALE = 2.0", "SCALE = 2.5")).by_name)
    with pytest.raises(InvalidRequestError, match="give a function"):
        code_digest(3)  # type: ignore[arg-type]


def test_weights_that_were_trained_in_place_are_noticed_whatever_their_length_and_time(tmp_path: Path) -> None:
    folder, kept = tmp_path / "model", tmp_path / "kept"
    (folder / "head").mkdir(parents=True)
    weights = folder / "head" / "weights.bin"
    weights.write_bytes(b"a" * 64)
    before, times = weights_digest([str(folder)], kept=kept), weights.stat()
    assert weights_digest([str(folder)], kept=kept) == before
    (folder / "README.md").write_text("for people")
    (folder / ".lock").write_text("")
    assert weights_digest([str(folder)], kept=kept) == before
    weights.write_bytes(b"b" * 64)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = weights_digest([str(folder)], kept=kept)
    assert after != before
    weights.rename(folder / "weights.bin")
    assert weights_digest([str(folder)], kept=kept) not in (before, after)
    with pytest.raises(NotFoundError, match="nowhere"):
        weights_digest(["nowhere"], kept=kept)


def test_a_digest_of_a_file_that_has_been_still_is_not_made_again(tmp_path: Path) -> None:
    file, kept = tmp_path / "weights.bin", tmp_path / "kept"
    file.write_bytes(b"weights")
    right = weights_digest([str(file)], kept=kept)
    (memory,) = kept.iterdir()
    digest_of = memory.read_text()
    memory.write_text(digest_of[:-4] + 'ff"}')
    assert weights_digest([str(file)], kept=kept) == right, "kept too soon after the file changed"
    memory.write_text(digest_of[:-4] + 'ff"}')
    later_ns = file.stat().st_ctime_ns + 2 * RACY_NS
    os.utime(memory, ns=(later_ns, later_ns))
    assert weights_digest([str(file)], kept=kept) != right, "taken from memory"
    memory.write_text("no json")
    os.utime(memory, ns=(later_ns, later_ns))
    assert weights_digest([str(file)], kept=kept) == right


def test_every_encoder_has_its_own_fingerprint_and_telling_it_loads_nothing() -> None:
    names = {"text": ("minilm", "minilm-first-last", "hashing-tf"), "image": ("efficientnet-lite0", "color-histogram")}
    found = {LazyEncoder(modality, name).fingerprint for modality, each in names.items() for name in each}
    assert len(found) == 5
    assert {len(fingerprint) for fingerprint in found} == {FINGERPRINT_LENGTH}
    assert efficientnet_file() in modality_named("image").weights("efficientnet-lite0")
    with pytest.raises(NotFoundError, match="color-histogram"):
        LazyEncoder("image", "crystal-ball").fingerprint  # noqa: B018


def test_an_encoder_that_is_loaded_encodes_as_the_fingerprint_says() -> None:
    lazy = LazyEncoder("attributes", "attribute-hash")
    lazy.load()
    assert lazy.fingerprint == modality_named("attributes").fingerprint("attribute-hash")
    assert np.isfinite(lazy.encode([b'{"color": "red"}']).values_ND).all()


def test_a_model_is_not_published_with_content_of_another_fingerprint(tmp_path):
    model = ModelBundle.load(untrained(tmp_path / "model", fingerprints={"attributes": "before"}))
    same, other = (
        content_matrix(
            ["a"],
            {"attributes": {"a": np.ones(EMBEDDING_DIM, np.float32)}},
            embedding_dims={"attributes": EMBEDDING_DIM},
            encoders={"attributes": "plain"},
            fingerprints={"attributes": fingerprint},
        )
        for fingerprint in ("before", "after")
    )
    check_model(model, same, Settings())
    with pytest.raises(IncompatibleStateError, match=r"fingerprint after.*fingerprint before.*encode .* or train"):
        check_model(model, other, Settings())
