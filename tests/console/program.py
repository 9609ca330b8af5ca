"""The console as a person runs it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def trellis(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the console as a person would, in an empty folder (no `.env`) with a home of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TRELLIS_", "RAY_"))}
    return subprocess.run(
        [sys.executable, str(ROOT / "trellis.py"), *arguments],
        env={**clean, "TRELLIS_HOME": str(home), "COLUMNS": "120", **environ},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
