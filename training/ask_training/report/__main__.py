"""Command line: ``python -m ask_training.report [--bundle DIR] [--to DIR] [--card FILE]``.

The figures are drawn and the tables in DIR/README.md and in the model card are renewed, from a bundle's manifest and
stored predictions and the results of the trained comparisons. Neither data nor weights are needed. A table stands
between ``<!-- NAME -->`` and ``<!-- end -->``; the text around it stays."""

import argparse
import re
import sys
from pathlib import Path

from ..data.files import write_atomically
from .stored import read_stored
from .tables import classes, models, tables

HERE = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="ask_training.report")
    bundle = "default: the committed one; its results and card are then the other defaults"
    parser.add_argument("--bundle", type=Path, help=bundle)
    parser.add_argument("--to", type=Path)
    parser.add_argument("--card", type=Path, help="a file with a place for the tables of models and classes")
    options = parser.parse_args(arguments)
    if options.bundle is None:
        options.bundle = HERE.parent / "models" / "default"
        options.to = options.to or HERE / "results"
        options.card = options.card or HERE.parent / "models" / "README.md"
    if options.to is None:
        parser.error("--to must say where the results of another bundle go")
    try:
        stored = read_stored(options.bundle)
        options.to.mkdir(parents=True, exist_ok=True)
        renew(options.to / "README.md", tables(stored, options.to))
        if options.card:
            renew(options.card, {"classes": classes(stored), "models": models(stored)})
    except (ValueError, OSError) as error:
        sys.exit(f"ask_training.report: {error}")


def renew(path: Path, found: dict[str, str]) -> None:
    """Replaces the tables that the file has a place for; raises ValueError for a place without a table."""
    text = path.read_text() if path.exists() else "".join(f"<!-- {name} -->\n<!-- end -->\n\n" for name in found)
    for name in re.findall(r"<!-- (?!end)(.+?) -->", text):
        if name not in found:
            raise ValueError(f"{path}: there is no table {name!r}; there are {', '.join(found)}")
        place = re.compile(rf"<!-- {re.escape(name)} -->\n.*?<!-- end -->", re.DOTALL)
        text = place.sub(lambda _, name=name: f"<!-- {name} -->\n{found[name]}\n<!-- end -->", text)
    write_atomically(path, lambda to: to.write_text(text))


if __name__ == "__main__":
    main()
