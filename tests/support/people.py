"""People at their browsers, who sign in to a workspace."""

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

import httpx
from msgspec.structs import replace

from tests.support.containers import free_port
from tests.support.identity_provider import CLIENT_ID, SECRET, IdentityProvider
from tests.support.workspace import Served
from tieout.settings import Settings
from tieout.workspace.server import listen, serve_in_background


def with_sign_in(settings: Settings, provider: IdentityProvider, port: int, **changes: object) -> Settings:
    """Return settings with sign-in at a provider, for a workspace on a port of this machine."""
    own = {
        "issuer": provider.issuer,
        "sign_in_client_id": CLIENT_ID,
        "sign_in_secret": SECRET,
        "workspace_address": f"http://127.0.0.1:{port}",
    }
    return replace(settings, **{**own, **changes})


@contextmanager
def served_with_sign_in(settings: Settings, provider: IdentityProvider, **changes: object) -> Iterator[Served]:
    """Serve a workspace with sign-in on a free port."""
    port = free_port()
    signed = with_sign_in(settings, provider, port, **changes)
    listening = listen(port)
    with serve_in_background(signed, listening):
        yield Served(f"http://127.0.0.1:{port}", signed)


class Person:
    """A browser: it keeps cookies, `Secure` ones on this machine as well, and follows no redirect by itself."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cookies: dict[str, str] = {}
        """Cookies of the workspace."""
        self.other_cookies: dict[str, str] = {}
        """Cookies of the identity provider."""
        self._http = httpx.Client(timeout=30)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Open an address of the workspace, or an absolute one."""
        return self._received(self._http.get(self._absolute(path), headers=self._headers(path, headers)))

    def post(self, path: str, form: dict[str, str] | None = None, **headers: str) -> httpx.Response:
        """Send a form of a page of the workspace."""
        sent = {"origin": self.address, "sec-fetch-site": "same-origin", **headers}
        return self._received(self._http.post(self._absolute(path), data=form, headers=self._headers(path, sent)))

    def follow(self, response: httpx.Response) -> httpx.Response:
        """Follow redirects to their end."""
        while response.is_redirect:
            response = self.get(response.headers["location"])
        return response

    def sign_in(self, path: str = "/") -> httpx.Response:
        """Open an address, sign in at the provider, and return the page that opens in the end."""
        return self.follow(self.get(path))

    def sign_in_with_password(self, name: str, password: str) -> httpx.Response:
        """Sign in at the form of an identity provider, and return the page that opens in the end."""
        form = self.sign_in()
        action = re.search(r'action="([^"]+)"', form.text)
        assert action is not None, form.text
        return self.follow(self.post(html.unescape(action[1]), {"username": name, "password": password}))

    def close(self) -> None:
        self._http.close()

    def _absolute(self, path: str) -> str:
        return path if path.startswith("http") else f"{self.address}{path}"

    def _headers(self, path: str, headers: dict[str, str]) -> dict[str, str]:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        own = urlsplit(self._absolute(path)).netloc == urlsplit(self.address).netloc
        cookies = self.cookies if own else self.other_cookies
        if cookies and "cookie" not in given:
            given["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        return given

    def _received(self, response: httpx.Response) -> httpx.Response:
        own = urlsplit(str(response.url)).netloc == urlsplit(self.address).netloc
        cookies = self.cookies if own else self.other_cookies
        for line in response.headers.get_list("set-cookie"):
            for name, cookie in SimpleCookie(line).items():
                if cookie["max-age"] == "0":
                    cookies.pop(name, None)
                else:
                    cookies[name] = cookie.value
        return response
