"""An audit of a corpus as a page of its own; the page of a corpus in a site has the same."""

from pathlib import Path

from evalkit.corpora.audit import Audit
from evalkit.files import atomic_write
from evalkit.report.writer import standalone_page


def write_audit_page(audit: Audit, path: Path) -> None:
    """Write an audit as HTML, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(standalone_page("audit.html", audit=audit), encoding="utf-8")
