"""Addresses of servers."""

import pytest

from evalkit.errors import UsageError
from evalkit.models.catalog import load_catalog, resolve_spec
from evalkit.models.openai.address import ServerAddress, model_name, parse_address, short_specs


def test_an_address_with_everything() -> None:
    address = parse_address("https://h:8/v1/?workers=3&timeout=1.5&tokenizer=o/n#org/model:7b", "here")
    assert address == ServerAddress("https://h:8/v1", "org/model:7b", 3, 1.5, "o/n")
    assert (address.root_url, address.place) == ("https://h:8", "h:8")
    bare = parse_address("http://[::1]:8000/v1", "here")
    assert (bare.url, bare.model, bare.num_workers, bare.timeout_s) == (
        "http://[::1]:8000/v1",
        None,
        8,
        600.0,
    )


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("host:8000/v1", "is no address; say openai:http://HOST:PORT/v1#MODEL"),
        ("ftp://host/v1", "is no address"),
        ("http:///v1", "is no address"),
        ("http://host:port/v1", "is no address"),
        ("http://host:99999/v1", "is no address"),
        ("http://[::1/v1", "is no address"),
        ("http://me:secret@host/v1", "leave it out and set EVALKIT_API_KEY"),
        ("http://me:secret@host:port/v1", "is no address"),
        ("http://host/v1#a model", "has a character that no address has"),
        ("http://host/v1#\x1b[2J", "has a character that no address has"),
        ("http://host/v1?worker=3", "unknown setting 'worker'. Did you mean workers"),
        ("http://host/v1?workers=0", "workers must be a number above 0"),
        ("http://host/v1?workers=2.5", "workers must be a whole number"),
        ("http://host/v1?workers=9999", "workers must be a whole number of at most 1024"),
        ("http://host/v1?timeout=nan", "timeout must be a number above 0"),
        ("http://host/v1?timeout=soon", "timeout must be a number above 0, not 'soon'"),
    ],
)
def test_bad_addresses_are_refused_before_anything_is_asked(target: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        resolve_spec(f"openai:{target}", load_catalog())
    assert "secret" not in str(caught.value)


def test_names_do_not_tell_of_servers_and_their_folders() -> None:
    assert [model_name(name) for name in ("m", "o/m", "/srv/a/m.gguf", "a/b/c/")] == [
        "m",
        "o/m",
        "m.gguf",
        "c",
    ]
    targets = ["http://a/v1#/srv/m", None, "http://b/v1#m", "http://b/v1#n", "http://c:1/v1"]
    assert short_specs(targets) == ["openai:m@a", None, "openai:m@b", "openai:n", "openai:c:1"]
