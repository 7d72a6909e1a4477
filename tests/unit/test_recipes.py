"""The recipes of .github/CONTRIBUTING.md for a modality and a store, followed in a copy of the package.

Those for a recall source and a behavior: tests/unit/test_recipes_recall.py.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mmrec

ROOT = Path(mmrec.__file__).resolve().parents[1]
CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"
ROOMS = ("mmrec", "feature_repo", "tests")

MODALITY_FILE = '''"""Price: its order of magnitude, as a soft band of eight."""

from collections.abc import Sequence

import numpy as np

from mmrec.catalog.item import CatalogItem
from mmrec.content.encoder import BROKEN, Encodings
from mmrec.content.modality import Clean, Modality


class PriceBandEncoder:
    """The encoder of name price-bands."""

    name = "price-bands"
    modality = "price"
    embedding_dim = 8

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """Vectors of prices in digits."""
        values, reasons = np.zeros((len(payloads), self.embedding_dim), dtype=np.float32), []
        for row, payload in enumerate(payloads):
            try:
                distance = np.log10(float(payload)) - np.arange(self.embedding_dim) + 2.0
            except ValueError:
                reasons.append(BROKEN)
                continue
            values[row] = np.exp(-(distance**2))
            reasons.append("")
        return Encodings(values_ND=values, reasons_N=tuple(reasons))


def _payload(item: CatalogItem, clean: Clean) -> bytes:
    del clean
    return repr(item.price).encode() if item.price else b""


PRICE = Modality(
    name="price", payload=_payload, encoders={"price-bands": PriceBandEncoder}, default_encoder="price-bands"
)
'''

ASKED_OF_THE_MODALITY = """
import json
import sys
from pathlib import Path

from mmrec.catalog.item import CatalogItem, catalog_entry
from mmrec.config import load_settings
from mmrec.content.encode import encode_items
from mmrec.content.feed import embedding_records
from mmrec.content.registry import LazyEncoder, chosen_encoders
from mmrec.content.store import ContentStore
from mmrec.errors import SettingError
from mmrec.models.settings import TowerSettings
from mmrec.models.towers import ItemTower
from mmrec.serving.item_record import read_item_update
from mmrec.state.home_world import world_of

folder = Path(sys.argv[1])
settings = load_settings(folder / "mmrec.toml")
names = chosen_encoders(settings.content)
assert names["price"] == "price-bands", names
assert world_of(settings, made_s=0.0).settings["content.encoders.price"] == "price-bands"
try:
    chosen_encoders(load_settings(folder / "wrong.toml").content)
except SettingError as error:
    assert str(error) == "content.encoders.price is 'price-bends'; give one of price-bands", error
else:
    raise AssertionError("an encoder that there is not was taken")

items = [CatalogItem(item_id="a", title="Dress", price=19.9, currency="EUR"), CatalogItem(item_id="b", title="Hose")]
store = ContentStore(str(folder / "content"), cache_folder=folder / "cache")
encoded = encode_items(items, {name: LazyEncoder(name, encoder) for name, encoder in names.items()}, store)
assert encoded.num_absent["price"] == {"missing": 1}, encoded.num_absent
store.put(encoded.matrix)
matrix = store.load_matrix()
assert matrix.present["price"].tolist() == [True, False]
sent = embedding_records(matrix, {item.item_id: catalog_entry(item) for item in items})
updates = {key: read_item_update(key, value) for key, value in sent}
assert "price" in updates[b"a"].vectors and "price" not in updates[b"b"].vectors, updates

settings = TowerSettings(projected_dim=4)
tower = ItemTower(settings, content_dims={name: block.shape[1] for name, block in matrix.values.items()}, num_ids=2)
assert "price" in tower.modalities
"""

STORE_FILE = '''"""The shelf: Feast's SQLite store under another name, in a file of its own."""

from pathlib import Path
from typing import Any, Literal

from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig

from mmrec.config import StoreSettings
from mmrec.stores.sqlite.engine import SqliteEngine

TYPE = "mmrec.stores.shelf.engine.ShelfOnlineStore"


class ShelfOnlineStoreConfig(SqliteOnlineStoreConfig):
    """What feature_store.yaml says of it."""

    type: Literal["mmrec.stores.shelf.engine.ShelfOnlineStore"] = "mmrec.stores.shelf.engine.ShelfOnlineStore"


class ShelfOnlineStore(SqliteOnlineStore):
    """As Feast opens it."""

    @staticmethod
    def _get_db_path(config: Any) -> str:
        return f"{config.repo_path}/{config.online_store.path}"


class ShelfEngine(SqliteEngine):
    """See OnlineEngine."""

    feast_type = TYPE
    database = "shelf.db"
    backup_note = "of the shelf everything"

    def repository_lines(self, stores: StoreSettings) -> list[str]:
        return ["  path: shelf.db"]

    def before_apply(self, folder: Path) -> None:
        """Nothing."""

    def after_apply(self, folder: Path) -> None:
        """Nothing."""
'''

STORE_CASE = """        case "shelf":
            from mmrec.stores.shelf.engine import ShelfEngine

            return ShelfEngine()
"""

ASKED_OF_THE_STORE = r"""
from pathlib import Path

from feature_repo.apply import apply_repository
from mmrec.config import load_settings
from mmrec.wiring import open_engine, open_feature_store, open_overlay, take_writer_right


def test_a_deployment_that_names_the_shelf_has_it_everywhere(tmp_path: Path) -> None:
    config = tmp_path / "mmrec.toml"
    config.write_text(f'[stores]\nonline_store = "shelf"\nfeature_repo = "{tmp_path}/repo"\n')
    settings = load_settings(config)
    apply_repository(settings.stores, settings.scoring.decay_per_day)
    assert (tmp_path / "repo" / "shelf.db").is_file()
    assert open_engine(settings).backup_note == "of the shelf everything"
    with take_writer_right(settings) as right:
        assert not right.lost
    assert open_feature_store(settings).read_progress() is None
    assert open_overlay(settings).read(["nobody"]) == {}
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of what a contributor has checked out."""
    left_out = shutil.ignore_patterns("__pycache__", "results", "e2e", "benchmarks", "fuzz")
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=left_out)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def run(package: Path, *arguments: str) -> None:
    command = [sys.executable, "-W", "ignore", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(package), "MMREC_HOME": str(package / "home")}
    done = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def insert(path: Path, line: str, *, before: str) -> None:
    """Add a line before the one place where `before` stands."""
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{path.name} has {before!r} {text.count(before)} times"
    path.write_text(text.replace(before, line + before), encoding="utf-8")


def test_a_modality_is_one_file_and_one_line_in_the_registry(package: Path) -> None:
    room = package / "mmrec" / "content" / "modalities"
    (room / "price.py").write_text(MODALITY_FILE)
    registry = room / "registry.py"
    insert(registry, "from mmrec.content.modalities.price import PRICE\n", before="from mmrec.content.modalities.text")
    insert(registry, "    PRICE,\n", before=")\n")
    cheap = '[content]\ntext_encoder = "hashing-tf"\nimage_encoder = "color-histogram"\n'
    (package / "mmrec.toml").write_text(cheap)
    (package / "wrong.toml").write_text(cheap + 'encoders = { price = "price-bends" }\n')
    run(package, "-c", ASKED_OF_THE_MODALITY, str(package))


def test_a_store_is_one_folder_one_name_and_one_case(package: Path) -> None:
    room = package / "mmrec" / "stores" / "shelf"
    room.mkdir()
    (room / "__init__.py").write_text('"""The shelf."""\n')
    (room / "engine.py").write_text(STORE_FILE)
    insert(package / "mmrec" / "stores" / "online_engine.py", STORE_CASE, before="        case other:\n")
    config = package / "mmrec" / "connections" / "engines.py"
    laws = package / "tests" / "contract" / "test_feature_store.py"
    config.write_text(config.read_text().replace('Literal["sqlite", "redis"]', 'Literal["sqlite", "redis", "shelf"]'))
    laws.write_text(laws.read_text().replace('"sqlite", "redis"]', '"sqlite", "redis", "shelf"]'))
    deployed = laws.with_name("test_shelf.py")
    deployed.write_text(ASKED_OF_THE_STORE)
    chosen = "shelf and (everywhere or absent or generation or item_views or schema)"
    run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(laws), str(deployed), "-k", chosen)


def test_every_path_that_contributing_names_exists() -> None:
    named = re.findall(r"`([\w./-]+/[\w./-]*)`", CONTRIBUTING.read_text(encoding="utf-8"))
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []
