"""Data sets that the command line can send, and whether the running stack knows their behaviors."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from mmrec.config import Settings
from mmrec.demo.world import DemoWorld, movielens_world
from mmrec.errors import ConfigurationError, InvalidRequestError
from mmrec.events.event_files import Record, retimed
from mmrec.home import StackHome
from mmrec.state.home_world import claim
from mmrec.wire.toml_text import toml_text

DATASETS: Mapping[str, Callable[..., DemoWorld]] = {"movielens": movielens_world}
PARTS = ("all", "history", "live")


def open_dataset(name: str, *, data_folder: str, now_s: float) -> DemoWorld:
    """A data set whose last event is now.

    Raises:
        InvalidRequestError: there is no such data set.
        MachineError: it is not in `data_folder`.
    """
    if name not in DATASETS:
        raise InvalidRequestError(f"no data set {name!r}; there are {', '.join(DATASETS)}")
    return DATASETS[name](now_s, data_folder=data_folder)


def world_records(world: DemoWorld, *, part: str) -> Iterator[Record]:
    """Events of a data set in their order: `history` flagged as imported, `live` not, `all` of both flagged."""
    if part not in PARTS:
        raise InvalidRequestError(f"no part {part!r}; give one of {', '.join(PARTS)}")
    history = (record for sent in world.history() for record in sent.records)
    live = (record for sent in world.live() for record in sent.records)
    if part == "all":
        return (record for records in (history, retimed(live, imported=True)) for record in records)
    return history if part == "history" else live


def check_behaviors(settings: Settings, names: Sequence[str], *, dataset: str) -> None:
    """Raise ConfigurationError where the deployment does not know a behavior, so that every event would be refused."""
    unknown = [name for name in names if name not in settings.behaviors]
    if unknown:
        raise ConfigurationError(
            f"this deployment does not know the behaviors {', '.join(unknown)} of {dataset}, but"
            f" {', '.join(settings.behaviors.names)}; start one with `mmrec up --fresh --dataset {dataset}`"
        )


def claim_home(settings: Settings, dataset: str, *, mix: bool) -> None:
    """Record that a data set is sent to the home that has this configuration; errors as home_world.claim()."""
    claim(Path(settings.config_file).parent, dataset, mix=mix)


def dataset_configuration(name: str, home: StackHome, *, data_folder: str, now_s: float) -> Path:
    """Write the settings a data set needs into the home folder, for `mmrec up`; errors as open_dataset()."""
    world = open_dataset(name, data_folder=data_folder, now_s=now_s)
    home.folder.mkdir(parents=True, exist_ok=True)
    path = home.folder / f"{name}.toml"
    header = (
        f"What {name} needs, written anew by each `mmrec up --dataset {name}`;\n"
        "to change something, give a copy of this file another name and run `mmrec up --config COPY`."
    )
    path.write_text(toml_text(world.configuration, header=header), encoding="utf-8")
    return path
