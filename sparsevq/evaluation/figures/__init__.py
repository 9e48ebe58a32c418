"""Figures of one run and of many runs; `draw` names their files."""
