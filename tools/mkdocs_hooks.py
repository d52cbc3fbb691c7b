"""Fills the pages of docs/ with what is written elsewhere, while MkDocs builds them: options, data sets, notebook, files.

A line `<!-- options -->` in a page becomes the list of all options; `PARTS` lists the others. Pages cannot go stale this way.
"""

import ast
import dataclasses
import json
import pathlib
import re

from tfseg import config

ROOT = pathlib.Path(__file__).parents[1]
MARK = re.compile(r"^<!-- ([\w ]+?)(?:: (\S+))? -->$", re.MULTILINE)


def on_page_markdown(markdown, **_):
    """Called by MkDocs for every page."""
    return expand(markdown)


def expand(markdown: str) -> str:
    """The text of a page with each line `<!-- part -->` or `<!-- part: argument -->` replaced by that part."""

    def part(match):
        if match[1] not in PARTS:
            raise ValueError(f"Expected a part: {', '.join(PARTS)}. Received: {match[0]}.")
        return PARTS[match[1]](*filter(None, [match[2]]))

    return MARK.sub(part, markdown)


def options() -> str:
    """A list of the options for each section of tfseg/config.py."""
    lines, section = [], None
    for field in dataclasses.fields(config.Config):
        title = field.metadata.get("section", "Options")
        if title != section:
            section = title
            lines += ["", f"## {title}", ""]
        default = field.default
        text = config.as_text(default)
        text = text.lower() if isinstance(default, bool) else text
        choices = ", ".join(f"`{choice}`" for choice in field.metadata["choices"] or () if choice)
        meaning = field.metadata["help"] + (f" One of {choices}." if choices else "")
        lines.append(f"- **`--{field.name}`**{f' (default: `{text}`)' if text else ''}: {meaning}")
    return "\n".join(lines)


def data_sets() -> str:
    """A section for each file of input_pipeline/datasets, from its docstrings and constants."""
    sections = []
    for path in sorted((ROOT / "input_pipeline" / "datasets").glob("[!_]*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        builder = next(node for node in module.body if isinstance(node, ast.ClassDef) and node.name == "Builder")
        constants = {
            target.id: ast.literal_eval(node.value)
            for node in builder.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
        }
        init = next((n for n in builder.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        sections.append(f"## `{path.stem}`\n\n{ast.get_docstring(module)}")
        arguments = init.args if init else None
        if arguments and arguments.kwonlyargs:
            pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            shown = ", ".join(f"{name.arg}={ast.unparse(value)}" if value else name.arg for name, value in pairs)
            sections.append(f"Options: `{path.stem}({shown})`\n\n{ast.get_docstring(init) or ''}")
        known = {"Source": constants.get("URL"), "Licence": constants.get("LICENCE")}
        sections.append("\n\n".join(f"{name}: {_linked(text)}" for name, text in known.items() if text))
    return "\n\n".join(sections)


def notebook(name: str) -> str:
    """The cells of a notebook in docs/."""
    cells = json.loads((ROOT / "docs" / name).read_text(encoding="utf-8"))["cells"]
    texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    return "\n\n".join(f"```python\n{text}\n```" if kind == "code" else text for kind, text in texts)


def file(name: str) -> str:
    """A Markdown file of the repository; its links into docs/ become links between pages."""
    return (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")


def _linked(text):
    return f"<{text}>" if text.startswith("http") else text


PARTS = {"options": options, "data sets": data_sets, "notebook": notebook, "file": file}
