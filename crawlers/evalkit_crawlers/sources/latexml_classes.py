"""LaTeXML's names for the parts of a page: what is text, what is not, what begins a block.

https://math.nist.gov/~BMiller/LaTeXML/manual/schema/; the front matter of 2026 by
https://github.com/brucemiller/LaTeXML/pull/2767.
"""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


TEXT = _names(
    "ltx_title ltx_subtitle ltx_abstract ltx_keywords ltx_titlepage ltx_part ltx_chapter ltx_section "
    "ltx_subsection ltx_subsubsection ltx_paragraph ltx_subparagraph ltx_appendix "
    "ltx_acknowledgements ltx_acknowledgement ltx_para ltx_p ltx_block ltx_logical-block "
    "ltx_inline-block ltx_inline-para ltx_inline-logical-block ltx_minipage ltx_parbox ltx_framed ltx_text "
    "ltx_emph ltx_sup ltx_sub ltx_Math ltx_ref ltx_cite ltx_note ltx_note_content ltx_note_outer "
    "ltx_tag ltx_tag_item ltx_runin ltx_figure ltx_table ltx_float ltx_algorithm ltx_graphics "
    "ltx_picture ltx_caption ltx_tabular ltx_thead ltx_tbody ltx_tr ltx_td ltx_th ltx_theorem "
    "ltx_proof ltx_itemize ltx_enumerate ltx_description ltx_item ltx_equation ltx_equationgroup "
    "ltx_eqn_table ltx_eqn_row ltx_eqn_cell ltx_listing ltx_listingline ltx_verbatim ltx_quote "
    "ltx_quotation ltx_verse ltx_sidebar ltx_slide ltx_glossary ltx_break ltx_rule ltx_anchor "
    "ltx_ERROR"
)
"""Classes of what an article's text is made of."""
STYLES = (
    *("ltx_font_", "ltx_align_", "ltx_border_", "ltx_centering"),
    *("ltx_noindent", "ltx_indent", "ltx_role_"),
)
"""Beginnings of names that say nothing of what an element is."""
NOTES = _names(
    "ltx_role_footnote ltx_role_footnotetext ltx_role_footnotemark ltx_role_endnote ltx_role_margin"
)
"""Roles of notes of the article's; others thank, classify, or name a conference and its price."""
PRUNED = _names(
    "ltx_authors ltx_dates ltx_TOC ltx_bibliography ltx_index ltx_page_header ltx_page_footer "
    "ltx_pagination ltx_rdf ltx_ERROR ltx_note_mark ltx_note_type ltx_note_name ltx_tag_note "
    "ltx_tag_listingline ltx_listing_data ltx_picture ltx_phantom ltx_pubnotes ltx_pubnote biography "
    "package-alerts sr-only"
)
PRUNED_TAGS = _names("script style nav button svg template noscript iframe object form")
BLOCK_TAGS = _names(
    "address article aside blockquote caption dd details div dl dt figcaption figure footer h1 h2 h3 h4 "
    "h5 h6 header hr li main ol p pre section summary table tbody td tfoot th thead tr ul"
)
BLOCK_CLASSES = _names("ltx_p ltx_para ltx_tr ltx_td ltx_th ltx_listing ltx_listingline ltx_tabular")
# End what came before even where that is a label that waits for its text.
OWN_TAGS = _names("article section figure table ul ol dl li h1 h2 h3 h4 h5 h6")
DISPLAYS = _names("ltx_equation ltx_equationgroup ltx_eqn_table")
LABELS = _names("ltx_tag_item ltx_runin")
