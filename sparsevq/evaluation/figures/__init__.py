"""Figures: one module a topic, one look, fixed file names (`draw.CASE_FIGURES`)."""
