import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import ModelError, UsageError
from evalkit.models.prefixes import (
    Prefix,
    check_in_vocabulary,
    parse_rule,
    prefix_in_words,
    prefix_of_rule,
    prefix_under,
    rule_of,
    token_text,
)
from tests.support.toys import BigramModel

SPECIAL = {"bos": 1, "eos": 2}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("bos", "bos"),
        (" none ", "none"),
        ("token:7", "token:7"),
        ("token: 1, 02 ,3", "token:1,2,3"),
        ("token:1,token:2", "token:1,2"),
        ("token:0,0", "token:0,0"),
    ],
)
def test_rules_are_written_in_one_way(text: str, rule: str) -> None:
    assert parse_rule(text, "--prefix") == rule


@pytest.mark.parametrize(
    "text",
    ["", "BOS", "bos,eos", "token:", "token:x", "token:-1", "token:1,", "1", "token:٣", "token:" + "9" * 10],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--prefix must be bos, eos, none or token:ID,ID,…, not "):
        parse_rule(text, "--prefix")


@given(st.lists(st.integers(0, 10**9 - 1), max_size=5))
def test_a_rule_and_its_ids_say_the_same(ids: list[int]) -> None:
    assert prefix_of_rule(rule_of(ids), SPECIAL, "m").ids == tuple(ids)
    assert prefix_of_rule(rule_of(ids, SPECIAL), SPECIAL, "m").ids == tuple(ids)
    assert parse_rule(rule_of(ids), "") == rule_of(ids)


def test_names_of_tokens() -> None:
    assert prefix_of_rule("bos", SPECIAL, "m") == Prefix("bos", (1,))
    assert [rule_of(ids, SPECIAL) for ids in ([1], [2], [1, 2], [3], [])] == [
        "bos",
        "eos",
        "token:1,2",
        "token:3",
        "none",
    ]
    with pytest.raises(
        ModelError, match="m: the prefix is to be eos, but the tokenizer defines no such token"
    ):
        prefix_of_rule("eos", {"bos": 1, "eos": None}, "m")
    check_in_vocabulary([(), (0, 9)], 10, "m")
    with pytest.raises(ModelError, match="m: prefix token:3,10 lies outside the 10 tokens"):
        check_in_vocabulary([(1,), (3, 10)], 10, "m")


def test_a_prefix_for_people() -> None:
    names = {3: "[gMASK]", 4: "<sop>", 5: "\n", 6: "a\x1b[0mé"}
    assert token_text((3, 4), names) == "[gMASK]<sop>"
    assert token_text((5, 6), names) == "\\na\\x1b[0mé"  # a terminal is not told what to do
    assert token_text((), names) is None
    assert token_text((3, 7), names) is None
    assert prefix_in_words("token:3,4", (3, 4), "[gMASK]<sop>") == "[gMASK]<sop> (token:3,4)"
    assert prefix_in_words("bos", (3,), "<s>") == "<s> (bos, token:3)"
    assert prefix_in_words("token:0", (0,), None) == "token:0"
    assert prefix_in_words("none", (), None) == prefix_in_words("none", None, None) == "none"


def test_a_model_of_another_package_says_one_rule_and_ids_by_policy() -> None:
    model = BigramModel()  # states token:256, and no start under uncheatable
    assert prefix_under(model, "document") == prefix_under(model, "lm-eval") == Prefix("token:256", (256,))
    assert prefix_under(model, "uncheatable") == Prefix("none", ())
    model.prefix = (7, 8)  # not what its identity states: the ids are what was read
    assert prefix_under(model, "document") == Prefix("token:7,8", (7, 8))
