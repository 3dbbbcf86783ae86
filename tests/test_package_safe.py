"""No file that a user opens can name code to run: by the source of the package, and by hostile files."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ram
from ram.errors import ConfigError
from ram.models.trunk import Trunk
from ram.runs.config import load_experiment

Shell = Callable[..., tuple[int, str, str]]
SOURCES = Path(ram.__file__).parent
RUNNERS = {"eval", "exec", "compile", "__import__"}
UNSAFE = {"pickle", "cPickle", "_pickle", "dill", "shelve", "marshal", "yaml", "runpy", "code", "codeop"}
# Where code of others does run, and why: the user has named a recipe's folder, or cluster, on the command line.
JUSTIFIED = {
    ("data/computing.py", "import joblib"): "work of a recipe that the user named goes to processes of this user",
    ("data/modules.py", "import cloudpickle"): "code of a recipe or simulator that the user named is sent to them",
    ("data/cluster.py", "import cloudpickle"): "work and its result go to and from the cluster that the user named",
    ("data/cluster.py", "import joblib"): "the same",
    ("data/dask_backend.py", "import joblib._dask"): "the same",
    ("data/modules.py", "exec_module"): "the recipe or simulator itself, in a folder or file that the user named",
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCES.rglob("*.py")):
        yield path.relative_to(SOURCES).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def dangers(tree: ast.AST) -> Iterator[str]:
    """What could run code that a file names."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (f"import {alias.name}" for alias in names if alias.name.split(".")[0] in UNSAFE | KEPT)
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in UNSAFE | KEPT:
                yield f"import {module}"
            case ast.Call(func=ast.Name(id=name)) if name in RUNNERS:
                yield name
            case ast.Call(func=ast.Attribute(attr="load", value=ast.Name(id="torch" | "joblib"))):
                yield "torch.load"
            case ast.Call(func=ast.Attribute(attr="exec_module")):
                yield "exec_module"
            case ast.Call(func=ast.Attribute(attr="system" | "popen" as name, value=ast.Name(id="os"))):
                yield name
            case ast.keyword(arg="allow_pickle", value=ast.Constant(value=True)):
                yield "allow_pickle"
            case ast.keyword(arg="shell", value=ast.Constant(value=True)):
                yield "shell"
            case ast.Attribute(value=ast.Name(id="np" | "numpy"), attr="load"):
                yield "numpy.load"


KEPT = {"cloudpickle", "joblib"}


def found() -> set[tuple[str, str]]:
    return {(name, danger) for name, tree in sources() for danger in dangers(tree)}


def test_nothing_in_the_package_runs_what_a_file_names() -> None:
    loads = {danger for danger in found() if danger[1] == "numpy.load"}
    assert found() - loads == set(JUSTIFIED)
    assert {name for name, _ in loads} <= {"data/computing.py", "data/importing/arrays.py", "data/importing/opening.py"}


def test_numpy_files_are_read_without_pickle() -> None:
    for name, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
                said = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert said.get("allow_pickle") == "False", f"{name}:{node.lineno}"


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('x')",
        "eval('1')",
        "exec('1')",
        "__import__('os')",
        "import numpy as np\nnp.load('x')",
        "f(allow_pickle=True)",
        "import os\nos.system('x')",
        "import joblib\njoblib.load('x')",
        "import subprocess\nsubprocess.run('x', shell=True)",
        "import yaml",
    ],
)
def test_the_look_at_the_sources_sees_each_danger(text: str) -> None:
    assert list(dangers(ast.parse(text)))


CONFIG = 'name = "a"\n[data]\nfile = "discs.h5"\ntargets = ["umbrella"]\n'


@pytest.mark.parametrize(
    "change",
    [
        'backbone = "os.system"',
        'backbone = "ram.models.backbones.Plain"',
        "backbone = \"__import__('os').system('touch pwned')\"",
        'norm = "!!python/object/apply:os.system"',
        '_target_ = "os.system"',
        'widths = ["__class__"]',
        "coordinates = [\"__import__('os').system('touch pwned')\"]",
    ],
)
def test_a_config_names_no_code(
    shell: Shell, disc_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text(f"{CONFIG}[model]\n{change}\n", encoding="utf-8")
    code, _, err = shell("train", "a.toml", "--data", disc_folder / "discs.h5", "--output", "run")
    assert code == 2
    assert err
    assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]


def test_names_that_look_like_code_are_names(tmp_path: Path) -> None:
    words = "${env:HOME} $(touch pwned) {{7*7}}"
    assert load_experiment(tomllib.loads(CONFIG.replace("umbrella", words))).data.targets == (words,)
    with pytest.raises(ConfigError, match="Names the run's folder"):
        load_experiment(tomllib.loads(CONFIG.replace('"a"', '"../../a"')))


@pytest.mark.parametrize("kind", ["os.system", "Module", "Sequential", "__class__", "ModuleList", "eval"])
def test_a_checkpoint_names_no_layer_that_is_not_listed(kind: str) -> None:
    recipe = {"ndim": 1, "features": 1, "input": "x", "output": "x", "layers": {"0": [kind, {}]}, "tensors": {},
              "steps": [], "frozen": []}  # fmt: skip
    with pytest.raises(Exception, match="not known"):
        Trunk(json.loads(json.dumps(recipe)))


@pytest.mark.parametrize(
    ("do", "of"), [("function", "os.system"), ("function", "torch.load"), ("method", "__reduce__")]
)
def test_a_checkpoint_names_no_function_that_is_not_listed(do: str, of: str) -> None:
    step = {"name": "a", "do": do, "of": of, "given": [{"step": "x"}], "options": {}}
    recipe = {"ndim": 1, "features": 1, "input": "x", "output": "a", "layers": {}, "tensors": {}, "steps": [step],
              "frozen": []}  # fmt: skip
    with pytest.raises(Exception, match="not known"):
        Trunk(recipe)
