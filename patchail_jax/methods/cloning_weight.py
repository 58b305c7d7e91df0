"""How much the cloning term of the actor's loss weighs (Appendix B.3), by ``config.cloning.schedule``."""

from collections.abc import Callable

import jax
import optax

from patchail_jax.equations.behaviour_cloning import soft_q_filter
from patchail_jax.errors import choose
from patchail_jax.methods.method import Policy, SubConfig
from patchail_jax.updates.gradient_step import DEVICE_AXIS

# value(features [B,F], actions [B,A]) -> [2,B], the critic's.
Value = Callable[[jax.Array, jax.Array], jax.Array]
# weight(value, features [B,F], observations [B,H,W,3S], values [2,B]) -> []: how much the cloning term of the actor's
# loss weighs. ``values`` are the policy's own actions', at the ``features`` of the ``observations``.
CloningWeight = Callable[[Value, jax.Array, jax.Array, jax.Array], jax.Array]
Schedule = Callable[[jax.Array], jax.Array]  # of agent steps


def linear(cloning: SubConfig) -> Schedule:
    """From ``weight_initial`` to ``weight_final`` over ``weight_duration`` steps (Appendix B.3)."""
    schedule: Schedule = optax.linear_schedule(
        *(cloning[f"weight_{part}"] for part in ("initial", "final", "duration"))
    )
    return schedule


def exponential(cloning: SubConfig) -> Schedule:
    """``weight_initial``, times ``weight_factor`` every ``weight_factor_steps`` steps, smoothly (Jena et al. 2020)."""
    schedule: Schedule = optax.exponential_decay(
        cloning["weight_initial"], cloning["weight_factor_steps"], cloning["weight_factor"]
    )
    return schedule


# None: the weight is no function of the step.
SCHEDULES: dict[str, Callable[[SubConfig], Schedule] | None] = {
    "linear": linear,
    "exponential": exponential,
    "soft_q_filter": None,
}


def is_filtered(cloning: SubConfig) -> bool:
    """Whether the weight is ``filtered``; ``UserError`` where the schedule does not exist."""
    return choose(SCHEDULES, cloning["schedule"], field="cloning.schedule") is None


def clones(cloning: SubConfig) -> bool:
    """Whether the actor's loss has a cloning term."""
    return is_filtered(cloning) or cloning["weight_initial"] > 0


def scheduled(cloning: SubConfig) -> Schedule:
    """The weight at an agent step, 0 where it is none of steps."""
    schedule = choose(SCHEDULES, cloning["schedule"], field="cloning.schedule")
    return optax.constant_schedule(0.0) if schedule is None else schedule(cloning)


def filtered(
    encode: Callable[[Policy, jax.Array], jax.Array],
    act: Callable[[Policy, jax.Array], jax.Array],
    reference: Policy,
    *,
    by_reference: bool = False,
) -> CloningWeight:
    """ROT's soft Q-filter: the share of samples at which the frozen ``reference`` acts better than the policy.

    ``encode(reference, observations)`` gives features, ``act(reference["actor"], features)`` the mean action;
    ``by_reference`` asks the critic at the reference's features, else at the policy's. Runs under ``DEVICE_AXIS``.
    """

    def weight(value: Value, features: jax.Array, observations: jax.Array, values: jax.Array) -> jax.Array:
        own = encode(reference, observations)
        actions = act(reference["actor"], own)
        theirs = value(own if by_reference else features, actions)
        return jax.lax.pmean(soft_q_filter(theirs, values), DEVICE_AXIS)

    return weight
