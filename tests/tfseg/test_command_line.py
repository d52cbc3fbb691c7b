"""The command line as a user sees it: flagfiles, paths, and one clear sentence for every failure that is not a bug."""

import errno
import os
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf
from absl import flags

from tfseg import command_line, config_values, flagfiles
from tfseg import config as config_lib

ROOT = pathlib.Path(__file__).parents[2]


def run(*arguments, cwd=ROOT, program="main.py", **environment):
    command = [sys.executable, str(ROOT / program), *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    return done.returncode, done.stdout + done.stderr


def parsed(*words):
    flag_values = flags.FlagValues()
    config_lib.define_flags(flag_values)
    flag_values(["main.py", *words])
    return flag_values


def test_flagfiles_of_flagfiles_are_found_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "_data.flags").write_text("# of a data set\n--dataset=streets\n\n--seed=3\n")
    (tmp_path / "configs" / "a.flags").write_text("--flagfile=configs/_data.flags\n  --model=enet\n// no flag\n")
    (tmp_path / "configs" / "b.flags").write_text("--flagfile=_data.flags\n--model=unet")
    expected = ["--dataset=streets", "--seed=3"]
    monkeypatch.chdir("/")
    for name, model in (("a", "enet"), ("b", "unet")):
        words = ["--epochs=1", f"--flagfile={tmp_path / 'configs' / name}.flags", "--seed=4"]
        assert flagfiles.expanded(words) == ["--epochs=1", *expected, f"--model={model}", "--seed=4"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert flagfiles.expanded(["--flagfile", "~/configs/b.flags"])[-1] == "--model=unet"


def test_flagfiles_that_are_missing_circular_or_no_text_are_named(tmp_path):
    (tmp_path / "a.flags").write_text("--flagfile=b.flags")
    (tmp_path / "b.flags").write_text("--flagfile=a.flags")
    with pytest.raises(ValueError, match=r"a\.flags, from .*b\.flags"):
        flagfiles.expanded([f"--flagfile={tmp_path / 'a.flags'}"])
    with pytest.raises(FileNotFoundError, match=r"none\.flags"):
        flagfiles.expanded(["--flagfile=none.flags"])
    (tmp_path / "c.flags").write_bytes("--workdir=/stra\xdfe".encode("cp1252"))
    with pytest.raises(ValueError, match=r"UTF-8.*c\.flags"):
        flagfiles.expanded([f"--flagfile={tmp_path / 'c.flags'}"])


@pytest.mark.parametrize("option", config_values.PATHS)
def test_paths_are_absolute_and_know_the_home_folder(option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert getattr(config_lib.Config(**{option: "~/a"}), option) == "/home/somebody/a"
    assert getattr(config_lib.Config(**{option: "a/../b"}), option) == str(tmp_path / "b")
    assert getattr(config_lib.Config(**{option: ""}), option) == ""
    with pytest.raises(ValueError, match=f"--{option} below a home folder"):
        config_lib.Config(**{option: "~nobody_of_this_name/a"})


def test_an_option_that_may_be_a_path_is_one_where_it_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").touch()
    assert config_lib.Config(init_from="imagenet", class_weights="enet").init_from == "imagenet"
    assert config_lib.Config(init_from="w.pth").init_from == str(tmp_path / "w.pth")


def test_a_run_is_read_from_its_workdir_whatever_else_is_given(tmp_path):
    config_lib.Config(model="enet", dataset="camvid", batch_size=3).save(tmp_path / "flags")
    options = command_line.of_run(parsed("--mode=evaluate", f"--workdir={tmp_path}", "--batch_size=5"))
    assert (options.model, options.dataset, options.batch_size, options.mode) == ("enet", "camvid", 5, "evaluate")


@pytest.mark.parametrize("mode", command_line.OF_A_RUN)
def test_a_mistyped_workdir_is_named_before_anything_else(mode, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"workdir of a run in .*typo\. Received: no such folder"):
        command_line.of_run(parsed(f"--mode={mode}", f"--workdir={tmp_path / 'typo'}"))
    with pytest.raises(FileNotFoundError, match="a folder without a run"):
        command_line.of_run(parsed(f"--mode={mode}", f"--workdir={tmp_path}"))
    command_line.of_run(parsed(f"--mode={mode}", f"--workdir={tmp_path}", "--model=enet", "--init_from=a.pth"))


def test_a_workdir_of_another_version_is_named(tmp_path):
    (tmp_path / "flags").write_text("--model=enet\n--an_option_of_tomorrow=1\n")
    with pytest.raises(ValueError, match=r"version of tfseg in .*flags.*an_option_of_tomorrow"):
        config_lib.load(tmp_path)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("Expected a. Received: b."), "ValueError: Expected a. Received: b."),
        (FileNotFoundError("Expected a file."), "FileNotFoundError: Expected a file."),
        (ImportError("Expected the torch package."), "ImportError: Expected the torch package."),
        (FloatingPointError("not finite"), "FloatingPointError: not finite"),
        (MemoryError("Unable to allocate 3 GiB"), "Unable to allocate 3 GiB. Training: use a smaller"),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmore"),
            "OOM when allocating. Training: use",
        ),
        (tf.errors.ResourceExhaustedError(None, None, "x; No space left on device"), "Expected room on the disk"),
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), "Expected room on the disk"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), "'/a/b'. Choose another folder"),
        (
            tf.errors.PermissionDeniedError(None, None, "/a/b; Read-only file system"),
            "/a/b; Read-only file system. Choose",
        ),
        (
            tf.errors.FailedPreconditionError(None, None, "/a is not a directory\nat"),
            "/a is not a directory (--verbosity",
        ),
        (UnicodeDecodeError("utf-8", b"\xdf", 0, 1, "invalid"), "Save the file as UTF-8"),
    ],
)
def test_foreseeable_failures_are_sentences(error, said):
    found = command_line.sentence(error)
    assert said in found
    assert "\n" not in found


def test_a_bug_keeps_its_traceback():
    assert command_line.sentence(TypeError("unsupported operand")) == ""
    with pytest.raises(TypeError, match="operand"), command_line.guard():
        raise TypeError("unsupported operand")


def test_failures_end_with_their_status(capsys):
    for error, status, said in (
        (KeyboardInterrupt(), 130, "Stopped by Ctrl-C"),
        (ValueError("Expected x."), 1, "Expected x."),
    ):
        with pytest.raises(SystemExit) as caught, command_line.guard():
            raise error
        assert caught.value.code == status
        assert said in capsys.readouterr().err


def test_the_programs_say_one_sentence(tmp_path):
    status, printed = run("--mode=evaluate", "--workdir=typo", cwd=tmp_path)
    assert (status, printed.count("\n")) == (1, 1)
    assert printed.startswith(f"FileNotFoundError: Expected the workdir of a run in {tmp_path / 'typo'}")
    status, printed = run("--workdir=typo", cwd=tmp_path, program="export.py")
    assert (status, printed.count("\n")) == (1, 1)
    assert "workdir of a run" in printed
