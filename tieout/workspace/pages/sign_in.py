"""Sign-in, the return from the identity provider, and sign-out (R83)."""

from typing import Final
from urllib.parse import quote

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tieout.access.errors import RESPONSE_FAULTS, ProviderUnavailable, SignInRefused
from tieout.texts import Texts
from tieout.workspace.web.context import texts_of, workspace_of
from tieout.workspace.web.rendering import render
from tieout.workspace.web.sign_in import after_sign_in

log = structlog.get_logger(__name__)


def sign_in(request: Request) -> Response:
    """Redirect to the identity provider; `then` is the address to open after the sign-in."""
    service, then = workspace_of(request).sign_in, after_sign_in(request.query_params.get("then", "/"))
    if service is None:
        return RedirectResponse("/", status_code=303)
    if request.headers.get("host", "").lower() != service.address.partition("://")[2]:
        # Under another name of this server the browser would not send the cookie at the return.
        return RedirectResponse(f"{service.address}/sign-in?then={quote(then, safe='')}", status_code=303)
    if service.identity(request) is not None:
        return RedirectResponse(then, status_code=303)
    try:
        return service.begin(lambda address: RedirectResponse(address, status_code=303), then)
    except ProviderUnavailable as error:
        return _unavailable(request, error, then)


def callback(request: Request) -> Response:
    """Begin a session after the return from the identity provider, and open the address that was asked for."""
    service = workspace_of(request).sign_in
    if service is None:
        return RedirectResponse("/", status_code=303)
    state, then = request.query_params.get("state", ""), "/"
    client = request.client.host if request.client else ""
    try:
        entry = service.entry(request)
        then = after_sign_in(entry.then)
        token, identity = service.finish(request, entry)
    except SignInRefused as error:
        log.warning("sign_in_refused", reason=error.reason, detail=error.detail, client=client)
        response = _refused(request, error, then)
    except ProviderUnavailable as error:
        response = _unavailable(request, error, then)
    else:
        log.info("signed_in", name=identity.name, client=client)
        response = RedirectResponse(then, status_code=303)
        service.set_session(response, token)
    service.delete_entry(response, state)
    return response


def sign_out(request: Request) -> Response:
    """End the session here, then at the identity provider."""
    service = workspace_of(request).sign_in
    if service is None:
        return RedirectResponse("/", status_code=303)
    address = service.sign_out(request)
    # A page with a redirect of its own: the content policy permits no redirect of a form to another site.
    response = _signed_out(request, address) if address else RedirectResponse("/signed-out", status_code=303)
    service.delete_session(response)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def signed_out(request: Request) -> Response:
    """Show that the person is signed out."""
    return _signed_out(request, None)


def _signed_out(request: Request, address: str | None) -> Response:
    texts = texts_of(request)
    text = texts.gettext("You are signed out of the workspace.")
    return _page(request, 200, texts.gettext("Signed out"), text, "/", onward=address)


def _refused(request: Request, error: SignInRefused, then: str) -> Response:
    texts = texts_of(request)
    status = 403 if error.reason in ("no-role", "no-name", "refused") else 400
    return _page(request, status, texts.gettext("Sign-in failed"), _reason(error, texts), then)


def _reason(error: SignInRefused, texts: Texts) -> str:
    """Return why a sign-in failed, and what to do."""
    ask = texts.gettext("If it happens again, ask the administrator of tieout.")
    match error.reason:
        case "no-role":
            return texts.gettext(
                "The account %(name)s has no role in this workspace. Ask the administrator of tieout for one.",
                name=error.detail,
            )
        case "no-name":
            return texts.gettext(
                "The identity provider sent no usable name for this account. Ask the administrator of tieout."
            )
        case "refused":
            return texts.gettext("The identity provider refused the sign-in (%(reason)s).", reason=error.detail)
        case "unknown-state" | "used-already":
            return texts.gettext("This sign-in has expired or was used already. Sign in again.")
        case "expired":
            said = texts.gettext("The response of the identity provider has expired. Sign in again.")
        case "not-yet-valid":
            said = texts.gettext(
                "The response of the identity provider is not valid yet: its clock and that of the workspace differ."
            )
        case "wrong-audience":
            said = texts.gettext("The response of the identity provider is for another application.")
        case "wrong-issuer":
            said = texts.gettext("The response is from another identity provider.")
        case "bad-signature":
            said = texts.gettext("The signature of the identity provider is not valid.")
        case _:
            assert error.reason in RESPONSE_FAULTS
            said = texts.gettext("The response of the identity provider does not belong to this sign-in.")
    return f"{said} {ask}"


def _unavailable(request: Request, error: ProviderUnavailable, then: str) -> Response:
    log.error("sign_in_unavailable", reason=str(error))
    texts = texts_of(request)
    text = texts.gettext(
        "The identity provider does not respond as expected, so nobody can sign in at the moment. Try again later; the "
        "log of the workspace has the reason. People who are signed in are not affected."
    )
    return _page(request, 503, texts.gettext("Sign-in unavailable"), text, then)


def _page(request: Request, status: int, title: str, text: str, then: str, onward: str | None = None) -> Response:
    context = {"title": title, "text": text, "again": f"/sign-in?then={quote(then, safe='')}", "onward": onward}
    response = render(request, "sign_in.html", context)
    response.status_code = status
    return response


ROUTES: Final = (
    Route("/sign-in", sign_in, methods=["GET"]),
    Route("/sign-in/callback", callback, methods=["GET"]),
    Route("/sign-out", sign_out, methods=["POST"]),
    Route("/signed-out", signed_out, methods=["GET"]),
)
