"""The discriminator's step on functions that can be differentiated by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from patchail_jax.equations.gradient_penalty import gradient_penalty
from patchail_jax.updates.discriminator import discriminator_update
from patchail_jax.updates.gradient_step import DEVICE_AXIS
from tests.equations.plain_gradient_penalty import plain_gradient_penalty

RATE, WEIGHT, SCALE = 0.1, 3.0, 100.0


def logits(params, x):
    """Two patches, ``[B,1,2]``: a parabola of the features and their sum."""
    curved = jnp.sum(params["curve"] * x**2, axis=(1, 2))
    return jnp.stack([curved, params["slope"] * jnp.sum(x, axis=(1, 2))], axis=-1)[:, None]


def represent(params, inputs):
    return params["features"] * inputs


def step(expert, agent, mix):
    params = {name: jnp.asarray(value) for name, value in (("curve", 0.2), ("slope", -0.3), ("features", 1.4))}
    optimizer = optax.sgd(RATE)

    def one(expert, agent):
        return discriminator_update(
            params,
            optimizer.init(params),
            optimizer,
            logits=logits,
            represent=represent,
            expert=expert,
            agent=agent,
            mix=mix,
            penalty=functools.partial(gradient_penalty, weight=WEIGHT, pixel_scale=SCALE),
        )

    return params, jax.jit(jax.vmap(one, axis_name=DEVICE_AXIS))(expert, agent)


def draw(*shape):
    return jnp.asarray(np.random.default_rng(shape).uniform(0, 1, shape), jnp.float32)


def test_the_classification_trains_all_and_the_penalty_the_logits_between_expert_and_agent():
    expert, agent, mix = draw(3, 2, 2), draw(3, 2, 2)[::-1] - 0.4, jnp.asarray([0.1, 0.5, 0.9])
    before, (after, _, metrics) = step(expert[None], agent[None], mix)

    def classification(params):
        is_expert, is_agent = (jax.nn.sigmoid(logits(params, represent(params, x))) for x in (expert, agent))
        return -jnp.mean(jnp.log(is_expert)) - jnp.mean(jnp.log(1 - is_agent))

    places = jnp.reshape(mix, (-1, 1, 1))
    between = represent(before, places * expert + (1 - places) * agent)

    def penalty(params):
        return plain_gradient_penalty(lambda x: logits(params, x), between, weight=WEIGHT, pixel_scale=SCALE)

    gradients = [jax.jit(jax.grad(one))(before) for one in (classification, lambda params: penalty(params)[0])]
    assert gradients[1]["features"] == 0
    for name, start in before.items():
        np.testing.assert_allclose(
            after[name][0], start - RATE * sum(gradient[name] for gradient in gradients), rtol=1e-4, err_msg=name
        )
    wanted = {
        "classification": classification(before),
        "penalty": penalty(before)[0],
        "input_gradient_norm": penalty(before)[1],
        "expert_logit": jnp.mean(logits(before, represent(before, expert))),
        "agent_logit": jnp.mean(logits(before, represent(before, agent))),
    }
    for name, value in wanted.items():
        np.testing.assert_allclose(metrics[f"discriminator/{name}"][0], value, rtol=1e-4, err_msg=name)


def test_accuracy_counts_the_expert_s_above_zero_and_the_agent_s_below():
    expert, agent = jnp.ones((1, 4, 1, 1)), -jnp.ones((1, 4, 1, 1))  # logits 0.392 and -0.42; 0.392 and 0.42
    _, (_, _, metrics) = step(expert, agent, jnp.zeros(4))
    np.testing.assert_allclose(metrics["discriminator/accuracy"][0], 0.5 * (0.5 + 0))
    _, (_, _, metrics) = step(agent, expert, jnp.zeros(4))
    np.testing.assert_allclose(metrics["discriminator/accuracy"][0], 0.5 * (1 + 0.5))


def test_devices_descend_the_mean_of_their_gradients():
    expert, agent, mix = draw(2, 3, 2, 2), draw(2, 3, 2, 2)[::-1] - 0.4, jnp.asarray([0.1, 0.5, 0.9])
    before, (together, _, _) = step(expert, agent, mix)
    apart = [step(expert[i : i + 1], agent[i : i + 1], mix)[1][0] for i in range(2)]
    for name in before:
        np.testing.assert_allclose(together[name][0], together[name][1], rtol=1e-6)
        np.testing.assert_allclose(together[name][0], (apart[0][name][0] + apart[1][name][0]) / 2, rtol=1e-5)
