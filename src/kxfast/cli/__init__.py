"""The command line: ``kxfast info | verify | bench | words | segment | cooccur | ssa``, one module each."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

COMMANDS = {
    "info": "print versions, instruction set, threads and backends",
    "verify": "compare every backend and instruction set with the reference on fresh random inputs",
    "bench": "time every operation on real input, every backend beside the reference",
    "words": "find the words of a corpus",
    "segment": "cut the lines of standard input into the words of a lexicon",
    "cooccur": "count pairs of words of a corpus, and fit word vectors to them",
    "ssa": "simulate a reaction network exactly, and write means and standard deviations",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 1 for a failed check, 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="kxfast", description="Fast kernels, each defined by a NumPy reference.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, summary in COMMANDS.items():
        module = import_module(f"kxfast.cli.{name}")
        command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    chosen = parser.parse_args(arguments)
    try:
        status: int = chosen.run(chosen)
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, ImportError, RuntimeError) as error:
        print(f"kxfast {chosen.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"kxfast {chosen.command}: interrupted", file=sys.stderr)
        return 130
    return status
