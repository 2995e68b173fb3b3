"""Pages from templates: whole ones, and ones whose first part is sent before the rest is known."""

import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from hashlib import sha256
from importlib.resources import files
from itertools import chain
from typing import Any, Final

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from engine.reconciliation.explanations import LABELS
from tieout.workspace.web.streaming import Pieces

_FLUSH: Final = Markup("<!--flush-->")
"""Where a template has this, what stands before it is sent: rows are read while totals are still added up."""


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tieout.workspace"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
    )
    environment.filters["sentence"] = sentence
    environment.filters["label"] = label
    environment.globals["flush"] = _FLUSH
    environment.globals["static"] = static_address
    return environment


def sentence(text: str) -> str:
    """Return a text with its first letter in upper case; proper nouns keep their capitals."""
    return text[:1].upper() + text[1:]


def label(code: str) -> str:
    """Return the label of a status, cause or finding; of a code without one, its words in sentence case.

    A filter that matches the whole code (`=draft`) has the label of the code.
    """
    code = code.removeprefix("=")
    return LABELS.get(code) or sentence(code.replace("-", " "))


def render(request: Request, template: str, context: dict[str, Any], stack: ExitStack | None = None) -> Response:
    """A page, sent in the pieces that its template says. `stack` is closed when the last one is made."""
    pieces = _environment().get_template(template).generate(context)
    compressed = "gzip" in request.headers.get("accept-encoding", "")
    headers = {"Vary": "Accept-Encoding, Accept-Language"}
    if compressed:
        headers["Content-Encoding"] = "gzip"
    chunks = _chunks(pieces, compressed=compressed)
    stack = stack or ExitStack()
    try:
        # The first piece is made now: what goes wrong in it is still an answer of its own.
        first = next(chunks)
    except BaseException:
        stack.close()
        raise
    return Pieces(chain([first], chunks), stack, "text/html", headers)


def _chunks(pieces: Iterator[str], *, compressed: bool) -> Iterator[bytes]:
    compress = zlib.compressobj(6, zlib.DEFLATED, 31) if compressed else None
    held: list[str] = []
    for piece in pieces:
        if piece != _FLUSH:
            held.append(piece)
            continue
        data = "".join(held).encode()
        held.clear()
        yield data if compress is None else compress.compress(data) + compress.flush(zlib.Z_SYNC_FLUSH)
    data = "".join(held).encode()
    yield data if compress is None else compress.compress(data) + compress.flush()


@cache
def static_file(name: str) -> tuple[bytes, str, str] | None:
    """A file of ours: bytes, media type and the digest that its address carries."""
    kinds = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    place = files("tieout.workspace") / "static" / name
    kind = kinds.get(name.rpartition(".")[2])
    if kind is None or "/" in name or not place.is_file():
        return None
    body = place.read_bytes()
    return body, kind, sha256(body).hexdigest()[:12]


def static_address(name: str) -> str:
    """The address of a file of ours; it changes with the file, so that browsers may keep it for ever."""
    found = static_file(name)
    if found is None:
        raise LookupError(name)
    return f"/static/{name}?{found[2]}"


def static_response(request: Request) -> Response:
    """A file of ours."""
    found = static_file(request.path_params["name"])
    if found is None:
        return Response(status_code=404)
    body, kind, digest = found
    current = request.url.query == digest
    return Response(
        body,
        media_type=kind,
        headers={"Cache-Control": "public, max-age=31536000, immutable" if current else "no-cache"},
    )
