"""Identity links join the identities of one person along chains. Contradictory links join no identities."""

from __future__ import annotations

from itertools import permutations

from onestory.shared.identity_links import IdentityLink, Succession, linked_keys, successions


def test_both_ways_of_saying_it_mean_the_same() -> None:
    said_by_the_new = successions([IdentityLink("new", "old", "replaces")])
    said_by_the_old = successions([IdentityLink("old", "new", "replaced-by")])

    assert said_by_the_new == said_by_the_old == {Succession("old", "new", True)}


def test_chains_are_followed_in_both_directions() -> None:
    among = successions(
        [IdentityLink("b", "a", "replaces"), IdentityLink("c", "b", "replaces"), IdentityLink("z", "y", "replaces")]
    )

    assert linked_keys(among, "a") == linked_keys(among, "b") == linked_keys(among, "c") == {"a", "b", "c"}


def test_a_provisional_identity_belongs_to_the_person_it_became() -> None:
    among = successions([IdentityLink("number", "provisional", "provisional")])

    assert linked_keys(among, "provisional") == {"number", "provisional"}
    assert not next(iter(among)).both_nhs_numbers


def test_links_on_a_cycle_join_nobody_in_any_order() -> None:
    links = [
        IdentityLink("b", "a", "replaces"),
        IdentityLink("c", "b", "replaces"),
        IdentityLink("a", "c", "replaces"),
        IdentityLink("d", "c", "replaces"),
    ]

    for order in permutations(links):
        among = successions(order)
        assert linked_keys(among, "a") == {"a"}
        assert linked_keys(among, "d") == {"c", "d"}


def test_a_number_that_is_said_to_have_become_two_joins_neither() -> None:
    links = [IdentityLink("i", "h", "replaces"), IdentityLink("j", "h", "replaces"), IdentityLink("h", "g", "replaces")]

    for order in permutations(links):
        among = successions(order)
        assert linked_keys(among, "h") == {"g", "h"}
        assert linked_keys(among, "i") == {"i"}


def test_a_shortcut_along_a_chain_is_no_fork() -> None:
    among = successions(
        [IdentityLink("b", "a", "replaces"), IdentityLink("c", "b", "replaces"), IdentityLink("c", "a", "replaces")]
    )

    assert linked_keys(among, "a") == {"a", "b", "c"}


def test_a_number_cannot_replace_itself() -> None:
    assert successions([IdentityLink("a", "a", "replaces")]) == frozenset()
    assert linked_keys(frozenset(), "a") == {"a"}
