"""Makes the weights and the out-of-distribution images that the package ships, from fonts alone.

    python scripts/make_digits_vit.py

A small ViT learns to name distorted glyphs of several hundred letters (Latin, IPA, Greek, Cyrillic, Armenian, Georgian)
in the DejaVu and STIX fonts that matplotlib ships. There is no digit of any script among them, and no handwriting.
Glyphs take the road of the UCI digits: a bitmap of 32 x 32 whose blocks of 4 x 4 are counted, so 8 x 8 values of 0..16.
The images of `datasets/letters.py` are made the same way from the Computer Modern fonts, which the ViT never sees.
What came out is in `src/lora_ensemble/assets/README.md`.
"""

from __future__ import annotations

import argparse
import time
import unicodedata
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F
from transformers import ViTConfig, ViTForImageClassification

SEED = 0
STEPS = 12_000
BATCH = 64
PEAK_RATE = 1.5e-3
STRENGTH = 0.6
"""Of the distortions: 1 is the most that leaves glyphs readable, 0 none."""

ASSETS = Path(__file__).parents[1] / "src" / "lora_ensemble" / "assets"
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
TRAIN_FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-BoldOblique", "DejaVuSans-Oblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-BoldOblique", "DejaVuSansMono-Oblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-BoldItalic", "DejaVuSerif-Italic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralBolIta", "STIXGeneralItalic"),
)
MIN_FONTS = 6
"""A letter is learnt if so many fonts draw it."""
BLOCKS = ((0x41, 0x7B), (0xA1, 0x2B0), (0x370, 0x530), (0x531, 0x588), (0x10A0, 0x1100))
NUMERALS = {"ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE"}
"""Words in the Unicode names of letters that are drawn as digits, such as LATIN LETTER TWO WITH STROKE."""

OOD_FONTS = ("cmr10", "cmb10", "cmss10", "cmtt10", "cmti10")
OOD_LETTERS = "ACEFGHJKLMNPRTUVWXYacdefhjkmnprtuvwxy"
"""Without B D I O Q S Z b g i l o q s z: at 8 x 8 they can be read as a digit."""
OOD_EACH = 5
"""Images of each letter in each font."""

CANVAS, BITMAP = 48, 32
"""Sides, in pixels, of a drawn glyph with its margin, and of the bitmap that is counted."""


def letters() -> list[str]:
    """Letters that enough fonts draw, without accents, and no two that look the same."""
    charmaps = [FT2Font(str(FONTS / f"{name}.ttf")).get_charmap() for name in TRAIN_FONTS]
    kept: list[str] = []
    seen: list[np.ndarray] = []
    for code in (c for first, last in BLOCKS for c in range(first, last)):
        letter = chr(code)
        if not unicodedata.category(letter).startswith("L") or unicodedata.decomposition(letter):
            continue
        if NUMERALS & set(unicodedata.name(letter).split()) or sum(code in charmap for charmap in charmaps) < MIN_FONTS:
            continue
        drawing = draw("DejaVuSans" if code in charmaps[0] else "STIXGeneral", letter).astype(np.float32)
        if all(np.abs(drawing - other).sum() > 0.25 * drawing.sum() for other in seen):
            kept.append(letter)
            seen.append(drawing)
    return kept


def draw(font: str, letter: str) -> np.ndarray:
    """A letter scaled to a height of 32 and a width of at most 24 pixels, in the middle of a canvas: uint8 (48, 48)."""
    page = Image.new("L", (6 * BITMAP, 6 * BITMAP))
    face = ImageFont.truetype(str(FONTS / f"{font}.ttf"), 2 * BITMAP)
    ImageDraw.Draw(page).text((2 * BITMAP, 2 * BITMAP), letter, fill=255, font=face)
    ink = page.crop(page.getbbox())
    height = max(1, min(BITMAP, 2 * BITMAP * ink.height // ink.width))
    width = max(1, min(3 * BITMAP // 4, ink.width * height // ink.height))
    canvas = Image.new("L", (CANVAS, CANVAS))
    place = (CANVAS - width) // 2, (CANVAS - height) // 2
    canvas.paste(ink.resize((width, height), Image.Resampling.LANCZOS), place)
    return np.asarray(canvas)


def drawings(wanted: list[str], fonts: tuple[str, ...]) -> tuple[Tensor, list[tuple[str, str]]]:
    """Every letter in every font that has it: images (N, 48, 48) in [0, 1], and N pairs of font and letter."""
    images, names = [], []
    for font in fonts:
        charmap = FT2Font(str(FONTS / f"{font}.ttf")).get_charmap()
        here = [letter for letter in wanted if ord(letter) in charmap]
        images += [draw(font, letter) for letter in here]
        names += [(font, letter) for letter in here]
    return torch.from_numpy(np.stack(images)).float() / 255, names


def distort(glyphs_B: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Rotation, shear, scale, shift and an elastic field, then another stroke width with rough edges: (B, 48, 48) in
    [0, 1] to a bitmap of (B, 32, 32), and to the means of its 4 x 4 blocks, (B, 8, 8)."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        middle, half = (low + high) / 2, (high - low) / 2 * strength
        return middle + half * (2 * torch.rand(len(glyphs_B), *shape, generator=generator) - 1)

    angle, shear = uniform(-0.3, 0.3), uniform(-0.4, 0.4)
    width, height = uniform(0.8, 1.5), uniform(0.9, 1.1)
    x = torch.stack([angle.cos() * width, (shear - angle.sin()) * height, uniform(-0.1, 0.1)], dim=1)
    y = torch.stack([angle.sin() * width, angle.cos() * height, uniform(-0.1, 0.1)], dim=1)
    affine_B23 = torch.stack([x, y], dim=1) * (BITMAP / CANVAS)
    grid = F.affine_grid(affine_B23, [len(glyphs_B), 1, BITMAP, BITMAP], align_corners=False)
    elastic = F.interpolate(uniform(-0.2, 0.2, 2, 5, 5), size=BITMAP, mode="bicubic")
    ink = F.grid_sample(glyphs_B[:, None], grid + elastic.permute(0, 2, 3, 1), align_corners=False)
    blur = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    ink = F.conv2d(ink, (blur[:, None] * blur)[None, None], padding=2)
    rough = F.interpolate(uniform(-0.3, 0.3, 1, 16, 16), size=BITMAP, mode="bilinear")
    bitmap = ink * (1 + rough) > uniform(0.03, 0.45, 1, 1, 1)
    return F.avg_pool2d(bitmap.float(), 4)[:, 0]


def vit(classes: int) -> ViTForImageClassification:
    """The untrained network: 16 patches of 2 x 2 pixels, 4 layers of width 64."""
    config = ViTConfig(
        image_size=8,
        patch_size=2,
        num_channels=1,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        layer_norm_eps=1e-6,
        num_labels=classes,
    )
    return ViTForImageClassification(config)


def pixel_values(images_B: Tensor) -> Tensor:
    """Images (B, 8, 8) in [0, 1] as the ViT sees them, as in `backbones/digits_vit.py`."""
    return ((images_B - 0.5) / 0.5)[:, None]


def pretrain(glyphs_N: Tensor, labels_N: Tensor, generator: torch.Generator) -> ViTForImageClassification:
    """Name the letter of a distorted glyph: cross-entropy, AdamW, one cycle of the learning rate."""
    model = vit(int(labels_N.max()) + 1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, STEPS, pct_start=0.1, cycle_momentum=False)
    right = 0
    for step in range(1, STEPS + 1):
        rows_B = torch.randint(len(glyphs_N), (BATCH,), generator=generator)
        images_B = distort(glyphs_N[rows_B], STRENGTH, generator)
        logits_BC = model(pixel_values=pixel_values(images_B)).logits
        optimiser.zero_grad()
        F.cross_entropy(logits_BC, labels_N[rows_B]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        right += int((logits_BC.argmax(1) == labels_N[rows_B]).sum())
        if step % 500 == 0:
            print(f"step {step}: accuracy {right / (500 * BATCH):.3f}, {time.process_time():.0f} s of CPU", flush=True)
            right = 0
    return model


@torch.no_grad()
def linear_probe(model: ViTForImageClassification, train_examples: int, draws: int = 10) -> str:
    """Test accuracy on the digits of a logistic regression on the frozen class token: mean ± standard deviation over
    draws of the training examples. Pretraining never sees it."""
    digits = load_digits()
    images_N = torch.tensor(digits.images, dtype=torch.float32) / 16
    features_ND = model.eval().vit(pixel_values=pixel_values(images_N)).last_hidden_state[:, 0].numpy()
    scores = []
    for draw_number in range(draws):
        x, x_test, y, y_test = train_test_split(
            features_ND, digits.target, train_size=train_examples, stratify=digits.target, random_state=draw_number
        )
        scores.append(
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(x, y).score(x_test, y_test)
        )
    return f"{100 * np.mean(scores):.1f} ± {100 * np.std(scores):.1f} %"


def write_letters(file: Path, generator: torch.Generator) -> None:
    """The out-of-distribution images, uint8 (N, 8, 8), and their names."""
    glyphs, names = drawings(list(OOD_LETTERS), OOD_FONTS)
    images = distort(glyphs.repeat_interleave(OOD_EACH, dim=0), STRENGTH, generator)
    ids = [f"{font}/{letter}/{copy}" for font, letter in names for copy in range(OOD_EACH)]
    np.savez_compressed(file, images=(images * 255).round().byte().numpy(), ids=np.array(ids))


def write_weights(folder: Path, model: ViTForImageClassification) -> None:
    """The network without its head, in half precision."""
    model.config.num_labels = 2
    model.vit.half().save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=Path, default=ASSETS, help="folder to write to")
    output = parser.parse_args().output
    write_letters(output / "letters.npz", torch.Generator().manual_seed(SEED + 1))
    classes = letters()
    glyphs, names = drawings(classes, TRAIN_FONTS)
    print(f"{len(classes)} letters, {len(glyphs)} drawings")
    torch.manual_seed(SEED)
    print("random weights, probe with 200 examples:", linear_probe(vit(10), 200))
    labels = torch.tensor([classes.index(letter) for _, letter in names])
    model = pretrain(glyphs, labels, torch.Generator().manual_seed(SEED))
    for examples in (50, 100, 200, 400):
        print(f"pretrained, probe with {examples} examples:", linear_probe(model, examples))
    write_weights(output / "digits_vit", model)


if __name__ == "__main__":
    main()
