"""What a training is, apart from where it runs: a recipe, the desk its workers sit at, and the data it may ask for.

    RECIPE = Recipe(name="attributes", options=AttributeOptions, prepare=prepare, train=train)

`jobs/train.py --task NAME` runs a recipe with Ray Train, train_here() runs it in this process. Every field of
`options`, a dataclass of declared values (mmrec.wire.declared), is an option of the program (`learning_rate`:
--learning-rate) and a key of the configuration's table [training.NAME]; the command line wins. A recipe is one file
and one line in mmrec.training.recipes. `jobs/tune.py --task NAME` searches the options of one that declares a space.
"""

import shutil
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import torch
from msgspec import Meta
from torch import nn

from mmrec.catalog.item import CatalogEntry, CatalogItem
from mmrec.config import Settings
from mmrec.content.matrix import ContentMatrix
from mmrec.errors import ConfigurationError
from mmrec.evaluation.search_space import SearchSpace
from mmrec.training.checkpoint import ProgressFile, open_run
from mmrec.wire.declared import argument, build, declared, describe, refuse_unknown, says

PATH: Final = {"path": True}
"""`Meta(extra=PATH)`: a path; one that is not absolute starts from where the program was started."""
FileOrFolder = Annotated[str, Meta(description="a file or folder, or nothing", extra=PATH)]


@dataclass(frozen=True, kw_only=True, eq=False)
class DeploymentData:
    """What recipes read of a deployment; each part is opened when it is asked for."""

    settings: Settings
    content: Callable[[], ContentMatrix]
    """Embeddings of the catalogue."""
    entries: Callable[[Sequence[str]], Mapping[str, CatalogEntry]]
    """Serving fields of items."""
    items: Callable[[], Iterator[CatalogItem]]
    """Every item as it was published last, picture included, cleaned."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Desk:
    """Where one worker of a training works."""

    options: Any
    """The recipe's own."""
    data: DeploymentData
    out: Path
    """Folder of the result; the first worker writes it."""
    tell: Callable[[str, Mapping[str, Any]], None]
    """Says what happened: tell(event, figures). A line of the program's log."""
    save: Callable[[Mapping[str, float], Callable[[Path], None]], None]
    """Ends an epoch: save(figures, write). `write(folder)` writes a checkpoint; it is called in the first worker alone,
    but every worker calls save() equally often."""
    checkpoint: Path | None = None
    """Folder of the newest checkpoint; None where the run begins. There only while the recipe's train() runs."""
    number: int = 0
    """Of this worker."""
    num_workers: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    wrap: Callable[[nn.Module], nn.Module] = lambda model: model
    """The module whose forward() and gradients are shared among the workers."""
    is_trial: bool = False
    """Whether this is a trial of a search: it is over after its epochs, and leaves nothing in `out`."""

    @property
    def is_first(self) -> bool:
        """Whether this worker writes what the training leaves."""
        return self.number == 0


def no_preparation(options: Any, data: DeploymentData) -> str:
    """For recipes without inputs of their own: a run is told apart by its options."""
    del data
    return repr(options)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One kind of training."""

    name: str
    """As in `--task NAME`."""
    options: type[Any]
    """A frozen dataclass of declared values that calls check(self, "training.NAME"); every field has a default."""
    train: Callable[[Desk], None]
    """Trains to the end, from `desk.checkpoint` where there is one. The first worker writes `desk.out`, its figures in
    metrics.json last."""
    in_one_worker: bool = False
    """Whether it trains in one worker on the CPU; more workers and GPUs are then refused."""
    prepare: Callable[[Any, DeploymentData], str] = no_preparation
    """Called once, before a worker starts, with options and data: raises ConfigurationError where an input is missing,
    and says what the run works on; a checkpoint of another such text is not gone on with."""
    sizes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Value of the option `size` -> options that begin from something else than their defaults."""
    space: SearchSpace = field(default_factory=dict)
    """Options that a search may try, and values; empty where there is nothing to search."""
    judged_by: str = ""
    """Figure of every epoch that a search compares, the greater the better; taken on what was not fitted."""

    def __post_init__(self) -> None:
        lacking = [f.name for f in fields(self.options) if f.default is MISSING and f.default_factory is MISSING]
        if lacking:
            raise ValueError(f"recipe {self.name!r} has options without a default: {', '.join(lacking)}; give them one")
        for each in (*self.sizes.values(), self.space):
            if unknown := sorted(set(each) - {f.name for f in fields(self.options)}):
                raise ValueError(f"recipe {self.name!r} has no options {', '.join(unknown)}; declare them")


def add_options(parser: ArgumentParser, recipe: Recipe) -> None:
    """Give a parser the recipe's options; those that are not given come out as None."""
    group = parser.add_argument_group(f"of --task {recipe.name}, as in [training.{recipe.name}] of the configuration")
    for each in fields(recipe.options):
        kind, flag = declared(recipe.options, each.name), "--" + each.name.replace("_", "-")
        if kind is bool:
            group.add_argument(flag, action=BooleanOptionalAction, default=None)
        elif get_origin(kind) is Literal:
            group.add_argument(flag, choices=get_args(kind), default=None)
        elif get_origin(_plain(kind)) not in (tuple, Mapping):  # those are for the configuration alone
            shown = each.name.rpartition("_")[2].upper()
            group.add_argument(flag, type=argument(kind), default=None, metavar=shown, help=describe(kind))


def chosen_options(recipe: Recipe, settings: Settings, asked: Namespace) -> Any:
    """The recipe's options: as asked for, else as configured, else of the size, else its defaults; paths are absolute.

    Raises:
        SettingError: the configuration's table has an unknown key or a refused value.
    """
    configured, at = settings.training.get(recipe.name, {}), ("training", recipe.name)
    options = build(recipe.options, configured, at=at)
    given = {f.name: value for f in fields(options) if (value := getattr(asked, f.name, None)) is not None}
    options = replace(options, **given)
    if size := recipe.sizes.get(getattr(options, "size", "")):
        options = replace(build(recipe.options, {**size, **configured}, at=at), **given)
    paths = [f.name for f in fields(options) if says(declared(recipe.options, f.name), PATH)]
    return replace(options, **{name: str(Path(path).resolve()) for name in paths if (path := getattr(options, name))})


def check_training_tables(recipes: Sequence[Recipe], settings: Settings) -> None:
    """SettingError where the configuration has a table of a recipe that does not exist."""
    refuse_unknown(settings.training, [recipe.name for recipe in recipes], at=("training",))


def refuse_workers(recipe: Recipe, *, num_workers: int, gpu: bool) -> None:
    """ConfigurationError where a recipe that trains in one worker on the CPU is given more."""
    given = [*([f"--num-workers {num_workers}"] if num_workers > 1 else []), *(["--gpu"] if gpu else [])]
    if recipe.in_one_worker and given:
        raise ConfigurationError(
            f"{' and '.join(given)}: --task {recipe.name} trains in one worker on the CPU; leave this out, and give "
            "--num-threads for more threads"
        )


def result_folder(out: str) -> Path:
    """Absolute path of the folder that a training writes; its checkpoints lie beside it.

    Raises:
        ConfigurationError: it is an address of something that is no folder.
    """
    if "://" in out:
        raise ConfigurationError(
            f"--out is {out!r}; give a folder of this machine or of a shared volume: checkpoints are files, and "
            "publishing copies the model to stores.releases, which may be a bucket"
        )
    return Path(out).resolve()


def train_here(
    recipe: Recipe, options: Any, data: DeploymentData, *, out: Path, tell: Callable[..., None] | None = None
) -> None:
    """Run a recipe in this process, one worker on the CPU; a run that was ended goes on when it is started again.

    Args:
        out: Folder of the result. Checkpoints lie in `<out>.run` until the run is over.
        tell: Called as tell(event, **figures) while it runs.
    """
    describes = recipe.prepare(options, data)
    run = out.with_name(out.name + ".run")
    kept, fresh, before = (run / name for name in ("checkpoint", "checkpoint.new", "checkpoint.old"))
    open_run(run, describes=f"{recipe.name} {describes}")
    progress = ProgressFile(run)

    def save(figures: Mapping[str, float], write: Callable[[Path], None]) -> None:
        del figures
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        write(fresh)
        if kept.exists():  # one of the two is there whole, whenever this process ends
            kept.rename(before)
        fresh.rename(kept)
        shutil.rmtree(before, ignore_errors=True)

    if before.exists() and kept.exists():
        shutil.rmtree(before)
    elif before.exists():
        before.rename(kept)

    with progress.told(tell) if tell is not None else nullcontext():
        start = kept if kept.is_dir() else None
        desk = Desk(options=options, data=data, out=out, tell=progress.write, save=save, checkpoint=start)
        recipe.train(desk)
    shutil.rmtree(run)


def _plain(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind
