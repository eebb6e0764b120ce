"""Tasks as their authors generate them: labels by other means, and how their strings are distributed."""

import contextlib
import io
import itertools

import numpy as np
import pytest

from evalkit.errors import UsageError
from evalkit_tasks.formal.groups import parse_group
from evalkit_tasks.formal.languages import get_language
from evalkit_tasks.training import spec as train_spec
from evalkit_tasks.training.spec import TrainSpec, check_spec, string_tests
from evalkit_tasks.training.tasks import flip_flop
from evalkit_tasks.training.tasks.arithmetic import LETTERS
from evalkit_tasks.training.tasks.catalog import get_task
from evalkit_tasks.training.tasks.code_traces import trace_form, trace_text
from evalkit_tasks.training.tasks.mixtures import training_groups
from evalkit_tasks.training.tasks.recall import VOCABULARY
from evalkit_tasks.training.tasks.strings import (
    is_held_out,
    make_batch,
    training_strings,
    usable_length,
)


def chance(seed=0):
    return np.random.default_rng(seed)


def drawn(name, length, num_strings, seed=0):
    task = get_task(name)
    return task.draw(usable_length(task, length, 1, length, "any"), num_strings, chance(seed))


# Multi-query associative recall


def test_recall_of_the_example_in_zoologys_docstring():
    # multiquery_ar(vocab_size=12, num_kv_pairs=2, input_seq_len=16, random_non_queries=False), of which the
    # docstring shows the first 15: the queries are 4 and 2.
    inputs = np.array([[2, 8, 4, 7, 0, 0, 4, 0, 0, 0, 0, 0, 2, 0, 0, 0]])
    asked = np.isin(np.arange(16), (6, 12))
    task = get_task("mqar:2:12")
    strings = inputs + 12 * asked
    assert task.tokens(strings).tolist() == inputs.tolist()
    assert task.label(strings)[0].tolist() == [7 if t == 6 else 8 if t == 12 else -1 for t in range(16)]


@pytest.mark.parametrize(("length", "pairs"), [(64, 4), (64, 16), (256, 64)])
def test_recall_asks_once_for_the_value_of_each_key(length, pairs):
    task = get_task(f"mqar:{pairs}")
    strings = drawn(task.name, length, 20)
    tokens, labels = task.tokens(strings), task.label(strings)
    for letters, row in zip(tokens.tolist(), labels.tolist(), strict=True):
        keys, values = letters[0 : 2 * pairs : 2], letters[1 : 2 * pairs : 2]
        assert len(set(keys)) == len(set(values)) == pairs
        assert 1 <= min(keys) <= max(keys) < VOCABULARY // 2 <= min(values)
        asked = [place for place in range(length) if row[place] >= 0]
        assert all(place >= 2 * pairs and place % 2 == 0 for place in asked)
        value_of = dict(zip(keys, values, strict=True))
        assert sorted(letters[place] for place in asked) == sorted(keys)
        assert all(row[place] == value_of[letters[place]] for place in asked)


def test_recalls_places_are_those_that_numpys_choice_draws():
    # As the authors draw them: without replacement, place n with weight n^-0.99.
    weights = np.arange(1, 29) ** -0.99
    generator = chance(1)
    expected = np.zeros(28)
    for _ in range(3000):
        expected[generator.choice(28, 4, replace=False, p=weights / weights.sum())] += 1 / 3000
    task = get_task("mqar:4:128")
    asked = (task.label(drawn(task.name, 64, 3000)) >= 0).mean(0)
    assert asked[8::2] == pytest.approx(expected, abs=0.04)
    assert asked[8] > 4 * asked[20] > 0


def test_recall_is_trained_on_the_published_mixture_and_tested_on_its_pairs():
    task, generator = get_task("mqar"), chance()
    batches = [training_groups(task, (64, 256), 1, generator) for _ in range(300)]
    lengths, counts = np.unique([strings.shape[1] for [strings] in batches], return_counts=True)
    assert lengths.tolist() == [64, 128, 256]
    # 100,000 strings of (64, 4), 20,000 of each other: 5/9, 1/9, 3/9.
    assert counts / 300 == pytest.approx([5 / 9, 1 / 9, 3 / 9], abs=0.06)
    spec = TrainSpec("mqar", "lstm", train_length=256, test_multiples=(1,), num_items=3)
    tests = string_tests(task, spec)
    assert list(tests)[1:] == [
        "64 kv4", "64 kv8", "64 kv16", "128 kv32", "256 kv64", "512 kv128", "1024 kv256"
    ]  # fmt: skip
    batch = tests["512 kv128"].batch()
    assert ((batch.labels >= 0).sum(1) == 128).all() and batch.num_letters.tolist() == [512] * 3
    assert batch.tokens.max() < task.vocab_size


# Flip-flops


def test_flip_flops_by_executing_them():
    for test in [None, *get_task("flip-flop").tests]:
        draw = get_task("flip-flop").draw if test is None else test.draw
        strings = draw(64, 50, chance())
        labels = get_task("flip-flop").label(strings)
        for letters, row in zip(strings.tolist(), labels.tolist(), strict=True):
            text = "".join(flip_flop.LETTERS[letter] for letter in letters)
            assert text[0] == "w" and text[-2] == "r"
            memory = ""
            for place in range(0, 64, 2):
                if text[place] == "w":
                    memory = text[place + 1]
                if text[place] == "r":
                    assert text[place + 1] == memory == str(row[place])
                else:
                    assert row[place] == -1
            assert set(row[1::2]) == {-1}


def test_flip_flops_are_as_rare_as_in_the_released_splits():
    # synthseq/flipflop: train is 80 % ignore, 10 % read, 10 % write; val_sparse FFL(0.98), val_dense (0.1).
    tests = {test.name: test.draw for test in get_task("flip-flop").tests}
    draws = {0.8: get_task("flip-flop").draw, 0.98: tests["sparse"], 0.1: tests["dense"]}
    for ignored, draw in draws.items():
        strings = draw(512, 60, chance())
        between = strings[:, 2:-2:2]
        shares = np.bincount(between.ravel(), minlength=5)[2:] / between.size
        rest = (1 - ignored) / 2
        assert shares == pytest.approx([rest, ignored, rest], abs=0.012)
        assert strings[:, 1::2].mean() == pytest.approx(0.5, abs=0.06)


def test_flip_flops_have_tests_of_rare_strings_at_the_trained_length():
    spec = TrainSpec("flip-flop", "lstm", train_length=33, num_items=40, test_multiples=(1,))
    assert spec.resolved().min_train_length == 33
    tests = string_tests(check_spec(spec), spec)
    assert list(tests) == ["33", "33 sparse", "33 dense"]
    reads = {name: (test.batch().labels >= 0).sum(1).mean() for name, test in tests.items()}
    assert reads["33 sparse"] < reads["33"] < reads["33 dense"]
    assert set(tests["33 dense"].batch().num_letters.tolist()) == {32}
    assert is_held_out(tests["33 dense"].batch().tokens[:, 1:33]).all()


# Modular arithmetic


def test_modular_arithmetic_of_the_examples_in_its_docstring():
    alphabet = get_language("modular-arithmetic").alphabet
    for text, value in (("1+2*3", 2), ("1-1-1", 4), ("0*1+4*3-2", 0)):
        letters = np.array([[alphabet.index(letter) for letter in text]])
        assert get_task("modular-arithmetic").label(letters)[0, -1] == value


def test_modular_arithmetic_is_what_python_says_at_odd_lengths():
    task = get_task("modular-arithmetic")
    assert [usable_length(task, length, 1, 40, "training") for length in (1, 2, 9, 10)] == [1, 1, 9, 9]
    alphabet = get_language("modular-arithmetic").alphabet
    strings = training_strings(task, 9, 50, chance())
    for letters, row in zip(strings, task.label(strings), strict=True):
        text = "".join(alphabet[letter] for letter in letters)
        for end in range(len(text)):
            expected = eval(text[: end + 1]) % 5 if end % 2 == 0 else -1
            assert row[end] == expected
    shares = np.bincount(drawn("modular-arithmetic", 41, 400)[:, 1::2].ravel(), minlength=8) / 8000
    assert shares[5:] == pytest.approx([1 / 3] * 3, abs=0.02) and shares[:5].sum() == 0


@pytest.mark.parametrize("name", ["modular-arithmetic-brackets", "modular-arithmetic-brackets-sums"])
def test_brackets_are_what_python_says_at_every_length(name):
    for length in (*range(1, 12), 40, 41):
        strings = drawn(name, length, 15)
        labels = get_task(name).label(strings)
        assert (labels[:, :-1] == -1).all()
        for letters, label in zip(strings.tolist(), labels[:, -1].tolist(), strict=True):
            text = "".join(LETTERS[letter] for letter in letters)
            assert eval(text) % 5 == label
            assert ("*" in text) <= (not name.endswith("sums"))


def test_brackets_are_drawn_by_the_authors_grammar():
    # Of 6 letters: (d-d) with a sign before one of the digits, the left one as often as the right; of 8 the
    # left part is of 1 to 4 letters. An operator is each of three.
    texts = ["".join("d" if c.isdigit() else c for c in (LETTERS[i] for i in row)) for row in
             drawn("modular-arithmetic-brackets", 6, 3000).tolist()]  # fmt: skip
    shares = {text: texts.count(text) / 3000 for text in set(texts)}
    assert set(shares) == {f"({left}{o}{right})" for o in "+-*" for left, right in (("d", "-d"), ("-d", "d"))}
    assert list(shares.values()) == pytest.approx([1 / 6] * 6, abs=0.025)
    eights = drawn("modular-arithmetic-brackets", 8, 4000)
    depths = np.cumsum((eights == 8) * 1 - (eights == 9), axis=1)
    operator_places = ((depths == 1) & (eights >= 5) & (eights <= 7) & (np.arange(8) >= 2)).argmax(1)
    assert np.bincount(operator_places, minlength=6)[2:6] / 4000 == pytest.approx([0.25] * 4, abs=0.03)


# Elements of several tokens, and the lengths {2, k}


def _product(elements, letters):
    points = list(range(len(elements[0])))
    for letter in letters:
        points = [elements[letter][point] for point in points]
    return [list(element) for element in elements.tolist()].index(points)


@pytest.mark.parametrize(
    ("name", "size", "fill"),
    [("s5-4tokens", 4, None), ("s5-4tokens-special", 4, 120), ("a4-2tokens-special-both", 2, 12)],
)
def test_elements_of_several_tokens_by_multiplying_permutations(name, size, fill):
    task, elements = get_task(name), parse_group(name[:2]).elements
    strings = drawn(name, 18, 12)
    assert task.num_letters == len(elements) + (fill is not None)
    for letters, labels in zip(strings.tolist(), task.label(strings).tolist(), strict=True):
        for place in range(18):
            block = letters[place - place % size]
            assert letters[place] == (block if place % size == 0 or fill is None else fill)
            # Shifted by one token less than an element has: the last token's label is its product.
            is_filler = place >= size - 1 and place % size != size - 1
            whole = [letters[start] for start in range(0, place + 2 - size, size)]
            expected = fill if is_filler and name.endswith("both") else _product(elements, whole)
            assert labels[place] == expected


def test_hard_swaps_are_products_of_four_and_three_identities():
    swaps, task = get_language("s5-swaps"), get_task("s5-swaps-hard")
    products = swaps.run(np.array(list(itertools.product(range(11), repeat=4))))[:, -1]
    expected = np.bincount(products, minlength=120) / 11**4
    strings = drawn("s5-swaps-hard", 18, 4000)
    assert (strings[:, np.arange(18) % 4 > 0] == 0).all()
    shares = np.bincount(strings[:, :16:4].ravel(), minlength=120) / 16_000
    assert shares == pytest.approx(expected, abs=0.004)
    assert (strings[:, 16] == 0).mean() == pytest.approx(11 / 121, abs=0.02)  # the last of two swaps
    elements = parse_group("s5").elements
    for letters, labels in zip(strings[:8].tolist(), task.label(strings[:8]).tolist(), strict=True):
        assert labels == [_product(elements, letters[: place - 2]) if place > 2 else 0 for place in range(18)]


def test_word_problems_are_trained_on_two_lengths_as_often_as_their_strings():
    task = get_task("word-problem:z3")
    groups = training_groups(task, (2, 4), 3000, chance())
    assert [group.shape[1] for group in groups] == [2, 4]
    # All 9 strings of 2 letters, and four fifths of the 81 of 4: of those, none that tests use.
    assert len(groups[0]) / 3000 == pytest.approx(9 / (9 + 0.8 * 81), abs=0.02)
    assert len(np.unique(groups[0], axis=0)) == 9 and not is_held_out(groups[1]).any()
    assert task.label(groups[1]).tolist() == (groups[1].cumsum(1) % 3).tolist()
    batch = make_batch(task, groups, last_only=False, is_training=True)
    assert batch.labels[0].tolist()[3:] == [-1, -1]  # a short string is asked about to its end alone
    a5 = get_task("word-problem:a5")
    parts = a5.mixture.parts(2, 20)
    assert [(part.length, part.weight) for part in parts] == [(2, 3600), (20, 800_000)]
    with pytest.raises(UsageError, match="all strings of 2 letters are trained on; test longer ones"):
        check_spec(TrainSpec("word-problem:z3", "lstm", train_length=8, test_range=(2, 20)))


# Code traces


@pytest.mark.parametrize("name", ["code-trace:s3", "code-trace:s5-swaps:2", "code-trace-srs:a4"])
def test_code_traces_print_what_python_prints(name):
    form, task = trace_form(name), get_task(name)
    strings = drawn(name, 160, 6)
    for letters, labels in zip(strings, task.label(strings), strict=True):
        session, names, printed = trace_text(form, letters), {}, []
        lines = iter(session.splitlines())
        for line in lines:
            assert line.startswith(">>> ")
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(line.removeprefix(">>> "), names)
            if output.getvalue():
                assert next(lines) + "\n" == output.getvalue()
                printed.append(output.getvalue().split()[1])
        assert [form.vocabulary[label] for label in labels if label >= 0] == printed
        # The value is asked for after its variable's name, before it is seen.
        [places] = np.nonzero(labels >= 0)
        assert (letters[places + 1] == labels[places]).all() and len(printed) == session.count("print")


def test_code_traces_are_trained_on_every_next_token_unless_on_reveals_alone():
    strings = drawn("code-trace:s3", 64, 3)
    batches = [
        make_batch(get_task(name), [strings], last_only=False, is_training=True)
        for name in ("code-trace:s3", "code-trace-srs:s3")
    ]
    assert (batches[0].labels[:, 1:-1] == strings[:, 1:]).all()
    assert (batches[1].labels[:, 1:] == get_task("code-trace:s3").label(strings)).all()
    tested = make_batch(get_task("code-trace:s3"), [strings], last_only=False)
    assert (tested.labels == batches[1].labels).all()


def test_commands_and_prints_of_code_traces_are_uniform():
    form = trace_form("code-trace:s3:2")
    strings = drawn("code-trace:s3:2", form.head_length + form.block_length, 1800)
    first = strings[:, form.head_length : form.head_length + 13]
    assert np.unique(first, axis=0, return_counts=True)[1] / 1800 == pytest.approx([1 / 6] * 6, abs=0.03)
    for column, num_kinds in ((23, 3), (form.head_length + 26 + 8, 3), (3, 3)):
        counts = np.unique(strings[:, column], return_counts=True)[1]
        assert counts / 1800 == pytest.approx([1 / num_kinds] * num_kinds, abs=0.035)
    assert get_task("code-trace:s3:2").num_answers == 3


# Names and keys


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mqar:x", "'mqar:x': write mqar:KV or mqar:KV:VOCABULARY"),
        ("mqar:6:12", "mqar:6:12: of 12 tokens 1 to 5 can be keys"),
        ("mqar:2:13", "mqar:2:13: the vocabulary must be even, from 4 to 16384 tokens"),
        ("word-problem:a5,z3", "write word-problem: and a group"),
        ("code-trace:g7", "write code-trace: and a group of permutations"),
        ("code-trace:psl27xz2", "it permutes 10 points; variables are 2 to 9"),
        ("code-trace:s3:0", "there must be 1 command or more for each print"),
        ("code-trace", "unknown task 'code-trace'"),
        ("z1-4tokens-specials", "unknown task"),
    ],
)
def test_a_wrong_name_of_a_published_task_is_a_line(name, message):
    with pytest.raises(UsageError) as caught:
        get_task(name)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "length", "message"),
    [
        ("mqar:16", 62, "mqar:16: a string has at least 64 letters, not 62"),
        ("mqar", 40, "mqar: it has no strings of 1 to 40 letters to train on"),
        ("flip-flop", 3, "flip-flop: a string has at least 4 letters, not 3"),
        ("code-trace:s5", 67, "code-trace:s5: a trace has at least 68 letters, not 67"),
    ],
)
def test_strings_that_are_too_short_are_refused(name, length, message):
    with pytest.raises(UsageError) as caught:
        check_spec(TrainSpec(name, "lstm", train_length=length))
    assert message in str(caught.value)


def test_what_no_test_can_have_is_refused_before_the_training():
    with pytest.raises(UsageError, match="mqar:16: a string has at least 64 letters, not 30"):
        check_spec(TrainSpec("mqar:16", "lstm", train_length=64, test_range=(30, 90)))
    # Longer than the vocabulary, which the authors do not have, is no fault of a test.
    batch = string_tests(get_task("mqar:2:12"), TrainSpec("mqar:2:12", "lstm", train_length=10, num_items=4))
    assert batch["160"].batch().num_letters.tolist() == [160] * 4


@pytest.mark.parametrize("name", ["flip-flop", "code-trace:s3"])
def test_a_string_that_shows_its_answers_is_not_asked_at_its_end(name):
    with pytest.raises(
        UsageError, match=f"{name}: its answers stand in its strings; leave out --labels last"
    ):
        check_spec(TrainSpec(name, "lstm", labels="last", train_length=64))


def test_the_key_says_which_version_of_a_task_was_trained_on(monkeypatch):
    spec = TrainSpec("parity", "lstm")
    keys = []
    for version in (1, 2, 3):
        task = get_task("parity")._replace(version=version)
        monkeypatch.setattr(train_spec, "get_task", lambda name, task=task: task)
        keys.append(spec.key())
    monkeypatch.undo()
    assert keys[0] == spec.key() and len(set(keys)) == 3
