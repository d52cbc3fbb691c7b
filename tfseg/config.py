"""Defines every option of a run in one place: type, default, unit and help. The flags are made from it.

config = from_flags(flags.FLAGS)        # main.py
config = Config(model="enet", ...)      # tests and notebooks
config = load("/path/of/workdir")       # what a run was started with
"""

import dataclasses
import pathlib
import typing

from absl import flags

from tfseg import config_values, exports

# What each --mode does: the text of --help.
MODES = {
    "train": "trains --model on --dataset; the same command resumes a run that was stopped",
    "evaluate": "mIoU and the other metrics of a run's best checkpoint on --split",
    "compare": "two runs of --workdirs class by class and image by image, or the table of many runs",
    "predict": "label maps, colours and overlays of --images, into --output_dir",
    "track": "follows the objects of --first_mask through --images, a sequence or a video, into --output_dir",
    "export": "a run's network for other programs, into --output_dir; the same as export.py",
    "pseudo_label": "labels images by a run's network: images and masks to train on, in --output_dir",
    "prepare": "builds the records of --dataset from --data_dir and prints its statistics",
    "check": "reports what is wrong with a data set's images and masks",
    "convert": "turns what labelme, COCO, CVAT, Roboflow and other tools export into images and masks",
    "profile": "parameters, operations and time of networks",
}


_sections = ["Run"]


def _section(title):
    """The options below belong to this section of --helpfull."""
    _sections.append(title)


def _option(default, text, choices=None):
    metadata = {"help": text, "choices": choices, "section": _sections[-1]}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """The options of one run. Specs are `name` or `name(key=value)`; see tfseg/spec.py."""

    mode: str = _option("train", "What to do.", tuple(MODES))
    workdir: str = _option("", "Folder of the run: flags, checkpoints, TensorBoard events, metrics, evaluations.")

    _section("Data")
    dataset: str = _option(
        "",
        "Data set spec, e.g. `camvid` or `folder(val_fraction=0.2)`. `camvid + 0.5*folder(data_dir='/path/to/more')` trains on "
        "two, two images of the first for one of the second, and evaluates on the first.",
    )
    data_dir: str = _option(
        "",
        "The data set's source tree as unpacked, or a folder of prepared records; of a mixture, for all that name no data_dir.",
    )
    cache_dir: str = _option("", "Where prepared records are kept; default: `tfseg` in the user's cache folder.")
    overwrite: bool = _option(False, "Replace what exists: prepared records, predictions, an export.")
    skip_bad: bool = _option(
        False, "Prepare without the examples that have an error, and list them beside the records."
    )
    image_format: str = _option(
        "", "Format of the images in the records: `png` or `jpeg(quality=95)`; blank keeps the bytes of the source."
    )
    max_size: int = _option(0, "Longest side of an image in the records, pixels: larger images shrink; 0: no limit.")
    image_range: str = _option(
        "", "LOW,HIGH: the values of images deeper than 8 bits that become 0 and 255; blank: the high byte of 16 bits."
    )

    labelled: str = _option(
        "",
        "Which training examples have labels: a share, such as 0.125, chosen by --seed, or a file with an id in each line; "
        "blank: all.",
    )

    _section("Model")
    model: str = _option("", "Architecture spec, e.g. `enet` or `unet(upsampling='bilinear')`.")
    num_classes: int = _option(
        0, "Classes of the network; 0: the data set's. Predictions of extra classes count as wrong."
    )
    normalization: str = _option(
        "default", "`default`, `none`, or `affine(order='bgr', mean=(..), std=(..))` in units of 0..255."
    )
    init_from: str = _option(
        "",
        "Weights to start with: `imagenet`, `zoo:<name>` (which also sets --model), a workdir, .weights.h5, .keras, .pth, "
        ".safetensors, or of the Hugging Face Hub: `hf:<owner>/<name>`, with @<revision> and /<file> if wanted.",
    )
    precision: str = _option(
        "float32",
        "Number format of the network's computation; variables, logits and losses stay float32.",
        ("float32", "mixed_bfloat16", "mixed_float16"),
    )
    freeze: str = _option(
        "", "`backbone`: its weights and the statistics of its norms do not change.", ("", "backbone")
    )

    _section("Training")
    trainer: str = _option(
        "supervised",
        "`supervised`, or with the unlabelled examples of --labelled `adversarial(labelled=0.01, unlabelled=0.001, semi=0.1)` "
        "or `mean_teacher(weight=1.0, confidence=0.95)`.",
    )
    loss: str = _option("cross_entropy", "Sum of losses, e.g. `cross_entropy(label_smoothing=0.1)`.")
    class_weights: str = _option("none", "`none`, `enet`, `median_frequency`, or a file with one weight in each line.")
    augment: str = _option(
        "affine(scale=(0.5, 2.0), flip=True) | brightness(0.2) | contrast(0.2)",
        "Chain of augmentations (input_pipeline/ops), or camvid|cityscapes|voc|ade20k (papers' recipes); blank: a crop only.",
    )
    pairs: str = _option(
        "",
        "`deformed(shift=6.0, error=0.15, blank=0.15, still=0.2)` makes of images with instances what mask propagation is "
        "trained on: image, flow and an object's deformed mask. The classes are then ground and object; see docs/tracking.md.",
    )
    crop_size: tuple[int, int] = _option((360, 480), "Height and width of a training crop, pixels.")
    crop_max_class_share: float = _option(
        1.0, "Largest share of a crop's valid pixels that one class may have, 0..1: up to 10 crops are drawn for it."
    )
    batch_size: int = _option(8, "Images in a step, over all replicas.")
    accumulate_steps: int = _option(
        1, "Parts in which the batch of a step is computed, one after the other, to save memory."
    )
    epochs: float = _option(100.0, "Length of training, passes over the train split.")
    steps: int = _option(0, "Length of training in steps; if it is not 0, it replaces --epochs.")
    optimizer: str = _option(
        "adam",
        "`sgd(momentum=0.9, nesterov=False)`, `rmsprop(rho=0.99, momentum=0.0)`, `adam(beta_1=0.9, beta_2=0.999)` or `adamw`.",
    )
    learning_rate: float = _option(5e-4, "Learning rate after warm-up.")
    schedule: str = _option(
        "poly(power=0.9)",
        "`constant`, `poly(power=0.9, end=0.0)`, `cosine(end=0.0)`, `step(drop=0.1, every=0.3333)` (every: share of training), "
        "`exponential(end=0.01)` or `one_cycle(start=0.04, peak=0.3, end=4e-6)`.",
    )
    warmup_steps: int = _option(0, "Steps over which the learning rate rises linearly from 0.")
    weight_decay: float = _option(
        0.0, "L2 coefficient of kernels, not of biases, norms, tokens and positions; decoupled under adamw."
    )
    backbone_learning_rate: float = _option(1.0, "Factor on the backbone's learning rate.")
    layer_decay: float = _option(
        1.0,
        "Factor on the learning rate of the backbone's last block, squared for the block before it, and so on; 1: none.",
    )
    clip_norm: float = _option(0.0, "Largest global norm of the gradient, after the sum over replicas; 0: no limit.")
    ema_decay: float = _option(
        0.0, "Decay per step of the weights' moving average, which is evaluated and exported; 0: none. Usual: 0.999."
    )
    seed: int = _option(0, "Seed of the initial weights, the order of the data, augmentation and dropout.")

    _section("Course of a run")
    eval_every: float = _option(1.0, "Epochs between evaluations on the val split; 0: at the end only.")
    checkpoint_every: int = _option(0, "Steps between checkpoints, in addition to those at evaluations; 0: none.")
    log_every: int = _option(20, "Steps between lines in the log and points in TensorBoard.")
    keep: int = _option(2, "How many of the last checkpoints to keep, besides the best.")
    patience: int = _option(0, "Evaluations without a better mIoU after which training ends; 0: never.")
    recover: int = _option(
        0, "How often a run may go back to its last checkpoint, at half the learning rate, when its loss is not finite."
    )

    _section("Devices and speed")
    strategy: str = _option(
        "auto",
        "Devices: `auto` is every GPU of this machine, or of all machines where TF_CONFIG names several workers.",
        ("auto", "one_device", "mirrored", "multi_worker"),
    )
    sync_batch_norm: bool = _option(True, "Batch norm over all replicas' images instead of each replica's own.")
    jit_compile: bool = _option(False, "Compile the network's training by XLA: faster on GPUs, slower on CPUs.")
    steps_per_call: int = _option(1, "Steps in one call from Python; more than 1 saves time if steps are short.")

    cache: str = _option(
        "none",
        "Where decoded training images are kept, so that they are decoded once: `memory`, or `disk` beside the records.",
        ("none", "memory", "disk"),
    )
    augment_device: str = _option(
        "host",
        "`device`: augmentations after the geometric ones run in the step, on uint8 crops: for fast accelerators.",
        ("host", "device"),
    )
    profile_steps: str = _option(
        "", "FIRST:LAST: steps of this training, from 1, that TensorFlow's profiler traces for TensorBoard, e.g. 10:20."
    )
    profile: str = _option(
        "network",
        "With --mode=profile: `input` compares the speed of the input pipeline with that of the step.",
        ("network", "input"),
    )

    _section("Evaluation and prediction")
    split: str = _option("val", "Split to evaluate.")
    eval_batch_size: int = _option(
        0, "Images in a step of each replica in evaluation; 0: --batch_size divided by the number of replicas."
    )
    inference: str = _option(
        "whole",
        "`whole`, `sliding_window(size=(512, 512), overlap=0.5)` or `multi_scale(scales=(0.75, 1.0), flip=True)`; "
        "`whole | crf(steps=10, bilateral=(4, 67, 3), gaussian=(3, 1))` or `whole | guided_filter(radius=4, eps=0.01)` also "
        "refines the result; `affinity(radius=2, tau=0.1, steps=4)` does so for a network with an output `features`.",
    )
    monte_carlo: int = _option(
        0, "Samples with dropout in evaluate and predict, for mean probabilities and uncertainty; 0: no dropout."
    )
    metrics: str = _option(
        "calibration | image_iou",
        "What evaluations count besides the confusion matrix: `boundary_iou(width=0.02) | boundary_f1(width=0.0075) | "
        "calibration(bins=15) | image_iou`; a width is a share of the image's diagonal, or pixels from 1 on. Blank: nothing.",
    )
    suppress: str = _option(
        "nms(threshold=0.3, overlap=0.5, most=100)",
        "Which boxes of a network with cells are shown, written and exported: those above a score, without those that "
        "overlap a better one of their class. The cells have the classes of --loss; `classes=('car',)` names others.",
    )
    cluster: str = _option(
        "mean_shift(bandwidth=1.5, smallest=30)",
        "How an embedding becomes the instances that are shown and written: bandwidth is the loss's delta_d, smallest is in "
        "pixels. `classes=('car',)` names the classes; otherwise they are those that have boxes in the data.",
    )
    peaks: str = _option(
        "strongest(score=0.0, value=0.0, most=30, level=0.25, blur=0.01, overlap=0.3)",
        "Which peaks of class maps are written: those above a value, of classes above a score. Masks are where the smoothed "
        "response is above `level` times its maximum; those of a class with a larger IoU than `overlap` are one object.",
    )
    attack: str = _option(
        "",
        "With evaluate: `pgd(eps=8, steps=30, target='shift')` attacks the first 50 images, and says what it reached.",
    )
    consistency: str = _option(
        "",
        "With evaluate: `patches(size=(180, 240), pairs=50)` says how much predictions of overlapping windows agree.",
    )
    workdirs: str = _option(
        "", "Runs to compare: two, `runs/a,runs/b`, or a quoted pattern, 'runs/*', for the table of all of them."
    )
    checkpoint: str = _option("best", "Which weights of the workdir to use.", ("best", "last"))
    images: str = _option(
        "",
        "Images and videos to predict or track: a file, a folder, a quoted pattern, `-` for a list on standard input, "
        "or `camera:0`.",
    )
    output_dir: str = _option("", "Folder for predictions or for an export.")
    label_ids: str = _option(
        "train",
        "Ids in predicted label maps: `train`, 0..classes-1, or `raw`, those of the class table.",
        ("train", "raw"),
    )
    outputs: str = _option(
        "",
        "Chain of what predict writes: `labels | colors | overlays(legend=True) | palette | probabilities | coco(min_area=1) | "
        "boxes | boxes_xml | instances | peaks | responses | response_pictures | video`, or `geotiff(bands=(1, 2, 3))`; "
        "blank: the first three, boxes, instances and peaks where the network has them, and of a video `video`. What an "
        "export gives: some of logits,probabilities,classes,confidence; blank: logits. A SavedModel always has classes and "
        "confidence, and a signature for each of the others.",
    )
    opacity: float = _option(0.5, "Of the classes' colours over the image, 0..1.")
    confidence: float = _option(0.0, "With pseudo_label: pixels whose class is less probable, 0..1, are not labelled.")
    quantile: float = _option(
        0.0,
        "With pseudo_label: the share, 0..1, of the pixels of each class that are not labelled, the least probable.",
    )
    soft: bool = _option(False, "With pseudo_label: write the probabilities of the classes too.")
    submission: str = _option(
        "", "Also an archive for a benchmark's server: `cityscapes`, `voc(competition=6, split='test')` or `ade20k`."
    )
    max_frames: int = _option(0, "Frames to predict of each video or camera; 0: all, of a camera until Ctrl-C.")
    first_mask: str = _option(
        "", "With track: the objects in the first frame, a PNG of ids as large as it; 0 is none, and 255 is ignored."
    )
    reidentify: float = _option(
        0.0,
        "With track: similarity, 0..1, from which a lost object is found again, usually 0.5; 0: it is not looked for.",
    )
    true_masks: str = _option(
        "", "With track: the true ids of some frames, by the frames' names, a folder or a quoted pattern, for J and F."
    )

    _section("Export")
    format: str = _option("saved_model", "What an export is written as.", tuple(exports.names()))
    quantize: str = _option(
        "none",
        "Smaller numbers in an export: `float16` and `dynamic` (8 bits) of the weights, `int8` of the activations too.",
        ("none", "dynamic", "float16", "int8"),
    )
    calibration: str = _option(
        "minmax",
        "How int8 finds the range of an activation: its ends, all but 0.01 % at each end, or the least squared error.",
        ("minmax", "percentile", "mse"),
    )
    keep_float: str = _option(
        "",
        "Layers that int8 keeps in float, separated by commas; `auto`: as few as keep the loss of mIoU below 2 points.",
    )
    export_size: tuple[int, int] = _option(
        (0, 0),
        "HEIGHT,WIDTH of an export's images, where one is fixed; 0,0: any, or for tflite that of the split's images.",
    )
    model_version: int = _option(
        0, "Folder below --output_dir for an export, as TensorFlow Serving wants it; 0: --output_dir itself."
    )
    max_pixels: int = _option(2**24, "Most pixels of a request that a SavedModel accepts, over its images.")
    evaluate: bool = _option(False, "Evaluate an export on --split after it is written.")
    saved_model: str = _option("", "A SavedModel to evaluate.")
    tflite: str = _option("", "A TensorFlow Lite file to evaluate.")
    onnx: str = _option("", "An ONNX file to evaluate.")
    openvino: str = _option("", "An OpenVINO .xml file to evaluate.")
    keras: str = _option("", "A .keras file to evaluate.")

    def __post_init__(self):
        for name in (*config_values.PATHS, *config_values.PERHAPS_PATHS):
            object.__setattr__(self, name, config_values.absolute(name, getattr(self, name)))
        object.__setattr__(self, "dataset", config_values.dataset(self.dataset))
        config_values.check(self)
        for field in dataclasses.fields(self):
            choices = field.metadata["choices"]
            config_values.expect(
                self, field.name, not choices or getattr(self, field.name) in choices, f"one of {choices}"
            )

    def save(self, path: pathlib.Path) -> None:
        """Writes all options as an absl flagfile."""
        path.write_text(self.text())

    def text(self) -> str:
        """All options as the lines of an absl flagfile."""
        return "".join(f"--{f.name}={as_text(getattr(self, f.name))}\n" for f in dataclasses.fields(self))


def define_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines one absl flag for each option."""
    define = {str: flags.DEFINE_string, int: flags.DEFINE_integer, float: flags.DEFINE_float, bool: flags.DEFINE_bool}
    hints = typing.get_type_hints(Config)
    for field in dataclasses.fields(Config):
        text, choices = field.metadata["help"], field.metadata["choices"]
        if choices:
            flags.DEFINE_enum(field.name, field.default, choices, text, flag_values=flag_values)
        elif hints[field.name] in define:
            define[hints[field.name]](field.name, field.default, text, flag_values=flag_values)
        else:
            flags.DEFINE_list(field.name, [str(x) for x in field.default], text, flag_values=flag_values)


def from_flags(flag_values: flags.FlagValues, start: Config | None = None) -> Config:
    """The options of the command line; those that it leaves out are taken from `start` (if None: from the defaults)."""
    hints, given = typing.get_type_hints(Config), {}
    for field in dataclasses.fields(Config):
        flag = flag_values[field.name]
        if flag.present or field.name == "mode":  # its default depends on the program: `export` in export.py
            given[field.name] = flag.value
            if typing.get_origin(hints[field.name]) is tuple:
                given[field.name] = tuple(config_values.integers(field.name, flag.value))
    return dataclasses.replace(start or Config(), **given)


def load(workdir: str) -> Config:
    """The options that the run in `workdir` was started with.

    Raises:
        FileNotFoundError: if the folder holds no run.
    """
    path = pathlib.Path(workdir) / "flags"
    if not path.is_file():
        raise FileNotFoundError(f"Expected the workdir of a run, with its options in {path}. Received: no such file.")
    return parse(path.read_text(), str(path))


def parse(text: str, source: str) -> Config:
    """The options of `Config.text()`; `source` is where the text is from.

    Raises:
        ValueError: where a line is no option of this version.
    """
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    try:
        flag_values(["load", *text.splitlines()])
    except flags.Error as error:
        raise ValueError(
            f"Expected the options of a run of this version of tfseg in {source}. Received: {error}. Use the version that made "
            "the run, or remove these lines from the file."
        ) from error
    return dataclasses.replace(from_flags(flag_values), overwrite=False)  # --overwrite holds for one command only.


def as_text(value) -> str:
    """The value of an option as a flagfile has it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
