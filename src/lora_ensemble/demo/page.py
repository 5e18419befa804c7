"""The page: fields for a row on one side, what is thought of it on the other. It calls nothing beyond this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lora_ensemble.demo.asking import FIELDS, Asker
from lora_ensemble.demo.shown import mistake, page_of
from lora_ensemble.errors import UserError, first_line

CSS = Path(__file__).with_name("page.css")

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws: blob: data:; "
    "frame-ancestors 'self'; form-action 'self'"
)
"""The browser refuses what the page would fetch from elsewhere: fonts, scripts, pictures."""

LABELS = {
    "text": "Text",
    "text_pair": "Second text, where the model reads pairs",
    "question": "Question",
    "choices": "Choices, a line each",
    "image": "Image",
    "audio": "Sound",
}


def answered(asker: Asker, *values: Any) -> str:
    """HTML: the judgement, or what is wrong with the row, in one line."""
    try:
        return page_of(asker(dict(zip(FIELDS[asker.modality], values, strict=True))))
    except UserError as error:
        return mistake(first_line(error))


def built(asker: Asker, title: str) -> Any:
    """The page, as gradio's Blocks. Raises UserError without gradio."""
    gr = _gradio()
    with gr.Blocks(title=title, analytics_enabled=False) as page:
        gr.Markdown(f"# {_plain(title)}\n{_about(asker)}")
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=280):
                fields = [_field(gr, name) for name in FIELDS[asker.modality]]
                button = gr.Button("What is it?" if asker.modality in ("image", "audio") else "Ask", variant="primary")
            with gr.Column(scale=3, min_width=320):
                shown = gr.HTML("", elem_id="judgement")

        def answer(*values: Any) -> str:
            return answered(asker, *values)

        for trigger in [button.click, *_triggers(asker.modality, fields)]:
            trigger(answer, fields, shown, api_name=False, show_progress="minimal")
    return page


def served(page: Any, host: str, port: int | None, on_ready: Callable[[str], object]) -> None:
    """Serve until interrupted. on_ready: called with the address. Raises UserError for a port that is taken."""
    gr = _gradio()
    from starlette.middleware import Middleware

    try:
        _, url, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            inbrowser=False,
            prevent_thread_lock=True,
            footer_links=[],
            css=CSS.read_text(encoding="utf-8"),
            theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
            app_kwargs={"middleware": [Middleware(Closed)]},
        )
    except OSError as error:
        raise UserError(f"--port {port}: {first_line(error)}") from error
    try:
        on_ready(url)
        page.block_thread()
    finally:
        page.close(verbose=False)


class Closed:
    """ASGI middleware: every answer carries POLICY."""

    def __init__(self, app: Any):
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def closed(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = [(name, value) for name, value in message["headers"] if name != b"content-security-policy"]
                message = {**message, "headers": [*own, (b"content-security-policy", POLICY.encode())]}
            await send(message)

        await self.app(scope, receive, closed)


def _gradio() -> Any:
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before the import: it asks once
    try:
        import gradio
    except ImportError as error:
        raise UserError("demo needs gradio: pip install 'lora-ensemble[demo]'") from error
    return gradio


def _field(gr: Any, name: str) -> Any:
    label = LABELS[name]
    if name == "image":
        return gr.Image(label=label, type="numpy", image_mode="RGB", sources=["upload", "clipboard"], height=320)
    if name == "audio":
        return gr.Audio(label=label, type="filepath", sources=["upload", "microphone"])
    return gr.Textbox(label=label, lines={"text": 4, "choices": 4}.get(name, 1), max_lines=12)


def _triggers(modality: str, fields: list[Any]) -> list[Any]:
    """What asks besides the button: a file that is dropped, Enter in a line."""
    if modality in ("image", "audio"):
        return [fields[0].upload]
    return [field.submit for field in fields if field.lines == 1]


def _about(asker: Asker) -> str:
    experiment, classes = asker.run.experiment, asker.run.classes
    members = asker.ensemble.members
    named = ", ".join(_plain(name) for name in classes[:8])
    listed = f"{named} and {len(classes) - 8} more" if len(classes) > 8 else named
    return f"{members} member{'s' if members > 1 else ''} ({experiment.method.kind}), {len(classes)} classes: {listed}."


def _plain(text: str) -> str:
    """Without a meaning for Markdown."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+-.!|$~&" else c for c in text)
