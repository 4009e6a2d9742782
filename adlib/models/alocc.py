"""ALOCC (Sabokrou, Khalooei, Fathy and Adeli, CVPR 2018): a refiner against a discriminator.

The refiner R restores normal images to which noise was added, and the discriminator D tells what R
makes from images. R keeps what is normal and distorts the rest, so D(R(x)) shall tell more than
D(x). Layers, noise and optimisers follow the authors' public code, `khalooei/ALOCC-CVPR2018`, which
they call preliminary. The paper's text was not at hand: its squared error and its rule of stopping
are given here as generally known.

Departures: evaluation mode (the code's tests use the statistics of the test batch); a convolution's
padding of three pixels is two before and one after, TensorFlow's the other way round, which mirrors
the networks; PyTorch's running mean of squares starts at 0, TensorFlow's at 1.
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from adlib.host.device import at_least_float32 as wide
from adlib.models import losses
from adlib.models.base import Draw, Losses, Trainable, descend, error_map, register
from adlib.models.settings import Count, Positive, Settings, Weight, declared
from adlib.networks import refining

RATE = 0.02  # of the running mean of the reconstruction error
LARGEST = 4.0  # squared error of two values in [-1, 1]


@declared
class ALOCCSettings(Settings):
    """Settings of ALOCC; all but `stop_below` from the authors' code.

    Attributes:
        side: 28 px for MNIST there and 45 px for patches of video frames.
        width: channels of D's first layer; R starts with twice as many.
        noise: standard deviation of the noise, of values in [-1, 1]. The code's values are so for
            video frames; MNIST lies in [0, 1] there, where 0.155 is 0.31 of ours.
        reconstruction: R's error: `squared` (mean squared difference to the image; the paper) or
            `cross_entropy` (with the noisy image, of tanh's output taken as logits; the code).
        weight_reconstruction: its weight beside the adversarial loss.
        refiner_steps: updates of R for one of D (1 in the paper).
        stop_below: rho: the weights stay as they are from the step on at which the running mean of
            the squared error over training images falls below it; 0 never stops. The paper asks for
            a "small" one. Here less than half of the noise's 0.024, which no change would leave.
            The code has no rule; it draws reconstructed test samples to find the epoch by eye.
        score: `refined`, -log D(R(x)), or `input`, -log D(x).
        learning_rate: RMSprop's step size, 2e-3.
    """

    side: Count = 32
    width: Count = 16
    noise: Weight = 0.155
    reconstruction: Literal["squared", "cross_entropy"] = "squared"
    weight_reconstruction: Weight = 0.2
    refiner_steps: Count = 2
    stop_below: Weight = 0.01
    score: Literal["refined", "input"] = "refined"
    learning_rate: Positive = 2e-3
    sides: ClassVar = refining.SIDES


class Stopping(nn.Module):
    """Running mean of an error, and whether it has ever been below a bound."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("error", torch.tensor(LARGEST))
        self.register_buffer("stopped", torch.zeros(()))

    def update(self, error: Tensor, bound: float) -> None:
        """Take the error of a step; the first ones say little, so the mean starts high."""
        self.error.lerp_(error.detach().to(self.error.dtype), RATE)
        self.stopped.copy_(torch.maximum(self.stopped, (self.error < bound).to(self.error.dtype)))


@register
class ALOCC(Trainable):
    """ALOCC, stopped by the reconstruction error of training images."""

    Settings = ALOCCSettings

    def build(self) -> dict[str, nn.Module]:
        s = self.settings
        networks = {
            "refiner": refining.Refiner(s.channels, s.width),
            "discriminator": refining.Discriminator(s.input_side, s.channels, s.width),
            "stopping": Stopping(),
        }
        return {name: network.apply(refining.initialise) for name, network in networks.items()}

    def optimizers(self) -> dict[str, Optimizer]:
        rate, nets = self.settings.learning_rate, self.networks
        return {
            name: torch.optim.RMSprop(nets[name].parameters(), rate, alpha=0.9, eps=1e-10)
            for name in ("refiner", "discriminator")
        }

    def training_step(self, draw: Draw, optimizers: dict, rng: torch.Generator) -> Losses:
        s, (refiner, discriminator, stopping) = self.settings, self.networks.values()
        # RMSprop without momentum leaves a weight alone whose gradient is zero.
        goes_on = 1 - stopping.stopped
        x = draw()
        noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        noisy = (x + s.noise * noise).clamp(-1, 1)
        refined = refiner(noisy)
        logits = wide(discriminator(x)), wide(discriminator(refined.detach()))
        loss = losses.logistic_loss(*logits)
        descend(goes_on * loss, optimizers["discriminator"])
        for k in range(s.refiner_steps):
            refined = wide(refiner(noisy) if k else refined)  # nothing has changed R before
            adversarial = F.softplus(-wide(discriminator(refined))).mean()
            squared = F.mse_loss(refined, x)
            error = squared
            if s.reconstruction == "cross_entropy":
                error = F.binary_cross_entropy_with_logits(refined, noisy)
            total = adversarial + s.weight_reconstruction * error
            descend(goes_on * total, optimizers["refiner"], refiner)
        stopping.update(squared, s.stop_below)
        parts = {"adversarial": adversarial, "reconstruction": error, "squared_error": squared}
        return {"discriminator": loss, "refiner": total, **parts, "stopped": stopping.stopped}

    # ---- scoring ---------------------------------------------------------------------------

    def reconstruct_inputs(self, x: Tensor) -> Tensor:
        return self.networks["refiner"](x)

    def judge_inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        refined = self.reconstruct_inputs(x)
        judged = refined if self.settings.score == "refined" else x
        return F.softplus(-self.networks["discriminator"](judged)), error_map(x, refined)

    def score_inputs(self, x: Tensor) -> Tensor:
        return self.judge_inputs(x)[0]
