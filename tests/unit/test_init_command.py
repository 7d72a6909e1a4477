"""`mmrec init` writes configurations that are valid, fit their domain, and replace nothing."""

from pathlib import Path

import pytest

from mmrec.cli.main import main
from mmrec.cli.starters import STARTERS
from mmrec.config import load_settings
from mmrec.events.behavior_rules import parse_behaviors
from mmrec.scoring.behaviors import shop_behaviors


def init(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["init", *arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out + said.err


@pytest.mark.parametrize("domain", STARTERS)
def test_every_domain_gets_a_configuration_that_is_read_with_the_values_it_states(
    domain: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mmrec.toml"
    assert init(str(path), "--domain", domain, capsys=capsys)[0] == 0
    settings, starter = load_settings(path), STARTERS[domain]
    assert settings.behaviors.names == tuple(each.name for each in starter.behaviors)
    assert [b.weight for b in settings.behaviors] == [each.weight for each in starter.behaviors]
    assert [b.phrase for b in settings.behaviors] == [each.phrase for each in starter.behaviors]
    assert 2 ** (-settings.scoring.decay_per_day[0] * starter.half_life_days / 0.693147) == pytest.approx(0.5, rel=0.01)
    assert settings.statistics.half_lives_days == starter.statistics_days
    assert all(settings.catalog.missing_values.values())


def test_a_shop_begins_with_the_weights_of_the_method() -> None:
    assert [(b.name, b.behavior_id, b.weight) for b in STARTERS["shop"].behaviors] == [
        (b.name, b.behavior_id, b.weight) for b in shop_behaviors()
    ]


def test_ids_of_behaviors_mean_one_name_in_all_domains() -> None:
    ids = [(b.behavior_id, b.name) for starter in STARTERS.values() for b in starter.behaviors]
    assert len({number for number, _ in ids}) == len(ids)


def test_no_file_is_overwritten_and_unknown_domains_are_refused_with_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mmrec.toml"
    path.write_text("mine")
    status, said = init(str(path), "--domain", "news", capsys=capsys)
    assert (status, path.read_text()) == (1, "mine")
    assert "is there already" in said
    status, said = init(str(tmp_path / "other.toml"), "--domain", "books", capsys=capsys)
    assert status == 1
    assert "no domain 'books'; there are shop, movies, music, news" in said
    assert not (tmp_path / "other.toml").exists()
    assert init(str(tmp_path / "no" / "such.toml"), capsys=capsys)[0] == 1


def test_the_rules_of_forms_name_behaviors_that_a_domain_has() -> None:
    from mmrec.catalog.importers.registry import IMPORTERS

    names = {b.name for starter in STARTERS.values() for b in starter.behaviors}
    for importer in IMPORTERS:
        rules = parse_behaviors([f"{name}={behavior}" for name, behavior in importer.usual_behaviors.items()])
        assert set(rules.table.values()) <= names, importer.name
