"""A judgement as HTML: in words, in numbers, and in strips that show where it lies."""

from __future__ import annotations

import math
from html import escape

from lora_ensemble.demo.judging import Judgement, Place
from lora_ensemble.printable import printable

TOP = 5
"""Classes that are shown."""

NOTHING = 0.005
"""Share of the probability that is not worth a word."""

HEADINGS = {"trust": "Can be trusted", "ask": "Ask a person", "unknown": "Nothing is promised"}
SYMBOLS = {"trust": "✓", "ask": "!", "unknown": "?"}

KINDS = {
    "total": "how uncertain the ensemble is in all",
    "aleatoric": "what no member can tell: the row itself is ambiguous",
    "epistemic": "what the members disagree on: too little was learned of rows like this",
}


def page_of(judgement: Judgement) -> str:
    """All of it."""
    return (
        f"<div class='judged'>{_verdict(judgement)}{_classes(judgement)}{_members(judgement)}{_kinds(judgement)}</div>"
    )


def mistake(message: str) -> str:
    """One line, in place of a judgement."""
    return f"<div class='judged'><p class='mistake' role='alert'>{_safe(message)}</p></div>"


def _verdict(judgement: Judgement) -> str:
    says, name = judgement.verdict.says, judgement.classes[judgement.prediction]
    percent = f"{100 * judgement.probs_C[judgement.prediction]:.1f} %"
    return (
        f"<section class='verdict {says}'><h2><bdi>{_safe(name)}</bdi> <small>{percent}</small></h2>"
        f"<p><strong><span class='sign' aria-hidden='true'>{SYMBOLS[says]}</span> {HEADINGS[says]}.</strong> "
        f"{_safe(judgement.verdict.why)}</p></section>"
    )


def _classes(judgement: Judgement) -> str:
    order = sorted(range(len(judgement.classes)), key=lambda c: -judgement.probs_C[c])[:TOP]
    rows = "".join(
        f"<tr><th scope='row'><bdi>{_safe(judgement.classes[c])}</bdi></th><td class='wide'>{_bar(judgement, c)}</td>"
        f"<td class='number'>{100 * judgement.probs_C[c]:.1f} %</td></tr>"
        for c in order
    )
    how = f"calibrated ({_safe(judgement.calibrated)})" if judgement.calibrated else "not calibrated"
    more = len(judgement.classes) - len(order)
    rest = f" {more} further classes are not shown." if more else ""
    elsewhere = 1 - sum(judgement.probs_C)
    if elsewhere > NOTHING:
        rest += f" {100 * elsewhere:.0f} % go to what is none of these."
    return (
        f"<section><h3>Probabilities</h3><table>{rows}</table>"
        f"<p class='note'>Bars: the mean of the members, {how}. Marks: each member.{rest}</p></section>"
    )


def _bar(judgement: Judgement, c: int) -> str:
    marks = "".join(f"<i style='left:{100 * member[c]:.2f}%'></i>" for member in judgement.probs_MC)
    return f"<div class='bar' aria-hidden='true'><b style='width:{100 * judgement.probs_C[c]:.2f}%'></b>{marks}</div>"


def _members(judgement: Judgement) -> str:
    number = len(judgement.probs_MC)
    if number == 1:
        return "<section><h3>Members</h3><p>There is one member: nobody to disagree with.</p></section>"
    cells = "".join(_member(judgement, m) for m in range(number))
    agree = "All" if judgement.agreeing == number else str(judgement.agreeing)
    return (
        f"<section><h3>Members</h3><p>{agree} of {number} members say "
        f"<bdi>{_safe(judgement.classes[judgement.prediction])}</bdi>.</p><ol class='members' start='0'>{cells}</ol>"
        "</section>"
    )


def _member(judgement: Judgement, m: int) -> str:
    probs = judgement.probs_MC[m]
    own = max(range(len(probs)), key=probs.__getitem__)
    kind = "" if own == judgement.prediction else " class='other'"
    return f"<li{kind}><bdi>{_safe(judgement.classes[own])}</bdi> <span>{100 * probs[own]:.0f} %</span></li>"


def _kinds(judgement: Judgement) -> str:
    place = judgement.place
    most = math.log(max(2, len(judgement.classes)))
    rows = "".join(
        f"<tr><th scope='row'>{kind}<p class='note'>{said}</p></th>"
        f"<td class='number'>{getattr(judgement, kind):.3f}</td>"
        f"<td class='wide'>{'' if place is None else _strip(getattr(place, kind))}</td></tr>"
        for kind, said in KINDS.items()
    )
    return (
        f"<section><h3>Uncertainty</h3><table class='kinds'>{rows}</table>"
        f"<p class='note'>In nats, from 0 (certain) to {most:.2f} (any of {len(judgement.classes)} classes); the first "
        f"is the sum of the others.</p>{'' if place is None else _neighbours(place)}</section>"
    )


def _strip(share: float) -> str:
    return (
        f"<div class='strip' aria-hidden='true'><i style='left:{100 * share:.1f}%'></i></div>"
        f"<p class='note'>{rank(share)}</p>"
    )


def rank(share: float) -> str:
    """Where a row lies, in words. share: of the validation rows with a lower value."""
    if share == 0:
        return "as low as on any validation row"
    if share == 1:
        return "higher than on every validation row"
    percent = min(99.9, max(0.1, 100 * share))
    return (
        f"higher than on {percent:.0f} % of the validation rows"
        if 1 <= percent < 99
        else (f"higher than on {percent:.1f} % of the validation rows")
    )


def _neighbours(place: Place) -> str:
    right = place.right
    hits = round(right.value * right.rows)
    return (
        f"<p class='nearest'>Of the {right.rows} validation rows that were most nearly as certain, {hits} were right: "
        f"{100 * right.value:.0f} % (95 % interval {100 * right.low:.0f} to {100 * right.high:.0f} %).</p>"
    )


def _safe(text: object) -> str:
    return escape(printable(str(text)))
