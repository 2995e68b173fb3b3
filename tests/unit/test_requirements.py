"""docs/requirements.md lists the tests of each requirement; these tests keep it current."""

from pathlib import Path

import pytest

from tools.requirements_table import PAGE, Requirements, page, read_proofs, read_requirements


def test_every_finished_number_has_a_test() -> None:
    assert sorted(read_requirements().finished - read_proofs().keys()) == []


def test_every_number_that_is_marked_or_finished_is_a_requirement() -> None:
    requirements = read_requirements()
    assert sorted((requirements.finished | read_proofs().keys()) - requirements.numbers) == []


def test_the_page_is_up_to_date() -> None:
    if PAGE.read_text(encoding="utf-8") != page(read_requirements(), read_proofs()):
        pytest.fail("docs/requirements.md is not what the tests say: run `make requirements`", pytrace=False)


def test_marks_are_found_on_tests_parameters_classes_and_modules(tmp_path: Path) -> None:
    file = tmp_path / "tests" / "unit" / "test_marks.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        """
import pytest
pytestmark = [pytest.mark.containers, pytest.mark.requirement("R1")]

@pytest.mark.requirement("R2", "R3")
def test_several(): ...

@pytest.mark.parametrize("case", [pytest.param(0, marks=pytest.mark.requirement("R4"))])
async def test_parameter(case): ...

@pytest.mark.requirement("R5")
class TestMethods:
    def test_method(self): ...

@pytest.mark.requirement("R6")
def not_a_test(): ...
""",
        encoding="utf-8",
    )
    several, parameter, method = (
        f"tests/unit/test_marks.py::{name}" for name in ("test_several", "test_parameter", "TestMethods::test_method")
    )
    assert read_proofs(tmp_path) == {
        "R1": [several, parameter, method],
        "R2": [several],
        "R3": [several],
        "R4": [parameter],
        "R5": [method],
    }


def test_the_page_shows_each_number_with_its_tests() -> None:
    requirements = Requirements(areas={"Sums": {"R1": "Add.", "R2": "Subtract."}}, finished=frozenset({"R1"}))
    written = page(requirements, {"R1": ["tests/unit/test_sums.py::test_one_and_one_is_two"]})
    assert "Numbers with tests: 1 of 2. Finished: 1.\n" in written
    assert written.endswith(
        """\
## Sums

**R1** (finished) Add.

- `tests/unit/test_sums.py::test_one_and_one_is_two`

**R2** Subtract.

- no test yet
"""
    )
