"""Sessions of the workspace on both databases: they are found by their token until they end or expire."""

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine, select

from store.operational.sessions import MINUTE, Session, Sessions, digest
from store.schema import tables

pytestmark = pytest.mark.requirement("R83")

NOW = 1_000_000_000_000_000
HOUR = 60 * MINUTE
ANN = Session(
    subject="1", name="ann", roles=("operator", "viewer:GBPM"), id_token="t", began=NOW, seen=NOW, ends=NOW + 8 * HOUR
)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.containers)])
def engine(request: pytest.FixtureRequest) -> Engine:
    store: Engine = request.getfixturevalue(f"{request.param}_store")
    return store


@pytest.fixture
def sessions(engine: Engine) -> Sessions:
    return Sessions(engine, engine, idle=HOUR)


def test_a_session_is_found_by_its_token_and_the_store_has_its_digest_only(engine: Engine, sessions: Sessions) -> None:
    assert sessions.begin("token", "nonce", ANN)
    assert sessions.find("token", NOW) == ANN
    assert sessions.find("other", NOW) is None
    with engine.connect() as connection:
        row = connection.execute(select(tables.sessions)).one()
    assert (row.id, row.sign_in) == (digest("token"), digest("nonce"))
    assert "token" not in row[:2]


def test_a_sign_in_begins_one_session_even_after_its_end(sessions: Sessions) -> None:
    assert sessions.begin("token", "nonce", ANN)
    assert not sessions.begin("other", "nonce", ANN)
    sessions.end("token", NOW)
    assert not sessions.begin("other", "nonce", ANN)
    assert sessions.find("other", NOW) is None


def test_a_session_ends_after_its_idle_time_unless_a_request_is_noted(sessions: Sessions) -> None:
    sessions.begin("token", "nonce", ANN)
    assert sessions.find("token", NOW + HOUR - 1) is not None
    assert sessions.find("token", NOW + HOUR) is None
    # Too late: a request after the end begins nothing again.
    sessions.note("token", NOW + HOUR)
    assert sessions.find("token", NOW + HOUR) is None
    sessions.note("token", NOW + HOUR - 1)
    assert sessions.find("token", NOW + 2 * HOUR - 2) is not None


def test_a_session_ends_at_its_absolute_expiry_whatever_is_noted(sessions: Sessions) -> None:
    sessions.begin("token", "nonce", ANN)
    for hour in range(1, 17):
        sessions.note("token", NOW + hour * HOUR // 2 - 1)
    assert sessions.find("token", NOW + 8 * HOUR - 1) is not None
    assert sessions.find("token", NOW + 8 * HOUR) is None


def test_a_session_that_has_ended_is_not_found_and_its_id_token_is_gone(engine: Engine, sessions: Sessions) -> None:
    sessions.begin("token", "nonce", ANN)
    sessions.begin("second", "another nonce", ANN)
    sessions.end("token", NOW + 1)
    sessions.note("token", NOW + 2)
    assert sessions.find("token", NOW + 2) is None
    assert sessions.find("second", NOW + 2) is not None
    with engine.connect() as connection:
        kept = connection.execute(select(tables.sessions.c.id_token).order_by(tables.sessions.c.id_token)).scalars()
        assert list(kept) == ["", "t"]


def test_expired_sessions_are_deleted_when_another_begins(engine: Engine, sessions: Sessions) -> None:
    sessions.begin("token", "nonce", ANN)
    later = NOW + 8 * HOUR
    sessions.begin("second", "another nonce", replace(ANN, began=later, seen=later, ends=later + HOUR))
    with engine.connect() as connection:
        assert connection.execute(select(tables.sessions.c.id)).scalars().all() == [digest("second")]
