"""A small OpenID Connect provider on this machine, whose every response a test may change.

Whoever opens its sign-in page is signed in as `person`, without a password.
"""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import msgspec
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from tests.support.http_service import Asked, Reply, answering, json_reply

CLIENT_ID, SECRET = "tieout", "s3cret-of-the-workspace"


class IdentityProvider:
    """Issues codes and ID tokens.

    `claims` changes those of the next tokens; a value of None removes a claim. `headers` changes their headers.
    `replies` replace a response, by its path.
    """

    def __init__(self) -> None:
        self.address = ""
        self.person: dict[str, Any] = {"sub": "1", "preferred_username": "ann@contoso.com", "roles": ["operator"]}
        self.claims: dict[str, Any] = {}
        self.headers: dict[str, Any] = {}
        self.keys = [RSAKey.generate_key(2048, parameters={"kid": "key-1", "use": "sig"})]
        self.signing: RSAKey | None = None
        """The key that signs, if it is not the last of `keys`."""
        self.sign: Callable[[bytes], bytes] | None = None
        """Returns a signature of another kind."""
        self.metadata: dict[str, Any] = {}
        self.replies: dict[str, Reply] = {}
        self.delay_seconds = 0.0
        """How long each response takes."""
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.accept_codes_again = False
        self.public = False
        """Whether the workspace is registered without a secret."""
        self._codes: dict[str, dict[str, str]] = {}

    @property
    def issuer(self) -> str:
        """Its issuer, as `TIEOUT_ISSUER`."""
        return f"{self.address}/realm"

    def rotate(self) -> None:
        """Replace the key, as providers do regularly."""
        number = len(self.requests) + 2
        self.keys = [RSAKey.generate_key(2048, parameters={"kid": f"key-{number}", "use": "sig"})]

    def paths(self) -> list[str]:
        """The paths of all requests, without the realm."""
        return [path.removeprefix("/realm") for path, _ in self.requests]

    def answer(self, asked: Asked) -> Reply:
        path = asked.path
        time.sleep(self.delay_seconds)
        form = dict(parse_qsl(asked.query)) | dict(parse_qsl(asked.body.decode()))
        self.requests.append((path, form))
        name = path.removeprefix("/realm")
        if name in self.replies:
            return self.replies[name]
        match name:
            case "/.well-known/openid-configuration":
                return json_reply(200, self._discovery())
            case "/keys":
                return json_reply(200, KeySet([*self.keys]).as_dict(private=False))
            case "/authorize":
                return self._authorize(form)
            case "/token":
                return self._token(form, asked.headers.get("Authorization", ""))
            case "/logout":
                then = form.get("post_logout_redirect_uri", "")
                return 302, {"Location": then}, b""
        return json_reply(404, {"error": "not_found"})

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "end_session_endpoint": f"{self.issuer}/logout",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            **self.metadata,
        }

    def _authorize(self, form: dict[str, str]) -> Reply:
        code = secrets.token_urlsafe(16)
        self._codes[code] = form
        back = f"{form['redirect_uri']}?{urlencode({'code': code, 'state': form['state'], 'iss': self.issuer})}"
        return 302, {"Location": back}, b""

    def _token(self, form: dict[str, str], authorization: str) -> Reply:
        expected = "" if self.public else "Basic " + base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()
        if authorization != expected:
            return json_reply(401, {"error": "invalid_client"})
        asked = self._codes.get(form.get("code", ""))
        if asked is not None and not self.accept_codes_again:
            del self._codes[form["code"]]
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).decode().rstrip("=")
        if asked is None or asked.get("code_challenge") != challenge or asked["redirect_uri"] != form["redirect_uri"]:
            return json_reply(400, {"error": "invalid_grant", "error_description": "Code not valid"})
        return json_reply(200, {"token_type": "Bearer", "access_token": "a", "id_token": self.id_token(asked["nonce"])})

    def id_token(self, nonce: str) -> str:
        """Return a signed token of the person."""
        now = int(time.time())
        usual = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": nonce, **self.person}
        claims = {name: value for name, value in {**usual, **self.claims}.items() if value is not None}
        key = self.signing or self.keys[-1]
        header = {"alg": "RS256", "kid": self.keys[-1].kid, **self.headers}
        if self.sign is not None:
            signed = b".".join(base64.urlsafe_b64encode(msgspec.json.encode(part)) for part in (header, claims))
            signed = signed.replace(b"=", b"")
            return (signed + b"." + base64.urlsafe_b64encode(self.sign(signed)).rstrip(b"=")).decode()
        return jwt.encode(header, claims, key, algorithms=[header["alg"]])


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    """Serve a provider on a free port of this machine."""
    provider = IdentityProvider()
    with answering(provider.answer) as provider.address:
        yield provider


def query_of(address: str) -> dict[str, str]:
    """Return the query of an address; of several values the last."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(address).query).items()}


Change = Callable[[IdentityProvider], None]
"""What a test changes before somebody signs in."""
