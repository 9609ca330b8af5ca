"""The dashboard's files: which of them answers an address, under which policy, and how long a browser may keep it.

It serves what the build left in `api/web/dist` from memory, so that no path from outside ever reaches the file
system, and takes a new build without a restart. It never looks at who asks: the pages hold nothing of anybody.
"""

import gzip
import hashlib
import logging
import mimetypes
from pathlib import Path

import msgspec
from aiohttp import hdrs, web

from api.problems import ApiProblem, Kind

log = logging.getLogger(__name__)

DIST = Path(__file__).parent / "web" / "dist"
STAMP = ".built"
INDEX = "/index.html"

# Everything that is not the interface of a program. These belong to the API and answer in its own way.
PAGES_PATH = r"/{path:(?!(?:api/|healthz$|metrics$)).*}"

# The build leaves nothing inline (`nuxt.config.ts`), so there is no hash and no exception to keep up to date.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "object-src 'none'",
        "form-action 'self'",
    )
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_KEEP = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_COMPRESSED_BYTES_MIN = 1024

_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Trellis</title>
<h1>The dashboard is not built</h1>
<p>Stop Trellis and start it with <code>make run</code>, or build the pages beside it with <code>make web</code>;
this page then shows them.</p>
<p>The API runs: <a href="/healthz">/healthz</a>, <a href="/api/v1/openapi.json">/api/v1/openapi.json</a>.
The console runs too: <code>.venv/bin/trellis --help</code>.</p></html>
"""


class _File(msgspec.Struct, frozen=True):
    body: bytes
    zipped: bytes | None
    media_type: str
    tag: str
    cache: str


class Pages:
    """Serves one folder of built files."""

    def __init__(self, dist: Path = DIST) -> None:
        self._dist = dist
        self._files: dict[str, _File] = {}
        self._built_ns = 0

    def add_to(self, app: web.Application) -> None:
        """Answer every address that is not the API's."""
        app.router.add_get(PAGES_PATH, self.serve)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Give the file of this name, or the page whose script knows the address."""
        self._take_new_build()
        if not self._files:
            return _not_built()
        path = request.path
        file = self._files.get(path)
        if file is None:
            if "." in path.rpartition("/")[2]:
                raise ApiProblem(Kind.NOT_FOUND)  # A file that is gone is no page.
            file = self._files[INDEX]
        return _answer(request, file)

    def _take_new_build(self) -> None:
        # The stamp is written last, so a build in progress is not taken.
        try:
            built_ns = (self._dist / STAMP).stat().st_mtime_ns
        except FileNotFoundError:
            return
        if built_ns != self._built_ns:
            self._files = _read(self._dist)
            self._built_ns = built_ns
            log.info("pages.loaded files=%s", len(self._files))


def _read(dist: Path) -> dict[str, _File]:
    files = {}
    for path in sorted(dist.rglob("*")):
        if not path.is_file() or path.name.startswith("."):
            continue
        body = path.read_bytes()
        name = "/" + path.relative_to(dist).as_posix()
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        zipped = gzip.compress(body, 6, mtime=0) if _is_text(media_type, body) else None
        files[name] = _File(
            body=body,
            zipped=zipped,
            media_type=media_type,
            tag=hashlib.sha256(body).hexdigest()[:20],
            cache=_KEEP if name.startswith("/_nuxt/") else _ASK_AGAIN,
        )
    return files if INDEX in files else {}


def _is_text(media_type: str, body: bytes) -> bool:
    is_text = media_type.startswith("text/") or media_type.endswith(("javascript", "json", "+xml"))
    return is_text and len(body) >= _COMPRESSED_BYTES_MIN


def _answer(request: web.Request, file: _File) -> web.Response:
    headers = {
        **_HEADERS,
        hdrs.CACHE_CONTROL: file.cache,
        hdrs.ETAG: f'"{file.tag}"',
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
    }
    if any(each.value == file.tag for each in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    body = file.body
    if file.zipped is not None and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        body = file.zipped
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    is_text = file.zipped is not None or file.media_type.startswith("text/")
    return web.Response(
        body=body, headers=headers, content_type=file.media_type, charset="utf-8" if is_text else None
    )


def _not_built() -> web.Response:
    headers = {**_HEADERS, hdrs.CACHE_CONTROL: "no-store"}
    return web.Response(status=503, text=_NOT_BUILT, content_type="text/html", headers=headers)
