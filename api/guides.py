"""The guides and runbooks of `api/docs` as pages under `/docs`: Markdown in git, HTML for people, no script.

It never reads a file because of an address: what is served was read at the start. It looks at nobody: guides hold
no data of an installation.
"""

from html import escape
from pathlib import Path

from aiohttp import web
from markdown_it import MarkdownIt

from api.problems import ApiProblem, Kind

FOLDER = Path(__file__).parent / "docs"
STYLE = "/docs/style.css"

_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'"
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title} · Trellis</title>
<link rel="stylesheet" href="{style}"></head><body><nav><a href="/docs">All guides</a></nav>
<main>{body}</main></body></html>
"""


class Guides:
    """Serves one folder of Markdown files."""

    def __init__(self, folder: Path = FOLDER) -> None:
        texts = {
            path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.md"))
        }
        self._pages = {f"/docs/{name}": _page(path.read_text()) for name, path in texts.items()}
        self._pages["/docs"] = _page(_index(texts))
        self._style = (folder / "style.css").read_text()

    def add_to(self, app: web.Application) -> None:
        """Answer `/docs` and everything below it."""
        app.router.add_get("/docs", self.serve)
        app.router.add_get("/docs/{path:.*}", self.serve)

    async def serve(self, request: web.Request) -> web.Response:
        """Give a guide. Links between guides name files, so `.md` at the end is taken off."""
        path = request.path.rstrip("/").removesuffix(".md")
        if path == STYLE:
            return web.Response(text=self._style, content_type="text/css")
        if path not in self._pages:
            raise ApiProblem(Kind.NOT_FOUND, "there is no such guide; /docs lists them")
        return web.Response(
            text=self._pages[path], content_type="text/html", headers={"Content-Security-Policy": _POLICY}
        )


def _page(markdown: str) -> str:
    title = markdown.split("\n", 1)[0].lstrip("# ")
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    return _PAGE.format(title=escape(title), style=STYLE, body=body)


def _index(texts: dict[str, Path]) -> str:
    lines = ["# Guides", ""]
    for name, path in texts.items():
        title = path.read_text().split("\n", 1)[0].lstrip("# ")
        lines.append(f"- [{title}](/docs/{name})" + (f" (alarm `{path.stem}`)" if "runbooks/" in name else ""))
    return "\n".join(lines)
