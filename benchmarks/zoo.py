"""`make zoo`: docs/models.md, a row for every architecture and variant, from the modules, the parity files and the networks."""

import importlib
import inspect
import pathlib
import re

import keras
from tqdm import tqdm

import models
from tests import symbolic
from tests.parity import fill
from tfseg import profile
from tfseg import spec as specs

SIZE, CLASSES = (360, 480), 11  # CamVid's
ROOT = pathlib.Path(__file__).parents[1]
HEAD = f"""# Models

`make zoo` writes this page. Parameters are counted with {CLASSES} classes. GMACs are 1e9 multiply-accumulates for one image of
{SIZE[0]}x{SIZE[1]}, as counted by `--mode=profile`; a dash means that the network does not take such an image.

The last column names the files of `tests/parity` whose outputs the network gives, at image sizes that divide by its stride and
at others. *Held out* means that the file here has only names, shapes and counts. *Counts* means that there is no file, and that
the network has as many parameters as its reference. Published scores are mean IoU in percent, as the named source states them
for its own training.

| network | parameters | GMACs | parity |
|---|---|---|---|
"""


def main():
    """Writes the page."""
    path = ROOT / "docs" / "models.md"
    text = page()
    path.write_text(text)
    print(f"{text.count('| `')} networks in {path.relative_to(ROOT)}")


def cost(spec: str) -> tuple[str, str]:
    """(parameters, 1e9 multiply-accumulates) as the page has them."""
    try:
        model = symbolic.build(spec, CLASSES, (*SIZE, None))
        macs = f"{profile.multiply_accumulates(model) / 1e9:.2f}"
    except ValueError:  # An image too small for the network, or of a size that only other options take.
        model, macs = symbolic.build(spec, CLASSES), "-"
    keras.backend.clear_session()
    return f"{profile.parameters(model):,}", macs


def page(cost=cost) -> str:
    """The page's text; `cost` counts a network."""
    rows, papers = [], []
    parity = fill.read_all()
    names = [name for name in models.names() if name != "classifier"]
    for name in tqdm(names, "zoo", unit="network"):
        module = importlib.import_module(f"models.{name}")
        variants = sorted(
            {
                name,
                *_reference(module)["params"],
                *(p["spec"] for p in parity.values() if specs.parse(p["spec"]).name == name),
            }
        )
        seen = []
        for spec in variants:
            if options(specs.parse(spec)) in seen:  # the default, written out
                continue
            seen.append(options(specs.parse(spec)))
            rows.append("| " + " | ".join([f"`{spec}`", *cost(spec), _parity(spec, parity, module)]) + " |")
        papers.append(_paper(name, module))
    return HEAD + "\n".join(rows) + "\n\n## Papers, references, published scores\n\n" + "\n".join(papers) + "\n"


def _parity(spec, parity, module):
    """Which files say that the network is right."""
    call, found = specs.parse(spec), []
    for file, content in parity.items():
        if options(specs.parse(content["spec"])) == options(call):
            held_out = all(case["values"] is None for case in content["cases"])
            found.append(f"{file} (held out)" if held_out else file)
    return ", ".join(found) or ("counts" if _reference(module)["params"].get(spec) else "-")


def options(call: specs.Call) -> tuple[str, dict]:
    """Name and options of a spec, the defaults filled in."""
    parameters = inspect.signature(importlib.import_module(f"models.{call.name}").build).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
    return call.name, defaults | call.kwargs


def _reference(module):
    """A module's REFERENCE; one without has a test of its own that fails."""
    return {"params": {}, "source": "none", **getattr(module, "REFERENCE", {})}


def _paper(name, module):
    """A line of the list: title, address, reference, scores."""
    text = inspect.getdoc(module)
    title = text.splitlines()[0].rstrip(".")
    address = re.search(r"https?://\S+[^\s.,;)]", text)
    source, published = (
        _reference(module)["source"],
        _reference(module).get("published", "none that we can name a source of"),
    )
    return f"- **{name}**: {title}. {address[0] if address else ''} Reference: {source}. Published: {published}."


if __name__ == "__main__":
    main()
