"""Experiments: every default written out, every wrong key or value answered with what is right."""

import pytest

from ram.errors import ConfigError
from ram.runs.config import load_experiment

COMPLETE = {"name": "wheel", "data": {"file": "wheel.h5", "targets": ["umbrella"]}}


def written(tmp_path, text):
    path = tmp_path / "wheel.toml"
    path.write_text(text, encoding="utf-8")
    return path


GOOD = 'name = "wheel"\nseed = 3\n[data]\nfile = "wheel.h5"\ntargets = ["umbrella", "mass"]\n'


def test_the_data_file_is_found_from_the_configs_folder(tmp_path):
    experiment = load_experiment(written(tmp_path, GOOD))
    assert experiment.data.file == str(tmp_path / "wheel.h5")
    assert experiment.data.targets == ("umbrella", "mass")
    assert experiment.seed == 3


def test_defaults_are_written_out_and_read_back_the_same(tmp_path):
    import tomli_w

    first = load_experiment(COMPLETE)
    path = tmp_path / "complete.toml"
    path.write_text(tomli_w.dumps(first.model_dump(mode="json")), encoding="utf-8")
    assert "learning_rate" in path.read_text(encoding="utf-8")
    again = load_experiment(path)
    assert again.model_dump(exclude={"data"}) == first.model_dump(exclude={"data"})


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("training.epochs=50", lambda e: e.training.epochs == 50),
        ("model.widths=[8, 16]", lambda e: e.model.widths == (8, 16)),
        ("data.targets=['mass']", lambda e: e.data.targets == ("mass",)),
        ("model.backbone=plain", lambda e: e.model.backbone == "plain"),
        ("training.augment=false", lambda e: e.training.augment is False),
        ("training.learning_rate=1e-4", lambda e: e.training.learning_rate == 1e-4),
    ],
)
def test_overrides_are_read_as_toml_values(override, read):
    assert read(load_experiment(COMPLETE, overrides=[override]))


def test_overrides_leave_the_given_mapping_alone():
    given = {"name": "wheel", "data": {"file": "wheel.h5", "targets": ["umbrella"]}}
    load_experiment(given, overrides=["data.file=other.h5"])
    assert given["data"]["file"] == "wheel.h5"


def test_an_experiment_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load_experiment(COMPLETE).seed = 5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epocs=5", r"a key must be one of epochs.*Got 'training.epocs'. Did you mean 'epochs'\?"),
        ("trainin.epochs=5", r"a key must be one of name.*Got 'trainin'. Did you mean 'training'\?"),
        ("training.epochs='many'", r"'training.epochs' must be a valid integer. Got 'many'"),
        ("training.epochs=0", r"'training.epochs' must be greater than or equal to 1. Got 0"),
        ("training.loss=absolute", r"'training.loss' must be 'huber' or 'squared'. Got 'absolute'. On standardised"),
        ("model.widths=[0]", r"'model.widths.0' must be greater than or equal to 1. Got 0. Feature maps"),
        ("name='a/b'", r"'name' must .*pattern.*Got 'a/b'. Names the run's folder"),
        ("seed=1.5", r"'seed' must be a valid integer. Got 1.5"),
        ("training", r"an override must be section.key=value. Got training. For example"),
        ("name.x=1", r"'name' must be a section. Got a value"),
    ],
)
def test_wrong_keys_and_values_are_named(override, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(COMPLETE, overrides=[override])


def test_a_missing_key_says_what_it_is(tmp_path):
    with pytest.raises(ConfigError, match=r"wheel.toml: 'data.file' must be given. Got nothing. The data file"):
        load_experiment(written(tmp_path, 'name = "wheel"\n[data]\ntargets = ["umbrella"]\n'))


def test_a_missing_file_names_its_neighbour(tmp_path):
    written(tmp_path, GOOD)
    with pytest.raises(
        ConfigError,
        match=r"whel.toml: an experiment must be a TOML file. Got no such file. Did you mean 'wheel.toml'\?",
    ):
        load_experiment(tmp_path / "whel.toml")


def test_broken_toml_names_the_line(tmp_path):
    with pytest.raises(ConfigError, match=r"must be valid TOML. Got '.*line 2.*'. Mend the line named"):
        load_experiment(written(tmp_path, 'name = "wheel"\nseed = \n'))
