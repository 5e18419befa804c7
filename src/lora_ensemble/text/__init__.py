"""Texts, and pairs of them: rows of tables, and tokens on their way into a model."""
