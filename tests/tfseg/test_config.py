import dataclasses

import pytest
from absl import flags

from tfseg import config as config_lib
from tfseg.config import Config


def parse(*words, start=None):
    flag_values = flags.FlagValues()
    config_lib.define_flags(flag_values)
    flag_values(["main.py", *words])
    return config_lib.from_flags(flag_values, start)


def test_flags_become_options_and_leave_the_others():
    config = parse("--model=enet", "--crop_size=96,128", "--epochs=2.5", "--overwrite")
    assert config == dataclasses.replace(Config(), model="enet", crop_size=(96, 128), epochs=2.5, overwrite=True)


def test_options_given_win_over_those_of_a_run():
    run = Config(model="enet", batch_size=3)
    assert parse("--batch_size=5", start=run) == dataclasses.replace(run, batch_size=5)


def test_a_saved_config_comes_back(tmp_path):
    config = Config(model='unet(upsampling="bilinear")', augment="a | b(1, 2)", crop_size=(33, 47), learning_rate=3e-7)
    config.save(tmp_path / "flags")
    assert config_lib.load(tmp_path) == config


def test_overwrite_is_not_remembered(tmp_path):
    Config(overwrite=True).save(tmp_path / "flags")
    assert not config_lib.load(tmp_path).overwrite


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected the workdir of a run"):
        config_lib.load(tmp_path)


def test_an_unknown_flag_suggests_the_known():
    with pytest.raises(flags.UnrecognizedFlagError, match="Did you mean: batch_size"):
        parse("--batchsize=3")


@pytest.mark.parametrize(
    "option", [{"batch_size": 0}, {"crop_size": (3,)}, {"epochs": -1.0}, {"learning_rate": 0.0}, {"mode": "fly"}]
)
def test_impossible_options_are_refused_by_name(option):
    with pytest.raises(ValueError, match=f"Expected --{next(iter(option))} to be"):
        Config(**option)


def test_crop_size_takes_integers():
    with pytest.raises(ValueError, match="--crop_size=HEIGHT,WIDTH"):
        parse("--crop_size=a,b")


def test_every_option_has_a_help():
    assert all(field.metadata["help"] for field in dataclasses.fields(Config))


def test_images_that_are_no_path_stay_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [Config(images=given).images for given in ("-", "camera:0")] == ["-", "camera:0"]
    assert Config(images="./-").images == str(tmp_path / "-")


@pytest.mark.parametrize("option", [{"opacity": 1.5}, {"opacity": -0.1}, {"max_frames": -1}])
def test_options_of_prediction_that_cannot_be_are_refused(option):
    with pytest.raises(ValueError, match=f"Expected --{next(iter(option))} to be"):
        Config(**option)
