"""Recipes of jobs/train.py: options from declarations, command line over configuration, and runs that go on."""

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
import torch
from msgspec import Meta

from mmrec.config import Settings, parse_settings
from mmrec.errors import ConfigurationError, NotFoundError, SettingError
from mmrec.evaluation.search_space import Between, Choice
from mmrec.training.best_epoch import BestEpoch
from mmrec.training.recipe import (
    DeploymentData,
    Desk,
    FileOrFolder,
    Recipe,
    add_options,
    check_training_tables,
    chosen_options,
    refuse_workers,
    result_folder,
    train_here,
)
from mmrec.training.recipes import RECIPES, recipe_named
from mmrec.training.run import TrainConfig
from mmrec.training.search import Tried, planned_trials, write_tuned
from mmrec.training.towers_recipe import TOWERS
from mmrec.wire.declared import AtLeastOne, check


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of the recipe below."""

    epochs: AtLeastOne = 4
    learning_rate: Annotated[float, Meta(gt=0)] = 0.5
    kind: Literal["plain", "fancy"] = "plain"
    studies: bool = False
    dataset: FileOrFolder = ""
    layers: tuple[AtLeastOne, ...] = (8,)

    def __post_init__(self) -> None:
        check(self, "training.halving")


def train(desk: Desk) -> None:
    """Halves a number once per epoch; breaks off at a file that says so."""
    number, epoch = 1.0, 0
    if desk.checkpoint is not None:
        number, epoch = torch.load(desk.checkpoint / "state.pt", weights_only=True)
    while epoch < desk.options.epochs:
        number, epoch = number * desk.options.learning_rate, epoch + 1
        state = (number, epoch)
        desk.save({"number": number}, lambda folder, state=state: torch.save(state, folder / "state.pt"))
        desk.tell("epoch", {"epoch": epoch})
        if (desk.out.parent / f"break_after_{epoch}").exists():
            raise RuntimeError("broken off")
    desk.out.mkdir(exist_ok=True)
    (desk.out / "metrics.json").write_text(str(number))


HALVING = Recipe(name="halving", options=Options, train=train)
NO_DATA = DeploymentData(settings=Settings(), content=None, entries=None, items=None)  # type: ignore[arg-type]


def settings_of(text: dict[str, object]) -> Settings:
    return parse_settings({"training": text}, where="here", folder=Path("/tmp"))


def asked(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser, HALVING)
    return parser.parse_args(arguments)


def test_the_command_line_wins_over_the_configuration_and_that_over_the_defaults() -> None:
    configured = settings_of({"halving": {"epochs": 7, "learning_rate": 0.25, "layers": [3, 2]}})
    options = chosen_options(HALVING, configured, asked("--epochs", "9", "--kind", "fancy", "--studies"))
    assert options == Options(epochs=9, learning_rate=0.25, kind="fancy", studies=True, layers=(3, 2))
    assert chosen_options(HALVING, Settings(), asked()) == Options()
    studied = settings_of({"halving": {"studies": True}})
    assert chosen_options(HALVING, studied, asked("--no-studies")).studies is False


def test_a_path_starts_from_where_the_program_was_started(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert chosen_options(HALVING, Settings(), asked("--dataset", "fashion")).dataset == str(tmp_path / "fashion")
    assert chosen_options(HALVING, Settings(), asked()).dataset == ""


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"halving": {"epoch": 3}}, r"training\.halving\.epoch is not a known name; did you mean 'epochs'"),
        ({"halving": {"epochs": 0}}, r"training\.halving\.epochs is 0; give a whole number of 1 or more"),
        ({"halving": {"kind": "odd"}}, r"training\.halving\.kind is .odd.; give .fancy. or .plain."),
    ],
)
def test_a_refused_option_of_the_configuration_is_named(table, words) -> None:
    with pytest.raises(SettingError, match=words):
        chosen_options(HALVING, settings_of(table), asked())


def test_how_towers_stop_and_trust_ids_can_be_configured() -> None:
    configured = settings_of({"towers": {"patience": 5, "id_shrinkage": 2.5}})
    parser = argparse.ArgumentParser()
    add_options(parser, TOWERS)
    config = chosen_options(TOWERS, configured, parser.parse_args(["--id-shrinkage", "0"])).config
    assert (config.fit_towers.patience, config.towers.id_shrinkage) == (5, 0.0)
    assert chosen_options(TOWERS, Settings(), parser.parse_args([])).config == TrainConfig()
    for name, value in (("patience", 0), ("id_shrinkage", -1.0)):
        with pytest.raises(SettingError, match=rf"training\.towers\.{name} is {value}; give"):
            chosen_options(TOWERS, settings_of({"towers": {name: value}}), parser.parse_args([]))


def test_a_size_is_where_the_other_options_begin() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, TOWERS)
    sized = settings_of({"towers": {"size": "gpu", "batch_size": 64}})
    options = chosen_options(TOWERS, sized, parser.parse_args([]))
    assert (options.size, options.precision, options.user_tower, options.batch_size) == ("gpu", "bf16", "causal", 64)
    options = chosen_options(TOWERS, sized, parser.parse_args(["--size", "smoke", "--embedding-dim", "24"]))
    assert (options.epochs, options.hidden_dim, options.embedding_dim, options.batch_size) == (1, 32, 24, 64)
    config = options.config
    assert (config.fit_towers.max_epochs, config.fit_towers.batch_size, config.towers.embedding_dim) == (1, 64, 24)
    for size in TOWERS.sizes:
        chosen_options(TOWERS, Settings(), parser.parse_args(["--size", size]))
    with pytest.raises(SettingError, match=r"training\.towers\.size is 'huge'; give .*gpu"):
        chosen_options(TOWERS, settings_of({"towers": {"size": "huge"}}), parser.parse_args([]))
    with pytest.raises(ValueError, match="'halving' has no options width; declare them"):
        Recipe(name="halving", options=Options, train=train, sizes={"small": {"width": 3}})


def test_a_search_tries_what_is_asked_for_first_and_reports_the_best(tmp_path) -> None:
    searched = Recipe(
        name="halving", options=Options, train=train, space={"learning_rate": Between(0.1, 0.9)}, judged_by="number"
    )
    asked_for = Options(epochs=7)
    planned = planned_trials(searched, asked_for, num_trials=4, seed=3)
    assert planned[0] == {}
    assert all(0.1 <= trial["learning_rate"] <= 0.9 for trial in planned[1:])
    assert planned == planned_trials(searched, asked_for, num_trials=4, seed=3)
    tried = [
        Tried(parameters=planned[0], scores=(0.2, 0.1)),
        Tried(parameters=planned[1], scores=(0.1, 0.4, 0.3)),
        Tried(parameters=planned[2], scores=(), failed="out of memory"),
    ]
    assert write_tuned(tmp_path, searched, tried) == {"number": 0.4, **planned[1]}
    report = json.loads((tmp_path / "tuned.json").read_text())
    assert [(trial["number"], trial["epochs"]) for trial in report["trials"]] == [(0.4, 3), (0.2, 2), (None, 0)]
    assert report["trials"][2]["failed"] == "out of memory"
    with pytest.raises(ConfigurationError, match="none of 1 trials of halving ended an epoch: out of memory"):
        write_tuned(tmp_path, searched, tried[2:])


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="--task halving has nothing to search"):
        planned_trials(HALVING, Options(), num_trials=2, seed=1)
    wrong = Recipe(name="halving", options=Options, train=train, space={"epochs": Choice((0,))}, judged_by="number")
    with pytest.raises(SettingError, match=r"training\.halving\.epochs is 0"):
        planned_trials(wrong, Options(), num_trials=3, seed=1)
    for recipe in RECIPES:
        if recipe.space:
            planned_trials(recipe, recipe.options(), num_trials=20, seed=1)


def test_tables_of_unknown_recipes_and_values_that_are_no_tables_are_refused() -> None:
    with pytest.raises(SettingError, match=r"training\.halvin is not a known name; did you mean 'halving'"):
        check_training_tables([HALVING], settings_of({"halvin": {}}))
    with pytest.raises(ConfigurationError, match=r"training is 3; give a table"):
        settings_of(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"training\.halving is 3; give a table \[training\.halving\]"):
        settings_of({"halving": 3})


def test_a_refused_option_of_the_command_line_ends_the_program_with_what_would_be_right(capsys) -> None:
    with pytest.raises(SystemExit):
        asked("--epochs", "none")
    assert "give a whole number of 1 or more" in capsys.readouterr().err


def test_a_run_that_broke_off_goes_on_at_its_checkpoint_and_its_folder_is_gone_in_the_end(tmp_path) -> None:
    out, told = tmp_path / "out", []
    (tmp_path / "break_after_3").touch()
    with pytest.raises(RuntimeError):
        train_here(HALVING, Options(epochs=5), NO_DATA, out=out)
    (tmp_path / "break_after_3").unlink()
    train_here(HALVING, Options(epochs=5), NO_DATA, out=out, tell=lambda event, **figures: told.append(figures))
    assert (out / "metrics.json").read_text() == str(0.5**5)
    assert told[-2:] == [{"epoch": 4}, {"epoch": 5}]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("ended", ["before the new one has its name", "before the old one is gone"])
def test_a_run_that_ended_while_a_checkpoint_was_replaced_has_one_to_go_on_from(tmp_path, ended) -> None:
    out, told = tmp_path / "out", []
    (tmp_path / "break_after_3").touch()
    with pytest.raises(RuntimeError):
        train_here(HALVING, Options(epochs=5), NO_DATA, out=out)
    (tmp_path / "break_after_3").unlink()
    kept, before = (tmp_path / "out.run" / name for name in ("checkpoint", "checkpoint.old"))
    if ended == "before the old one is gone":
        shutil.copytree(kept, before)
    else:
        kept.rename(before)
        (tmp_path / "out.run" / "checkpoint.new").mkdir()
    train_here(HALVING, Options(epochs=5), NO_DATA, out=out, tell=lambda event, **figures: told.append(figures))
    assert (out / "metrics.json").read_text() == str(0.5**5)
    assert told[-2:] == [{"epoch": 4}, {"epoch": 5}]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("name", ["attributes", "finetune"])
def test_workers_and_gpus_that_a_recipe_would_not_use_are_refused(name) -> None:
    with pytest.raises(ConfigurationError, match=rf"--num-workers 2 and --gpu: --task {name} trains in one worker"):
        refuse_workers(recipe_named(name), num_workers=2, gpu=True)
    refuse_workers(recipe_named(name), num_workers=1, gpu=False)
    refuse_workers(recipe_named("align"), num_workers=2, gpu=True)


def test_the_best_epoch_is_the_first_of_the_best_score_and_keeps_its_own_weights() -> None:
    best, weights = BestEpoch(), {"a": torch.zeros(2)}
    with pytest.raises(ValueError, match="no epoch was run"):
        _ = best.weights
    for epoch, score in enumerate([0.1, 0.5, 0.5, 0.3], start=1):
        weights["a"].fill_(epoch)
        best.take(epoch, score, weights)
    assert (best.epoch, best.weights["a"].tolist()) == (2, [2.0, 2.0])
    again = BestEpoch()
    again.restore(best.state())
    again.take(5, 0.4, weights)
    assert (again.epoch, again.weights["a"].tolist()) == (2, [2.0, 2.0])


def test_a_run_with_other_options_begins_anew(tmp_path) -> None:
    out = tmp_path / "out"
    (tmp_path / "break_after_3").touch()
    with pytest.raises(RuntimeError):
        train_here(HALVING, Options(epochs=5), NO_DATA, out=out)
    (tmp_path / "break_after_3").unlink()
    train_here(HALVING, Options(epochs=2), NO_DATA, out=out)
    assert (out / "metrics.json").read_text() == str(0.5**2)


def test_every_recipe_has_a_name_of_its_own_and_is_found_by_it() -> None:
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)
    assert RECIPES[0].name == "towers", "what is trained where nothing is asked for"
    for recipe in RECIPES:
        assert recipe_named(recipe.name) is recipe
        recipe.options()
    with pytest.raises(NotFoundError, match="no training is called 'tower'; known: towers"):
        recipe_named("tower")


def test_options_without_a_default_are_refused() -> None:
    @dataclass(frozen=True)
    class Needy:
        path: str

    with pytest.raises(ValueError, match="'needy' has options without a default: path"):
        Recipe(name="needy", options=Needy, train=train)


def test_a_result_is_a_folder_and_an_address_is_refused(tmp_path: Path) -> None:
    assert result_folder(str(tmp_path / "x")) == tmp_path / "x"
    with pytest.raises(ConfigurationError, match=r"--out is 's3://bucket/model'; give a folder"):
        result_folder("s3://bucket/model")
