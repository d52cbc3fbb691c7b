"""docs/weights.md: every command is accepted and builds the network of its row, and the backbones are those of the code."""

import pathlib
import re
import shlex

import pytest
from absl import flags

import models
import tfseg.spec as specs
from models import backbones
from tests import symbolic
from tests.models import test_published_checkpoints
from tfseg import config as config_lib
from tfseg import hub, profile

PAGE = (pathlib.Path(__file__).parents[1] / "docs" / "weights.md").read_text(encoding="utf-8")
NETWORKS, HUB, BACKBONES = re.split(r"^## (?:The Hugging Face Hub|ImageNet weights of backbones)$", PAGE, flags=re.M)


def table(text):
    """The rows of the table in a text: cells without backquotes."""
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", text, re.M)]
    return rows[2:]  # without the names of the columns, and the line below them


def commands(text):
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()]


def parse(command):
    program, script, *words = shlex.split(command)
    assert (program, script) == ("python", "main.py")
    flag_values = flags.FlagValues()
    config_lib.define_flags(flag_values)
    assert flag_values(["main.py", *words]) == ["main.py"], "words that are no options"
    return config_lib.from_flags(flag_values)


ROWS = table(NETWORKS)
COMMANDS = commands(NETWORKS.partition("## The commands")[2])


def test_every_row_has_a_command_and_the_order_is_the_same():
    assert len(ROWS) >= 50
    assert [(row[6], int(row[7])) for row in ROWS] == [(c.model, c.num_classes) for c in map(parse, COMMANDS)]
    assert len({parse(command).init_from for command in COMMANDS}) == len(COMMANDS)


@pytest.mark.parametrize(
    ("row", "command"), list(zip(ROWS, COMMANDS, strict=False)), ids=lambda x: x[2] if x[0] == "[" else ""
)
def test_a_command_builds_the_network_of_its_row(row, command):
    config = parse(command)
    model = symbolic.build(config.model, config.num_classes, normalization=config.normalization)
    assert model.output["logits"].shape[-1] == config.num_classes
    if size := re.match(r"≈ (\S+) MB", row[3]):
        assert size[1] == f"{4 * profile.parameters(model) / 1e6:.3g}", "four bytes for each parameter"
    if config.mode == "evaluate":
        call = specs.parse(config.dataset)
        data = specs.find("input_pipeline.datasets", call.name)
        specs.check(data.Builder, call, None, pathlib.Path())
        classes = (
            data.CLASSES[40] if call.name == "nyuv2" else data.CLASSES
        )  # 40 by default; CamVid's twelfth is unlabelled
        assert config.num_classes - len(classes) in (0, 1), (
            "the file's classes are the data set's, and perhaps one for everything else"
        )
    else:
        assert config.images
        assert config.output_dir


@pytest.mark.parametrize("row", table(HUB), ids=lambda row: row[0])
def test_a_repository_of_the_hub_has_a_network(row):
    repository, commit, _, _, spec, classes, seen = row
    assert hub.parse(f"hf:{repository}")[0] == repository
    assert commit == "-" or (re.fullmatch("[0-9a-f]{40}", commit) and seen.startswith("name, "))
    assert classes == "any" or int(classes) in (19, 21, 150, 1000)
    call = specs.parse(spec)
    architecture = specs.find("models", call.name) if call.name in models.names() else None
    if architecture:
        specs.check(architecture.build, call, None, None)
    of = getattr(architecture, "backbone_of", None)
    backbone = specs.apply(of, call) if of else call.kwargs.get("backbone")
    if backbone not in backbones.names():
        pytest.skip(f"this version does not have {spec} yet")


def test_the_commands_of_the_hub_are_accepted():
    for command in commands(HUB)[1:]:
        assert hub.is_named(parse(command).init_from)


def test_what_is_checked_here_is_what_the_tests_load():
    checked = {pathlib.Path(row[2]).stem for row in ROWS if row[8].startswith("outputs")}
    assert checked == set(test_published_checkpoints.SPECS)


def test_backbones():
    found = {name: tuple(cells) for name, *cells in table(BACKBONES)}
    expected = {}
    for name in backbones.names():
        try:
            weights = backbones.weights(name)
        except ValueError:
            continue
        digits = weights.sha256[:8] or f"MD5 {weights.md5[:8]}"
        score = "not stated" if weights.score is None else f"{weights.score}"
        expected[name] = (weights.url.rpartition("/")[2], digits, score, weights.source)
    assert found == expected
