"""Keys of experiments: each is described, the schema agrees with the reader, a complete config reads the same."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from ram.errors import ConfigError
from ram.runs.config import Experiment, load_experiment
from ram.runs.settings import NOT_GIVEN, REQUIRED, Difference, as_toml, changed, differences, schema
from ram.storage.sections import Section

ROOT = Path(__file__).resolve().parents[1]
Shell = Callable[..., tuple[int, str, str]]
DATA = '[data]\nfile = "wheel.h5"\n'
GOOD = f'name = "wheel"\n{DATA}targets = ["umbrella", "mass"]\n'
MAPPED = """\
name = "rig"
[data]
file = "rig.h5"
[data.mapping]
inputs = {acc = "/daq/acc", force = {path = "/daq/force", scale = "2 N", unit = "N"}}
layout = "sample time"
sample_rate = "@rate"
window = 1024
hop = "0.25 s"
channels = ["acc", "force"]
split = {seed = 3, test = 0.2}
[data.mapping.targets]
depth = "/table:depth"
wear = {path = "/wear", missing = -1, take = "last"}
[data.mapping.axes.distance]
step = "10 mm"
start = 5
"""


def sections(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section below a model, in whatever type it stands."""
    yield path, model
    for name, field in model.model_fields.items():
        for inner in models_in(field.annotation):
            yield from sections(inner, f"{path}{name}.")


def models_in(kind: Any) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in get_args(kind):
        yield from models_in(inner)


def test_every_key_is_described() -> None:
    found = dict(sections(Experiment))
    assert {"", "data.", "training.", "data.mapping.axes.", "data.mapping.axes.step."} <= set(found)
    undescribed = [
        f"{path}{name}"
        for path, model in found.items()
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert undescribed == []


def test_the_schema_has_every_key_with_description_and_default() -> None:
    content = schema()
    training = content["$defs"]["TrainingConfig"]
    assert training["additionalProperties"] is False
    fields = Experiment.model_fields["training"].annotation.model_fields  # type: ignore[union-attr]
    assert list(training["properties"]) == list(fields)
    for name, field in fields.items():
        said = training["properties"][name]
        assert said["description"] == field.description
        default = field.get_default(call_default_factory=True)
        if isinstance(default, Section):
            assert "$ref" in said  # a section has the defaults of its keys
        else:
            assert said.get("default") == (list(default) if isinstance(default, tuple) else default)
    assert training["properties"]["loss"]["enum"] == ["huber", "squared"]
    assert "null" not in json.dumps(content)


def all_accepted() -> dict[str, str]:
    """Texts that the reader takes; each must be valid by the schema too."""
    files = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "experiments").glob("*.toml")}
    return files | {"plain": GOOD, "mapped": MAPPED, "complete": as_toml(experiment(GOOD))}


REFUSED = {
    "a mistyped key": GOOD + "[training]\nepocs = 3\n",
    "a word that is no choice": GOOD + '[training]\nloss = "absolute"\n',
    "another type": GOOD + '[training]\nepochs = "many"\n',
    "out of range": GOOD + "[training]\nepochs = 0\n",
    "no targets": f'name = "wheel"\n{DATA}',
    "a key of a mapping": MAPPED.replace("window", "windw"),
    "a quantity that is a list": MAPPED.replace('"10 mm"', "[10]"),
}


def experiment(text: str) -> Experiment:
    return load_experiment(tomllib.loads(text))


@pytest.mark.parametrize("name", sorted(all_accepted()))
def test_what_the_reader_takes_the_schema_takes(name: str) -> None:
    validator = pytest.importorskip("jsonschema", reason="no independent validator is installed").Draft202012Validator
    validator.check_schema(schema())
    text = all_accepted()[name]
    experiment(text)
    validator(schema()).validate(tomllib.loads(text))


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_schema_refuses_the_reader_refuses(name: str) -> None:
    text = REFUSED[name]
    with pytest.raises(ConfigError):
        experiment(text)
    validator = pytest.importorskip("jsonschema", reason="no independent validator is installed").Draft202012Validator
    assert not validator(schema()).is_valid(tomllib.loads(text))


@pytest.mark.parametrize("name", sorted(all_accepted()))
@pytest.mark.parametrize("marked", [False, True])
def test_a_complete_config_reads_the_same(name: str, *, marked: bool) -> None:
    first = experiment(all_accepted()[name])
    text = as_toml(first, marked=marked)
    assert experiment(text) == first
    assert ("#" in text) == marked
    for key in Experiment.model_fields["training"].annotation.model_fields:  # type: ignore[union-attr]
        if getattr(first.training, key) is None:  # TOML has no word for it
            continue
        assert f"\n{key} = " in text or f"\n[training.{key}]" in text


def test_changed_keys_are_those_that_differ_from_their_default() -> None:
    found = changed(load_experiment(tomllib.loads(GOOD), overrides=["training.epochs=50", "data.units.mass=g"]))
    assert found["training.epochs"] == Difference(50, 30)
    assert found["data.units.mass"] == Difference("g", NOT_GIVEN)
    assert {key for key, of in found.items() if of.second == REQUIRED} == {"name", "data.file", "data.targets"}
    assert len(found) == 5


def test_differences_of_two_experiments() -> None:
    one = experiment(GOOD)
    assert differences(one, one) == {}
    other = load_experiment(tomllib.loads(GOOD), overrides=["model.widths=[8]", "seed=4"])
    assert differences(one, other) == {"seed": (0, 4), "model.widths": ([24, 64, 128], [8])}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.loss=hubber", r"'training.loss' must be 'huber' or 'squared'. Got 'hubber'. Did you mean 'huber'\?"),
        ("epochs=5", r"Got 'epochs'. Did you mean 'training.epochs'\?"),
        ("training.kernel=5", r"Got 'training.kernel'. Did you mean 'model.kernel'\?"),
        ("data.mapping.windw=3", r"Got 'data.mapping.windw'. Did you mean 'window'\?"),
        ("data.mapping.split.seeed=3", r"Got 'data.mapping.split.seeed'. Did you mean 'seed'\?"),
        ("data.mapping.targets.wear.tak=3", r"Got '.*tak'. Did you mean 'take'\?"),
    ],
)
def test_the_nearest_right_one_is_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_experiment(tomllib.loads(MAPPED), overrides=[override])


def test_show_prints_what_reads_the_same(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "wheel.toml").write_text(GOOD, encoding="utf-8")
    code, out, err = shell("config", "show", tmp_path / "wheel.toml", "--set", "training.epochs=50")
    assert (code, err) == (0, "")
    assert "\nepochs = 50  # default: 30\n" in out
    assert "\nbatch_size = 64\n" in out
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown/again.toml").write_text(out, encoding="utf-8")
    again = load_experiment(tmp_path / "shown/again.toml")
    assert again == load_experiment(tmp_path / "wheel.toml", overrides=["training.epochs=50"])


def test_show_as_json_says_what_was_changed(shell: Shell, disc_run: Path) -> None:
    code, out, _ = shell("config", "show", disc_run, "--json", "--set", "seed=9")
    assert code == 0
    said = json.loads(out)
    assert Experiment.model_validate_json(json.dumps(said["config"])) == load_experiment(
        disc_run / "config.toml", overrides=["seed=9"]
    )
    assert said["changed"]["seed"] == {"value": 9, "default": 0}
    assert said["changed"]["name"] == {"value": "discs", "default": None}


def test_schema_is_printed_and_written(shell: Shell, tmp_path: Path) -> None:
    code, out, _ = shell("config", "schema")
    assert (code, json.loads(out)) == (0, schema())
    code, out, _ = shell("config", "schema", "--output", tmp_path / "schema.json")
    assert (code, out) == (0, f"schema: {tmp_path / 'schema.json'}\n")
    assert json.loads((tmp_path / "schema.json").read_text(encoding="utf-8")) == schema()


def test_a_data_file_in_an_override_lies_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/wheel.toml").write_text(GOOD, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_experiment("there/wheel.toml").data.file == str(tmp_path / "there/wheel.h5")
    assert load_experiment("there/wheel.toml", overrides=["data.file=w.h5"]).data.file == str(tmp_path / "w.h5")


def test_a_wrong_config_is_answered_and_not_shown(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "wheel.toml").write_text(GOOD, encoding="utf-8")
    code, out, err = shell("config", "show", tmp_path / "wheel.toml", "--set", "seeed=1")
    assert (code, out) == (2, "")
    assert re.search(r"a key must be one of name, seed.*Did you mean 'seed'\?", err)
