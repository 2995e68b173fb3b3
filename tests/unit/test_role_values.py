"""Which roles the values of an identity provider give, and which rights a role has in which company."""

from typing import Any

import pytest

from tieout.access.identities import LOCAL, Grant, Identity, Right, Role, local_identity
from tieout.access.role_values import grants_of, read_table, values_of

pytestmark = pytest.mark.requirement("R83")

VIEWER, OPERATOR = Grant(Role.VIEWER), Grant(Role.OPERATOR)


@pytest.mark.parametrize(
    ("values", "entries", "grants"),
    [
        (["viewer"], [], {VIEWER}),
        (["viewer", "operator:USPM"], [], {VIEWER, Grant(Role.OPERATOR, "USPM")}),
        (["operator:uspm"], [], {Grant(Role.OPERATOR, "USPM")}),
        (["raw-events", "administrator"], [], {Grant(Role.RAW_EVENTS), Grant(Role.ADMINISTRATOR)}),
        # What is no role is none, however similar.
        (["Viewer", "viewers", "viewer:", "viewer: ", "admin", "", ":USPM", "operator=viewer"], [], set()),
        (["offline_access", "default-roles-tieout"], [], set()),
        # With a table only its values count.
        (["operator"], ["g1=viewer"], set()),
        (["g1"], ["g1=viewer"], {VIEWER}),
        (["g1", "g2"], ["g1=viewer", "g2=operator:GBPM", "g3=administrator"], {VIEWER, Grant(Role.OPERATOR, "GBPM")}),
        (["g1"], ["g1=viewer", "g1=raw-events"], {VIEWER, Grant(Role.RAW_EVENTS)}),
        (["CN=a"], ["CN=a=operator"], {OPERATOR}),
        # One person by the identifier of the provider; nobody can claim to be another by a value.
        ([], ["sub:7=operator"], {OPERATOR}),
        (["sub:8"], ["sub:8=operator"], set()),
    ],
)
def test_values_give_the_roles_that_they_name_or_that_the_table_maps(
    values: list[str], entries: list[str], grants: set[Grant]
) -> None:
    assert grants_of(values, "7", entries) == grants


@pytest.mark.parametrize("entry", ["operator", "=operator", "g1=", "g1=boss", "g1=operator:", "g1:operator"])
def test_an_entry_of_the_table_that_gives_no_role_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=entry):
        read_table(["g1=viewer", entry])


@pytest.mark.parametrize(
    ("claims", "claim", "values"),
    [
        ({"roles": ["a", "b"]}, "roles", ("a", "b")),
        ({"roles": "a"}, "roles", ("a",)),
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", ("a",)),
        ({"https://contoso.com/roles": ["a"]}, "https://contoso.com/roles", ("a",)),
        ({}, "roles", ()),
        ({"realm_access": ["roles"]}, "realm_access.roles", ()),
        ({"roles": [1, None, {"a": "b"}, "", "x" * 201, "a"]}, "roles", ("a",)),
        ({"roles": {"operator": True}}, "roles", ()),
    ],
)
def test_values_are_the_texts_of_the_claim(claims: dict[str, Any], claim: str, values: tuple[str, ...]) -> None:
    assert values_of(claims, claim) == values


@pytest.mark.parametrize(
    ("role", "rights"),
    [
        (Role.VIEWER, {Right.VIEW}),
        (Role.OPERATOR, {Right.VIEW, Right.OPERATE}),
        (Role.ADMINISTRATOR, {Right.VIEW, Right.OPERATE, Right.ADMINISTER}),
        (Role.RAW_EVENTS, {Right.READ_EVENTS}),
    ],
)
def test_a_role_in_a_company_gives_its_rights_there_and_nowhere_else(role: Role, rights: set[Right]) -> None:
    of_one, of_all = Identity("ann", frozenset({Grant(role, "USPM")})), Identity("ann", frozenset({Grant(role)}))
    assert {right for right in Right if of_one.may(right, "USPM")} == rights
    assert {right for right in Right if of_one.may(right, "uspm")} == rights
    assert {right for right in Right if of_one.may_somewhere(right)} == rights
    assert not any(of_one.may(right, "GBPM") or of_one.may_everywhere(right) for right in Right)
    assert {right for right in Right if of_all.may(right, "GBPM") and of_all.may_everywhere(right)} == rights


def test_the_user_of_this_machine_may_do_everything_and_is_marked_as_local() -> None:
    identity = local_identity()
    assert all(identity.may_everywhere(right) for right in Right)
    assert identity.name.endswith(LOCAL)
    assert not identity.signed_in
