"""Crawls: planned, sampled, told of, gone on with, rebuilt."""
