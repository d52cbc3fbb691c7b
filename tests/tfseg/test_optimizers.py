import math
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from models import layers
from models.backbones import convnext
from tfseg import distribute, initialize, optimizers


def rates(factor, total, warmup=0, steps=None):
    schedule = optimizers.Schedule(factor, 0.1, total, warmup)
    return [float(schedule(step)) for step in (steps if steps is not None else range(total))]


def test_constant_and_poly_by_hand():
    assert rates("constant", 3) == pytest.approx([0.1, 0.1, 0.1])
    # 0.1 * (1 - step/4)^2: 1, 9/16, 1/4, 1/16; 0 from step 4 on.
    assert rates("poly(power=2)", 4, steps=range(6)) == pytest.approx([0.1, 0.05625, 0.025, 0.00625, 0.0, 0.0])
    # 0.2 + 0.8 * (1 - step/2)
    assert rates("poly(power=1, end=0.2)", 2, steps=range(3)) == pytest.approx([0.1, 0.06, 0.02])


def test_cosine_and_exponential_by_hand():
    # (1 + cos(pi/4 step)) / 2: 1, (1 + 1/sqrt 2)/2, 1/2, (1 - 1/sqrt 2)/2, 0.
    expected = [0.1, 0.0853553, 0.05, 0.0146447, 0.0]
    assert rates("cosine", 4, steps=range(5)) == pytest.approx(expected, rel=1e-5, abs=1e-9)
    # 0.2 + 0.8 * the same, half way: 0.6
    assert rates("cosine(end=0.2)", 4, steps=(0, 2, 4)) == pytest.approx([0.1, 0.06, 0.02])
    # 0.01^(0, 1/2, 1)
    assert rates("exponential", 2, steps=range(3)) == pytest.approx([0.1, 0.01, 0.001])


def test_step_drops_at_every_fraction():
    # A third of 9 steps are 3: 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01.
    assert rates("step", 9) == pytest.approx([0.1] * 3 + [0.01] * 3 + [0.001] * 3)
    # The third drop is at 0.9 of the training, though 0.9 / 0.3 is 2.9999998 in float32: at the steps 21, 42 and 63.
    got = rates("step(drop=0.5, every=0.3)", 70)
    assert got == pytest.approx([0.1 * 0.5 ** (i // 21) for i in range(70)])


def test_one_cycle_by_hand():
    # Up over 3 of 10 steps from 0.04: 1 - 0.96 * (1 + cos(pi step/3))/2 = 0.04, 0.28, 0.76, then 1 at step 3; down over 7:
    # (1 + cos(pi/7)) / 2 = 0.9504844 after one, 0 (4e-6 by default) at the end.
    assert rates("one_cycle", 10, steps=range(5)) == pytest.approx([0.004, 0.028, 0.076, 0.1, 0.09504846], rel=1e-5)
    assert rates("one_cycle", 10, steps=[10]) == pytest.approx([4e-7], rel=1e-3)
    assert rates("one_cycle(start=0.5, peak=0.5, end=0.2)", 2, steps=range(3)) == pytest.approx([0.05, 0.1, 0.02])


@pytest.mark.parametrize("factor", optimizers.SCHEDULES)
def test_every_schedule_warms_up_and_stays_in_its_range(factor):
    got = rates(factor, 20, warmup=4, steps=range(24))
    unwarmed = rates(factor, 16, steps=range(16))
    # The first steps are (step + 1) / 5 of the schedule's beginning; then it runs over the remaining 16.
    assert got[:4] == pytest.approx([(i + 1) / 5 * unwarmed[0] for i in range(4)])
    assert got[4:20] == pytest.approx(unwarmed)
    assert all(0 <= rate <= 0.1 * (1 + 1e-6) for rate in got)


def test_warm_up_is_linear_and_then_the_schedule_starts():
    # (step + 1) / 4 for the first three steps; poly over the remaining 4: 1, 3/4, 1/2, 1/4.
    assert rates("poly(power=1)", 7, warmup=3) == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.075, 0.05, 0.025])


def test_clipping_by_hand():
    # Norm of (3, 4) is 5: a limit of 1 divides by 5, one of 10 changes nothing.
    gradients = [np.float32(3.0), np.float32(4.0)]
    np.testing.assert_allclose(optimizers.clip(gradients, np.float32(5.0), 1.0), [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(optimizers.clip(gradients, np.float32(5.0), 10.0), [3.0, 4.0], rtol=1e-6)
    assert optimizers.clip(gradients, np.float32(5.0), 0.0) is gradients


# --- The optimizer of a model ------------------------------------------------------------------------------------------

WITH_BACKBONE = 'fcn(backbone="mobilenet_v1", stride=32)'


def every_kind():
    """A network with every kind of trainable variable."""
    inputs = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(3, 1)(inputs)
    x = keras.layers.PReLU(shared_axes=[1, 2], alpha_initializer="ones")(keras.layers.BatchNormalization()(x))
    x = keras.layers.DepthwiseConv2D(1)(x)
    x = layers.LayerScale(0.5)(keras.layers.LayerNormalization()(x))
    x = Positions()(keras.layers.GroupNormalization(1)(x))
    return keras.Model(inputs, keras.layers.Conv2DTranspose(1, 2)(keras.layers.Dense(3)(x)))


class Positions(keras.layers.Layer):
    """Learnt positions and a token, as transformers have them: tables with several axes that are no kernels."""

    def build(self, input_shape):
        self.position = self.add_weight(shape=(1, 4, 4, 3), name="pos_embed", initializer="ones")
        self.token = self.add_weight(shape=(1, 1, 1, 3), name="cls_token", initializer="ones")

    def call(self, x):
        return x + self.position + self.token


def dense(value):
    """A network of a single number, its kernel."""
    inputs = keras.Input((1,))
    outputs = keras.layers.Dense(1, use_bias=False, kernel_initializer=keras.initializers.Constant(value))(inputs)
    return keras.Model(inputs, outputs)


def build(spec, model, learning_rate=0.1, **options):
    return optimizers.build(spec, optimizers.Schedule("constant", learning_rate, 1), model, **options)


def after(spec, gradients, start=2.0, **options):
    """The number after a step for each gradient."""
    model = dense(start)
    optimizer = build(spec, model, **options)
    for gradient in gradients:
        optimizer.apply([tf.constant([[gradient]])])
    return float(model.trainable_variables[0].numpy().item())


def test_sgd_by_hand():
    # Momentum 0.5: v = 0.1, then 0.5 * 0.1 + 0.1 = 0.15: 2 - 0.25. Nesterov: 0.1 + 0.5 * 0.1 and 0.1 + 0.5 * 0.15.
    assert after("sgd(momentum=0.5)", [1.0, 1.0]) == pytest.approx(1.75)
    assert after("sgd(momentum=0.5, nesterov=True)", [1.0, 1.0]) == pytest.approx(2 - 0.15 - 0.175)


def test_rmsprop_by_hand():
    # v = 0.01 * 9 = 0.09, step 0.1 * 3 / 0.3 = 1; then v = 0.99 * 0.09 + 0.01 * 9 = 0.1791, step 0.3 / sqrt(0.1791).
    assert after("rmsprop", [3.0, 3.0]) == pytest.approx(2 - 1 - 0.3 / math.sqrt(0.1791), rel=1e-5)
    # Momentum 0.99, as in the original program: half a step more of the first in the second.
    assert after("rmsprop(momentum=0.5)", [3.0, 3.0]) == pytest.approx(2 - 1 - 0.5 - 0.3 / math.sqrt(0.1791), rel=1e-4)


def test_adam_and_adamw_by_hand():
    # The first step of Adam is lr * sign(gradient), and the decay that is added to the gradient does not change it;
    assert after("adam", [5.0]) == pytest.approx(1.9, rel=1e-5)
    assert after("adam", [5.0], weight_decay=0.5) == pytest.approx(1.9, rel=1e-5)
    # AdamW also subtracts lr * decay * 2 = 0.1 from the kernel.
    assert after("adamw", [5.0], weight_decay=0.5) == pytest.approx(1.8, rel=1e-5)


@pytest.mark.parametrize("spec", ["sgd(momentum=0)", "adamw"])
def test_decay_is_for_kernels_only(spec):
    model = every_kind()
    before = [v.numpy() for v in model.trainable_variables]
    build(spec, model, learning_rate=1.0, weight_decay=0.5).apply([tf.zeros(v.shape) for v in before])
    decayed = 0
    for variable, old in zip(model.trainable_variables, before, strict=True):
        is_kernel = variable.path.endswith("/kernel")
        decayed += is_kernel
        np.testing.assert_allclose(variable.numpy(), 0.5 * old if is_kernel else old, rtol=1e-6)
    # Two convolutions and the transposed one, the depthwise one and the linear layer. Not their 4 biases, the slope, the
    # scales and offsets of 3 norms, the scale of the branch, the positions and the token.
    assert decayed == 4
    assert len(before) - decayed == 4 + 1 + 6 + 1 + 2


@pytest.mark.parametrize("spec", ["sgd", "rmsprop(momentum=0.9)", "adam", "adamw"])
def test_two_replicas_in_a_function_equal_keras_alone(spec):
    """The gradients are those of the whole batch on both replicas, and are not added up."""
    kind, options = getattr(optimizers, spec.partition("(")[0])()
    plain, expected = kind(0.1, **{**options, **({"momentum": 0.9} if "(" in spec else {})}), dense(2.0)
    plain.build(expected.trainable_variables)
    strategy = distribute.build("mirrored")
    assert strategy.num_replicas_in_sync == 2
    with strategy.scope():
        model = dense(2.0)
        optimizer = build(spec, model)

    @tf.function
    def step(gradient):
        strategy.run(lambda: optimizer.apply([gradient]))

    for gradient in (1.0, -0.25, 3.0):
        step(tf.constant([[gradient]]))
        plain.apply([tf.constant([[gradient]])])
    got = model.trainable_variables[0].value.values
    for replica in got:
        np.testing.assert_allclose(replica, expected.trainable_variables[0].numpy(), rtol=1e-6)
    assert int(optimizer.iterations.numpy()) == 3


def test_backbone_learns_at_its_own_rate():
    model = models.build(WITH_BACKBONE, 3)
    backbone = {id(v) for layer in initialize.backbone_layers(model) for v in layer.trainable_variables}
    before = [v.numpy() for v in model.trainable_variables]
    optimizer = build("sgd(momentum=0)", model, backbone_multiplier=0.25)
    optimizer.apply([tf.ones(v.shape) for v in before])
    # A gradient of 1 at a rate of 0.1, or of a quarter of it.
    for variable, old in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_allclose(old - variable.numpy(), 0.025 if id(variable) in backbone else 0.1, rtol=1e-3)
    assert 0 < len(backbone) < len(before)


def test_layers_learn_slower_the_further_they_are_from_the_heads(monkeypatch):
    monkeypatch.setitem(convnext.VARIANTS, "convnext_tiny", convnext.Variant((2,) * 4, (1, 1, 4, 1), 0.0))
    model = models.build('fpn(backbone="convnext_tiny")', 3)
    before = [v.numpy() for v in model.trainable_variables]
    optimizer = build("adamw", model, learning_rate=0.5, weight_decay=0.5, backbone_multiplier=0.5, layer_decay=0.5)
    optimizer.apply([tf.zeros(v.shape) for v in before])
    # The kernels of a block at distance d decay by 0.5 * 0.5 * 0.5 * 0.5^d, the others by 0.5 * 0.5. The stages are blocks
    # with their downsampling, except that the third has two, of its blocks 0 to 2 and 3; then the stem is at distance 6.
    expected = {"0": 6, "1": 5, "2": 4, "3": 4, "4": 3, "5.0": 3, "5.2": 3, "5.3": 2, "6": 1, "7": 1}
    seen = set()
    for variable, old in zip(model.trainable_variables, before, strict=True):
        part = re.match(r"features\.(5\.\d|\d)", variable.path)
        if variable.name == "kernel":
            factor = 0.125 * 0.5 ** expected.get(part[1], 3) if part else 0.25
            np.testing.assert_allclose(variable.numpy(), (1 - factor) * old, rtol=1e-5, err_msg=variable.path)
            seen.add(part[1] if part else "heads")
    assert seen == {*expected, "5.1", "heads"}


def test_a_frozen_backbone_stays_and_the_rest_moves():
    model = models.build(WITH_BACKBONE, 3)
    initialize.freeze(model, "backbone")
    frozen = {id(v) for layer in initialize.backbone_layers(model) for v in layer.weights}
    optimizer = build("sgd", model)
    before = [v.numpy() for v in model.weights]
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    with tf.GradientTape() as tape:
        # The features of a frozen MobileNet without trained weights are tiny, and so would be the gradient.
        loss = 1e12 * tf.reduce_mean(model(images, training=True)["logits"][..., 0] ** 2)
    optimizer.apply(tape.gradient(loss, model.trainable_variables))
    changed = {id(v): not np.array_equal(v.numpy(), old) for v, old in zip(model.weights, before, strict=True)}
    assert any("moving_variance" in v.path and id(v) in frozen for v in model.weights)
    assert not any(changed[key] for key in frozen)
    assert all(moved for key, moved in changed.items() if key not in frozen)
    assert len(frozen) < len(changed)


def test_a_plain_checkpoint_is_keras_own(tmp_path):
    """A run that began with Keras' optimizer, before the backbone's rate existed, can be resumed."""
    model = dense(2.0)
    plain = keras.optimizers.SGD(optimizers.Schedule("constant", 0.1, 1), momentum=0.5)
    plain.build(model.trainable_variables)
    plain.apply([tf.constant([[1.0]])])
    path = tf.train.Checkpoint(model=model, optimizer=plain).write(str(tmp_path / "variables"))
    again = dense(0.0)
    optimizer = build("sgd(momentum=0.5)", again)
    tf.train.Checkpoint(model=again, optimizer=optimizer).read(path).assert_existing_objects_matched()
    optimizer.apply([tf.constant([[1.0]])])
    # As in test_sgd_by_hand: momentum, weight and the count of steps are restored.
    assert again.trainable_variables[0].numpy().item() == pytest.approx(1.75)
    assert int(optimizer.iterations.numpy()) == 2


def test_options_reach_keras():
    assert build("sgd(momentum=0.99, nesterov=True)", dense(1.0)).momentum == 0.99
    assert build("adam(beta_1=0.8)", dense(1.0)).beta_1 == 0.8
    assert build("rmsprop(centered=True)", dense(1.0)).centered


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build("adamm", dense(1.0)), "Expected optimizer to be one of: sgd, rmsprop, adam, adamw"),
        (lambda: build("sgd(nesterow=True)", dense(1.0)), r"Expected sgd\(momentum, nesterov\)"),
        (lambda: build("sgd", dense(1.0), backbone_multiplier=0.1), "Expected a network that is built on a backbone"),
        (lambda: build("sgd", dense(1.0), layer_decay=0.9), "Expected a network that is built on a backbone"),
        (lambda: initialize.freeze(dense(1.0), "backbone"), "Expected a network that is built on a backbone"),
        (lambda: initialize.freeze(dense(1.0), "encoder"), "Expected --freeze=backbone or none"),
        (lambda: optimizers.Schedule("poli", 0.1, 1), "Expected schedule to be one of: constant, poly"),
        (lambda: optimizers.Schedule("poly(x=1)", 0.1, 1), r"Expected poly\(power, end\)"),
    ],
)
def test_wrong_names_list_the_known(call, message):
    with pytest.raises(ValueError, match=message):
        call()
