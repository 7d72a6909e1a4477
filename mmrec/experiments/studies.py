"""The studies there are; each is declared in a file of its paper and has one line here."""

from typing import Final

from mmrec.errors import NotFoundError
from mmrec.experiments.s1_studies import S1_STUDIES
from mmrec.experiments.s2_studies import S2_STUDIES
from mmrec.experiments.s3_studies import S3_STUDIES
from mmrec.experiments.study import Study

STUDIES: Final[tuple[Study, ...]] = (*S3_STUDIES, *S2_STUDIES, *S1_STUDIES)


def study_named(name: str) -> Study:
    """The study of that name; NotFoundError names those that exist."""
    for each in STUDIES:
        if each.name == name:
            return each
    raise NotFoundError(f"no study is called {name!r}; known: {', '.join(each.name for each in STUDIES)}")
