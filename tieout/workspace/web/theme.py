"""The theme of the pages: light, dark, or that of the system. A cookie keeps it, so that no page is shown in the other
theme first, and the switch works without script.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tieout.workspace.web.security import own_path

THEMES: Final = ("light", "dark")
_COOKIE: Final = "theme"
_COOKIE_AGE: Final = 400 * 86_400  # what browsers allow


def chosen_theme(request: Request) -> str:
    """Return the theme that a reader chose; '' for that of the system."""
    theme = request.cookies.get(_COOKIE, "")
    return theme if theme in THEMES else ""


def choose_theme(request: Request) -> Response:
    """Keep the chosen theme, and return to the page that it was chosen on."""
    query = request.query_params
    response = RedirectResponse(own_path(query.get("back", "")), status_code=303)
    if query.get("theme") in THEMES:
        response.set_cookie(_COOKIE, query["theme"], max_age=_COOKIE_AGE, httponly=True, samesite="strict")
    else:
        response.delete_cookie(_COOKIE, httponly=True, samesite="strict")
    return response
