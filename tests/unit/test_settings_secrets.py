"""The message about an invalid setting names it and never contains a secret."""

from pathlib import Path

import pytest

from engine.errors import SettingError, StoreError
from store.schema.database import connect, shown_url
from tieout.maintenance.health_checks import check
from tieout.settings import load, readable_secrets

SECRET = "hunter2"
CONNECTED = {"TIEOUT_TENANT": "t", "TIEOUT_CLIENT_ID": "c", "TIEOUT_CLIENT_SECRET": SECRET}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BROKER", f"kafka://user:{SECRET}@host:9092"),
        ("BROKER", f"kafka://user:{SECRET},@host:9092"),
        ("BROKER", f"kafka://user:1,{SECRET}@host:9092"),
        ("BROKER", f"kafka://host:9092?password={SECRET}"),
        ("BROKER", f"amqp://user:{SECRET}@host"),
        ("BROKER", f"Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKey={SECRET}"),
        ("BROKER", SECRET),
        ("STORE", f"postgresql+psycopg://user:{SECRET}@host:port/db"),
        ("STORE", f"postgresql+psycopg://user:p@{SECRET}@host/db"),
        ("STORE", f"postgresql+psycopg://user:p@x/{SECRET}@host/db"),
        ("STORE", f"postgresql+psycopg://user@host:{SECRET}/db"),
        ("STORE", f"host=db password={SECRET}"),
        ("STORE", SECRET),
        ("FINANCE", f"https://user:{SECRET}@contoso.operations.dynamics.com"),
        ("DATAVERSE", f"https://hooks.example.com/{SECRET}"),
        ("AUTHORITY", f"http://login.example.com/?key={SECRET}"),
        ("WEBHOOK", f"http://example.com/{SECRET}"),
        ("WEBHOOK", SECRET),
    ],
)
def test_a_wrong_address_is_named_without_what_may_be_secret(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingError) as refused:
        load({**CONNECTED, f"TIEOUT_{name}": value}, tmp_path)
    assert f"TIEOUT_{name}" in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("name", ["broker_password", "client_secret", "webhook", "broker", "store", "finance"])
@pytest.mark.parametrize("value", [f'["{SECRET}"]', f'{{a = "{SECRET}"}}'])
def test_a_secret_of_the_wrong_type_is_named_and_not_repeated(tmp_path: Path, name: str, value: str) -> None:
    (tmp_path / "tieout.toml").write_text(f"{name} = {value}\n", encoding="utf-8")
    with pytest.raises(SettingError) as refused:
        load({}, tmp_path)
    assert f"TIEOUT_{name.upper()}: expected text" in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("text", [f'client_secret = "{SECRET}', f"client_secret = {SECRET}", f"client_secret {SECRET}"])
def test_a_file_that_is_no_toml_is_named_without_its_content(tmp_path: Path, text: str) -> None:
    (tmp_path / "tieout.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingError, match="not TOML") as refused:
        load({}, tmp_path)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("scheme", ["mysql", "oracle+none", "postgresql+pg8000", "nothing"])
def test_a_database_of_another_kind_is_refused_without_its_password(scheme: str) -> None:
    with pytest.raises(StoreError, match="TIEOUT_STORE") as refused:
        connect(f"{scheme}://user:{SECRET}@host/db")
    assert SECRET not in str(refused.value)


def test_a_url_is_shown_without_its_passwords() -> None:
    url = f"postgresql+psycopg://user:{SECRET}@host/db?sslpassword={SECRET}&application_name=a"
    assert shown_url(url) == "postgresql+psycopg://user:***@host/db?application_name=a&sslpassword=hidden"
    assert SECRET not in str(load({"TIEOUT_STORE": url, "TIEOUT_WEBHOOK": f"https://a/{SECRET}"}).shown())


@pytest.mark.parametrize(
    ("text", "mode", "found"),
    [
        ('client_secret = "a"\nstore = "postgresql+psycopg://u:p@h/d"', 0o644, ["client_secret", "store"]),
        ('client_secret = "a"', 0o640, None),
        ('store = "sqlite:///store.sqlite"', 0o644, None),
    ],
)
def test_a_settings_file_with_a_secret_that_everybody_may_read_is_found(
    tmp_path: Path, text: str, mode: int, found: list[str] | None
) -> None:
    file = tmp_path / "tieout.toml"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    assert readable_secrets({}, tmp_path) == (None if found is None else (file, found))


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o640, False)])
def test_a_private_key_that_everybody_may_read_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, warned: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    key = tmp_path / "application.pem"
    key.write_text(SECRET, encoding="ascii")
    key.chmod(mode)
    settings = load({"TIEOUT_CLIENT_CERTIFICATE": str(key)}, tmp_path)
    says = [line.says for line in check(settings) if line.check == "settings"]
    assert any(f"chmod 600 {key}" in text for text in says) is warned
    assert SECRET not in str(says)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("COMPANYS", "COMPANIES"), ("ENVIRONMENT", "ENVIRONMENTS"), ("OUTGOIN", "OUTGOING"), ("BROKERS", "BROKER")],
)
def test_a_variable_that_is_nearly_a_setting_is_refused(tmp_path: Path, written: str, meant: str) -> None:
    with pytest.raises(SettingError, match=f"TIEOUT_{written} is no setting: TIEOUT_{meant} is") as refused:
        load({f"TIEOUT_{written}": SECRET}, tmp_path)
    assert SECRET not in str(refused.value)


def test_variables_of_others_are_let_be(tmp_path: Path) -> None:
    names = ("REQUIRE_CONTAINERS", "SYSTEMS", "IMAGE", "SOAK", "EXAMPLES", "KILLS", "SETTINGS_FOLDER")
    load({f"TIEOUT_{name}": "1" for name in names}, tmp_path)


def test_a_secret_in_the_place_of_the_directory_is_not_repeated(tmp_path: Path) -> None:
    systems = {"TIEOUT_FINANCE": "https://f.example.com", "TIEOUT_DATAVERSE": "https://d.example.com"}
    with pytest.raises(SettingError, match="TIEOUT_TENANT is no directory") as refused:
        load({**systems, **CONNECTED, "TIEOUT_TENANT": f"{SECRET}~x"}, tmp_path)
    assert SECRET not in str(refused.value)
