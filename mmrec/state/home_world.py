"""What world a home folder keeps the state of, so that another one is not mixed into it unasked.

    world.json      written when a stack first starts in a home, renewed when a setting legally changes

    found = meet(home, asked)        what `mmrec up` finds: goes on, says what to do, or refuses
    claim(folder, dataset)           what `mmrec simulate` and `mmrec import` ask before they send anything

Weights, serving, gates, retention and addresses are free and not looked at. Of the rest, each setting has one rule:

    setting                    another value
    behaviors                  a new name under a new id goes on; a name that is gone or an id that means another one
                               is refused; another undo goes on, earlier events need `mmrec rebuild`
    scoring.decay_per_day      goes on where a rebuild made the live profiles with it, else refused
    statistics.half_lives_days goes on; item statistics are built anew, the release needs training
    content encoders           go on; items are encoded anew, the release needs training
    kafka.num_partitions       refused: topics keep the number they were made with
    kafka topics               refused: events already taken lie in the others
    stores.online_store        refused: profiles lie in the other one
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mmrec.config import Settings, load_settings
from mmrec.content.modalities.registry import MODALITIES
from mmrec.disk.files import replace_file
from mmrec.errors import ConfigurationError, IncompatibleStateError, InvalidRequestError, MmrecError
from mmrec.home import StackHome
from mmrec.scoring.behaviors import media_behaviors

FORMAT = 1
MOVIELENS = "movielens"
_TOPICS = ("behavior_events", "catalog_items", "item_embeddings", "served_lists", "rejected", "catalog_rejected")
_TRAIN = "then `mmrec train` and `mmrec publish`, since the release was made for the other ones"


@dataclass(frozen=True, kw_only=True)
class HomeWorld:
    """What the state of a home depends on."""

    dataset: str = ""
    """Data set whose items and events are in it, such as "movielens"; empty where none was brought in."""
    config: str = ""
    """Configuration file that was named when it was made; empty for none, or a data set's own."""
    made_by: str = "up"
    """"up" or "demo": a demo empties only what a demo made."""
    made_s: float
    behaviors: tuple[Mapping[str, Any], ...]
    """Name, id, undo_of and undo of each."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Other settings the state depends on, by their names in mmrec.toml."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A setting in which a home and a configuration differ."""

    setting: str
    kept: str
    asked: str
    is_refused: bool
    advice: str = ""
    """What to do for the change to come into force, where it goes on."""


@dataclass(frozen=True, kw_only=True)
class Met:
    """A home that a configuration may go on with."""

    world: HomeWorld | None
    """What was found; None where the home is new."""
    changes: tuple[Difference, ...] = ()


def world_of(
    settings: Settings, *, made_s: float, dataset: str = "", config: str = "", made_by: str = "up"
) -> HomeWorld:
    """The world that a configuration describes."""
    content = settings.content
    return HomeWorld(
        dataset=dataset,
        config=config,
        made_by=made_by,
        made_s=made_s,
        behaviors=tuple(
            {"name": b.name, "behavior_id": b.behavior_id, "undo_of": b.undo_of, "undo": b.undo if b.undo_of else ""}
            for b in settings.behaviors
        ),
        settings={
            "scoring.decay_per_day": list(settings.scoring.decay_per_day),
            "statistics.half_lives_days": list(settings.statistics.half_lives_days),
            **{f"content.{m.setting}": m.chosen(content) for m in MODALITIES if not m.follows(content)},
            "kafka.num_partitions": settings.kafka.num_partitions,
            **{f"kafka.{name}": getattr(settings.kafka, name) for name in _TOPICS},
            "stores.online_store": settings.stores.online_store,
        },
    )


def differences(kept: HomeWorld, asked: HomeWorld, *, rates_fit: bool = False) -> tuple[Difference, ...]:
    """Where two worlds differ, refused ones first.

    Args:
        rates_fit: Whether the live profiles decay by the asked rates already, as after a rebuild.
    """
    found = [*_dataset(kept, asked), *_behaviors(kept, asked)]
    for setting, value in asked.settings.items():
        was = kept.settings.get(setting, value)  # a setting that the record does not know contradicts nothing
        if was == value:
            continue
        is_refused, advice = _rule(setting, rates_fit=rates_fit)
        found.append(
            Difference(setting=setting, kept=_shown(was), asked=_shown(value), is_refused=is_refused, advice=advice)
        )
    return tuple(sorted(found, key=lambda difference: not difference.is_refused))


def _dataset(kept: HomeWorld, asked: HomeWorld) -> list[Difference]:
    if not kept.dataset or not asked.dataset or kept.dataset == asked.dataset:
        return []
    return [Difference(setting="data set", kept=kept.dataset, asked=asked.dataset, is_refused=True)]


def _behaviors(kept: HomeWorld, asked: HomeWorld) -> list[Difference]:
    was = {str(b["name"]): b for b in kept.behaviors}
    now = {str(b["name"]): b for b in asked.behaviors}
    ids_kept = {b["behavior_id"] for b in kept.behaviors}
    broken = any(name not in now or now[name]["behavior_id"] != b["behavior_id"] for name, b in was.items())
    reused = any(name not in was and b["behavior_id"] in ids_kept for name, b in now.items())
    if broken or reused:
        return [Difference(setting="behaviors", kept=_named(was), asked=_named(now), is_refused=True)]
    found = []
    if new := {name: b for name, b in now.items() if name not in was}:
        advice = f"counted from now on, {_TRAIN}"
        found.append(
            Difference(setting="behaviors", kept=_named(was), asked=_named(new), is_refused=False, advice=advice)
        )
    for name, b in was.items():
        before, after = _undo(b), _undo(now[name])
        if before != after:
            advice = "counted so from now on; `mmrec rebuild` counts earlier events so, too"
            setting = f"undo of {name}"
            found.append(Difference(setting=setting, kept=before, asked=after, is_refused=False, advice=advice))
    return found


def _rule(setting: str, *, rates_fit: bool) -> tuple[bool, str]:
    """Whether another value is refused, and what to do where it is not."""
    if setting == "scoring.decay_per_day":
        return not rates_fit, "the live profiles were rebuilt with it"
    if setting == "statistics.half_lives_days":
        return False, f"item statistics are built anew from the log, {_TRAIN}"
    if setting.startswith("content."):
        return False, f"all items are encoded anew, {_TRAIN}"
    return True, ""


def meet(
    home: StackHome, asked: HomeWorld, *, rates_fit: Callable[[], bool] = lambda: False, command: str = "mmrec up"
) -> Met:
    """Compare the state of a home with a configuration. Writes nothing; keep() does.

    Args:
        rates_fit: Asked only where the decay rates differ: whether the live profiles decay by the asked ones.
        command: What the person called, for the ways out.

    Raises:
        ConfigurationError: they do not belong together; the message names what differs and the ways out.
        IncompatibleStateError: the record cannot be read.
    """
    kept = read_world(home) or _adopted(home)
    if kept is None:
        return Met(world=None)
    rates = "scoring.decay_per_day"
    fit = kept.settings.get(rates) != asked.settings.get(rates) and rates_fit()
    found = differences(kept, asked, rates_fit=fit)
    refused = [difference for difference in found if difference.is_refused]
    if refused:
        what = "; ".join(f"{d.setting}: kept {d.kept}, asked {d.asked}" for d in refused)
        raise ConfigurationError(
            f"{home.folder} keeps {described(kept)}, and this configuration is another one ({what}). "
            f"`{way_back(kept)}` goes on with it, `{command} --fresh` empties it, "
            f"`MMREC_HOME=other {command}` leaves it alone"
        )
    return Met(world=kept, changes=found)


def keep(home: StackHome, asked: HomeWorld, met: Met) -> None:
    """Write the record: as asked, but for what a home was made with and holds."""
    if met.world is not None:
        asked = replace(
            asked,
            dataset=met.world.dataset or asked.dataset,
            config=asked.config or met.world.config,
            made_by=met.world.made_by,
            made_s=met.world.made_s,
        )
    _write(home, asked)


def claim(folder: Path, dataset: str, *, mix: bool = False) -> None:
    """Note that a data set is brought into a home; nothing where `folder` keeps no world, as in production.

    Args:
        folder: Of the stack's configuration file.
        dataset: What is brought in, told apart from all else that could be, e.g. "storefront (seed 7, 1000 items)".
        mix: Bring it in whatever is there.

    Raises:
        InvalidRequestError: another one is in it.
    """
    home = StackHome(folder=folder)
    kept = read_world(home)
    if kept is None or dataset in kept.dataset.split(" and "):
        return
    if kept.dataset and not mix:
        raise InvalidRequestError(
            f"{folder} keeps {described(kept)}; {dataset} is another one, and nothing was sent. `--mix` sends it "
            f"all the same, `mmrec up --fresh` begins with empty stores, `MMREC_HOME=other mmrec up` leaves this one"
        )
    _write(home, replace(kept, dataset=" and ".join(filter(None, (kept.dataset, dataset)))))


def may_empty(home: StackHome, *, command: str) -> str:
    """What a demo says before it empties a home; empty where there is nothing to say.

    Raises:
        ConfigurationError: the home keeps the state of another call than a demo.
        IncompatibleStateError: the record cannot be read.
    """
    kept = read_world(home) or _adopted(home)
    if kept is None:
        return ""
    if kept.made_by != "demo":
        raise ConfigurationError(
            f"{home.folder} keeps {described(kept)}, and a demo begins with empty stores. `{command} --fresh` empties "
            f"it, `MMREC_HOME=other {command}` leaves it alone, `{way_back(kept)}` goes on with it"
        )
    return f"{home.folder} keeps {described(kept)}; it is emptied"


def described(world: HomeWorld) -> str:
    """A world in words."""
    day = time.strftime("%Y-%m-%d %H:%M", time.gmtime(world.made_s)) + " UTC"
    name = f"the state of {world.dataset}" if world.dataset else "state"
    return f"{name}, made by `mmrec {world.made_by}` on {day}"


def way_back(world: HomeWorld) -> str:
    """The call that goes on with a world."""
    if world.dataset.split(" and ")[0] == MOVIELENS:
        return f"mmrec up --dataset {MOVIELENS}"
    return f"mmrec up --config {world.config}" if world.config else "mmrec up"


def read_world(home: StackHome) -> HomeWorld | None:
    """The record of a home; None where there is none.

    Raises:
        IncompatibleStateError: it is broken, or of another format.
    """
    try:
        document = json.loads(home.world.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise IncompatibleStateError(f"{home.world} cannot be read ({error}); `mmrec up --fresh` begins anew") from None
    if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
        raise IncompatibleStateError(
            f"{home.world} has another format than {FORMAT}; use the version that wrote it, or `mmrec up --fresh`"
        )
    try:
        for behavior in document["behaviors"]:
            _ = behavior["name"], behavior["behavior_id"]
        return HomeWorld(**{**document, "behaviors": tuple(document["behaviors"])})
    except (KeyError, TypeError) as error:
        raise IncompatibleStateError(f"{home.world} is broken ({error}); `mmrec up --fresh` begins anew") from None


def _adopted(home: StackHome) -> HomeWorld | None:
    """The world of a home made before homes kept a record, from the configuration it last ran with."""
    if not home.config.is_file():
        return None
    try:
        settings = load_settings(home.config)
    except MmrecError:
        return None  # nothing that can be read contradicts
    is_media = settings.behaviors.names == media_behaviors().names
    return world_of(
        settings,
        made_s=home.config.stat().st_mtime,
        dataset=MOVIELENS if is_media else "",
        made_by="demo" if (home.folder / "demo.json").exists() else "up",
    )


def _write(home: StackHome, world: HomeWorld) -> None:
    home.folder.mkdir(parents=True, exist_ok=True)
    replace_file(home.world, json.dumps({"format": FORMAT, **asdict(world)}, indent=1))


def _named(behaviors: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{name} (id {b['behavior_id']})" for name, b in behaviors.items())


def _undo(behavior: Mapping[str, Any]) -> str:
    return f"{behavior['undo']} {behavior['undo_of']}" if behavior["undo_of"] else "none"


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
