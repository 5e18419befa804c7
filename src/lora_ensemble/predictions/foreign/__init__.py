"""Logits and probabilities that other programs wrote: one file per format, and one way from there to predictions."""
