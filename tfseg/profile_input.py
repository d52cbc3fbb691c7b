"""--mode=profile --profile=input: measures whether the input pipeline or the step limits the speed of training.

python main.py --mode=profile --profile=input --flagfile=configs/camvid_enet.flags --data_dir=path/to/CamVid
"""

import time

import tensorflow as tf

from input_pipeline import pipeline
from tfseg import config as config_lib
from tfseg import losses, network, optimizers, preflight, prepare

SECONDS = 5.0  # length of each measurement
WARM_UP = 10  # batches that are not counted at the start: more than the buffers hold


def profile(config: config_lib.Config) -> dict:
    """Times the stream without a step, and the step on one batch without the stream; prints and returns both.

    As in training, the step is the forward pass, losses, gradients and the optimizer, here on one device. The result has
    `stream` and `step` in images per second, and `limit`, the name of the slower one.
    """
    preflight.check(config, 1)
    prepared = prepare.mixed(config)
    chain = {"augment": config.augment, "crop_size": config.crop_size, "augment_device": config.augment_device}
    batch, stream = _stream(config, prepared, chain)
    take = _step(config, prepared, pipeline.finisher(batch_size=config.batch_size, **chain))
    step = rate(lambda: take(batch).numpy(), config.batch_size, 2)
    limit = "stream" if stream < step else "step"
    print(f"Stream alone: {stream:.1f} images/s ({config.cache} cached, augmentation on the {config.augment_device})")
    print(f"Step alone:   {step:.1f} images/s ({config.model}, batch {config.batch_size})")
    ratio = max(stream, step) / min(stream, step)
    print(f"The {limit} limits training: the other is {ratio:.1f} times as fast. On a CPU both share its cores.")
    return {"stream": stream, "step": step, "limit": limit}


def rate(take, images: int, warm_up: int) -> float:
    """Images per second of a function that processes `images` of them in each call."""
    for _ in range(warm_up):
        take()
    count, begin = 0, time.perf_counter()
    while not count or time.perf_counter() - begin < SECONDS:
        take()
        count += 1
    return count * images / (time.perf_counter() - begin)


def _stream(config, prepared, chain):
    """A batch, and images per second. The stream ends with this function: its threads would slow down the step."""
    options = {"max_class_share": config.crop_max_class_share, "batch_size": config.batch_size, "seed": config.seed}
    batches = iter(pipeline.training(prepared, **chain, **options, cache=config.cache))
    batch = next(batches)
    if config.cache == "memory":  # The first epoch also decodes; the later ones are typical.
        for _ in range(-(-prepared.splits["train"] // config.batch_size)):
            next(batches)
    return batch, rate(lambda: next(batches), config.batch_size, WARM_UP)


def _step(config, prepared, finish):
    model = network.build(config, config.num_classes or prepared.num_classes)
    terms = losses.of_pixels(losses.build(config.loss))
    schedule = optimizers.Schedule("constant", config.learning_rate, 1)
    optimizer = optimizers.build(config.optimizer, schedule, model, weight_decay=config.weight_decay)

    def forward(image):
        return model(image, training=True)["logits"]

    forward = tf.function(forward, jit_compile=True, autograph=False) if config.jit_compile else forward

    @tf.function(autograph=False)
    def step(batch):
        batch = finish(batch)
        with tf.GradientTape() as tape:
            logits = forward(batch["image"])
            loss = 0.0
            for term in terms:
                total, count = term.function(logits, batch["label"])
                loss += term.weight * tf.math.divide_no_nan(total, count)
        values = [variable.value for variable in model.trainable_variables]
        optimizer.apply(tape.gradient(loss, values, unconnected_gradients=tf.UnconnectedGradients.ZERO))
        return loss

    return step
