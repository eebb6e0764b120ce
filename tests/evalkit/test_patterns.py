from evalkit.patterns import matching_names

KNOWN = ["rwkv7-1.5b", "rwkv7-2.9b", "xz", "a[1]"]


def test_patterns_are_replaced_by_what_they_match_once_and_in_its_order() -> None:
    assert matching_names(["rwkv7-2*", "rwkv7-*"], KNOWN) == ["rwkv7-2.9b", "rwkv7-1.5b"]
    assert matching_names(["*", "xz"], KNOWN) == ["rwkv7-1.5b", "rwkv7-2.9b", "a[1]", "xz"]


def test_a_known_name_and_a_pattern_that_matches_nothing_stay() -> None:
    assert matching_names(["a[1]", "zz*", "b"], KNOWN) == ["a[1]", "zz*", "b"]
