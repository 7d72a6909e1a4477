"""Everything that is measured, as a list of sheets: a set and a protocol each, or the studies of a paper (METHODS M36).

    for sheet in SHEETS: ...                   mmrec.experiments.all_sheets runs them cell by cell

Every model of the registry is on every sheet, so that one that is added is measured everywhere.
"""

from dataclasses import dataclass
from typing import Final

from mmrec.errors import NotFoundError
from mmrec.evaluation.published import BEAUTY_ESASREC, BEAUTY_TIGER, S3_MAIN, Published
from mmrec.experiments.data_sets import S3
from mmrec.experiments.run import RunOptions

NUM_SEEDS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One table: models on one data set, by one protocol."""

    name: str
    """Of its files."""
    about: str
    """One sentence: what is asked."""
    data: str
    """Name in mmrec.experiments.data_sets."""
    options: RunOptions
    """Its number of seeds is the caller's."""
    published: tuple[Published, ...] = ()
    """Figures that papers print for the same data or the same claim; what differs they say."""


SHEETS: Final[tuple[Sheet, ...]] = (
    Sheet(
        name="beauty_loo",
        about="The last item of each user of Amazon Beauty, among all items new to the user.",
        data="amazon_beauty_sequences",
        options=RunOptions(protocol="loo_full", num_trials=16, max_cpu_seconds=3_600.0),
        published=(BEAUTY_TIGER, BEAUTY_ESASREC),
    ),
    Sheet(
        name="beauty_user80",
        about="The last fifth of each user's items of Amazon Beauty, among 19 drawn ones, as the papers seem to do it.",
        data="amazon_beauty_sequences",
        options=RunOptions(protocol="user80_uniform_19", num_trials=8, max_cpu_seconds=1_800.0),
        published=(S3_MAIN,),
    ),
    Sheet(
        name="taobao_loo",
        about="The last purchase of users of Taobao, from their earlier events alone, among all items.",
        data="taobao_userbehavior_cml",
        options=RunOptions(protocol="loo_full", num_trials=8, max_cpu_seconds=1_800.0, max_targets=10_000),
    ),
    Sheet(
        name="movielens_time",
        about="What users of MovieLens like after one instant, among all films.",
        data="movielens_small_posters",
        options=RunOptions(protocol="time_full", num_trials=8, max_cpu_seconds=1_800.0),
    ),
    Sheet(
        name="tianchi_time",
        about="Purchases of Tianchi's users after one instant, among all items.",
        data="ecomm_tianchi_multibehavior",
        options=RunOptions(protocol="time_full", num_trials=8, max_cpu_seconds=1_800.0),
    ),
    Sheet(
        name="s3_time",
        about="What users of the simulated shop do after one instant: with regret to what they really prefer.",
        data=S3,
        options=RunOptions(protocol="time_full", num_trials=8, max_cpu_seconds=1_800.0, max_targets=5_000),
    ),
)


def sheet_named(name: str) -> Sheet:
    """The sheet of that name; NotFoundError names those that exist."""
    for each in SHEETS:
        if each.name == name:
            return each
    raise NotFoundError(f"no sheet is called {name!r}; known: {', '.join(each.name for each in SHEETS)}")
