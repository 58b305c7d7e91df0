"""One update of PatchAIL in PyTorch, which ``patchail bench --against=torch`` times beside this program's own.

It is written as PyTorch programs of DrQ-v2 are: modules, autograd (twice for the gradient penalty), Adam, bfloat16 by
autocast; nothing is compiled. Images are ``[B,C,H,W]``, windows of frames ``[B,L,3,H,W] uint8``.

Importing this module imports torch.
"""

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from patchail_jax.networks.geometry import encoder_layers, output_size
from patchail_jax.programs.torch_networks import Actor, Critic, Encoder, PatchDiscriminator, initialise
from patchail_jax.types import AgentBatch, Batch, ExpertBatch, Specs

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Draws(NamedTuple):
    """The random numbers of one update: shifts ``[2,B,2]`` are whole pixels down and right, of two states each."""

    expert_shifts: Tensor  # [2,E,2], s and s'
    agent_shifts: Tensor  # [2,E,2], s and s'
    mix: Tensor  # [E], in [0, 1]
    learner_shifts: Tensor  # [2,B,2], s_t and s_{t+n}
    target_noise: Tensor  # [B,A], standard normal
    actor_noise: Tensor  # [B,A]


def stack(frames: Tensor, first: int, size: int) -> Tensor:
    """Frames ``first .. first+size-1`` of windows ``[B,L,3,H,W]``, one state ``[B,3*size,H,W]``."""
    return frames[:, first : first + size].flatten(1, 2)


def random_shift(images: Tensor, shifts: Tensor) -> Tensor:
    """Images ``[B,C,H,W]`` moved by ``shifts [B,2]``, edges repeated; faster on a CPU than ``grid_sample``."""
    rows, columns = (
        (torch.arange(side, device=images.device) + shifts[:, axis, None]).clamp(0, side - 1)
        for axis, side in enumerate(images.shape[-2:])
    )
    places = (rows[:, :, None] * images.shape[-1] + columns[:, None, :]).flatten(1)
    return images.flatten(2).gather(2, places[:, None].expand(-1, images.shape[1], -1)).view(images.shape)


def linear(start: float, final: float, duration: int, step: int) -> float:
    """A straight line over ``duration`` steps, level behind it."""
    return start + (final - start) * min(max(step / duration, 0.0), 1.0)


class PatchAIL:
    """Networks, optimizers and their update, by the config's groups."""

    def __init__(self, config: Mapping[str, Any], specs: Specs, device: str) -> None:
        self.config, self.specs, self.device, self.updates = config, specs, device, 0
        agent, network, judge = config["agent"], config["network"], config["discriminator"]
        side = output_size(specs.image_size, encoder_layers())
        features = network["encoder_channels"] * side**2
        sizes = (features, network["feature_size"], network["hidden_size"], specs.action_size)
        self.encoder = Encoder(specs.frame_stack, network["encoder_channels"])
        self.actor, self.critic, self.target_critic = Actor(*sizes), Critic(*sizes), Critic(*sizes)
        self.discriminator = PatchDiscriminator(specs.frame_stack, judge["channels"], judge["kernel_size"])
        for module in (self.encoder, self.actor, self.critic, self.discriminator, self.target_critic):
            module.apply(initialise).to(device)
        if device != "cpu":  # what tensor cores read
            for module in (self.encoder, self.discriminator):
                module.to(memory_format=torch.channels_last)
        self.target_critic.load_state_dict(self.critic.state_dict())
        self.target_critic.requires_grad_(requires_grad=False)
        self.schedules: list[torch.optim.lr_scheduler.LRScheduler] = []
        self.critic_optimizer = self.optimizer([self.encoder, self.critic], agent, "critic_learning_rate")
        self.actor_optimizer = self.optimizer([self.actor], agent, "actor_learning_rate")
        self.judge_optimizer = self.optimizer([self.discriminator], judge, "learning_rate")

    def optimizer(self, modules: list[nn.Module], group: Mapping[str, Any], rate: str) -> torch.optim.Optimizer:
        """Of the modules' parameters, by a group of the config; its rate falls as ``decay`` says."""
        parameters = [parameter for module in modules for parameter in module.parameters()]
        made = OPTIMIZERS[group["optimizer"]](parameters, group[rate], fused=True)
        decay = group["decay"]
        if decay["updates"]:

            def share(step: int) -> float:
                return linear(1.0, decay["final"], decay["updates"], step - decay["start"])

            self.schedules.append(torch.optim.lr_scheduler.LambdaLR(made, share))
        return made

    def draw(self, batch: Batch) -> Draws:
        """New random numbers for an update on ``batch``."""
        agents, experts, actions = len(batch.agent.actions), len(batch.expert.frames), self.specs.action_size

        def shifts(count: int, pad: int) -> Tensor:
            return torch.randint(-pad, pad + 1, (2, count, 2), device=self.device)

        return Draws(
            shifts(experts, self.config["discriminator"]["augmentation_pad"]),
            shifts(experts, self.config["discriminator"]["augmentation_pad"]),
            torch.rand(experts, device=self.device),
            shifts(agents, self.config["agent"]["shift_pad"]),
            torch.randn(agents, actions, device=self.device),
            torch.randn(agents, actions, device=self.device),
        )

    def update(self, batch: Batch, draws: Draws) -> dict[str, Tensor]:
        """Discriminator, rewards, critic and encoder, actor, target critic; the metrics stay on the device."""
        metrics = self.update_discriminator(batch, draws)
        at_update = self.config["reward"]["moment"] == "at_update"
        rewards = self.judged(batch.agent.frames) if at_update else batch.agent.rewards
        metrics |= self.update_agent(batch, rewards, draws)
        for schedule in self.schedules:
            schedule.step()
        self.updates += 1
        return metrics | {"reward/mean": rewards.mean()}

    def autocast(self) -> torch.autocast:
        """Layers compute in the config's precision; parameters are float32."""
        dtype = PRECISIONS[self.config["network"]["precision"]]
        return torch.autocast(self.device, dtype, enabled=dtype != torch.float32)

    def update_discriminator(self, batch: Batch, draws: Draws) -> dict[str, Tensor]:
        """Eq. 4 and the gradient penalty, on as many of the agent's pairs as of the expert's."""
        judge, size = self.config["discriminator"], self.specs.frame_stack
        stride = len(batch.agent.frames) // len(batch.expert.frames)

        def pairs(frames: Tensor, shifts: Tensor) -> Tensor:
            return torch.cat([random_shift(stack(frames, t, size), shifts[t]) for t in (0, 1)], dim=1)

        expert = pairs(batch.expert.frames, draws.expert_shifts)
        agent = pairs(batch.agent.frames[::stride], draws.agent_shifts)
        mix = draws.mix[:, None, None, None]
        between = (mix * expert + (1.0 - mix) * agent).requires_grad_()
        with self.autocast():
            expert_logits, agent_logits = self.discriminator(torch.cat([expert, agent])).chunk(2)
            classification = F.softplus(-expert_logits).mean() + F.softplus(agent_logits).mean()
            logits = self.discriminator(between)
            (gradient,) = torch.autograd.grad(logits.sum(), between, create_graph=True)
        norms = (gradient.flatten(1).square().sum(dim=1) + 1e-12).sqrt() * (255.0 / judge["penalty_pixel_scale"])
        penalty = judge["penalty_weight"] / logits[0].numel() * (norms - 1.0).square().mean()
        descend(self.judge_optimizer, classification + penalty)
        return {
            "discriminator/classification": classification.detach(),
            "discriminator/penalty": penalty.detach(),
        }

    @torch.no_grad()
    def judged(self, frames: Tensor) -> Tensor:
        """Rewards ``[B,n]`` of every step of the windows, by the discriminator as it is now (Eq. 5)."""
        size, n = self.specs.frame_stack, self.specs.n_step
        states = [stack(frames, t, size) for t in range(n + 1)]
        with self.autocast():
            logits = self.discriminator(torch.cat([torch.cat(two, dim=1) for two in itertools.pairwise(states)]))
        return self.config["reward"]["scale"] * logits.mean(dim=(1, 2)).view(n, -1).t()

    def noisy(self, mean: Tensor, noise: Tensor) -> Tensor:
        """Actions around the mean, clamped with a straight-through gradient."""
        agent = self.config["agent"]
        step = agent["first_update_step"] + agent["steps_per_update"] * self.updates
        std = linear(agent["std_initial"], agent["std_final"], agent["std_duration"], step)
        actions = mean + (std * noise).clamp(-agent["noise_clip"], agent["noise_clip"])
        return actions + (actions.clamp(-1.0 + 1e-6, 1.0 - 1e-6) - actions).detach()

    def update_agent(self, batch: Batch, rewards: Tensor, draws: Draws) -> dict[str, Tensor]:
        """DrQ-v2 on ``rewards [B,n]``."""
        agent, size, n = self.config["agent"], self.specs.frame_stack, self.specs.n_step
        now, later = (
            random_shift(stack(batch.agent.frames, t, size), shifts)
            for t, shifts in zip((0, n), draws.learner_shifts, strict=True)
        )
        with self.autocast(), torch.no_grad():
            later_features = self.encoder(later)
            next_actions = self.noisy(self.actor(later_features), draws.target_noise)
            target = torch.minimum(*self.target_critic(later_features, next_actions))
            for t in reversed(range(n)):
                target = rewards[:, t] + agent["discount"] * batch.agent.discounts[:, t] * target
        with self.autocast():  # anew: it remembers the weights that it has cast, those above without a gradient
            features = self.encoder(now)
            first, second = self.critic(features, batch.agent.actions)
            critic_loss = F.mse_loss(first, target) + F.mse_loss(second, target)
        descend(self.critic_optimizer, critic_loss)
        with self.autocast():
            features = features.detach()
            inner = self.actor.preactivation(features)
            actions = self.noisy(torch.tanh(inner), draws.actor_noise)
            actor_loss = -torch.minimum(*self.critic(features, actions)).mean()
            actor_loss = actor_loss + self.config["agent"]["preactivation_penalty"] * inner.square().mean()
        descend(self.actor_optimizer, actor_loss)
        with torch.no_grad():
            for old, new in zip(self.target_critic.parameters(), self.critic.parameters(), strict=True):
                old.lerp_(new, agent["target_rate"])
        return {
            "critic/loss": critic_loss.detach(),
            "critic/target": target.mean(),
            "actor/loss": actor_loss.detach(),
        }


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step; only the optimizer's own parameters get gradients."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=optimizer.param_groups[0]["params"])
    optimizer.step()


def to_device(batch: Batch, device: str) -> Batch:
    """A batch of pixels in numpy, ``[B,L,H,W,3]``, as tensors."""

    def tensor(array: Any) -> Tensor:
        return torch.from_numpy(array).to(device)

    def frames(array: Any) -> Tensor:
        return tensor(array).permute(0, 1, 4, 2, 3).contiguous()

    agent, expert = batch.agent, batch.expert
    return batch._replace(
        agent=AgentBatch(frames(agent.frames), *map(tensor, agent[1:])),
        expert=ExpertBatch(frames(expert.frames), tensor(expert.actions)),
    )
