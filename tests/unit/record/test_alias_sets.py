"""Who is the same person: chains are followed, contradictory evidence joins nobody."""

from __future__ import annotations

from itertools import permutations

from onestory.shared.person_links import PersonLink, Succession, joined, successions


def test_both_ways_of_saying_it_mean_the_same() -> None:
    said_by_the_new = successions([PersonLink("new", "old", "replaces")])
    said_by_the_old = successions([PersonLink("old", "new", "replaced-by")])

    assert said_by_the_new == said_by_the_old == {Succession("old", "new", True)}


def test_chains_are_followed_in_both_directions() -> None:
    among = successions(
        [PersonLink("b", "a", "replaces"), PersonLink("c", "b", "replaces"), PersonLink("z", "y", "replaces")]
    )

    assert joined(among, "a") == joined(among, "b") == joined(among, "c") == {"a", "b", "c"}


def test_a_provisional_identity_belongs_to_the_person_it_became() -> None:
    among = successions([PersonLink("number", "provisional", "provisional")])

    assert joined(among, "provisional") == {"number", "provisional"}
    assert not next(iter(among)).numbered


def test_links_on_a_cycle_join_nobody_in_any_order() -> None:
    links = [
        PersonLink("b", "a", "replaces"),
        PersonLink("c", "b", "replaces"),
        PersonLink("a", "c", "replaces"),
        PersonLink("d", "c", "replaces"),
    ]

    for order in permutations(links):
        among = successions(order)
        assert joined(among, "a") == {"a"}
        assert joined(among, "d") == {"c", "d"}


def test_a_number_that_is_said_to_have_become_two_joins_neither() -> None:
    links = [PersonLink("i", "h", "replaces"), PersonLink("j", "h", "replaces"), PersonLink("h", "g", "replaces")]

    for order in permutations(links):
        among = successions(order)
        assert joined(among, "h") == {"g", "h"}
        assert joined(among, "i") == {"i"}


def test_a_shortcut_along_a_chain_is_no_fork() -> None:
    among = successions(
        [PersonLink("b", "a", "replaces"), PersonLink("c", "b", "replaces"), PersonLink("c", "a", "replaces")]
    )

    assert joined(among, "a") == {"a", "b", "c"}


def test_a_number_cannot_replace_itself() -> None:
    assert successions([PersonLink("a", "a", "replaces")]) == frozenset()
    assert joined(frozenset(), "a") == {"a"}
