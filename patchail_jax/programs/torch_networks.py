"""The networks of ``torch_update``: DrQ-v2's and the patch discriminator, in PyTorch.

Importing this module imports torch.
"""

import itertools

import torch
from torch import Tensor, nn

from patchail_jax.networks.geometry import encoder_layers, patch_layers


class Encoder(nn.Module):
    """``[B,3S,H,W]`` pixels in 0..255 to features ``[B,F]``."""

    def __init__(self, frames: int, channels: int) -> None:
        super().__init__()
        widths = itertools.pairwise((3 * frames, *[channels] * 4))
        self.layers = nn.Sequential(
            *(
                module
                for (before, after), layer in zip(widths, encoder_layers(), strict=True)
                for module in (nn.Conv2d(before, after, layer.kernel, layer.stride, layer.padding), nn.ReLU())
            )
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """The features."""
        return self.layers(pixels / 255.0 - 0.5).flatten(1)


class PatchDiscriminator(nn.Module):
    """``[B,6S,H,W]`` pixels in 0..255 to a logit a patch ``[B,P,P]``, high for the expert."""

    def __init__(self, frames: int, channels: int, kernel_size: int) -> None:
        super().__init__()
        widths = itertools.pairwise((6 * frames, channels, 2 * channels, 4 * channels, 1))
        modules = [
            module
            for (before, after), layer in zip(widths, patch_layers(kernel_size), strict=True)
            for module in (nn.Conv2d(before, after, layer.kernel, layer.stride, layer.padding), nn.LeakyReLU(0.2))
        ]
        self.layers = nn.Sequential(*modules[:-1])

    def forward(self, pixels: Tensor) -> Tensor:
        """The logits."""
        return self.layers(pixels / 255.0 - 0.5).squeeze(1).float()


def perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


def trunk(features: int, size: int) -> nn.Sequential:
    """``[B,F]`` to ``[B,size]`` in (-1, 1)."""
    return nn.Sequential(nn.Linear(features, size), nn.LayerNorm(size), nn.Tanh())


class Actor(nn.Module):
    """Features ``[B,F]`` to the mean action ``[B,A]``."""

    def __init__(self, features: int, size: int, hidden: int, actions: int) -> None:
        super().__init__()
        self.trunk, self.policy = trunk(features, size), perceptron(size, hidden, actions)

    def preactivation(self, features: Tensor) -> Tensor:
        """What the mean is the tanh of."""
        inner: Tensor = self.policy(self.trunk(features)).float()
        return inner

    def forward(self, features: Tensor) -> Tensor:
        """The mean."""
        return torch.tanh(self.preactivation(features))


class Critic(nn.Module):
    """Features ``[B,F]`` and actions ``[B,A]`` to the values of both heads, ``[B]`` each."""

    def __init__(self, features: int, size: int, hidden: int, actions: int) -> None:
        super().__init__()
        self.trunk = trunk(features, size)
        self.heads = nn.ModuleList(perceptron(size + actions, hidden, 1) for _ in range(2))

    def forward(self, features: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """The values."""
        x = torch.cat([self.trunk(features), actions], dim=1)
        first, second = (head(x).squeeze(1).float() for head in self.heads)
        return first, second


def initialise(module: nn.Module) -> None:
    """Orthogonal weights, gain sqrt(2) for convolutions and 1 for dense layers; zero biases."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.orthogonal_(module.weight, 2.0**0.5 if isinstance(module, nn.Conv2d) else 1.0)
        nn.init.zeros_(module.bias)
