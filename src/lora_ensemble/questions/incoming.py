"""Multiple-choice questions that are to be answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, cast

import numpy as np

from lora_ensemble.contracts import Split
from lora_ensemble.errors import DataError
from lora_ensemble.questions.own import Answers, answers_form, parsed
from lora_ensemble.questions.rows import MODALITY
from lora_ensemble.sources.columns import LOOK
from lora_ensemble.sources.incoming import Incoming, Options, table_rows


def rows(path: str, options: Options) -> Iterator[Incoming]:
    """Of a file or the standard input; what the answers are is told from the first rows, where it is not given."""
    table = table_rows(path, options.encoding)
    first = list(islice(table, LOOK))
    if not first:
        raise DataError(f"{path!r} has no rows")
    form = answers_form(first, cast(Answers, options.answers)) if options.label_column != "" else None
    for number, (where, row) in enumerate(chain(first, table)):
        key = str(number) if row.get("id") in (None, "") else str(row["id"])
        try:
            kept: Any = row if form is not None else {name: value for name, value in row.items() if name != "answer"}
            question = parsed([(where, kept)], form or "auto")[0]
        except DataError as error:
            yield Incoming(key, str(error), bad=True)
            continue
        if options.classes and len(question.choices) > len(options.classes):
            said = f"{len(question.choices)} choices, and the model was trained on at most {len(options.classes)}"
            yield Incoming(key, said, bad=True)
        else:
            yield Incoming(key, question.example(), question.answer)


def split(rows: Sequence[Incoming], options: Options) -> Split:
    """A chunk of questions; labels where each has an answer."""
    answers = [row.label for row in rows]
    return Split(
        examples=[row.stored for row in rows],
        labels=None if None in answers else np.array(answers, dtype=np.int64),
        ids=[row.id for row in rows],
        classes=options.classes,
        modality=MODALITY,
    )
