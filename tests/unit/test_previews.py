"""The preview of a sync and its confirmation: the same as the dry run, and nothing beyond what was shown (R40)."""

import base64
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.calendar import Company, Window
from engine.errors import QueryError
from engine.sync.actions import Skipped
from store.queries.grid_query import GridQuery
from store.queries.snapshot import Snapshot
from tests.support.desks import COMPANY, Desk
from tests.support.workspace import posted_expense
from tieout.sync import previews
from tieout.sync.planning import Limits, TooManyCalls, plan_of
from tieout.sync.previews import Confirmed, Preview, PreviewForm, read_token


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
        return previews.confirm(snapshot, desk.settings, snapshot.company(COMPANY), read_token(preview.token), "ann")


@pytest.mark.requirement("R40")
def test_a_preview_says_what_the_dry_run_says_and_its_confirmation_requests_just_that(desk: Desk) -> None:
    preview, dry = previewed(desk), desk.plan()
    assert preview.tasks == dry.tasks
    assert [(one.name, one.cause) for one in preview.left] == [
        (one.row.document.document, one.row.cause) for one in dry.left
    ]
    done = confirmed(desk, preview)
    assert sorted(done.request.tasks, key=str) == sorted(dry.tasks, key=str)
    assert done.request.input_fingerprints == dry.changes
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
    rejected = next(
        one for one in preview.left if isinstance(one.step, Skipped) and one.cause == "rejected-in-dataverse"
    )
    forged = PreviewForm(preview.id, "documents", COMPANY, "forged", [("approval", "0", [rejected.name])])
    with desk.reader.snapshot() as snapshot:
        done = previews.confirm(snapshot, desk.settings, snapshot.company(COMPANY), forged, "ann")
    assert (done.request.tasks, done.changed) == ((), [rejected.name])


def test_a_document_of_another_company_is_neither_previewed_nor_requested() -> None:
    desk = Desk(companies=None)
    desk.also([posted_expense("1", "10.00", company="AAAA")])
    with desk.reader.snapshot() as snapshot:
        company = snapshot.company(COMPANY)
        with pytest.raises(QueryError, match="there is no document 'AAAA/1' in USPM"):
            previews.of_document(snapshot, desk.settings, company, "AAAA/1")
        own = previews.of_document(snapshot, desk.settings, snapshot.company("AAAA"), "AAAA/1")
        calls: list[tuple[str, str, list[str]]] = [
            (task.action, task.subject, list(task.documents)) for task in own.tasks
        ]
        forged = PreviewForm(own.id, "documents", COMPANY, "forged", calls)
        done = previews.confirm(snapshot, desk.settings, company, forged, "ann")
    assert (done.request.tasks, done.changed) == ((), ["AAAA/1"])
    assert done.request.run is not None


@pytest.mark.requirement("R43")
def test_what_is_queued_already_is_told_and_not_requested_again(desk: Desk) -> None:
    first = previewed(desk)
    desk.attempts.request(confirmed(desk, first).request)
    second = previewed(desk)
    assert (second.tasks, len(second.waiting)) == ([], len(first.synced))
    assert len(second.left) == len(first.left)


def test_a_call_that_no_setting_says_how_to_make_is_left_with_the_setting(desk: Desk) -> None:
    settings = msgspec.structs.replace(desk.settings, process_export=None)
    with desk.reader.snapshot() as snapshot:
        preview = previews.of_window(snapshot, settings, *window_of(snapshot))
    assert "export" not in {task.action for task in preview.tasks}
    assert any("TIEOUT_PROCESS_EXPORT" in one.step.reason for one in preview.left if isinstance(one.step, Skipped))


def test_a_scope_is_cut_to_what_a_run_keeps(desk: Desk) -> None:
    with desk.reader.snapshot() as snapshot:
        company, window = window_of(snapshot)
        query = GridQuery(company=company.code, kind="expense", window=window, view="missing-actuals")
        preview = previews.of_rows(snapshot, desk.settings, company, [query], "x" * 1_000)
    assert len(read_token(preview.token).scope) == previews.SCOPE_MAX


def test_a_form_with_a_character_that_no_database_keeps_is_refused() -> None:
    calls: list[tuple[str, str, list[str]]] = [("export", "a", ["a\0b"])]
    for shown in (
        PreviewForm("0" * 36, "documents", COMPANY, "a\0b", []),
        PreviewForm("0" * 36, "documents", COMPANY, "all", calls),
    ):
        packed = base64.urlsafe_b64encode(zlib.compress(msgspec.json.encode(shown))).decode()
        with pytest.raises(QueryError, match="form is invalid"):
            read_token(packed)


def test_a_form_of_very_many_small_calls_is_refused_before_it_is_decoded() -> None:
    body = b'["' + b"0" * 36 + b'","documents","USPM","s",[' + b'["a","b",[]],' * 1_000_000 + b'["a","b",[]]],false]'
    with pytest.raises(QueryError, match="form is invalid"):
        read_token(base64.urlsafe_b64encode(zlib.compress(body)).decode())


def test_a_form_of_another_company_is_refused(desk: Desk) -> None:
    shown = msgspec.structs.replace(read_token(previewed(desk).token), company="GBPM")
    with desk.reader.snapshot() as snapshot, pytest.raises(QueryError, match="another company"):
        previews.confirm(snapshot, desk.settings, snapshot.company(COMPANY), shown, "ann")


@pytest.mark.requirement("R40")
def test_more_calls_than_a_page_starts_are_refused_with_the_advice_to_narrow(desk: Desk) -> None:
    with desk.reader.snapshot() as snapshot:
        company, window = window_of(snapshot)
        query = GridQuery(company=company.code, kind="expense", window=window, view="missing-actuals")
        assert len(plan_of(snapshot, desk.settings, [query], Limits(30, 40)).tasks) == 30
        with pytest.raises(TooManyCalls, match=r"more than 29 calls\. Choose fewer"):
            plan_of(snapshot, desk.settings, [query], Limits(29, 40))
        with pytest.raises(TooManyCalls, match=r"more than 39 documents\. Choose fewer"):
            plan_of(snapshot, desk.settings, [query], Limits(30, 39))


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()))
def test_whatever_a_form_carries_is_read_or_refused(data: bytes) -> None:
    for token in (
        data.decode("latin-1"),
        base64.urlsafe_b64encode(data).decode(),
        base64.urlsafe_b64encode(zlib.compress(data)).decode(),
    ):
        with pytest.raises(QueryError, match="form is invalid"):
            read_token(token)


def test_a_form_that_unpacks_into_more_than_it_may_is_refused() -> None:
    bomb = base64.urlsafe_b64encode(zlib.compress(b" " * (80 * 1024 * 1024))).decode()
    with pytest.raises(QueryError, match="form is invalid"):
        read_token(bomb)


TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")))


@given(st.lists(st.tuples(TEXT, TEXT, st.lists(TEXT, max_size=5)), max_size=20), st.booleans())
def test_a_token_carries_what_was_shown(calls: list[tuple[str, str, list[str]]], job: bool) -> None:
    shown = PreviewForm("0" * 36, "errors", "USPM", "all", calls, job)
    packed = base64.urlsafe_b64encode(zlib.compress(msgspec.json.encode(shown))).decode()
    assert read_token(packed) == shown
