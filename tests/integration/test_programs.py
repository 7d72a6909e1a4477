"""Every program that reads a configuration answers a mistake in it with one line and status 1, not with a traceback."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEEDED = {
    "jobs.build_examples": ["--out", "out"],
    "jobs.fit_encoder": ["tfidf", "words.npz"],
    "jobs.offline_features": ["--asked", "asked.parquet", "--out", "out"],
    "jobs.publish": ["--list"],
    "jobs.recommend_users": ["--out", "lists"],
    "jobs.train": ["--examples", "examples", "--out", "out"],
    "jobs.tune": ["--examples", "examples", "--out", "out"],
}
"""Arguments without which a program does not begin."""
RUN_ALL = """
import importlib, json, sys
for name, arguments in json.loads(sys.argv[1]).items():
    sys.argv = [name, *arguments]
    print(name, importlib.import_module(name).main(), flush=True)
"""


def _programs() -> list[str]:
    """Modules of the shells with a main() that takes --config."""
    found = []
    for path in (p for room in ("jobs", "services", "feature_repo") for p in (ROOT / room).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        takes_config = any(
            (isinstance(node, ast.Constant) and node.value == "--config")
            or (isinstance(node, ast.Name) and node.id == "shell_parser")
            for node in ast.walk(tree)
        )
        if takes_config and any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found.append(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return sorted(found)


def test_a_missing_configuration_ends_every_program_with_one_line(tmp_path: Path) -> None:
    programs = _programs()
    assert {"feature_repo.apply", "jobs.score_stream", "services.recommender.__main__"} <= set(programs)
    missing = str(tmp_path / "missing.toml")
    arguments = {name: ["--config", missing, *NEEDED.get(name, [])] for name in programs}
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps(arguments)],
        cwd=ROOT,
        env={**os.environ, "MMREC_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name} 1" for name in programs]
    assert len(done.stderr.splitlines()) == len(programs), done.stderr
    assert done.stderr.count(missing) >= len(programs) - 1, "jobs.train looks for its examples first"
