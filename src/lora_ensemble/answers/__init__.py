"""Answers: a row of a table for each new row, with its uncertainty; of any number of rows, in constant memory."""

from lora_ensemble.answers.asked import Asked

__all__ = ["Asked"]
