"""Writes `docs/configuration.md`, or with `--check` fails where it is stale."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from modelspan.processor.config.render import reference

PAGE = Path("docs/configuration.md")


def main() -> int:
    """Write or check the page, relative to the working directory, which is the root of the repository."""
    parser = argparse.ArgumentParser(prog="python -m modelspan.processor.config", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where the page is stale")
    if not parser.parse_args().check:
        PAGE.write_text(reference())
        return 0
    if PAGE.is_file() and PAGE.read_text() == reference():
        return 0
    sys.stderr.write(f"{PAGE} is stale: run python -m modelspan.processor.config\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
