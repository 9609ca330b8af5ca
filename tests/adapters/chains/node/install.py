"""Install tronweb, as the lock names it, for the tests that drive a devnet with it; `make test` runs this.

Without it those tests are skipped and say so: a machine that reaches no registry can still run all others.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
REPOSITORY = FOLDER.parents[3]
STAMP = FOLDER / "node_modules" / ".installed"
LIMIT_S = 300


def find_node() -> tuple[Path, Path]:
    """Give the Node that builds the dashboard, and its npm."""
    specification = importlib.util.spec_from_file_location("web_build", REPOSITORY / "api" / "web" / "build.py")
    assert specification is not None
    assert specification.loader is not None
    build = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(build)
    node, npm = build.find_node()
    return Path(node), Path(npm)


def main() -> int:
    """Install, or say what is not tested."""
    try:
        node, npm = find_node()
        installing = [node, npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(installing, cwd=FOLDER, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        problem = "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1:]
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    if problem:
        print(f"! tronweb could not be installed, so its tests are not run: {problem}")
        return 0
    STAMP.write_text(f"{node}\n")
    print("✓ tronweb, for the tests of the TRON devnet")
    return 0


if __name__ == "__main__":
    sys.exit(main())
