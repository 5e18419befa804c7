"""Write docs/reference.md from the docstrings of the public names.

python scripts/make_reference.py
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from pathlib import Path

import lora_ensemble

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"


def reference() -> str:
    """The page."""
    parts = [
        "# Reference\n",
        "The public names of `lora_ensemble`, from their docstrings (`make reference`). `lora-ensemble list` names\n"
        "the backbones, methods, data sets, metrics and recipes; `lora-ensemble train RECIPE --help` their fields.\n",
    ]
    for name in lora_ensemble.__all__:
        parts += [f"## {name}\n", *entry(getattr(lora_ensemble, name), name)]
    return "\n".join(parts)


def entry(thing: type, name: str) -> list[str]:
    """Signature, docstring, fields and public methods of a class; signature and docstring of a function."""
    lines = [*signature(thing, name), f"{inspect.getdoc(thing)}\n"]
    if not inspect.isclass(thing) or issubclass(thing, Exception):
        return lines
    fields = field_docs(thing)
    lines += [f"- `{field}`: {' '.join(text.split())}" for field, text in fields.items()] + [""] * bool(fields)
    for attribute, value in vars(thing).items():
        plain = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        if attribute.startswith("_") or not inspect.getdoc(plain) or not inspect.isfunction(plain):
            continue
        text = textwrap.indent(inspect.getdoc(plain) or "", "  ").strip()
        lines.append(f"- `.{attribute}{parameters(plain)}` {text}")
    return lines if lines[-1].endswith("\n") else [*lines, ""]


def signature(thing: object, name: str) -> list[str]:
    """The call as code; nothing for a class whose fields are listed."""
    if inspect.isclass(thing) and (dataclasses.is_dataclass(thing) or issubclass(thing, Exception)):
        return []
    return [f"```\n{name}{parameters(thing)}\n```\n"]


def parameters(thing: object) -> str:
    """Names and defaults, without annotations."""
    kept = []
    for p in inspect.signature(thing).parameters.values():  # type: ignore[arg-type]
        if p.name in ("self", "cls"):
            continue
        if p.kind is p.KEYWORD_ONLY and "*" not in kept:
            kept.append("*")
        star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        kept.append(star + p.name + ("" if p.default is p.empty else f"={p.default!r}"))
    return f"({', '.join(kept)})"


def field_docs(thing: type) -> dict[str, str]:
    """The docstring under each field of a dataclass."""
    if not dataclasses.is_dataclass(thing):
        return {}
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(thing))).body
    assert isinstance(tree, ast.ClassDef)
    return {
        field.target.id: text.value.value
        for field, text in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
    print(PAGE)
