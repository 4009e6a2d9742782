"""Cycle-GAN anomaly detection (Bougaham, Delchevalerie et al., Neurocomputing 614, 2024).

Two generators translate normal images into abnormal ones and back, without pairs (Zhu et al. 2017).
An image is abnormal when its translation to normal differs from it. Networks, losses and updates
follow the authors' public code, `ValDelch/CycleGANS-AnomalyDetection`.
"""

import sys
from typing import Annotated, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from adlib.host.device import at_least_float32
from adlib.models.base import Draw, Losses, Trainable, descend, register
from adlib.models.settings import Count, Positive, Settings, Weight, declared
from adlib.networks import augment, backbones, translation


@declared
class CycleGANSettings(Settings):
    """Settings of CycleGAN.

    Attributes:
        side: 64 px or 256 px as the authors use; multiples of 4 from 32 on.
        width: channels of the first layer of generators and discriminators.
        blocks: residual blocks of a generator; 0 means the authors' choice, 6 below 128 px and 9
            from there on.
        weight_identity: weight of the change that a generator makes to images of its own target.
        weight_cycle: weight of what there and back again changes.
        augmentation: views of the square that training draws: `light`, one of eight for every
            image; `hard`, the same one for both images of a pair; `flip`, mirrored or not; `none`.
        replay: how many generated images of either kind are kept to show the discriminators.
        score: `sse` (sum of the squared differences of image and translation), `mad` (mean of the
            absolute ones) or `features` (squared distance of their pooled features in a network
            trained on ImageNet).
        backbone: that network, see `backbones.TITLES`; `auto` is Inception-v3 where its weights can
            be had. Other scores leave it alone.
        learning_rate: Adam's step size, 2e-4 here.
    """

    side: Count = 64
    width: Count = 64
    blocks: Annotated[int, Field(ge=0)] = 0
    weight_identity: Weight = 5.0
    weight_cycle: Weight = 10.0
    augmentation: Literal["hard", "light", "flip", "none"] = "hard"
    replay: Count = 50
    score: Literal["sse", "mad", "features"] = "sse"
    backbone: Literal["auto", *backbones.TITLES] = "auto"
    learning_rate: Positive = 2e-4
    sides: ClassVar = range(32, sys.maxsize, 4)

    @model_validator(mode="after")
    def _resolve(self) -> Self:
        """Settle which backbone `auto` means, where the score needs one."""
        if self.score == "features":
            name = backbones.resolve(self.backbone, "inception_v3")
            object.__setattr__(self, "backbone", name)
        return self

    @property
    def residual_blocks(self) -> int:
        """How many residual blocks a generator has."""
        return self.blocks or (6 if self.input_side < 128 else 9)


def rate_factor(step: int, steps: int) -> float:
    """Share of the learning rate in `step` (from 1) of `steps`: 1 for a tenth, then down to 0."""
    constant = steps // 10
    return 1 - max(0, step - 1 - constant) / (steps - constant)


def _towards(output: Tensor, target: float) -> Tensor:
    """Least-squares adversarial loss (Mao et al. 2017): mean of `(output - target)^2`."""
    return (at_least_float32(output) - target).square().mean()


@register
class CycleGAN(Trainable):
    """Cycle-GAN of normal and labelled abnormal images; only `to_normal` is scored.

    Departures from the authors' code: the learning rate falls with every step, theirs with every
    epoch; both images of a pair are drawn anew for every step, theirs stay together for the whole
    training; of their nine views two are the same, here each of the eight is as likely; their FID
    of one pair is named a feature distance, and its backbone sees images scaled as it was trained.
    """

    Settings = CycleGANSettings
    not_saved = ("replay",)
    uses_abnormal = True

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        networks: dict[str, nn.Module] = {}
        for kind in ("normal", "abnormal"):
            networks[f"to_{kind}"] = translation.generator(s.channels, s.width, s.residual_blocks)
            networks[f"judge_{kind}"] = translation.discriminator(s.channels, s.width)
        for network in networks.values():
            network.apply(translation.initialise)
        size = s.replay, s.channels, s.input_side
        stores = {kind: translation.Replay(*size) for kind in ("normal", "abnormal")}
        return networks | {"replay": nn.ModuleDict(stores)}

    def optimizers(self) -> dict[str, Optimizer]:
        nets = self.networks
        weights = {
            "generators": [*nets["to_normal"].parameters(), *nets["to_abnormal"].parameters()],
            "judge_normal": nets["judge_normal"].parameters(),
            "judge_abnormal": nets["judge_abnormal"].parameters(),
        }
        # A tensor, because a training step that is one CUDA graph must find the new rate in it.
        self._rate = torch.full((), self.settings.learning_rate, device=self.device)
        return {
            name: torch.optim.Adam(w, self._rate.clone(), (0.5, 0.999), fused=True)
            for name, w in weights.items()
        }

    def before_step(self, step: int, steps: int) -> None:
        """Set the learning rate, after `optimizers()`."""
        self._rate.fill_(self.settings.learning_rate * rate_factor(step, steps))

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        for optimizer in optimizers.values():
            for group in optimizer.param_groups:
                group["lr"].copy_(self._rate)
        normal, abnormal = self._views(draw(), draw("abnormal"), rng)
        logged, fakes = self._update_generators(normal, abnormal, optimizers["generators"])
        for kind, real in (("normal", normal), ("abnormal", abnormal)):
            fake = self.networks["replay"][kind](fakes[kind], rng)
            name = f"judge_{kind}"
            logged[name] = self._update_discriminator(name, real, fake, optimizers[name])
        return logged

    def _views(self, normal: Tensor, abnormal: Tensor, rng: torch.Generator) -> tuple:
        """Turn and mirror the images as the augmentation says."""
        kind, both = self.settings.augmentation, (normal, abnormal)
        if kind == "none":
            return both
        shape = 1 if kind == "hard" else 2, len(normal)
        views = torch.randint(8, shape, generator=rng, device=normal.device).expand(2, -1)
        if kind == "flip":
            views = views // 4 * 4
        return tuple(augment.turned(x, v) for x, v in zip(both, views, strict=True))

    def _update_generators(
        self, x: Tensor, y: Tensor, optimizer: Optimizer
    ) -> tuple[Losses, dict[str, Tensor]]:
        """One update of both generators: the losses, and the generated images of either kind."""
        s, nets = self.settings, self.networks
        to_normal, to_abnormal = nets["to_normal"], nets["to_abnormal"]
        for name in ("judge_normal", "judge_abnormal"):
            nets[name].requires_grad_(False)
        # Every image has its own statistics, so one pass may take images of both kinds.
        normal, same_x = to_normal(torch.cat([y, x])).chunk(2)
        abnormal, same_y = to_abnormal(torch.cat([x, y])).chunk(2)
        again_x, again_y = to_normal(abnormal), to_abnormal(normal)
        adversarial = _towards(nets["judge_normal"](normal), 1.0)
        adversarial = adversarial + _towards(nets["judge_abnormal"](abnormal), 1.0)
        cycle = F.l1_loss(again_x, x) + F.l1_loss(again_y, y)
        identity = F.l1_loss(same_x, x) + F.l1_loss(same_y, y)
        loss = adversarial + s.weight_cycle * cycle + s.weight_identity * identity
        descend(loss, optimizer)
        parts = {"adversarial": adversarial, "cycle": cycle, "identity": identity}
        return {"generators": loss} | parts, {
            "normal": normal.detach(),
            "abnormal": abnormal.detach(),
        }

    def _update_discriminator(
        self, name: str, real: Tensor, fake: Tensor, optimizer: Optimizer
    ) -> Tensor:
        """One update of a discriminator: real images towards 1, generated ones towards 0."""
        discriminator = self.networks[name].requires_grad_(True)
        on_real, on_fake = discriminator(torch.cat([real, fake])).chunk(2)
        loss = (_towards(on_real, 1.0) + _towards(on_fake, 0.0)) / 2
        descend(loss, optimizer)
        return loss

    # ---- scoring ---------------------------------------------------------------------------

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        return self.networks["to_normal"](x)

    def judge_inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        again = self.reconstruct_inputs(x)
        return self._score(x, again), self._map(x, again)

    def score_inputs(self, x: Tensor) -> Tensor:
        return self._score(x, self.reconstruct_inputs(x))

    def map_inputs(self, x: Tensor) -> Tensor:
        return self._map(x, self.reconstruct_inputs(x))

    def _score(self, x: Tensor, again: Tensor) -> Tensor:
        if self.settings.score == "sse":
            return (x - again).square().flatten(1).sum(1)
        if self.settings.score == "mad":
            return (x - again).abs().flatten(1).mean(1)
        features = backbones.load(self.settings.backbone, x.device).pooled
        return (features(x) - features(again)).square().sum(1)

    def _map(self, x: Tensor, again: Tensor) -> Tensor:
        """Squared (`mad`: absolute) difference to the translation, mean over channels."""
        difference = x - again
        absolute = self.settings.score == "mad"
        return (difference.abs() if absolute else difference.square()).mean(1)

    def translate(self, images: Tensor, to: str = "abnormal", batch: int = 64) -> Tensor:
        """Translate uint8 images `(N, C, side, side)`, for figures; `to` is normal or abnormal."""
        if to not in ("normal", "abnormal"):
            raise ValueError(f"to={to!r}: allowed are 'normal', 'abnormal'")
        translations = self._over_inputs(self.networks[f"to_{to}"], images, batch)
        return augment.to_uint8(augment.untile(translations, self.settings.side))
