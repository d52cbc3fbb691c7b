"""The main task as a user runs it: train, evaluate, predict and export on the command line, then serve."""

import json
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tfseg import checkpoint

ROOT = pathlib.Path(__file__).parents[1]


def run(*arguments, cwd=ROOT, fails=False):
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == fails, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few steps, and its output."""
    folder = tmp_path_factory.mktemp("run")
    printed = run(
        "main.py",
        "--dataset=streets(train=8, val=3, size=(48, 64))",
        f"--cache_dir={folder / 'cache'}",
        f"--workdir={folder / 'run'}",
        "--model=unet(width=2)",
        "--crop_size=32,48",
        "--batch_size=4",
        "--steps=4",
        "--learning_rate=0.01",
    )
    return folder / "run", printed


def test_evaluate_gives_what_training_printed_from_the_workdir_alone(trained):
    workdir, printed = trained
    during = json.loads((workdir / "evaluation_val.json").read_text())
    (workdir / "evaluation_val.json").unlink()
    again = run("main.py", "--mode=evaluate", f"--workdir={workdir}", "--checkpoint=last")
    assert json.loads((workdir / "evaluation_val.json").read_text()) == during
    assert f"{100 * during['miou']:.2f}" in printed
    assert f"{100 * during['miou']:.2f}" in again


def test_predict_writes_maps_colours_and_overlays_of_any_size(trained, tmp_path):
    workdir, _ = trained
    (tmp_path / "in" / "sub").mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, size in (("a.png", (48, 64)), ("b.jpg", (33, 47)), ("sub/c.png", (70, 31))):
        cv2.imwrite(str(tmp_path / "in" / name), random.integers(0, 256, (*size, 3), np.uint8))
    arguments = ("main.py", "--mode=predict", f"--workdir={workdir}", f"--output_dir={tmp_path / 'out'}")
    run(*arguments, f"--images={tmp_path / 'in'}")
    for name, size in (("a", (48, 64)), ("b", (33, 47)), ("sub/c", (70, 31))):
        label = cv2.imread(str(tmp_path / "out" / "labels" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        assert label.shape == size
        assert label.max() < 10
        for kind in ("colors", "overlays"):
            assert cv2.imread(str(tmp_path / "out" / kind / f"{name}.png")).shape == (*size, 3)
    assert (tmp_path / "out" / "legend.png").is_file()
    # Nothing is overwritten unasked; a broken image is named and the others are predicted.
    assert "--overwrite" in run(*arguments, f"--images={tmp_path / 'in' / '*.png'}", fails=True)
    (tmp_path / "in" / "broken.png").write_bytes((tmp_path / "in" / "a.png").read_bytes()[:200])
    printed = run(*arguments, f"--images={tmp_path / 'in' / '*.png'}", "--overwrite", fails=True)
    assert "1 of 2 that cannot" in printed
    assert f"{tmp_path / 'in' / 'broken.png'}: " in printed
    assert "1 of 2 images predicted" in printed


CLIENT = """
import json, sys
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
png = tf.io.read_file(sys.argv[2])
image = tf.io.decode_png(png, channels=3)
a = loaded.signatures["predict_images"](images=image[None])
b = loaded.signatures["serving_default"](image_bytes=png[None])
assert set(a) == set(b) == {"classes", "confidence"} and a["classes"].dtype == tf.uint8
assert a["confidence"].shape == (1, 50, 41) and 0.1 <= float(tf.reduce_min(a["confidence"])) < 1
tf.debugging.assert_equal(a["classes"], b["classes"])
c = loaded.signatures["probabilities"](images=image[None])["probabilities"]
assert c.shape == (1, 50, 41, 10) and abs(float(tf.reduce_sum(c)) - 50 * 41) < 0.1
tf.io.write_file(sys.argv[3], loaded.signatures["png"](image_bytes=png[None])["png_bytes"][0])
foreign = {"keras", "models", "tfseg", "input_pipeline"} & {m for m in sys.modules if not m.startswith("tensorflow")}
print("foreign:", sorted(foreign - {"keras"}))
"""


def test_the_saved_model_predicts_in_a_process_with_tensorflow_only(trained, tmp_path):
    workdir, _ = trained
    printed = run(
        "export.py",
        f"--workdir={workdir}",
        f"--output_dir={tmp_path / 'model'}",
        "--outputs=probabilities",
        "--evaluate",
    )
    live = checkpoint.latest(str(workdir))[
        1
    ].best  # of the checkpoint that is exported; the last evaluation may be another
    exported = json.loads((tmp_path / "model" / "assets.extra" / "evaluation_val.json").read_text())
    assert abs(exported["miou"] - live) < 1e-4
    assert "largest difference to the live model" in printed
    image = np.random.default_rng(1).integers(0, 256, (50, 41, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "image.png"), image)
    (tmp_path / "client.py").write_text(CLIENT)
    arguments = (tmp_path / "model", tmp_path / "image.png", tmp_path / "label.png")
    assert "foreign: []" in run(tmp_path / "client.py", *arguments, cwd=tmp_path)
    # The same labels as --mode=predict.
    run(
        "main.py",
        "--mode=predict",
        f"--workdir={workdir}",
        f"--images={tmp_path / 'image.png'}",
        f"--output_dir={tmp_path}",
    )
    served, predicted = (
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        for path in (tmp_path / "label.png", tmp_path / "labels" / "image.png")
    )
    np.testing.assert_array_equal(served, predicted)
    classes = json.loads((tmp_path / "model" / "assets.extra" / "classes.json").read_text())
    assert [c["name"] for c in classes][:3] == ["sky", "building", "road"]
    # Nothing is replaced without --overwrite, and with it only an export.
    assert "--overwrite" in run("export.py", f"--workdir={workdir}", f"--output_dir={tmp_path / 'model'}", fails=True)
    assert "with files" in run(
        "export.py", f"--workdir={workdir}", f"--output_dir={tmp_path}", "--overwrite", fails=True
    )
    assert (tmp_path / "image.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--no_such_flag=1"], "no_such_flag"),
        (["--batchsize=1"], "Did you mean: batch_size"),
        (["--dataset=camvid", "--data_dir=/no/such/folder", "--workdir=/tmp/x"], "/no/such/folder"),
        (
            ["--mode=evaluate", "--workdir=/no/such/run", "--dataset=streets(train=1, val=1)"],
            "Expected the workdir of a run",
        ),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message, tmp_path):
    printed = run("main.py", *arguments, f"--cache_dir={tmp_path}", fails=True)
    assert message in printed
    assert "Traceback" not in printed
