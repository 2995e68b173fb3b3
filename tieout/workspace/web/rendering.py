"""Renders templates, sending the first part of a page before the rest is available."""

import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import cache, lru_cache, partial
from hashlib import sha256
from importlib.resources import files
from itertools import chain
from typing import Any, Final, NamedTuple

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from engine.reconciliation.explanations import LABELS
from tieout.access.identities import Right
from tieout.texts import Texts
from tieout.workspace.web.context import address_of, texts_of
from tieout.workspace.web.identity import identity_of
from tieout.workspace.web.streaming import ChunkedResponse
from tieout.workspace.web.theme import chosen_theme

_FLUSH: Final = Markup("<!--flush-->")
"""Marks in a template where the preceding part is sent: rows are sent while totals are still computed."""


@lru_cache(maxsize=32)
def _environment(texts: Texts) -> jinja2.Environment:
    """Return the templates in one language."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tieout.workspace"),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
    )
    # Placeholders are named, and their values are escaped.
    environment.install_gettext_translations(texts.translations, newstyle=True)  # type: ignore[attr-defined]
    environment.globals["texts"] = texts
    environment.filters["sentence"] = sentence
    environment.filters["label"] = partial(label, texts=texts)
    environment.filters["text_of"] = partial(_text_of, texts)
    environment.globals["flush"] = _FLUSH
    environment.globals["static"] = static_address
    return environment


def sentence(text: str) -> str:
    """Return a text with its first letter in upper case; proper nouns keep their capitals."""
    return text[:1].upper() + text[1:]


def label(code: str, texts: Texts) -> str:
    """Return the label of a status, cause or finding; of a code without one, its words in sentence case.

    A filter that matches the whole code (`=draft`) has the label of the code.
    """
    code = code.removeprefix("=")
    if code in LABELS:
        return texts.of_code(code, LABELS[code])
    return sentence(code.replace("-", " "))


def _text_of(texts: Texts, code: str, table: Mapping[str, str]) -> str:
    """Return the text that a table has for a code; for an unknown code its words."""
    return texts.of_code(code, table.get(code) or code.replace("-", " "))


def render(request: Request, template: str, context: dict[str, Any], stack: ExitStack | None = None) -> Response:
    """Render a page in the parts that its template marks, with what surrounds every page. `stack` is closed after the
    last one.
    """
    identity = identity_of(request)
    shell = {"identity": identity, "theme": chosen_theme(request), "here": address_of(request)}
    if "frame" in context:
        # What a person may not do is not offered; the routes check it again.
        shell["may_operate"] = identity.may(Right.OPERATE, context["frame"].code)
        shell["may_administer"] = identity.may_everywhere(Right.ADMINISTER)
        shell["navigation"] = request.app.state.navigation(context["frame"])
    pieces = _environment(texts_of(request)).get_template(template).generate(context | shell)
    compressed = "gzip" in request.headers.get("accept-encoding", "")
    headers = {"Vary": "Accept-Encoding, Accept-Language"}
    if compressed:
        headers["Content-Encoding"] = "gzip"
    chunks = _chunks(pieces, compressed=compressed)
    stack = stack or ExitStack()
    try:
        # Render the first part now: its failure can still become an error response.
        first = next(chunks)
    except BaseException:
        stack.close()
        raise
    return ChunkedResponse(chain([first], chunks), stack, "text/html", headers)


def _chunks(pieces: Iterator[str], *, compressed: bool) -> Iterator[bytes]:
    compress = zlib.compressobj(6, zlib.DEFLATED, 31) if compressed else None
    pending: list[str] = []
    for piece in pieces:
        if piece != _FLUSH:
            pending.append(piece)
            continue
        data = "".join(pending).encode()
        pending.clear()
        yield data if compress is None else compress.compress(data) + compress.flush(zlib.Z_SYNC_FLUSH)
    data = "".join(pending).encode()
    yield data if compress is None else compress.compress(data) + compress.flush()


class StaticFile(NamedTuple):
    """A static file: its bytes, plain and compressed, its media type, and the digest in its address."""

    body: bytes
    compressed: bytes
    kind: str
    digest: str


@cache
def static_file(name: str) -> StaticFile | None:
    """Return a static file; None if there is none of this name."""
    kinds = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    path = files("tieout.workspace") / "static" / name
    kind = kinds.get(name.rpartition(".")[2])
    if kind is None or "/" in name or not path.is_file():
        return None
    body = path.read_bytes()
    return StaticFile(body, gzip.compress(body, mtime=0), kind, sha256(body).hexdigest()[:12])


def static_address(name: str) -> str:
    """Return the address of a static file; it changes with the content, so browsers may cache it permanently."""
    file = static_file(name)
    if file is None:
        raise LookupError(name)
    return f"/static/{name}?{file.digest}"


def static_response(request: Request) -> Response:
    """Return a static file, compressed if the browser accepts that."""
    file = static_file(request.path_params["name"])
    if file is None:
        return Response(status_code=404)
    current = request.url.query == file.digest
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if current else "no-cache",
        "Vary": "Accept-Encoding",
    }
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.body, media_type=file.kind, headers=headers)
    return Response(file.compressed, media_type=file.kind, headers=headers | {"Content-Encoding": "gzip"})
