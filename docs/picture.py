"""Draw docs/demo.svg from a real run of the demo, in a temporary folder."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from fewtune.demo import run_demo
from fewtune.progress import SilentProgress
from fewtune.terminal import show_fit


def main() -> None:
    console = Console(record=True, width=96, force_terminal=True)
    console.print("[bold green]$[/] fewtune demo\n")
    with tempfile.TemporaryDirectory() as folder:
        result, answers = run_demo(Path(folder) / "fewtune-demo", progress=SilentProgress())
        show_fit(console, replace(result, bundle=Path("fewtune-demo") / result.bundle.name))
    console.print("\nNew texts:")
    for answer in answers:
        console.print(
            f"  {answer.text}  →  {answer.prediction} ({answer.confidence:.0%})", highlight=False, markup=False
        )
    svg = console.export_svg(title="fewtune")
    # The picture asks nobody for its letters: any monospaced font will do.
    svg = re.sub(r"@font-face \{.*?\}\n?", "", svg, flags=re.DOTALL)
    (Path(__file__).parent / "demo.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
