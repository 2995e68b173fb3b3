"""The preview of a sync and its confirmation: what the dry run says, and nothing beyond what was shown (R40)."""

import base64
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.calendar import Company, Window
from engine.errors import QuestionError
from engine.syncing import Left
from store.grids import GridQuery
from store.queries import Snapshot
from tests.support.desks import COMPANY, Desk
from tieout import previews
from tieout.previews import Confirmed, Preview, Shown, read_token
from tieout.syncing import Limits, TooManyCalls, plan_of


@pytest.fixture
def desk() -> Desk:
    return Desk()


def window_of(snapshot: Snapshot) -> tuple[Company, Window]:
    company = snapshot.company(COMPANY)
    return company, snapshot.window(company, None, None)


def previewed(desk: Desk) -> Preview:
    with desk.reader.snapshot() as snapshot:
        return previews.of_window(snapshot, desk.settings, *window_of(snapshot))


def confirmed(desk: Desk, preview: Preview) -> Confirmed:
    with desk.reader.snapshot() as snapshot:
        return previews.confirm(snapshot, desk.settings, snapshot.company(COMPANY), read_token(preview.token))


@pytest.mark.requirement("R40")
def test_a_preview_says_what_the_dry_run_says_and_its_confirmation_requests_just_that(desk: Desk) -> None:
    preview, dry = previewed(desk), desk.plan()
    assert preview.tasks == dry.tasks
    assert [(one.name, one.cause) for one in preview.left] == [
        (one.row.document.document, one.row.cause) for one in dry.left
    ]
    done = confirmed(desk, preview)
    assert sorted(done.request.tasks, key=str) == sorted(dry.tasks, key=str)
    assert done.request.changes == dry.changes
    assert (done.changed, done.request.restart, done.request.by_person) == ([], False, True)
    assert done.request.run is not None
    assert (done.request.id, done.request.run.id) == (preview.id, preview.id)


@pytest.mark.requirement("R40")
def test_what_changed_since_the_preview_is_left_out_and_named(desk: Desk) -> None:
    preview = previewed(desk)
    desk.sync()
    done = confirmed(desk, preview)
    shown = {name for task in preview.tasks for name in task.documents}
    asked = {name for task in done.request.tasks for name in task.documents}
    assert asked | set(done.changed) == shown
    assert len(done.changed) > 20
    again = {(task.action, task.subject) for task in done.request.tasks}
    assert again <= {(task.action, task.subject) for task in preview.tasks}


@pytest.mark.requirement("R42")
def test_a_form_that_asks_for_what_is_left_to_a_person_requests_nothing(desk: Desk) -> None:
    preview = previewed(desk)
    rejected = next(one for one in preview.left if isinstance(one.step, Left) and one.cause == "not-approved")
    forged = Shown(preview.id, "documents", COMPANY, "forged", [("approval", "0", [rejected.name])])
    with desk.reader.snapshot() as snapshot:
        done = previews.confirm(snapshot, desk.settings, snapshot.company(COMPANY), forged)
    assert (done.request.tasks, done.changed) == ((), [rejected.name])


def test_a_form_of_another_company_is_refused(desk: Desk) -> None:
    shown = msgspec.structs.replace(read_token(previewed(desk).token), company="GBPM")
    with desk.reader.snapshot() as snapshot, pytest.raises(QuestionError, match="another company"):
        previews.confirm(snapshot, desk.settings, snapshot.company(COMPANY), shown)


@pytest.mark.requirement("R40")
def test_more_calls_than_a_page_starts_are_refused_with_the_advice_to_narrow(desk: Desk) -> None:
    with desk.reader.snapshot() as snapshot:
        company, window = window_of(snapshot)
        query = GridQuery(company=company.code, kind="expense", window=window, view="missing-actuals")
        assert len(plan_of(snapshot, desk.settings, [query], Limits(30, 40)).tasks) == 30
        with pytest.raises(TooManyCalls, match=r"more than 29 calls\. Narrow it"):
            plan_of(snapshot, desk.settings, [query], Limits(29, 40))
        with pytest.raises(TooManyCalls, match=r"more than 39 documents\. Narrow it"):
            plan_of(snapshot, desk.settings, [query], Limits(30, 39))


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()))
def test_whatever_a_form_carries_is_read_or_refused(data: bytes) -> None:
    for token in (
        data.decode("latin-1"),
        base64.urlsafe_b64encode(data).decode(),
        base64.urlsafe_b64encode(zlib.compress(data)).decode(),
    ):
        with pytest.raises(QuestionError, match="cannot be read"):
            read_token(token)


def test_a_form_that_unpacks_into_more_than_it_may_is_refused() -> None:
    bomb = base64.urlsafe_b64encode(zlib.compress(b" " * (80 * 1024 * 1024))).decode()
    with pytest.raises(QuestionError, match="cannot be read"):
        read_token(bomb)


@given(st.lists(st.tuples(st.text(), st.text(), st.lists(st.text(), max_size=5)), max_size=20), st.booleans())
def test_a_token_carries_what_was_shown(calls: list[tuple[str, str, list[str]]], job: bool) -> None:
    shown = Shown("0" * 36, "errors", "USPM", "all", calls, job)
    packed = base64.urlsafe_b64encode(zlib.compress(msgspec.json.encode(shown))).decode()
    assert read_token(packed) == shown
