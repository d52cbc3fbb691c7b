"""Adds the best checkpoint of a run to the zoo: python -m tools.release --workdir=<run> --name=<name> --data_dir=<source tree>

Writes zoo/<name>.safetensors and its entry in zoo/index.json, evaluates the written file on the split, and refuses it where the
mIoU is not the one that the run had, to 0.05 of a percent. zoo/<name>.json has all numbers.
"""

import dataclasses
import hashlib
import json
import pathlib
import tempfile

from absl import app, flags

LARGEST = 20_000_000  # bytes of a file
TOLERANCE = 0.0005


def main(argv):
    """Writes the files of the entry, or raises ValueError and leaves none."""
    from models import weights
    from tfseg import checkpoint, evaluate, network, zoo
    from tfseg import config as config_lib

    options = flags.FLAGS
    run = dataclasses.replace(config_lib.load(options.workdir), workdir=options.workdir, data_dir=options.data_dir)
    folder, state = checkpoint.latest(options.workdir)
    model = network.build(run, state.num_classes)
    checkpoint.restore_model(folder, model)
    arrays = weights.state_dict(model)
    if options.half:
        arrays = {key: array.astype("float16") for key, array in arrays.items()}
    zoo.FOLDER.mkdir(exist_ok=True)
    index = zoo.FOLDER / "index.json"
    before = index.read_text() if index.is_file() else "{}"
    file = zoo.FOLDER / f"{options.name}.safetensors"
    weights.write(file, arrays)
    size = file.stat().st_size
    entry = zoo.Entry(
        file=file.name,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        model=run.model,
        normalization=run.normalization,
        classes=state.classes,
        dataset=run.dataset,
        data_license=options.data_license,
        miou=0.0,
        split=options.split,
        images=state.data["splits"][options.split],
        step=state.step,
    )
    try:
        _write(index, before, options.name, entry)
        if size > LARGEST:
            raise ValueError(f"Expected at most {LARGEST} bytes. Received: {size} in {file}. Add --half.")
        with tempfile.TemporaryDirectory() as workdir:
            result = evaluate.evaluate(
                zoo.completed(
                    config_lib.Config(
                        mode="evaluate", workdir=workdir, dataset=run.dataset, data_dir=options.data_dir,
                        init_from=f"zoo:{options.name}", split=options.split, inference=run.inference,
                    )
                )
            )  # fmt: skip
        if abs(result["miou"] - state.best) > TOLERANCE:
            raise ValueError(f"Expected the run's mIoU, {state.best:.5f}. Received: {result['miou']:.5f} from {file}.")
    except Exception:
        file.unlink()
        index.write_text(before)
        raise
    _write(index, before, options.name, dataclasses.replace(entry, miou=result["miou"]))
    pathlib.Path(zoo.FOLDER / f"{options.name}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(f"{file}: {size} bytes, step {state.step}, mIoU {100 * result['miou']:.2f}.")


def _write(index, before, name, entry):
    entries = {**json.loads(before), name: dataclasses.asdict(entry)}
    index.write_text(json.dumps(dict(sorted(entries.items())), indent=1) + "\n")


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "The run.", required=True)
    flags.DEFINE_string("name", None, "The name in the zoo.", required=True)
    flags.DEFINE_string("data_dir", None, "The source tree of the run's data set.", required=True)
    flags.DEFINE_string("data_license", None, "The licence of the data.", required=True)
    flags.DEFINE_string("split", "val", "The split that the run was scored on.")
    flags.DEFINE_bool("half", False, "Keep the weights as float16.")
    app.run(main)
