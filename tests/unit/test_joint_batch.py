"""Two workers make the step that one worker would make with both their batches: loss, gradient and decisions."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from mmrec.models.settings import TowerSettings
from mmrec.training.example_config import Part
from mmrec.training.fit_towers import TowerFit, TowerFitConfig, labels_of_part
from tests.unit.test_tower_laws import CONFIG, MAX_HISTORY, TOWERS, drawn_examples, tower_fit

STILL: TowerSettings = replace(TOWERS, dropout=0.0, id_dropout=0.0, modality_dropout=0.0)
"""Without dropout, of which every worker draws its own."""
PATHS: dict[str, TowerFitConfig] = {
    "full": replace(CONFIG, image_text_weight=0.5),
    "sampled": replace(CONFIG, image_text_weight=0.5, max_items_full=1, num_uniform=24),
}
LABELS = 64


def one_step(fit: TowerFit) -> dict[str, torch.Tensor]:
    """Loss and gradients of a step over LABELS labels, figures of an epoch, and whether it was the best."""
    labels, development = (labels_of_part(fit.examples, part, max_history=MAX_HISTORY) for part in list(Part)[:2])
    with torch.no_grad():
        # Ids begin at zero; here each says something, so that every gradient is tried.
        fit.model.item_tower.ids.weight[:-1].normal_(generator=torch.Generator().manual_seed(1))
    fit.run_epoch(labels[:LABELS])
    fit.judge(development)
    found = {name: p.grad for name, p in fit.model.named_parameters() if p.grad is not None}
    figures = {name: torch.tensor(fit.curves[-1][name]) for name in ("loss", "ndcg", "recall_at_50", "hr_at_10")}
    return {**found, **figures}


def one_worker(number: int, folder: str) -> None:
    """A worker of two, in a process of its own."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=number, world_size=2)
    for name, config in PATHS.items():
        alone = tower_fit(drawn_examples(), replace(config, batch_size=LABELS // 2), STILL)
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
    expected = one_step(tower_fit(drawn_examples(), replace(PATHS[path], batch_size=LABELS), STILL))
    found = [torch.load(folder / f"{path}{number}.pt", weights_only=True) for number in (0, 1)]
    assert float(expected["loss"]) > 1
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
