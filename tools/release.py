"""Adds the best checkpoint of a run to the zoo: python -m tools.release --workdir=<run> --name=<name> --data_dir=<source tree>

Writes zoo/<name>.safetensors, its model card zoo/<name>.md, the numbers of its evaluation zoo/<name>.json, and its entry in
zoo/index.json. The written file is evaluated on the split, and refused where the mIoU is lower than that of the run.
"""

import dataclasses
import hashlib
import json
import pathlib
import shlex
import tempfile

from absl import app, flags

LARGEST = 20_000_000  # bytes of a file
KEPT = 4  # images, spread over the split, whose own counts stay with the entry, so that a test takes seconds
TOLERANCE = 0.0005  # of the mIoU, 0..1


def main(argv):
    """Releases the run that the flags name."""
    options = flags.FLAGS
    print(
        release(
            options.workdir,
            options.name,
            options.data_dir,
            options.data_license,
            options.split,
            options.half,
            options.recompute_norms,
        )
    )


def release(workdir, name, data_dir, data_license, split="val", half=False, recompute_norms=False):
    """Writes the files of the entry and returns a sentence about them.

    Args:
        workdir: of the run.
        name: in the zoo.
        data_dir: the source tree of the run's data set.
        data_license: the licence of the data.
        split: that the run was scored on.
        half: keep the weights as float16.
        recompute_norms: compute the statistics of batch norm again, from the whole train images.

    Raises:
        ValueError: if the file is too large, or its mIoU is lower than that of the run. No file is left then.
    """
    from tfseg import checkpoint, network, zoo
    from tfseg import config as config_lib

    run = dataclasses.replace(config_lib.load(workdir), workdir=workdir, data_dir=data_dir)
    folder, state = checkpoint.latest(workdir)
    model = network.build(run, state.num_classes)
    checkpoint.restore_model(folder, model)
    if recompute_norms:
        _recompute_norms(model, run)
    zoo.FOLDER.mkdir(exist_ok=True)
    file = zoo.FOLDER / f"{name}.safetensors"
    index = zoo.FOLDER / "index.json"
    before = index.read_text() if index.is_file() else "{}"
    try:
        _write_weights(file, model, half)
        entry = zoo.Entry(
            file=file.name,
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
            model=run.model,
            normalization=run.normalization,
            classes=state.classes,
            dataset=run.dataset,
            data_license=data_license,
            miou=0.0,
            split=split,
            images=state.data["splits"][split],
            step=state.step,
        )
        _write_entry(index, before, name, entry)
        result = _evaluated(run, name, split)
        if result["miou"] < state.best - TOLERANCE:
            raise ValueError(
                f"Expected at least the run's mIoU, {state.best:.5f}. Received: {result['miou']:.5f} from {file}."
            )
    except BaseException:
        file.unlink(missing_ok=True)
        index.write_text(before)
        raise
    entry = dataclasses.replace(entry, miou=result["miou"])
    _write_entry(index, before, name, entry)
    (zoo.FOLDER / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    environment = pathlib.Path(workdir) / "environment.json"  # of a run of the command line
    made_by = json.loads(environment.read_text()) if environment.is_file() else {}
    (zoo.FOLDER / f"{name}.md").write_text(card(name, entry, run, result, made_by, half, recompute_norms))
    return f"{file}: {file.stat().st_size} bytes, step {state.step}, mIoU {100 * result['miou']:.2f}."


def _recompute_norms(model, run):
    from input_pipeline import pipeline, progress
    from tfseg import batch_statistics, prepare

    prepared = prepare.records(run)
    images = (batch["image"] for batch in pipeline.evaluation(prepared, "train", run.batch_size))
    batches = -(-prepared.splits["train"] // run.batch_size)
    batch_statistics.recompute(model, progress.over(images, "batch norm", batches, "batches"))


def _write_weights(file, model, half):
    from models import weights

    arrays = weights.state_dict(model)
    weights.write(file, {key: array.astype("float16") for key, array in arrays.items()} if half else arrays)
    if (size := file.stat().st_size) > LARGEST:
        raise ValueError(f"Expected at most {LARGEST} bytes. Received: {size} in {file}. Add --half.")


def _evaluated(run, name, split):
    from tfseg import config as config_lib
    from tfseg import evaluate, image_counts, zoo

    with tempfile.TemporaryDirectory() as workdir:
        options = config_lib.Config(
            mode="evaluate",
            workdir=workdir,
            dataset=run.dataset,
            data_dir=run.data_dir,
            cache_dir=run.cache_dir,
            init_from=f"zoo:{name}",
            split=split,
            inference=run.inference,
        )
        result = evaluate.evaluate(zoo.completed(options))
        counts = image_counts.read(image_counts.path(workdir, split))
    kept = sorted(counts.ids)[:: -(-len(counts.ids) // KEPT)]
    return {**result, "frames": {name: counts.pixels[counts.ids.index(name)].tolist() for name in kept}}


def _write_entry(index, before, name, entry):
    entries = {**json.loads(before), name: dataclasses.asdict(entry)}
    index.write_text(json.dumps(dict(sorted(entries.items())), indent=1) + "\n")


def card(name, entry, run, result, made_by, half, recompute_norms):
    """The model card, in Markdown.

    Args:
        name: in the zoo.
        entry: its `zoo.Entry`.
        run: the options of the training, a `Config`.
        result: of the evaluation.
        made_by: the run's environment.json; {} if it has none.
        half: whether the weights are float16.
        recompute_norms: whether the statistics of batch norm were computed again.
    """
    versions = ""
    if made_by:
        packages = made_by["packages"]
        versions = (
            f" Commit {made_by['tfseg']['commit']}, TensorFlow {packages['tensorflow']}, Keras {packages['keras']}."
        )
    rows = "\n".join(f"| {c} | {'-' if iou is None else f'{100 * iou:.1f}'} |" for c, iou in result["iou"].items())
    again = (
        "\nThe statistics of its batch norms were computed again from the whole train images after the training.\n"
        if recompute_norms
        else ""
    )
    return f"""# zoo:{name}

`{entry.model}`, trained on the train split of `{entry.dataset}` only.
Weights: [{entry.file}]({entry.file}), {"float16" if half else "float32"}.

    python main.py --mode=predict --init_from=zoo:{name} --images=photo.jpg --output_dir=out

## Score

| on {result["images"]} images of {entry.split} | % |
|---|---|
| mIoU | {100 * result["miou"]:.2f} |
| mean accuracy | {100 * result["mean_accuracy"]:.2f} |
| pixel accuracy | {100 * result["pixel_accuracy"]:.2f} |

| class | IoU, % |
|---|---|
{rows}

Single scale, whole images, each pixel with a label counted once. The checkpoint was chosen by its mIoU on {entry.split}.

    python main.py --mode=evaluate --init_from=zoo:{name} --dataset={shlex.quote(entry.dataset)} \\
        --data_dir=<data> --workdir=<folder>

## Training

    {command(run)}

Step {entry.step}.{versions}
{again}
## Data and licence

Trained on `{entry.dataset}`. Licence of the data: {entry.data_license}.
The weights were computed from these data, so use them only as that licence allows. The code is under Apache-2.0.

## Intended use and limits

For trying the toolbox, for fine-tuning, and as a baseline. The network has seen only images like those of its data set: other
cameras, places, weather or light give worse labels, and it has no class for what the data set does not name. Rare and thin
classes are worse than the mean, as the table shows. Do not use it to steer anything that can hurt people.
"""


def command(run):
    """The command that starts a training with these options: those that differ from the defaults."""
    from tfseg import config as config_lib

    defaults = type(run)()
    skip = {"mode", "workdir", "data_dir", "cache_dir", "flagfile", "overwrite", "verbosity"}
    places = ["--data_dir=<data>", "--workdir=<folder>"]  # where things are on this machine says nothing to others
    if run.init_from and pathlib.Path(run.init_from).is_dir():
        skip.add("init_from")
        places.insert(0, "--init_from=<the first run>")
    given = [
        f"--{field.name}={shlex.quote(config_lib.as_text(getattr(run, field.name)))}"
        for field in dataclasses.fields(run)
        if field.name not in skip and getattr(run, field.name) != getattr(defaults, field.name)
    ]
    return " \\\n        ".join(["python main.py", *given, *places])


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "The run.", required=True)
    flags.DEFINE_string("name", None, "The name in the zoo.", required=True)
    flags.DEFINE_string("data_dir", "", "The source tree of the run's data set, if it has one.")
    flags.DEFINE_string("data_license", None, "The licence of the data.", required=True)
    flags.DEFINE_string("split", "val", "The split that the run was scored on.")
    flags.DEFINE_bool("half", False, "Keep the weights as float16.")
    flags.DEFINE_bool(
        "recompute_norms", False, "Compute the statistics of batch norm again, from the whole train images."
    )
    app.run(main)
