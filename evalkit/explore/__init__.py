"""A local page on which a text is typed and seen as one or two models read it."""
