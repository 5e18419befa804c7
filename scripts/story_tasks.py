"""Write multiple-choice tasks that a very small language model can learn, from stories that it tells itself.

python scripts/story_tasks.py MODEL FOLDER [--stories 8192] [--train 4000] [--seed 0]

MODEL is a causal language model of TinyStories, a hub id or a folder. Each question has four short sentences, one of
which is as the model told it. FOLDER gets a folder for each task, with train.jsonl, validation.jsonl and test.jsonl for
the data set `multiple-choice`:

order   the words of the other three are shuffled
swap    a word of each of the other three is replaced by a word from another story

The tasks share their form and question; only what is wrong differs. So one is out of distribution for the other. No
sentence of a test question is in a training question, of either task.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

QUESTION = "Which is right?"
CHOICES = 4
WORDS = range(4, 8)
"""Lengths of the sentences."""
FREQUENT = 70
"""So many of the most frequent words are not replaced: stories have them everywhere."""
SHARES = {"train": (0, 70), "validation": (70, 80), "test": (80, 100)}
"""Which hundredths of the sentences each split has."""

Sentence = tuple[str, ...]


def stories(model: str, number: int, seed: int, tokens: int = 90, temperature: float = 0.8) -> list[str]:
    """Beginnings of stories, sampled from the model."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    teller = AutoModelForCausalLM.from_pretrained(model).eval()
    torch.manual_seed(seed)
    told: list[str] = []
    while len(told) < number:
        start = torch.full((min(512, number - len(told)), 1), tokenizer.bos_token_id)
        sampled = teller.generate(
            start,
            attention_mask=torch.ones_like(start),
            do_sample=True,
            temperature=temperature,
            top_k=0,
            max_new_tokens=tokens,
            pad_token_id=tokenizer.eos_token_id,
        )
        told += tokenizer.batch_decode(sampled, skip_special_tokens=True)
    return told


def sentences(told: Sequence[str]) -> list[Sentence]:
    """The different short sentences and clauses, without punctuation, in the order of their first appearance."""
    found: dict[Sentence, None] = {}
    for story in told:
        for clause in re.findall(r"[^.!?,]+[.!?,]", story.replace("\n", " ")):
            words = tuple(re.findall(r"[A-Za-z']+", clause))
            if len(words) in WORDS and len(set(words)) > 1:
                found[words] = None
    return list(found)


def split_of(sentence: Sentence) -> str:
    """By its words alone, so that both tasks have a sentence in the same split."""
    share = int(hashlib.sha256(" ".join(sentence).encode()).hexdigest(), 16) % 100
    return next(split for split, (start, end) in SHARES.items() if start <= share < end)


class Swap:
    """Replaces a word, not the first, by one from anywhere, as often as it is there."""

    def __init__(self, known: Sequence[Sentence]):
        counts = Counter(word for sentence in known for word in sentence if word.islower() and len(word) > 2)
        self.common = {word for word, _ in counts.most_common(FREQUENT)}
        self.words = sorted(counts.keys() - self.common)
        self.known = set(self.words)
        self.weights = [counts[word] for word in self.words]

    def possible(self, sentence: Sentence) -> bool:
        return bool(self._places(sentence))

    def __call__(self, sentence: Sentence, draw: random.Random) -> Sentence:
        place = draw.choice(self._places(sentence))
        word = sentence[place]
        while word == sentence[place]:
            word = draw.choices(self.words, self.weights)[0]
        return (*sentence[:place], word, *sentence[place + 1 :])

    def _places(self, sentence: Sentence) -> list[int]:
        return [place for place, word in enumerate(sentence) if place and word in self.known]


def shuffled(sentence: Sentence, draw: random.Random) -> Sentence:
    """Its words in another order."""
    words = sentence
    while words == sentence:
        words = tuple(draw.sample(sentence, len(sentence)))
    return words


def questions(
    known: Sequence[Sentence], spoil: Callable[[Sentence, random.Random], Sentence], number: int, draw: random.Random
) -> list[dict[str, object]]:
    """Rows of four different sentences, the right one at a random place."""
    rows = []
    for _ in range(number):
        answer = draw.randrange(CHOICES)
        chosen = draw.sample(known, CHOICES)
        choices = [" ".join(s if place == answer else spoil(s, draw)) for place, s in enumerate(chosen)]
        rows.append({"question": QUESTION, "choices": choices, "answer": answer})
    return rows


def write(folder: Path, told: Sequence[str], sizes: dict[str, int], seed: int) -> None:
    """A folder for each task."""
    swap = Swap(sentences(told))
    known = [sentence for sentence in sentences(told) if swap.possible(sentence)]
    for task, spoil in {"order": shuffled, "swap": swap}.items():
        draw = random.Random(f"{task}-{seed}")
        (folder / task).mkdir(parents=True, exist_ok=True)
        for split, number in sizes.items():
            rows = questions([s for s in known if split_of(s) == split], spoil, number, draw)
            lines = [json.dumps(row) + "\n" for row in rows]
            (folder / task / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
            print(f"{folder / task / split}.jsonl: {number} questions")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stories", type=int, default=8192)
    parser.add_argument("--train", type=int, default=4000)
    parser.add_argument("--validation", type=int, default=500)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sizes = {"train": options.train, "validation": options.validation, "test": options.test}
    write(options.folder, stories(options.model, options.stories, options.seed), sizes, options.seed)


if __name__ == "__main__":
    main()
