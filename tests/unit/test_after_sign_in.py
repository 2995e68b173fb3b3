"""The address to open after a sign-in is one of the workspace, whatever its own address says."""

import pytest

from tieout.workspace.web.sign_in import after_sign_in

pytestmark = pytest.mark.requirement("R83")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/USPM/expense?view=all", "/USPM/expense?view=all"),
        ("https://evil.example.com/", "/"),
        ("//evil.example.com/", "/"),
        ("/\\evil.example.com", "/"),
        ("/\t/evil.example.com", "/"),
        ("javascript:alert(1)", "/"),
        ("USPM", "/"),
        ("/a\r\nSet-Cookie: a=b", "/"),
        ("/sign-in?then=/", "/"),
        ("/signed-out", "/"),
        ("/" + "a" * 3_000, "/"),
        ("", "/"),
    ],
)
def test_only_an_address_of_the_workspace_opens_after_sign_in(text: str, path: str) -> None:
    assert after_sign_in(text) == path
