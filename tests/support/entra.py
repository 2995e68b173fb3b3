"""A sign-in service and a managed identity endpoint on this machine, with the responses of Microsoft Entra ID and
Azure.
"""

import base64
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

TENANT, CLIENT_ID, SECRET = "contoso", "0f1c0000-0000-4000-8000-00000000c11e", "s3cret-value"
IDENTITY_HEADER = "header-of-the-machine"


class Certificate:
    """A self-signed certificate of this machine, and its key."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
        now = datetime.now(UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def written(self, path: Path) -> Path:
        """Write certificate and key to one file, readable by its owner only."""
        path.touch(mode=0o600)
        path.write_text(self.key_pem + self.pem, encoding="ascii")
        return path


Reply = tuple[int, dict[str, str], bytes]


class Entra:
    """Issues numbered one-hour tokens to callers that authenticate as the application or the managed identity.

    `replies` replace a response, by the end of its path. `forms` are the token requests, `asked` all paths.
    """

    def __init__(self) -> None:
        self.address = ""
        self.known: Certificate | None = None
        """Certificate registered for the application."""
        self.replies: dict[str, Reply] = {}
        self.forms: list[dict[str, str]] = []
        self.asked: list[str] = []

    def answer(self, path: str, query: str, headers: Any, body: bytes) -> Reply:
        self.asked.append(path)
        for end, reply in self.replies.items():
            if path.endswith(end):
                return reply
        if path == f"/{TENANT}/v2.0/.well-known/openid-configuration":
            at = f"{self.address}/{TENANT}"
            names = {"authorization_endpoint": "authorize", "token_endpoint": "token"}
            return _json(200, {"issuer": at, **{key: f"{at}/oauth2/v2.0/{name}" for key, name in names.items()}})
        if path == f"/{TENANT}/oauth2/v2.0/token":
            return self._token(dict(parse_qsl(body.decode())))
        if path == "/msi/token":
            return self._identity(dict(parse_qsl(query)), headers)
        return _json(400, {"error": "invalid_tenant", "error_description": "AADSTS90002: Tenant not found."})

    def _token(self, form: dict[str, str]) -> Reply:
        self.forms.append(form)
        if form.get("client_id") != CLIENT_ID:
            return _json(400, {"error": "unauthorized_client", "error_description": "AADSTS700016: not found"})
        if not (form.get("client_secret") == SECRET or self._proves(form.get("client_assertion", ""))):
            return _json(401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret"})
        return _json(200, {"token_type": "Bearer", "expires_in": 3600, "access_token": f"token-{len(self.forms)}"})

    def _proves(self, assertion: str) -> bool:
        if self.known is None:
            return False
        try:
            claims = jwt.decode(
                assertion,
                self.known.key.public_key(),
                algorithms=["PS256"],
                audience=f"{self.address}/{TENANT}/oauth2/v2.0/token",
            )
        except jwt.PyJWTError:
            return False
        thumbprint = base64.urlsafe_b64encode(self.known.certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
        named = jwt.get_unverified_header(assertion)["x5t#S256"].rstrip("=")
        return (claims["iss"], claims["sub"], named) == (CLIENT_ID, CLIENT_ID, thumbprint)

    def _identity(self, query: dict[str, str], headers: Any) -> Reply:
        """Respond as App Service does."""
        self.forms.append(query)
        if headers.get("X-IDENTITY-HEADER") != IDENTITY_HEADER:
            return _json(401, {"statusCode": 401, "message": "the header is wrong"})
        ends = int(time.time()) + 3600
        token = f"token-{len(self.forms)}"
        return _json(200, {"access_token": token, "expires_on": str(ends), "resource": query.get("resource")})


def _json(status: int, content: object) -> Reply:
    return status, {"Content-Type": "application/json"}, msgspec.json.encode(content)


@contextmanager
def signing_in(certificate: Certificate | None = None, folder: Path | None = None) -> Iterator[Entra]:
    """Serve sign-in over TLS with a certificate; over HTTP without one, as a machine's own endpoint does."""
    entra = Entra()

    class Handler(BaseHTTPRequestHandler):
        def _answered(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, content = entra.answer(url.path, url.query, self.headers, body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answered  # noqa: N815 - as the server looks for them

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scheme = "http"
    if certificate is not None:
        assert folder is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.written(folder / "server.pem"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    entra.address = f"{scheme}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield entra
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
