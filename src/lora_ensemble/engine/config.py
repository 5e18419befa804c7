"""LoraEnsembleConfig: a peft.LoraConfig with `members` and what members need."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Self

from peft import LoraConfig

from lora_ensemble.engine.initialisation import HEAD_INIT, INIT_A, Start
from lora_ensemble.errors import ConfigurationError, FileFormatError, did_you_mean, first_line

_SUPPORTED = {
    "r",
    "lora_alpha",
    "use_rslora",
    "lora_dropout",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "fan_in_fan_out",
    "inference_mode",
    "task_type",
    "peft_type",
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
}
"""Fields of peft.LoraConfig that mean here what they mean there; any other must keep its default."""

_ALPHA_BEFORE = 8
"""What lora_alpha was where an older manifest does not say it: PEFT's default."""


@dataclass
class LoraEnsembleConfig(LoraConfig):
    """How to make an ensemble: PEFT's fields (r, lora_alpha, use_rslora, lora_dropout, target_modules, exclude_modules,
    layers_to_transform, layers_pattern, rank_pattern, alpha_pattern, modules_to_save) and those below.

    target_modules=None adapts the query, key, value and output projections of every attention layer. lora_alpha=None is
    r, scale 1 (PEFT's default is 8, whatever r). modules_to_save=None gives every member its own classification head;
    [] none. Raises ConfigurationError, listing every problem, for fields of LoraConfig that have no meaning for an
    ensemble, and for values out of range.
    """

    lora_alpha: int | None = field(  # type: ignore[assignment]
        default=None, metadata={"help": "Scale of the updates: alpha / r. None: r, which is scale 1."}
    )
    members: int = field(default=4, metadata={"help": "Number of members M."})
    first_member: int = field(default=0, metadata={"help": "Index of the first one within a larger ensemble."})
    seed: int = field(default=0, metadata={"help": "Member m is drawn from a generator seeded by (seed, m)."})
    init_a: str = field(default="kaiming", metadata={"help": "Start of A: kaiming (PEFT's), xavier or gaussian."})
    init_gain: float = field(default=1.0, metadata={"help": "Gain of xavier for A."})
    init_std: float = field(default=0.02, metadata={"help": "Standard deviation of gaussian for A."})
    init_mean: float = field(default=0.0, metadata={"help": "Mean of gaussian for A."})
    head_init: str = field(default="default", metadata={"help": "default, gaussian, xavier, kaiming or copy."})
    head_gain: float = field(default=1.0, metadata={"help": "Gain of xavier for heads."})
    head_std: float = field(default=0.02, metadata={"help": "Standard deviation of gaussian for heads."})
    head_mean: float = field(default=0.0, metadata={"help": "Mean of gaussian for heads."})
    fused_qkv: str = field(
        default="separate",
        metadata={"help": "A fused projection: one low-rank pair each for q, k and v (separate), or one (joint)."},
    )
    adapter: str = field(default="lora", metadata={"help": "Kind of adapter (engine/layers), or none."})
    lora_l2: float = field(default=0.0, metadata={"help": "Weight of the sum of ||B A||_F^2 in a member's loss."})
    repulsion: float | None = field(
        default=None, metadata={"help": "Weight of the repulsion of the members' answers; see engine/repulsion.py."}
    )
    bandwidth: float | None = field(
        default=None, metadata={"help": "Of the repulsion's kernel. None: the median distance, anew in each batch."}
    )
    also_trained: list[str] | None = field(
        default=None, metadata={"help": "Names of modules or parameters that are trained, too, one for all members."}
    )
    read_rows: bool = field(
        default=False, metadata={"help": "Run the last block where the head reads alone; no number changes."}
    )
    members_per_pass: int | None = field(default=None, metadata={"help": "Members in memory at once; None: all."})

    def __post_init__(self) -> None:
        problems = [*self._unsupported(), *self._out_of_range()]
        if problems:
            raise ConfigurationError(problems)
        if self.lora_alpha is None:
            self.lora_alpha = self.r
        try:
            super().__post_init__()  # type: ignore[no-untyped-call]
        except ValueError as error:  # PEFT's own checks
            raise ConfigurationError([first_line(error)]) from error

    def _unsupported(self) -> list[str]:
        problems = []
        for f in dataclasses.fields(LoraConfig):
            if f.name in _SUPPORTED:
                continue
            if f.default is not dataclasses.MISSING:
                default = f.default
            elif f.default_factory is not dataclasses.MISSING:
                default = f.default_factory()
            else:
                continue
            if getattr(self, f.name) != default:
                hint = "; use init_a" if f.name == "init_lora_weights" else ""
                problems.append(f"{f.name} = {getattr(self, f.name)!r} has no meaning for an ensemble{hint}")
        return problems

    def _out_of_range(self) -> list[str]:
        problems = [
            f"{name} = {getattr(self, name)!r}: must be a whole number of at least {low}"
            for name, low in (("members", 1), ("first_member", 0), ("r", 1), ("members_per_pass", 1))
            if not (name == "members_per_pass" and self.members_per_pass is None)
            and not (isinstance(getattr(self, name), int) and getattr(self, name) >= low)
        ]
        problems += [
            f"rank_pattern[{k!r}] = {v!r}: must be a whole number of at least 1"
            for k, v in (self.rank_pattern or {}).items()
            if not (isinstance(v, int) and v >= 1)
        ]
        if not 0 <= self.lora_dropout < 1:
            problems.append(f"lora_dropout = {self.lora_dropout}: must be at least 0 and below 1")
        if not 0 <= self.lora_l2 < float("inf"):
            problems.append(f"lora_l2 = {self.lora_l2}: must be a number of at least 0")
        choices = (
            ("init_a", INIT_A),
            ("head_init", HEAD_INIT),
            ("fused_qkv", ("separate", "joint")),
        )
        return problems + [p for name, options in choices if (p := _choice(name, getattr(self, name), options))]

    @property
    def adapter_start(self) -> Start:
        """How the adapters start."""
        return Start(self.init_a, self.init_gain, self.init_std, self.init_mean)

    @property
    def head_start(self) -> Start:
        """How the heads start."""
        return Start(self.head_init, self.head_gain, self.head_std, self.head_mean)

    def peft_config(self, **changes: Any) -> LoraConfig:
        """The plain LoraConfig of one member, with fields changed as asked."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(LoraConfig) if f.name in _SUPPORTED}
        own.pop("peft_type"), own.pop("peft_version", None)
        return LoraConfig(**(own | changes))

    @classmethod
    def from_json_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_json_dict`. Raises FileFormatError for a field that does not exist."""
        unknown = sorted(values.keys() - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise FileFormatError(f"unknown fields in the configuration of an ensemble: {', '.join(unknown)}")
        return cls(**({"lora_alpha": _ALPHA_BEFORE} | values))

    @classmethod
    def of(cls, config: LoraConfig | None = None, **fields: Any) -> Self:
        """A configuration from one of ours or of PEFT's, with fields changed as asked. Raises ConfigurationError for a
        field that there is not, or that has no meaning for an ensemble."""
        known = [f.name for f in dataclasses.fields(cls) if f.init]
        problems = [f"there is no field {name!r}.{did_you_mean(name, known)}" for name in fields if name not in known]
        if config is not None and not isinstance(config, LoraConfig):
            problems.append(f"config is {type(config).__name__}, expected LoraEnsembleConfig or peft.LoraConfig")
        if problems:
            raise ConfigurationError(problems)
        given = {} if config is None else {name: getattr(config, name) for name in known if hasattr(config, name)}
        given.pop("peft_type", None), given.pop("peft_version", None), given.pop("auto_mapping", None)
        if type(config) is cls and "r" in fields and config.lora_alpha == config.r:
            given["lora_alpha"] = None  # stays scale 1
        return cls(**(given | fields))

    def to_json_dict(self) -> dict[str, Any]:
        """Every field that differs from its default, for the manifest; `from_json_dict` gives it back."""
        values = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            default = f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
            if f.name == "lora_alpha" or (
                f.name not in ("peft_type", "peft_version", "auto_mapping") and value != default
            ):
                values[f.name] = sorted(value) if isinstance(value, set) else value
        return values


def _choice(name: str, value: Any, options: tuple[str, ...]) -> str | None:
    if value in options:
        return None
    return f"{name} = {value!r}: must be one of {', '.join(options)}.{did_you_mean(str(value), options)}"
