"""The quick reading of dataclasses: what it gives is what the closer look gives, and refuses."""

import copy
import random
from typing import Any

from evalkit.cells.schema import CorpusCell
from evalkit.fields import FieldError, _from_json, from_json
from tests.support.cells import corpus_content

ODD: list[Any] = [None, True, 1, 1.5, 2**63, float("inf"), "text", [], [1], ["a"], {}, {"a": 1}, {"a": "b"}]


def read(reader: Any, content: Any) -> Any:
    try:
        return reader(content)
    except FieldError as error:
        return str(error)


def content_of_file() -> dict[str, Any]:
    content = copy.deepcopy({**corpus_content(), "sha256": "ab" * 32})
    return {name: value for name, value in content.items() if name not in ("kind", "status")}


def test_whatever_a_field_holds_is_read_or_refused_as_by_the_closer_look() -> None:
    """A thousand changes of a whole cell: a field more, less, or of another type, at any depth."""
    generator = random.Random(0)
    outcomes = set()
    for _ in range(1000):
        content = content_of_file()
        place: Any = content
        while isinstance(place, dict) and place and generator.random() < 0.8:
            name = generator.choice(sorted(place))
            if not isinstance(place[name], dict) or generator.random() < 0.3:
                break
            place = place[name]
        name = generator.choice([*sorted(place), "unknown"])
        if generator.random() < 0.2:
            place.pop(name, None)
        else:
            place[name] = generator.choice(ODD)
        quick = read(lambda of: from_json(CorpusCell, of, path=None), copy.deepcopy(content))
        closer = read(lambda of: _from_json(CorpusCell, of, "", {"path": None}), content)
        assert repr(quick) == repr(closer)
        assert type(quick) is type(closer)
        assert quick == closer or "inf" in repr(quick)
        outcomes.add(type(quick))
    assert outcomes == {str, CorpusCell}


def test_what_many_files_say_alike_is_one_object_and_no_equal_one_of_another_type() -> None:
    first, second = (from_json(CorpusCell, content_of_file(), path=None) for _ in range(2))
    assert first.environment is second.environment
    assert first.model is second.model
    details = [
        from_json(
            CorpusCell,
            {**content_of_file(), "model": {**content_of_file()["model"], "scale": scale}},
            path=None,
        )
        for scale in (1, True, 1.0)
    ]
    assert [type(cell.model.details["scale"]) for cell in details] == [int, bool, float]
