"""Two workers make the step that one worker would make with both their batches: loss, gradient and decisions."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from mmrec.models.causal_tower import CausalUserTower
from mmrec.models.settings import TowerSettings
from mmrec.training.example_config import Part
from mmrec.training.examples import RetrievalExamples
from mmrec.training.fit_towers import TowerFit, TowerFitConfig, labels_of_part
from tests.unit.test_tower_laws import CONFIG, MAX_HISTORY, TOWERS, drawn_examples, tower_fit

STILL: TowerSettings = replace(TOWERS, dropout=0.0, id_dropout=0.0, modality_dropout=0.0)
"""Without dropout, of which every worker draws its own."""
SAMPLED: TowerFitConfig = replace(CONFIG, image_text_weight=0.5, max_items_full=1, num_uniform=24, num_labelled=8)
PATHS: dict[str, tuple[TowerFitConfig, TowerSettings]] = {
    "full": (replace(CONFIG, image_text_weight=0.5), STILL),
    "sampled": (SAMPLED, STILL),
    "causal": (SAMPLED, replace(STILL, user_tower="causal")),
}
LABELS = 64


def examples_of(path: str) -> RetrievalExamples:
    """Each label of a user of its own; for the causal tower histories that go on in one another, two labels in each."""
    examples = drawn_examples()
    if path != "causal":
        return examples
    starts, ends = examples.history_offsets[:-1:2], examples.history_offsets[1::2]
    kept = [np.arange(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    twice = [part for each in kept for part in (each, each)]
    taken, lengths = np.concatenate(twice), np.array([len(part) for part in twice])
    # The second label of each pair is asked a day after the first, about one event more, which is the newest of all.
    later = np.repeat(np.arange(len(twice)) % 2, lengths)
    rows, ages = examples.history_rows_E[taken], 1e5 + examples.history_ages_s_E[taken] + 86_400 * later
    behaviors, offsets = examples.history_behavior_ids_E[taken], np.append(0, np.cumsum(lengths))
    seconds = offsets[2::2]
    return replace(
        examples,
        history_offsets=np.append(0, np.cumsum(lengths + np.arange(len(twice)) % 2)),
        history_rows_E=np.insert(rows, seconds, np.arange(len(seconds)) % 50).astype(np.int32),
        history_ages_s_E=np.insert(sorted_by_age(ages, offsets), seconds, 3_600.0).astype(np.float32),
        history_behavior_ids_E=np.insert(behaviors, seconds, 1).astype(np.uint8),
        user_index_N=examples.user_index_N // 2 * 2,
    )


def sorted_by_age(ages: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Each history oldest first."""
    groups = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return ages[np.lexsort((-ages, groups))]


def one_step(fit: TowerFit) -> dict[str, torch.Tensor]:
    """Loss and gradients of a step over LABELS labels, figures of an epoch, and whether it was the best."""
    labels, development = (labels_of_part(fit.examples, part, max_history=MAX_HISTORY) for part in list(Part)[:2])
    with torch.no_grad():
        # Ids begin at zero; here each says something, so that every gradient is tried.
        drawn = torch.Generator().manual_seed(1)
        fit.model.item_tower.ids.weight[:-1].normal_(generator=drawn)
        if isinstance(fit.model.user_tower, CausalUserTower):
            fit.model.user_tower.out.weight.normal_(std=0.1, generator=drawn)
    fit.run_epoch(labels[:LABELS])
    fit.judge(development)
    found = {name: p.grad for name, p in fit.model.named_parameters() if p.grad is not None}
    figures = {name: torch.tensor(fit.curves[-1][name]) for name in ("loss", "ndcg", "recall_at_50", "hr_at_10")}
    return {**found, **figures}


def one_worker(number: int, folder: str) -> None:
    """A worker of two, in a process of its own."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=number, world_size=2)
    for name, (config, settings) in PATHS.items():
        alone = tower_fit(examples_of(name), replace(config, batch_size=LABELS // 2), settings)
        fit = TowerFit(
            alone.model,
            alone.examples,
            behavior_ids=(1,),
            config=replace(config, batch_size=LABELS // 2),
            max_history=MAX_HISTORY,
            worker=(number, 2),
            wrapped=DistributedDataParallel(alone.model, find_unused_parameters=True),
        )
        torch.save(one_step(fit), Path(folder) / f"{name}{number}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=one_worker, args=(number, str(folder))) for number in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    return folder


@pytest.mark.parametrize("path", PATHS)
def test_two_workers_are_one_batch(folder: Path, path: str) -> None:
    config, settings = PATHS[path]
    expected = one_step(tower_fit(examples_of(path), replace(config, batch_size=LABELS), settings))
    found = [torch.load(folder / f"{path}{number}.pt", weights_only=True) for number in (0, 1)]
    assert float(expected["loss"]) > 1
    assert path != "causal" or len(expected["user_tower.blocks.0.places_HL"].unique()) > 2
    assert expected["item_tower.ids.weight"].abs().sum() > 0
    for each in found:
        assert set(each) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(each[name], value, rtol=2e-4, atol=2e-6, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("path", PATHS)
def test_workers_decide_alike(folder: Path, path: str) -> None:
    """Each ranks half of the development labels; both stop on the figures of all."""
    first, second = (torch.load(folder / f"{path}{number}.pt", weights_only=True) for number in (0, 1))
    for name in ("loss", "ndcg", "recall_at_50", "hr_at_10"):
        assert torch.equal(first[name], second[name])
    assert np.isfinite(float(first["ndcg"]))
