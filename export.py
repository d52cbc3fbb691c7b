"""Exports a run: python export.py --workdir=<run> --output_dir=<folder>. The same as main.py --mode=export."""

from tfseg import command_line

if __name__ == "__main__":
    command_line.run("export")
