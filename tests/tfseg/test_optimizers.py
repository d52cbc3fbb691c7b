import keras
import numpy as np
import pytest

from tfseg import optimizers


def rates(factor, total, warmup=0, steps=None):
    schedule = optimizers.Schedule(factor, 0.1, total, warmup)
    return [float(schedule(step)) for step in (steps if steps is not None else range(total))]


def test_constant_and_poly_by_hand():
    assert rates("constant", 3) == pytest.approx([0.1, 0.1, 0.1])
    # 0.1 * (1 - step/4)^2: 1, 9/16, 1/4, 1/16; 0 from step 4 on.
    assert rates("poly(power=2)", 4, steps=range(6)) == pytest.approx([0.1, 0.05625, 0.025, 0.00625, 0.0, 0.0])
    # 0.2 + 0.8 * (1 - step/2)
    assert rates("poly(power=1, end=0.2)", 2, steps=range(3)) == pytest.approx([0.1, 0.06, 0.02])


def test_warm_up_is_linear_and_then_the_schedule_starts():
    # (step + 1) / 4 for the first three steps; poly over the remaining 4: 1, 3/4, 1/2, 1/4.
    assert rates("poly(power=1)", 7, warmup=3) == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.075, 0.05, 0.025])


def test_clipping_by_hand():
    # Norm of (3, 4) is 5: a limit of 1 divides by 5, one of 10 changes nothing.
    gradients = [np.float32(3.0), np.float32(4.0)]
    np.testing.assert_allclose(optimizers.clip(gradients, np.float32(5.0), 1.0), [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(optimizers.clip(gradients, np.float32(5.0), 10.0), [3.0, 4.0], rtol=1e-6)
    assert optimizers.clip(gradients, np.float32(5.0), 0.0) is gradients


def test_decay_is_for_kernels_only():
    inputs = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(3, 1)(inputs)
    x = keras.layers.PReLU(shared_axes=[1, 2])(keras.layers.BatchNormalization()(x))
    x = keras.layers.DepthwiseConv2D(1)(x)
    model = keras.Model(inputs, keras.layers.Conv2DTranspose(1, 2)(x))
    zeros = [np.zeros(v.shape, np.float32) for v in model.trainable_variables]
    decayed = optimizers.decay(zeros, model.trainable_variables, 0.5)
    for gradient, variable in zip(decayed, model.trainable_variables, strict=True):
        expected = 0.5 * variable.numpy() if len(variable.shape) == 4 and "kernel" in variable.name else 0.0
        np.testing.assert_allclose(gradient, np.broadcast_to(expected, variable.shape))
    assert sum(np.any(g) for g in decayed) == 3


def test_momentum_and_adam_take_their_options():
    schedule = optimizers.Schedule("constant", 0.1, 1)
    assert optimizers.build("sgd(momentum=0.99, nesterov=True)", schedule).momentum == 0.99
    assert optimizers.build("adam(beta_1=0.8)", schedule).beta_1 == 0.8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: optimizers.build("adamm", s), "Expected optimizer to be one of: sgd, adam"),
        (lambda s: optimizers.build("sgd(nesterow=True)", s), r"Expected sgd\(momentum, nesterov\)"),
        (lambda s: optimizers.Schedule("poli", 0.1, 1), "Expected schedule to be one of: constant, poly"),
        (lambda s: optimizers.Schedule("poly(x=1)", 0.1, 1), r"Expected poly\(power, end\)"),
    ],
)
def test_wrong_names_list_the_known(call, message):
    with pytest.raises(ValueError, match=message):
        call(optimizers.Schedule("constant", 0.1, 1))
