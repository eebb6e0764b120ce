"""Automata, groups and languages: the mathematics that every probe draws on."""
