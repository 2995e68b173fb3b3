"""`tieout ingest`: invalid lines and extreme values do not stop the others."""

import json
from typing import Any

import pytest

from tests.support.commandline import Tieout, all_documents, error_text, ingest_and_project
from tests.support.ingest_lines import json_lines, posted_expense, row_change


@pytest.mark.requirement("R7")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "line 2: "),
        (b"[1]", "Expected `object`"),
        (b'{"value": {}}', "topic"),
        (b'{"topic": "sales.changes", "value": {}}', "Use finance.changes or dataverse.changes"),
        (b'{"topic": "tieout.finance.changes", "value": {}}', "without the environment's prefix"),
        (b'{"topic": "rejected", "value": {}}', "unknown topic"),
        (b'{"topic": "finance.changes"}', "the value is missing"),
        (b'{"topic": "finance.changes", "value": {}, "value_base64": ""}', "Leave one out"),
        (b'{"topic": "finance.changes", "value_base64": "%"}', "not base64"),
        (b'{"topic": "finance.changes", "headers": 1, "value": {}}', "$.headers"),
        (b'{"topic": "finance.changes", "value": "%s"}' % (b"x" * 20_000_000), "20,000,002 bytes"),
        (b'{"topic": "finance.changes", "value": "%s"}' % (b"x" * 70_000_000), "over "),
    ],
)
def test_a_line_that_is_no_event_is_named_and_the_rest_goes_on(tieout: Tieout, line: bytes, said: str) -> None:
    outcome = tieout(
        "ingest", "-", stdin=json_lines(posted_expense("1")) + line + b"\n\n" + json_lines(posted_expense("2"))
    )
    error = error_text(outcome)
    assert error.startswith("error: line 2: ")
    assert said in error
    assert len(error) < 1_000
    assert "2 events ingested, 1 line refused" in outcome.err
    assert tieout("run", "--until-caught-up").code == 0
    assert len(all_documents(tieout, "expense")) == 2


def test_of_very_many_bad_lines_the_first_are_named_and_the_others_counted(tieout: Tieout) -> None:
    outcome = tieout("ingest", "-", stdin=b"no\n" * 1_000)
    assert "line 100:" in error_text(outcome)
    assert "line 101:" not in outcome.err
    assert "900 lines more" in outcome.err


def test_a_file_with_a_byte_order_mark_and_dos_lines_is_read(tieout: Tieout) -> None:
    written = json_lines(posted_expense("1"), posted_expense("2")).replace(b"\n", b"\r\n")
    assert "2 events ingested" in tieout("ingest", "-", stdin=b"\xef\xbb\xbf" + written).err


@pytest.mark.requirement("R8")
def test_ingest_keeps_the_digits_of_a_number_as_they_were_written(tieout: Tieout) -> None:
    line = json.dumps(posted_expense("1", AmountCurr="@")).replace('"@"', "1234567890.10").encode()
    ingest_and_project(tieout, line)
    assert all_documents(tieout, "expense")[0]["amount"] == "1234567890.10"


@pytest.mark.requirement("R2", "R18")
def test_a_text_of_ten_megabytes_is_kept_with_a_finding(tieout: Tieout) -> None:
    ingest_and_project(tieout, json_lines(posted_expense("1", CostType="x" * 10_000_000), posted_expense("2")))
    (chain,) = tieout("chain", "USPM/1", "--json").lines
    assert [finding["code"] for finding in chain["findings"]] == ["unknown-value"]
    assert chain["amount"] == "100.00"
    assert len(all_documents(tieout, "expense")) == 2


@pytest.mark.requirement("R18")
@pytest.mark.parametrize(
    "columns",
    [
        {"TransDate": "2025-02-31"},
        {"TransDate": "99999-01-01"},
        {"AmountCurr": "1e999999999"},
        {"AmountCurr": "ten"},
        {"AmountCurr": "9" * 5_000},
        {"AmountCurr": {"id": []}},
    ],
)
def test_an_absurd_date_or_amount_is_kept_with_a_finding(tieout: Tieout, columns: dict[str, Any]) -> None:
    ingest_and_project(tieout, json_lines(posted_expense("1", **columns), posted_expense("2")))
    (chain,) = tieout("chain", "USPM/1", "--json").lines
    assert "unknown-value" in {finding["code"] for finding in chain["findings"]}
    assert {row["document"] for row in all_documents(tieout, "expense")} == {"USPM/1", "USPM/2"}
    assert tieout("chain", "USPM/1").code == 0
    assert tieout("documents", "--company", "USPM", "--from", "2025-01-01", "--view", "all").code == 0


def test_an_event_cannot_draw_on_the_terminal(tieout: Tieout) -> None:
    ingest_and_project(
        tieout,
        json_lines(
            posted_expense("1", CostType="\x1b[2Jgone\x07", Voucher="\u202ev"), row_change("No\x1b[31mTable", "1")
        ),
    )
    for command in (
        ("documents", "--company", "USPM", "--from", "2025-01-01"),
        ("chain", "USPM/1", "--raw"),
        ("rejected", "list"),
        ("rejected", "show", "finance.changes/0/1"),
    ):
        outcome = tieout(*command)
        assert outcome.code == 0
        assert "\x1b" not in outcome.out
        assert "\u202e" not in outcome.out
