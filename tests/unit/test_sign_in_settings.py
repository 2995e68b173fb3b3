"""The settings of sign-in are complete, and encrypted wherever others could listen; else nothing starts."""

from pathlib import Path

import pytest

from engine.errors import SettingError
from tieout.settings import load

pytestmark = pytest.mark.requirement("R83")

LOOPBACK = {
    "TIEOUT_ISSUER": "https://login.contoso.com/realm",
    "TIEOUT_SIGN_IN_CLIENT_ID": "tieout",
    "TIEOUT_WORKSPACE_ADDRESS": "http://127.0.0.1:8080",
}
BEHIND = {**LOOPBACK, "TIEOUT_WORKSPACE_ADDRESS": "https://tieout.contoso.com", "TIEOUT_TRUSTED_PROXIES": "10.0.0.5"}


@pytest.mark.parametrize(
    "environment",
    [
        LOOPBACK,
        BEHIND,
        {**BEHIND, "TIEOUT_TRUSTED_PROXIES": "10.0.0.0/8, ::1", "TIEOUT_TRUSTED_HOSTS": "tieout.internal"},
        {**BEHIND, "TIEOUT_WORKSPACE_ADDRESS": "https://tieout.contoso.com:8443"},
        {**LOOPBACK, "TIEOUT_ISSUER": "http://127.0.0.1:8180/realms/tieout"},
        {**LOOPBACK, "TIEOUT_ROLES": "g1=viewer, g2=operator:uspm, sub:7=administrator", "TIEOUT_COMPANIES": "Uspm"},
        {**LOOPBACK, "TIEOUT_SESSION_IDLE_MINUTES": "15", "TIEOUT_SESSION_HOURS": "8"},
    ],
)
def test_complete_settings_are_accepted(tmp_path: Path, environment: dict[str, str]) -> None:
    assert load(environment, tmp_path).sign_in_client_id == "tieout"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TIEOUT_SIGN_IN_SECRET": "hunter2!"}, "TIEOUT_SIGN_IN_SECRET is set, and the workspace has no sign-in"),
        ({"TIEOUT_WORKSPACE_ADDRESS": "https://a.example.com"}, "the workspace has no sign-in: set TIEOUT_ISSUER"),
        ({"TIEOUT_TRUSTED_PROXIES": "10.0.0.5"}, "the workspace has no sign-in: set TIEOUT_ISSUER"),
        ({"TIEOUT_ROLES": "g1=viewer"}, "the workspace has no sign-in: set TIEOUT_ISSUER"),
        ({"TIEOUT_ISSUER": "https://login.contoso.com"}, "TIEOUT_SIGN_IN_CLIENT_ID and TIEOUT_WORKSPACE_ADDRESS not"),
        ({**LOOPBACK, "TIEOUT_ISSUER": "http://login.contoso.com"}, "TIEOUT_ISSUER: write the issuer as"),
        ({**LOOPBACK, "TIEOUT_ISSUER": "https://a:hunter2!@contoso.com"}, "TIEOUT_ISSUER: write the issuer as"),
        ({**LOOPBACK, "TIEOUT_ISSUER": "https://contoso.com?key=hunter2!"}, "TIEOUT_ISSUER: write the issuer as"),
        ({**LOOPBACK, "TIEOUT_WORKSPACE_ADDRESS": "http://tieout.contoso.com"}, "TIEOUT_WORKSPACE_ADDRESS: write"),
        ({**BEHIND, "TIEOUT_WORKSPACE_ADDRESS": "https://tieout.contoso.com/path"}, "TIEOUT_WORKSPACE_ADDRESS: write"),
        ({**BEHIND, "TIEOUT_WORKSPACE_ADDRESS": "https://tieout.contoso.com/"}, "TIEOUT_WORKSPACE_ADDRESS: write"),
        ({**BEHIND, "TIEOUT_WORKSPACE_ADDRESS": "https://Tieout.contoso.com"}, "TIEOUT_WORKSPACE_ADDRESS: write"),
        ({**BEHIND, "TIEOUT_WORKSPACE_ADDRESS": "https://tieout.contoso.com:443"}, "TIEOUT_WORKSPACE_ADDRESS: write"),
        ({**BEHIND, "TIEOUT_TRUSTED_PROXIES": ""}, "set TIEOUT_TLS_CERTIFICATE for an own certificate, or"),
        ({**BEHIND, "TIEOUT_TRUSTED_PROXIES": "proxy"}, "'proxy' is no address or network"),
        ({**BEHIND, "TIEOUT_TRUSTED_PROXIES": "10.0.0.1/8"}, "'10.0.0.1/8' is no address or network"),
        ({**BEHIND, "TIEOUT_TRUSTED_HOSTS": "*"}, "is no host name"),
        ({**BEHIND, "TIEOUT_TRUSTED_HOSTS": "https://a"}, "is no host name"),
        ({**BEHIND, "TIEOUT_TLS_KEY": "key.pem"}, "TIEOUT_TLS_KEY is set and TIEOUT_TLS_CERTIFICATE is not"),
        ({**LOOPBACK, "TIEOUT_TLS_CERTIFICATE": "a.pem"}, "write https in TIEOUT_WORKSPACE_ADDRESS"),
        ({**LOOPBACK, "TIEOUT_ROLES": "g1=boss"}, "'g1=boss' gives no role"),
        (
            {**LOOPBACK, "TIEOUT_ROLES": "g1=viewer:GBPM", "TIEOUT_COMPANIES": "USPM"},
            "names the company GBPM, which TIEOUT_COMPANIES does not",
        ),
        ({**LOOPBACK, "TIEOUT_SESSION_HOURS": "0"}, "TIEOUT_SESSION_IDLE_MINUTES=60"),
        ({**LOOPBACK, "TIEOUT_SESSION_HOURS": "200"}, "TIEOUT_SESSION_HOURS=200"),
        ({**LOOPBACK, "TIEOUT_SESSION_IDLE_MINUTES": "0"}, "TIEOUT_SESSION_IDLE_MINUTES=0"),
        ({"TIEOUT_ISSUERS": "https://login.contoso.com"}, "TIEOUT_ISSUERS is no setting: TIEOUT_ISSUER is"),
    ],
)
def test_incomplete_settings_are_refused_without_their_secrets(
    tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingError) as refused:
        load(environment, tmp_path)
    assert message in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_the_secret_of_the_workspace_is_shown_nowhere(tmp_path: Path) -> None:
    shown = load({**LOOPBACK, "TIEOUT_SIGN_IN_SECRET": "hunter2!"}, tmp_path).shown()
    assert shown["sign_in_secret"] == "***"
    assert "hunter2" not in str(shown)
