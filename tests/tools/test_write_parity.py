"""The writer of parity files, against a network of ours and against values computed by hand."""

import gzip
import json

import numpy as np
import pytest

import models
from models import weights
from tests.parity import fill, test_parity

torch = pytest.importorskip("torch", reason="writing a parity file needs the torch package (pip install torch)")

from tools import write_parity  # noqa: E402

SOURCE = {"repo": "ours", "file": "tests/tools/test_write_parity.py", "arguments": ""}


class Double(torch.nn.Module):
    """milesial's double convolution."""

    def __init__(self, channels, width):
        super().__init__()
        self.double_conv = torch.nn.Sequential(
            torch.nn.Conv2d(channels, width, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(width),
            torch.nn.ReLU(),
            torch.nn.Conv2d(width, width, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(width),
            torch.nn.ReLU(),
        )

    def forward(self, x):
        return self.double_conv(x)


class Down(torch.nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.maxpool_conv = torch.nn.Sequential(torch.nn.MaxPool2d(2), Double(channels, width))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(torch.nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.up = torch.nn.ConvTranspose2d(channels, width, 2, stride=2)
        self.conv = Double(channels, width)

    def forward(self, x, skip):
        return self.conv(torch.cat([skip, self.up(x)], 1))


class UNet(torch.nn.Module):
    """U-Net of milesial's layout, very narrow, with a head that nothing uses."""

    def __init__(self, width=2, classes=5):
        super().__init__()
        self.inc = Double(3, width)
        self.down1, self.down2 = Down(width, 2 * width), Down(2 * width, 4 * width)
        self.down3, self.down4 = Down(4 * width, 8 * width), Down(8 * width, 16 * width)
        self.up1, self.up2 = Up(16 * width, 8 * width), Up(8 * width, 4 * width)
        self.up3, self.up4 = Up(4 * width, 2 * width), Up(2 * width, width)

        class Out(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = torch.nn.Conv2d(width, classes, 1)

        self.outc, self.spare = Out(), torch.nn.Linear(3, 4)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x4 = self.down3(x3)
        x = self.up1(self.down4(x4), x4)
        return {"out": self.outc.conv(self.up4(self.up3(self.up2(x, x3), x2), x1))}


def written(path, **options):
    given = {"spec": "unet(width=2)", "num_classes": 5, "source": SOURCE, "sizes": [(32, 48), (64, 32)]}
    return write_parity.write(UNet(), path, output=lambda returned: returned["out"], **{**given, **options})


def test_a_written_file_is_what_our_network_gives(tmp_path):
    written(tmp_path / "unet_narrow.json.gz")
    parity = fill.read_all(tmp_path)["unet_narrow"]
    assert parity["unused"] == ["spare.weight", "spare.bias"]
    model = models.build(parity["spec"], 5, normalization=None, native_resolution=True)
    weights.load(model, fill.state_dict(parity, drop=parity["unused"]))
    for case in parity["cases"]:
        assert 0 < case["float32_noise"] < 1e-4
        test_parity.check(np.asarray(model(fill.image(case))["logits"]), case)
        with pytest.raises(AssertionError):
            test_parity.check(1.001 * np.asarray(model(fill.image(case))["logits"]), case)


def test_the_same_module_gives_the_same_bytes(tmp_path):
    for name in ("unet_a.json.gz", "unet_a2.json.gz"):
        written(tmp_path / name)
    first, second = (gzip.decompress((tmp_path / n).read_bytes()) for n in ("unet_a.json.gz", "unet_a2.json.gz"))
    assert first.replace(b"unet_a", b"") == second.replace(b"unet_a2", b"")
    assert (tmp_path / "unet_a.json.gz").read_bytes()[4:8] == bytes(4)  # no time in the header


def test_counts_by_hand(tmp_path):
    class Tiny(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)
            self.act, self.fc = torch.nn.PReLU(4), torch.nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(self.act(self.conv(x)).mean((2, 3)))

    path = tmp_path / "resnet18_tiny.json"
    write_parity.write(
        Tiny(), path, spec='classifier(backbone="resnet18")', num_classes=2, source=SOURCE, sizes=[(8, 8)]
    )
    content = json.loads(path.read_text())
    assert content["state"] == [
        ["conv.weight", [4, 3, 3, 3], "conv"],
        ["conv.bias", [4], "bias"],
        ["act.weight", [4], "prelu"],
        ["fc.weight", [2, 4], "linear"],
        ["fc.bias", [2], "bias"],
    ]
    assert content["trainable_params"] == 4 * 27 + 4 + 4 + 8 + 2
    assert content["gmacs"] == pytest.approx((64 * 4 * 27 + 8) / 1e9)
    assert content["cases"][0]["output_shape"] == [1, 2]
    assert len(content["cases"][0]["values"]) == 2


def test_a_module_that_is_registered_twice_is_an_alias():
    module = torch.nn.Module()
    module.key = torch.nn.Conv2d(3, 2, 1)
    module.query = module.key
    assert write_parity.kinds(module) == [
        ["key.weight", [2, 3, 1, 1], "conv"],
        ["key.bias", [2], "bias"],
        ["query.weight", [2, 3, 1, 1], "alias:key.weight"],
        ["query.bias", [2], "alias:key.bias"],
    ]


def test_a_name_that_does_not_begin_with_the_module_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"name begins with unet\. Received: milesial\.json"):
        written(tmp_path / "milesial.json")
