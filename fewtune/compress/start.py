"""Open a bundle in a fresh process, answer once, say what that took: `python -m fewtune.compress.start BUNDLE THREADS`.

The input comes as a JSON string on standard input.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Print milliseconds and megabytes as JSON."""
    folder, threads = sys.argv[1:]
    value = json.loads(sys.stdin.read())
    started = time.perf_counter()
    from fewtune.runtime import open_bundle, respond
    from fewtune.runtime.machine import peak_memory_mb

    _, runtime = open_bundle(Path(folder), threads=int(threads))
    respond(runtime, runtime.checked([value]))
    load_ms = (time.perf_counter() - started) * 1e3
    print(json.dumps({"load_ms": load_ms, "peak_memory_mb": peak_memory_mb()}))


if __name__ == "__main__":
    main()
