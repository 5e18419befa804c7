"""SampledEnsemble: one LoRA network in training, whose members are samples around what it became."""

from __future__ import annotations

from torch import Tensor, nn

from lora_ensemble.engine import shared
from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.hooks import Rows
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.wrapping import unwrapped


class Posterior(nn.Module):
    """What members are drawn from. A new kind is one file with one class; its buffers are in every checkpoint."""

    def begin(self, ensemble: LoraEnsemble, rows: int, steps: int) -> None:
        """See TrainingHooks; so is the next."""

    def on_step_end(self, ensemble: LoraEnsemble, step: int, steps: int) -> None: ...

    def penalty_M(self, ensemble: LoraEnsemble, members: range) -> Tensor | None:
        """A term of the loss, (len(members),), or None."""
        return None

    def draw(self, ensemble: LoraEnsemble, rows: Rows) -> None:
        """Replace the members, which are all equal to what was trained, by samples; that of member m follows from
        (config.seed, config.first_member + m)."""
        raise NotImplementedError


class SampledEnsemble(LoraEnsemble):
    """While it is trained it has one member, which starts as member 0 of a LoRA ensemble; from `conclude` on, as many
    as asked for, each of which is saved as PEFT's adapter. posterior: None once the members are drawn.
    """

    kind = "sampled"

    def __init__(
        self,
        model: nn.Module,
        config: LoraEnsembleConfig,
        posterior: Posterior | None = None,
    ):
        self.drawn = config.first_member, config.members
        if posterior is not None:
            config = LoraEnsembleConfig.of(config, members=1, first_member=0)
        super().__init__(model, config)
        self.posterior = posterior

    def begin(self, rows: int, steps: int) -> None:
        if self.posterior is not None:
            self.posterior.begin(self, rows, steps)

    def on_step_end(self, step: int, steps: int) -> None:
        if self.posterior is not None:
            self.posterior.on_step_end(self, step, steps)

    def penalty_M(self, members: range) -> Tensor | None:
        own = super().penalty_M(members)
        other = None if self.posterior is None else self.posterior.penalty_M(self, members)
        return own if other is None else other if own is None else own + other

    def conclude(self, rows: Rows) -> None:
        if self.posterior is None:
            return
        posterior, self.posterior = self.posterior, None
        self._grow()
        posterior.draw(self, rows)

    def _grow(self) -> None:
        """As many members as asked for, all equal to the one."""
        c = self.config
        c.first_member, c.members = self.first_member, self.members = self.drawn
        self.state.grow(self.members)
        for _, layer in self.member_layers():
            layer.grow(self.members)

    def network_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """What is trained, by its name, in a fixed order."""
        return [(n, p) for n, p in self.model.named_parameters(remove_duplicate=True) if p.requires_grad]

    def shared_names(self) -> set[str]:
        """Those of them that the members share (`also_trained`)."""
        common = {id(p) for p in shared.parameters(unwrapped(self.model), self.also_trained)}
        return {name for name, p in self.network_parameters() if id(p) in common}
