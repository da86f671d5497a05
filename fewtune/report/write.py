"""From a bundle's folder to a file."""

from __future__ import annotations

import json
from pathlib import Path

from fewtune.bundle.read import read_manifest, verify
from fewtune.bundle.write import MANIFEST, PRIVATE, output_errors, write_atomically
from fewtune.errors import OutputError
from fewtune.report.data import ATTACKS, LABEL_ISSUES, OUT_OF_FOLD, TEST, read_private
from fewtune.report.render import render_report


def write_report(bundle: Path, out: Path | None = None, *, overwrite: bool = False) -> Path:
    """Write the report of a bundle; its examples are shown where its private/ folder came with it.

    Args:
        bundle: the bundle.
        out: the page; by default `<bundle name>-report.html` in the current folder.
        overwrite: replace a file that stands at `out`.

    Returns:
        Where the page is.

    Raises:
        BundleError: the bundle is missing or altered.
        OutputError: `out` exists or cannot be written to.
    """
    manifest = read_manifest(bundle)
    verify(bundle, manifest)
    name = bundle.resolve().name
    out = out or Path(f"{name.removesuffix('.fewtune')}-report.html")
    _check_free(out, overwrite)
    # What a newer fewtune adds to bundle.json is known to its report only, so the file is read as it is.
    facts = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    private = {file: bundle / PRIVATE / file for file in (OUT_OF_FOLD, TEST, LABEL_ISSUES, ATTACKS)}
    data = read_private({file: path.read_bytes() for file, path in private.items() if path.is_file()})
    page = render_report(facts, data, name)
    with output_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, page.encode())
    return out


def _check_free(out: Path, overwrite: bool) -> None:
    with output_errors(out):
        if out.is_dir():
            raise OutputError("This is a folder.", where=str(out), how="Give the name of a file with --out.")
        if out.exists() and not overwrite:
            raise OutputError(
                "There is something at this place already.",
                where=str(out),
                how="Give another --out, or add --overwrite.",
            )
