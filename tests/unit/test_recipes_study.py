"""The recipe of .github/CONTRIBUTING.md for a study, followed in a copy of the package."""

from pathlib import Path

from tests.unit.test_recipes import insert, package, run

__all__ = ["package"]

STUDY_FILE = '''"""Paper S9: what decay is worth to popularity."""

from typing import Final

from mmrec.evaluation.published import Published
from mmrec.experiments.study import Study, Variant

S9_TABLE: Final = Published(
    source="S9", what="nothing else", metrics=("hr_at_5",), rows={"POP": (0.5,), "Others": (0.6,)}
)
S9_STUDIES: Final = (
    Study(
        name="s9_decay",
        about="Popularity with decay and without.",
        data_sets=("s3",),
        variants=lambda world: (
            Variant(name="popularity.0", model="popularity", parameters={"decay_per_day": 0.0}, printed="POP"),
            Variant(name="popularity.1", model="popularity", parameters={"decay_per_day": 1.0}),
        ),
        protocol="loo_full",
        candidates=(),
        published=S9_TABLE,
    ),
)
'''

ASKED = """
import sys
from pathlib import Path

from typer.testing import CliRunner

from mmrec.cli.main import app

events, out = sys.argv[1:]
said = CliRunner().invoke(app, ["evaluate", "--study", "s9_decay", "--events", events, "--trials", "1", "--out", out])
assert said.exit_code == 0, said.output
folder = Path(out) / "events"
text = (folder / "s9_decay.md").read_text()
assert "S9 prints HR@5" in text and "| Others | 0.600 |" in text, text
assert (folder / "s9_decay.html").is_file() and (folder / "s9_decay.json").is_file()
"""


def test_a_study_is_one_file_and_one_line_in_the_registry(package: Path) -> None:
    room = package / "mmrec" / "experiments"
    (room / "s9_studies.py").write_text(STUDY_FILE)
    registry = room / "studies.py"
    insert(registry, "from mmrec.experiments.s9_studies import S9_STUDIES\n", before="from mmrec.experiments.study ")
    registry.write_text(registry.read_text().replace("(*S3_STUDIES,", "(*S9_STUDIES, *S3_STUDIES,"))
    rows = [f"u{user},i{(user + place // 2) % 7},{place}" for user in range(8) for place in range(6)]
    (package / "events.csv").write_text("\n".join(["user_id,item_id,position", *rows]) + "\n")
    run(package, "-c", ASKED, str(package / "events.csv"), str(package / "run"))
