"""--mode=profile --profile=input."""

import pytest

from tfseg import profile, profile_input
from tfseg.config import Config


@pytest.mark.parametrize(("cache", "device"), [("none", "host"), ("memory", "device")])
def test_the_slower_of_stream_and_step_is_named(cache, device, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(profile_input, "SECONDS", 0.2)
    config = Config(
        mode="profile",
        profile="input",
        dataset="streets(train=4, val=1, size=(32, 48))",
        cache_dir=str(tmp_path),
        model="unet(width=2)",
        crop_size=(32, 32),
        batch_size=2,
        cache=cache,
        augment_device=device,
    )
    (found,) = profile.profile(config)
    assert found["stream"] > 0
    assert found["step"] > 0
    slower = "stream" if found["stream"] < found["step"] else "step"
    assert found["limit"] == slower
    said = capsys.readouterr().out
    assert f"The {slower} limits training" in said
    assert f"Stream alone: {found['stream']:.1f} images/s ({cache} cached, augmentation on the {device})" in said


def test_a_rate_is_of_images(monkeypatch):
    clock = iter([0.0, 2.0, 5.5, 5.5])
    monkeypatch.setattr(profile_input.time, "perf_counter", lambda: next(clock))
    # After one call that does not count, two calls of 4 images until 5 seconds are over: 8 images in 5.5 s.
    calls = []
    assert profile_input.rate(lambda: calls.append(1), 4, 1) == pytest.approx(8 / 5.5)
    assert len(calls) == 3
