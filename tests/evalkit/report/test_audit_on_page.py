"""The page of a corpus has the audit that was kept of the very texts that were scored."""

from pathlib import Path

from evalkit.corpora.audit import write_audit
from evalkit.corpora.auditing import audit
from evalkit.corpora.document import make_corpus, make_document
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.sites import build_site_of
from tests.support.toy_source import prose
from tests.support.toys import BigramModel


def test_the_audit_is_on_the_page(tmp_path: Path) -> None:
    documents = [
        make_document(f"{prose(number)} &amp; so on.", source="toy", id=f"d{number}", license=license)
        for number, license in enumerate(("MIT", "MIT", "MIT", None))
    ]
    corpus, other_corpus = make_corpus("toy", documents), make_corpus("toy", documents[:3])
    run([BigramModel("toy:a", 1)], [corpus], options=RunOptions(output=tmp_path / "runs"))
    page, file = tmp_path / "site" / "corpora" / "toy.html", tmp_path / "runs" / "toy" / "audit.json"
    warnings: list[str] = []

    def built() -> str:
        build_site_of(tmp_path / "runs", tmp_path / "site", warn=warnings.append)
        return page.read_text(encoding="utf-8")

    assert 'id="audit"' not in built()
    write_audit(audit(corpus), file)
    text = built()
    assert 'id="audit"' in text and "4 documents to read, drawn with seed 0" in text
    assert "4 of 4 documents have tags, entities" in text and "beyond its limit" in text
    assert warnings == []
    file.unlink()
    write_audit(audit(other_corpus), file)  # of fewer texts than were scored
    assert 'id="audit"' not in built() and warnings == []
    file.write_text("{}")
    assert 'id="audit"' not in built()
    assert len(warnings) == 1 and "audit.json is no audit of a corpus" in warnings[0]
