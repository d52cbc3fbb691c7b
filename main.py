"""Trains, evaluates, predicts, checks, prepares and exports: python main.py --flagfile=configs/<run>.flags (--help)."""

from tfseg import command_line

if __name__ == "__main__":
    command_line.run()
