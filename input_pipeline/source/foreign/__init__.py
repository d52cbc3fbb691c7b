"""Recognises the exports of annotation tools and reads them as images with masks of ids, which --mode=convert writes.

    recognise(folder)       -> a sentence that names the tool and what to do, or ""
    read(Tree(folder))      -> Export: the class table, and each image with the function that draws its mask

Each file in `tools/` is a tool; there is no list of them. It has TITLE (the name that users know), `recognises(tree)` and
`read(tree)`.
"""

import contextlib
import shlex
from pathlib import Path
from types import ModuleType

from input_pipeline.source.foreign import strangers
from input_pipeline.source.foreign.export import Export
from input_pipeline.source.foreign.tree import Tree
from tfseg.spec import find, names

TOOLS = f"{__name__}.tools"


def recognise(folder: Path) -> str:
    """Returns a sentence that names the tool whose export is in `folder` and says what to do; "" if there is no export."""
    if not folder.is_dir():
        return ""
    tree = Tree(folder)
    found = [tool.TITLE for tool in tools(tree)]
    if found:
        return (
            f"{folder} holds {' and '.join(found)}. Convert it first: "
            f"python main.py --mode=convert --data_dir={shlex.quote(str(folder))} --output_dir=<new folder>."
        )
    stranger = strangers.title(tree)
    return f"{folder} holds {stranger}, which --mode=convert does not take. {strangers.ADVICE}" if stranger else ""


def tools(tree: Tree) -> list[ModuleType]:
    """The tools whose export the folder holds."""
    found = []
    for tool in (find(TOOLS, name) for name in names(TOOLS)):
        with contextlib.suppress(OSError, ValueError):  # a file that cannot be read is no evidence
            found += [tool] if tool.recognises(tree) else []
    return found


def read(tree: Tree) -> Export:
    """Reads the export that the folder holds. Images and complete masks are read later.

    Raises ValueError if it holds no export that we know, or the exports of several tools.
    """
    found = tools(tree)
    if len(found) == 1:
        try:
            return found[0].read(tree)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError(
                f"Expected {found[0].TITLE}. Received: {tree.root}, which is something else ({error!r}). Export it again."
            ) from error
    if found:
        titles = ", ".join(tool.TITLE for tool in found)
        raise ValueError(
            f"Expected the export of one tool. Received: {tree.root}, which holds {titles}. Give the folder of one of them."
        )
    known = ", ".join(find(TOOLS, name).TITLE for name in names(TOOLS))
    stranger = strangers.title(tree)
    held = f"which holds {stranger}. {strangers.ADVICE}" if stranger else "which holds none of them."
    raise ValueError(f"Expected the export of a tool: {known}. Received: {tree.root}, {held}")
