"""Losses by kind of token, on bytes: what each class of bytes costs, the same bytes for every model.

`axes` says which classes there are, `byte_classes` tells those of a document, `class_losses` what they cost
the models of a corpus, with paired differences and intervals.
"""
