"""What imagecorruptions-imaug 1.1.5 makes of one image: tests/images/corruption_reference.json.

    python -m venv venv && venv/bin/pip install imagecorruptions-imaug
    venv/bin/python scripts/make_corruption_reference.py

Of corruptions without random numbers the means of the blocks of the corrupted image; of the others, over draws, the
mean of the values and the root mean square of what changed. Levels 0 .. 255. This script needs nothing of
lora-ensemble; the test makes the same image.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

TO = Path(__file__).parents[1] / "tests" / "images" / "corruption_reference.json"
SIDE, BLOCK, DRAWS = 224, 32, 16
EXACT = ("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression")
DRAWN = (
    "gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "snow", "fog", "elastic_transform",
)  # fmt: skip


def picture() -> np.ndarray:
    """uint8 (224, 224, 3): slopes, rings and squares; the colours differ."""
    down, right = np.mgrid[:SIDE, :SIDE]
    slope = 40 + 150 * right / SIDE
    rings = 45 * np.sin((down - 90) ** 2 / 900 + (right - 130) ** 2 / 700)
    squares = 30 * ((down // 28 + right // 28) % 2)
    channels = [slope + rings, slope[::-1] * 0.6 + squares + rings / 2, 200 - slope * 0.7 + squares]
    return np.clip(np.stack(channels, -1), 0, 255).astype(np.uint8)


def blocks(image: np.ndarray) -> list[list[list[float]]]:
    means = image.astype(float).reshape(SIDE // BLOCK, BLOCK, SIDE // BLOCK, BLOCK, 3).mean((1, 3))
    return means.round(1).tolist()


def main() -> None:
    from imagecorruptions import corrupt

    image = picture()
    found: dict[str, object] = {"made by": "imagecorruptions-imaug 1.1.5", "exact": {}, "drawn": {}}
    for name in EXACT:
        made = [corrupt(image, corruption_name=name, severity=s) for s in range(1, 6)]
        changed = [round(float(np.abs(m.astype(float) - image).mean()), 3) for m in made]
        found["exact"][name] = {"blocks": [blocks(m) for m in made], "changed": changed}
    for name in DRAWN:
        np.random.seed(0)
        rows = []
        for severity in range(1, 6):
            made = [corrupt(image, corruption_name=name, severity=severity).astype(float) for _ in range(DRAWS)]
            mean = float(np.mean(made))
            rows.append([round(mean, 3), round(float(np.sqrt(np.mean([(m - image) ** 2 for m in made]))), 3)])
        found["drawn"][name] = rows
    TO.parent.mkdir(exist_ok=True)
    TO.write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
