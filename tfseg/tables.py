"""Formats tables as text, for the terminal and the log."""

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


def text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns, the first to the left and the others to the right; an empty row is a blank line."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # Wider than any terminal, so that no line is wrapped or cut: the same text goes to the log.
    console = Console(file=io.StringIO(), width=10_000, color_system=None, markup=False, highlight=False, emoji=False)
    console.print(table)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
