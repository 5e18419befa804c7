"""Makes the package's own weights and its out-of-distribution images from fonts alone.

    python scripts/make_digits_vit.py

A small ViT learns to name distorted glyphs of several hundred characters (Latin, Greek, Cyrillic, Armenian, Georgian,
mathematical and other symbols) in the DejaVu and STIX fonts that matplotlib ships. There is no digit among them, in any
script, and no handwriting. Glyphs take the road of the UCI digits: a 32 x 32 bitmap whose 4 x 4 blocks are counted,
so that an image is 8 x 8 with values of 0 to 16. The letters of `datasets/letters.py` are made the same way from the
Computer Modern fonts, which the ViT never sees.
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
STEPS = 6000
BATCH = 256
STRENGTH = 0.7
PEAK_RATE = 3e-3
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
ASSETS = Path(__file__).parents[1] / "src" / "lora_ensemble" / "assets"
TRAIN_FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-BoldOblique", "DejaVuSans-Oblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-BoldOblique", "DejaVuSansMono-Oblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-BoldItalic", "DejaVuSerif-Italic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralBolIta", "STIXGeneralItalic"),
)
LETTER_FONTS = ("cmr10", "cmb10", "cmss10", "cmtt10", "cmti10")
LETTERS = "ACEFGHJKLMNPRTUVWXYacdefhjkmnprtuvwxy"
"""No B D I O Q S Z b g i l o q s z: printed in 8 x 8 they can be read as a digit."""
PER_LETTER = 6
"""Images of each letter in each font."""
BLOCKS = ((0x21, 0x7F), (0xA1, 0x2B0), (0x370, 0x530), (0x531, 0x588), (0x10A0, 0x1100), (0x20A0, 0x20C0), (0x2190, 0x2300))
"""Code points: Latin, IPA, Greek, Cyrillic, Armenian, Georgian, currency, arrows, mathematics."""
DIGIT_NAMES = {"ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE", "ZERO"}
MIN_FONTS = 6
CANVAS = 48
GLYPH = 32


def characters() -> list[str]:
    """Letters and symbols that enough fonts draw: no numbers of any script, no accents, no two that look the same."""
    charmaps = [FT2Font(str(FONTS / f"{name}.ttf")).get_charmap() for name in TRAIN_FONTS]
    kept: list[str] = []
    drawings: list[np.ndarray] = []
    for code in (c for first, last in BLOCKS for c in range(first, last)):
        character = chr(code)
        kind = unicodedata.category(character)
        drawn = sum(code in charmap for charmap in charmaps)
        if DIGIT_NAMES & set(unicodedata.name(character, "").split()) or kind[0] not in "LS" or unicodedata.decomposition(character) or drawn < MIN_FONTS:
            continue
        drawing = render("DejaVuSans" if code in charmaps[0] else "STIXGeneral", character).astype(np.float32) / 255
        if drawing.sum() < 40 or any(np.abs(drawing - d).sum() < 0.25 * drawing.sum() for d in drawings):
            continue
        kept.append(character)
        drawings.append(drawing)
    return kept


def render(font: str, character: str) -> np.ndarray:
    """A character scaled to a box of GLYPH x GLYPH, its aspect kept, in the middle of a canvas: uint8 (CANVAS, CANVAS)."""
    face = ImageFont.truetype(str(FONTS / f"{font}.ttf"), 2 * GLYPH)
    page = Image.new("L", (6 * GLYPH, 6 * GLYPH))
    ImageDraw.Draw(page).text((2 * GLYPH, 2 * GLYPH), character, fill=255, font=face)
    ink = page.crop(page.getbbox() or (0, 0, 1, 1))
    height = min(GLYPH, 2 * GLYPH * ink.height // ink.width)
    width = min(3 * GLYPH // 4, ink.width * height // ink.height)
    ink = ink.resize((max(1, width), max(1, height)), Image.Resampling.LANCZOS)
    canvas = Image.new("L", (CANVAS, CANVAS))
    canvas.paste(ink, ((CANVAS - ink.width) // 2, (CANVAS - ink.height) // 2))
    return np.asarray(canvas)


def glyph_table(wanted: list[str], fonts: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Every character in every font that has it: images (N, CANVAS, CANVAS) in [0, 1], class indices (N,)."""
    images, labels = [], []
    for font in fonts:
        charmap = FT2Font(str(FONTS / f"{font}.ttf")).get_charmap()
        for label, character in enumerate(wanted):
            if ord(character) in charmap:
                images.append(render(font, character))
                labels.append(label)
    return torch.from_numpy(np.stack(images)).float() / 255, torch.tensor(labels)


def distort(glyphs_B: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Rotation, shear, scale, shift and an elastic field; another stroke width with rough edges; a 32 x 32
    bitmap counted in 4 x 4 blocks: (B, CANVAS, CANVAS) in [0, 1] to (B, 8, 8) in sixteenths."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        middle, half = (low + high) / 2, (high - low) / 2 * strength
        return middle + half * (2 * torch.rand(len(glyphs_B), *shape, generator=generator) - 1)

    angle, shear = uniform(-0.3, 0.3), uniform(-0.4, 0.4)
    width, height = uniform(0.8, 1.5), uniform(0.9, 1.1)
    cos, sin = angle.cos(), angle.sin()
    matrix_B23 = torch.stack(
        [
            torch.stack([cos * width, (shear - sin) * height, uniform(-0.1, 0.1)], 1),
            torch.stack([sin * width, cos * height, uniform(-0.1, 0.1)], 1),
        ],
        1,
    ) * (GLYPH / CANVAS)
    grid = F.affine_grid(matrix_B23, [len(glyphs_B), 1, GLYPH, GLYPH], align_corners=False)
    field = F.interpolate(uniform(-0.2, 0.2, 2, 5, 5), size=GLYPH, mode="bicubic")
    warped = F.grid_sample(glyphs_B[:, None], grid + field.permute(0, 2, 3, 1), align_corners=False)
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    rough = F.interpolate(uniform(-0.3, 0.3, 1, 16, 16), size=GLYPH, mode="bilinear")
    ink = F.conv2d(warped, (kernel[:, None] * kernel)[None, None], padding=2)
    ink = ink * (1 + rough) > uniform(0.03, 0.45, 1, 1, 1)
    return F.avg_pool2d(ink.float(), 4)[:, 0]


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
        attn_implementation="sdpa",
    )
    return ViTForImageClassification(config)


def normalise(images_B: Tensor) -> Tensor:
    """Images in [0, 1] to what the ViT sees, as `backbones/digits_vit.py` does it."""
    return ((images_B - 0.5) / 0.5)[:, None]


def pretrain(glyphs: Tensor, labels: Tensor, steps: int, generator: torch.Generator) -> ViTForImageClassification:
    """Name the character of a distorted glyph: cross-entropy, AdamW, one cosine with a warm-up."""
    model = vit(int(labels.max()) + 1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, steps, pct_start=0.1)
    started, right = time.time(), 0.0
    for step in range(1, steps + 1):
        rows = torch.randint(len(glyphs), (BATCH,), generator=generator)
        logits = model(pixel_values=normalise(distort(glyphs[rows], STRENGTH, generator))).logits
        optimiser.zero_grad()
        F.cross_entropy(logits, labels[rows]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        right += (logits.argmax(1) == labels[rows]).float().mean().item()
        if step % 500 == 0:
            print(f"step {step}: accuracy {right / 500:.3f}, {time.time() - started:.0f} s", flush=True)
            right = 0.0
    return model.eval()


@torch.no_grad()
def linear_probe(model: ViTForImageClassification, train_examples: int, draws: int = 10) -> tuple[float, float]:
    """Test accuracy on the handwritten digits of a logistic regression on the class token, weights frozen: mean and
    standard deviation over draws of the split. Only measures; nothing is chosen by it."""
    digits = load_digits()
    images = normalise(torch.tensor(digits.images, dtype=torch.float32) / 16)
    features = model.eval().vit(pixel_values=images).last_hidden_state[:, 0].numpy()
    scores = []
    for draw in range(draws):
        x, x_test, y, y_test = train_test_split(
            features, digits.target, train_size=train_examples, stratify=digits.target, random_state=draw
        )
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(x, y)
        scores.append(probe.score(x_test, y_test))
    return float(np.mean(scores)), float(np.std(scores))
