"""The display of a training run, in a terminal and in a file."""

from __future__ import annotations

import io

from lora_ensemble.training.progress import Progress, TerminalProgress


def at(step: int, losses: tuple[float, ...] = (1.0, 0.5, 0.75)) -> Progress:
    """Progress of a run of 40 steps, 10 an epoch, 2 a second."""
    return Progress(step, 40, step / 10, 1e-3, losses, step / 2, (40 - step) / 2)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO) -> str:
    with TerminalProgress("digits-lora", stream) as display:
        for step in range(1, 41):
            display(at(step))
    return stream.getvalue()


def test_a_file_gets_a_plain_line_per_tenth() -> None:
    lines = shown(io.StringIO()).splitlines()
    assert len(lines) == 10
    assert lines[0] == ("digits-lora: step 4/40  epoch 0.4  loss 0.7500 (members 0.5000 to 1.0000)  2 s, 18 s left")
    assert lines[-1].startswith("digits-lora: step 40/40")
    assert all(line.isprintable() for line in lines)


def test_a_terminal_gets_a_bar_with_the_losses_of_the_members() -> None:
    text = shown(Terminal())
    assert "digits-lora" in text
    assert "40/40" in text
    assert "members 0.5000 to 1.0000" in text
    assert "\x1b[" in text  # it is drawn in place


def test_one_member_has_one_loss() -> None:
    assert at(1, (0.25,)).losses == "loss 0.2500"


def test_a_run_that_was_resumed_late_prints_what_is_left() -> None:
    stream = io.StringIO()
    with TerminalProgress("", stream) as display:
        for step in range(38, 41):
            display(at(step))
    assert [line.split()[1] for line in stream.getvalue().splitlines()] == ["38/40", "40/40"]
