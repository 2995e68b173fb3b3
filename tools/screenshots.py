"""Screenshots of every page of the workspace, light and dark, wide and narrow: `make screenshots`.

They go to `.tieout/screenshots/`, and the one for README.md to `docs/workspace.png`. Review them: no other test detects
truncated, overlapping or ugly content.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from playwright.sync_api import ViewportSize, sync_playwright

from engine.reconciliation.kinds import TILES
from tests.support.workspace import BROWSER, FLAGS, Served, demonstrated

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / ".tieout" / "screenshots"
PAGES: Final = {
    "summary": "/USPM",
    "expense": "/USPM/expense",
    "expense-lines": "/USPM/expense?view=missing-journal-lines",
    "expense-all": "/USPM/expense?view=all",
    "expense-filtered": "/USPM/expense?view=all&f.project=P-001000&f.amount=>50&sort=-amount",
    "expense-grouped": "/USPM/expense?view=all&group=month",
    "expense-wrong": "/USPM/expense?typed=1&f.amount=much",
    "expense-grouped-many": "/USPM/expense?view=all&group=voucher",
    "expense-refreshed": "/USPM/expense?was=1736359200000000~2800"
    + "".join(f"~{number}.{number}" for number in range(1, len(TILES) + 3)),
    "expense-empty": "/USPM/expense?f.voucher=nothing",
    "invoices": "/USPM/vendor-invoice-lines?view=missing-journal-lines",
    "drawer": "/USPM/expense?open=USPM/USPM-PT000487",
    "drawer-findings": "/USPM/expense?view=all&open=USPM/USPM-PT000362",
    "document": "/USPM/document/USPM-PT000348",
    "balance": "/USPM/balance",
    "balance-compared": "/USPM/balance?ledger=39600.00",
    "balance-of-an-account": "/USPM/balance?ledger=9300.00&account=expense",
    "findings": "/USPM/findings",
    "not-synced": "/USPM/not-synced",
    "not-synced-none": "/GBPM/not-synced?from=2024-01-01",
    "part": "/USPM/account/missing-actual",
    "part-of-an-account": "/USPM/account/amount-difference?account=expense",
    "part-none": "/USPM/account/posting-without-document",
    "part-excluded": "/USPM/account/excluded-no-project",
    "part-booked": "/USPM/account/booked?month=2025-01",
    "sync": "/USPM/sync",
    "sync-preview": "/USPM/sync/preview",
    "sync-preview-document": "/USPM/sync/preview?document=USPM/USPM-PT000487",
    "sync-preview-nothing": "/USPM/sync/preview?document=USPM/USPM-PT000348",
    "sync-preview-journal": "/USPM/sync/preview?journal=USPM-000101",
    "sync-requested": "/USPM/sync/00000000-0000-0000-0000-000000000000?requested=" + str(int(time.time())),
    "errors": "/USPM/errors",
    "errors-grouped": "/USPM/errors?group=message&show=all",
    "error-delete": "/USPM/errors/delete",
    "error-history": "/USPM/errors/history?process=integration-journal-posting&about=USPM-000042",
    "journals": "/USPM/general-journals",
    "journals-none": "/GBPM/general-journals",
    "proposals": "/USPM/invoice-proposals",
    "proposals-none": "/GBPM/invoice-proposals",
    "operation": "/operation?company=USPM",
    "checks": "/operation/checks?company=USPM",
    "rejected": "/operation/rejected?company=USPM",
    "event": "/event/tieout.finance.changes/0/17?company=USPM",
    "no-period": "/GBPM?from=2030-01-01",
    "unknown": "/NONE",
}


def main() -> int:
    """Take the pictures; names on the command line choose pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    chosen = sys.argv[1:] or list(PAGES)
    with TemporaryDirectory() as folder, demonstrated(Path(folder)) as served:
        for path in _pictures(served, chosen):
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 0


def _pictures(served: Served, chosen: list[str]) -> Iterator[Path]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        for scheme in ("light", "dark"):
            for width in (1440, 1024, 390):
                context = browser.new_context(
                    viewport={"width": width, "height": 900},
                    color_scheme=scheme,
                    locale="en-US",
                )
                page = context.new_page()
                for name in chosen:
                    page.goto(served.address + PAGES[name])
                    path = FOLDER / f"{name}-{width}-{scheme}.png"
                    page.screenshot(path=path, full_page=True)
                    yield path
                context.close()
        if "summary" in chosen:
            page = browser.new_page(viewport=_README, locale="en-US", color_scheme="light")
            page.goto(served.address + PAGES["summary"])
            page.screenshot(path=ROOT / "docs" / "workspace.png")
            yield ROOT / "docs" / "workspace.png"
        browser.close()


_README: Final[ViewportSize] = {"width": 1200, "height": 600}

if __name__ == "__main__":
    sys.exit(main())
