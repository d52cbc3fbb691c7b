import dataclasses
import pathlib
import subprocess
import sys

import pytest

from tfseg import config, help_text

ROOT = pathlib.Path(__file__).parents[2]


def said(program, *words):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", program, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "tensorflow" not in done.stderr  # the list of imported modules
    assert "keras" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("word", ["--help", "-h", "--helpshort", "-help"])
def test_help_is_a_page(word):
    text = said("main.py", word)
    assert 30 < text.count("\n") < 60
    assert max(map(len, text.splitlines())) <= 140
    for mode, what in config.MODES.items():
        assert f"  {mode:13}{what}\n" in text
    assert "--batch_size     Images in a step, over all replicas (default: 8)\n" in text
    assert "python main.py --flagfile=configs/quickstart.flags\n" in text


def test_helpfull_has_every_option_by_section():
    text = said("main.py", "--helpfull", "--model=enet")
    sections = ["Run", "Data", "Model", "Training", "Course of a run", "Devices and speed", "Evaluation and prediction"]
    places = [text.index(f"\n{section}:\n") for section in sections]
    assert places == sorted(places)
    for field in dataclasses.fields(config.Config):
        assert text.count(f"\n  --{field.name}  (") == 1
    assert places[3] < text.index("  --batch_size  (whole number; default: 8)\n      Images in a step") < places[4]
    assert "  --precision  (one of float32, mixed_bfloat16, mixed_float16; default: float32)\n" in text
    assert "  --crop_size  (whole numbers, separated by commas; default: 360,480)\n" in text
    assert "  --sync_batch_norm  (true or false; default: true)\n" in text


def test_export_has_a_help_of_its_own():
    text = said("export.py", "--help")
    assert text.startswith("usage: python export.py --workdir=RUN")
    assert "--output_dir" in text
    assert "--batch_size" not in text
    assert "--batch_size" in said("export.py", "--helpfull")


def test_no_help_unless_asked():
    assert help_text.asked_for(["--model=help", "help"], "main.py") == ""
