"""--mode=predict: label maps, colour maps, overlays and more of images of any size, videos and rasters."""

import pathlib

import numpy as np
import tensorflow as tf

from tfseg import config as config_lib
from tfseg import evaluate, inference, objects, preflight
from tfseg.inference import monte_carlo
from tfseg.prediction import job, outputs, rasters, sources, submissions
from tfseg.prediction.folders import check_writable
from tfseg.prediction.labels import class_rows, ids_of, write_about

__all__ = ["check_writable", "class_rows", "predict"]


def predict(config: config_lib.Config) -> list[pathlib.Path]:
    """Writes what --outputs names of each image into --output_dir, with `legend.png` and `classes.json`.

    By default these are `labels/`, `colors/` and `overlays/` NAME.png, and of a video `videos/` NAME.mp4. With --monte_carlo
    there are also `uncertainty/entropy/`, `.../mutual_information/` and `.../variance/` NAME.png, gray with 8 bits, and
    `uncertainty/scale.json`, which says what a gray of 255 is. A network that finds objects also gives `boxes/` NAME.json,
    and with an embedding `instances/` NAME.png, by --suppress and --cluster; they are on overlays and videos too. With
    --submission there is also an archive for a benchmark.

    The images are those of --images, or if it is blank those of the data set's --split. They are read in the same way as in
    preparation. A label map is a gray PNG of train ids, or with --label_ids=raw of the ids in the class table, with 8 bits if
    the ids fit and otherwise with 16. `classes.json` lists the ids. Existing files are an error unless --overwrite is
    given.

    Returns:
        The paths of the label maps, or if there are none of the first output's files.

    Raises:
        FileNotFoundError: if --images matches nothing.
        OSError: if --output_dir cannot be written.
        ValueError: if some images cannot be read or predicted; the message names each, and the others have been predicted.
    """
    if not config.output_dir:
        raise ValueError("Expected --output_dir, the folder for the predictions. Received: none.")
    preflight.check_inference(config)
    preflight.check_sampling(config)
    preflight.check_objects(config)
    of_images, of_videos = _outputs(config)
    output_dir = pathlib.Path(config.output_dir)
    groups = sources.find(config, output_dir)
    plan = [(group, of_videos if group.video else of_images) for group in groups]
    _check_plan(plan, output_dir, config)
    model, state = evaluate.trained_model(config)
    classes = class_rows(state.class_table(), model.output["logits"].shape[-1])
    colors = np.array([row["color"] for row in classes], np.uint8)
    finder = objects.build(config, model.output, [row["name"] for row in classes], state.things)
    run = outputs.Run(classes, ids_of(classes, config.label_ids), colors, config.opacity, finder)
    if finder.reads and not config.outputs:
        more = outputs.build(" | ".join(outputs.OF_OBJECTS[: 1 + finder.with_ids]))
        plan = [(group, some if group.video else [*some, *more]) for group, some in plan]
        _check_plan(plan, output_dir, config)
    chosen = _each(plan)
    for output in chosen:
        if output.check_run:
            output.check_run(run)
    write_about(classes, output_dir, config)
    with_objects = finder if any(output.needs_objects for output in chosen) else objects.NONE
    with_probabilities = any(output.needs_probabilities for output in chosen)
    work = job.Job(config, run, _compute(config, model, with_probabilities, with_objects))
    (work.predict_rasters if chosen[0].each == "raster" else work.predict)(plan)
    work.say_result([output.place for output in chosen])
    return work.written


def _outputs(config):
    """(the outputs of images, those of videos); raises ValueError if they cannot be combined with the other options."""
    more = [outputs.uncertainty(kind) for kind in monte_carlo.KINDS] if config.monte_carlo else []
    with preflight.trial("submission", config.submission):
        more += [submissions.build(config.submission)] if config.submission else []
    found = []
    for default in (outputs.OF_IMAGES, outputs.OF_VIDEOS):
        with preflight.trial("outputs", config.outputs):
            found.append([*outputs.build(config.outputs or default), *more])
    of_images, of_videos = found
    if of_images[0].each == "raster":
        rasters.check()
        if config.monte_carlo or config.submission or not config.images:
            raise ValueError(
                "Expected for --outputs=geotiff files as --images, and neither --monte_carlo nor --submission. Received: "
                f"--images={config.images} --monte_carlo={config.monte_carlo} --submission={config.submission}."
            )
    return [output for output in of_images if output.each != "video"], of_videos


def _check_plan(plan, output_dir, config):
    """Raises if the outputs do not fit the images, if predictions exist, or if a folder cannot be written."""
    if any(group.video and some[0].each == "raster" for group, some in plan):
        raise ValueError(f"Expected images for --outputs=geotiff. Received: videos at --images={config.images}.")
    if not all(some for _, some in plan):
        raise ValueError(
            f"Expected a video for --outputs=video. Received: images at --images={config.images}. Add an output of images: "
            "`video | overlays`."
        )
    for output in _each(plan):
        if output.check_names:
            output.check_names([name for group, _ in plan for name in group.names()])
    if not config.overwrite:
        existing = [name for group, some in plan for name in _existing(group, some, output_dir)]
        if existing:
            raise ValueError(
                f"Expected --output_dir without predictions of these images. Received: {output_dir} holds {len(existing)} "
                f"of them, the first {existing[0]}. Use another folder, or --overwrite."
            )
    for output in _each(plan):
        check_writable(output_dir if output.each == "run" else output_dir / output.place)


def _each(plan):
    """Every output of a plan once."""
    return list({output.place: output for _, some in plan for output in some}.values())


def _existing(group, some, output_dir):
    """The names of the files of a group that exist, one for each image or video."""
    there = [output for output in some if (output_dir / output.place).exists()]
    for name in group.names() if there else ():
        for output in there:
            frames = bool(group.video) and output.each == "image"
            path = output_dir / output.place / name if frames else output.path(output_dir, name)
            if path.exists():
                yield f"{name}{output.extension}" if output.each != "run" else output.place
                break


def _compute(config, model, with_probabilities, finder):
    """Makes the function of images, RGB uint8 [batch, height, width, 3], to what is predicted of them.

    These are label maps, uint16 [batch, height, width]; probabilities, float16 [.., classes], or (); uncertainty, {kind: uint8
    [batch, height, width]}, where 255 is `monte_carlo.scale` or more; and what `finder` computes of objects.
    """
    classes = model.output["logits"].shape[-1]
    seed = {"samples": config.monte_carlo, "seed": config.seed}
    scores = inference.build_all(config.inference, model, finder.reads, **seed)
    scale = monte_carlo.scale(classes)
    exact = tf.float16 if classes <= 2048 else tf.float32  # float16 holds whole numbers up to 2048

    def ids(scores):
        return tf.cast(tf.argmax(scores, -1, tf.int32), tf.uint16)

    def sure(scores):
        """The id's probability and the id: one array, so that a sliding window may finish it piece by piece."""
        id_ = tf.cast(tf.argmax(scores, -1, tf.int32), tf.float32)
        return tf.stack([tf.reduce_max(tf.nn.softmax(scores), -1), id_], -1)

    def both(scores):
        """All probabilities and the id, in the same way."""
        id_ = tf.cast(tf.argmax(scores, -1, tf.int32), exact)[..., tf.newaxis]
        return tf.concat([tf.cast(tf.nn.softmax(scores), exact), id_], -1)

    finish = both if with_probabilities else sure if finder.things else ids

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)], autograph=False)
    def compute(images):
        found, maps, others = scores(images, finish)
        gray = {kind: tf.saturate_cast(tf.round(maps[kind] * (255 / scale[kind])), tf.uint8) for kind in maps}
        label = found if finish is ids else tf.cast(found[..., -1], tf.uint16)
        confidence = None if finish is ids else tf.reduce_max(tf.cast(found[..., :-1], tf.float32), -1)
        probabilities = tf.cast(found[..., :-1], tf.float16) if with_probabilities else ()
        return label, probabilities, gray, finder.compute(others, label, confidence)

    return compute
