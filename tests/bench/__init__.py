"""Measured figures: `make bench`, or `python -m tests.bench [--only NAME] [--json FILE] [--strict]`.

Each figure is taken beside its yardstick in the same run, in turn (A B A B), so that a loaded machine slows
both.
"""
