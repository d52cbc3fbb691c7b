"""Generated pages, and pages that count things, are not stale."""

import pathlib
import re

import pytest

import input_pipeline
import models
from benchmarks import zoo
from input_pipeline import ops
from models import backbones
from tests import symbolic
from tfseg import losses, metrics, profile

ROOT = pathlib.Path(__file__).parents[1]
COUNTS = {
    "networks": len(models.names()) - 1,  # `classifier` does not count
    "architectures": len(models.names()) - 1,
    "backbones": len(backbones.names()),
    "data sets": len(input_pipeline.names()),
    "losses": len(losses.names()),
    "metrics": len(metrics.names()),
    "augmentations": len(ops.names()),
}


PAGE = (ROOT / "docs" / "models.md").read_text()
COSTS = {
    spec: tuple(cells.split(" | ")) for spec, cells in re.findall(r"^\| `(.+?)` \| (.+? \| .+?) \|", PAGE, re.MULTILINE)
}


def test_the_page_of_models_is_what_make_zoo_writes():
    """Names, parity files and papers; to count everything on the page again, `make zoo` needs a minute."""
    expected, received = zoo.page(lambda spec: COSTS.get(spec, ("?", "?"))).splitlines(), PAGE.splitlines()
    missing, stale = ([line for line in a if line not in b] for a, b in ((expected, received), (received, expected)))
    assert not missing + stale, f"Run `make zoo`. {missing=} {stale=}"
    assert expected == received, "Run `make zoo`: the order of the lines is another."


@pytest.mark.parametrize("name", [name for name in models.names() if name != "classifier"])
def test_the_page_of_models_counts_right(name):
    parameters = profile.parameters(symbolic.build(name, zoo.CLASSES))
    assert COSTS.get(name, ("no row",))[0] == f"{parameters:,}", "Run `make zoo`."


@pytest.mark.parametrize("what", COUNTS)
def test_the_readme_counts_right(what):
    text = (ROOT / "README.md").read_text()
    for number in re.findall(rf"\b(\d+)\s+(?:\w+\s+)?{what}\b", text):
        assert int(number) == COUNTS[what], f"README.md: expected {COUNTS[what]} {what}. Received: {number}."
