"""One update of PatchAIL, -W or -B as the paper writes it, step by step: the reference for the product's.

In numpy where nothing is differentiated; on ``plain_networks``, whose chance is known. Options are read where the
paper's text has them, so that a value that arrives at another place of the product is seen.
"""

import jax
import jax.numpy as jnp
import numpy as np

from tests.equations.plain_gradient_penalty import plain_gradient_penalty, plain_penalty_by_channels
from tests.methods.plain_networks import NOISE, SPECS, Actor, Critic, Encoder, PatchDiscriminator

S, N = SPECS.frame_stack, SPECS.n_step
encode, value, act, judge = (jax.jit(network().apply) for network in (Encoder, Critic, Actor, PatchDiscriminator))


def stack(frames, first, pad=0):
    return np.concatenate([frames[:, first + i] for i in range(S)], axis=-1) + np.uint8(pad)


def pair(frames, first, step=1, pad=0):
    return np.concatenate([stack(frames, first, pad), stack(frames, first + step, pad)], axis=-1)


def descend(loss, params, rate):
    return jax.tree.map(lambda p, g: p - rate * g, params, jax.jit(jax.grad(loss))(params))


def discriminator(config, state, batch):
    judging = config["discriminator"]
    step, expert_step = ({"one_step": 1, "n_step": N}[judging[f"{of}_successor"]] for of in ("agent", "expert"))
    expert = pair(batch.expert.frames, 0, expert_step, judging["augmentation_pad"])
    every = len(batch.agent.frames) // len(expert)
    agent = pair(batch.agent.frames[::every], 0, step, judging["augmentation_pad"])

    penalties = {"samples": lambda *x, **numbers: plain_gradient_penalty(*x, **numbers)[0]}
    penalties["channels"] = plain_penalty_by_channels

    def loss(params):
        penalty = penalties[judging["penalty_groups"]](
            lambda x: judge(params, x),
            jnp.asarray(agent, jnp.float32),
            weight=judging["penalty_weight"],
            pixel_scale=judging["penalty_pixel_scale"],
        )
        is_expert = jax.nn.sigmoid(judge(params, expert)), jax.nn.sigmoid(judge(params, agent))
        return -jnp.mean(jnp.log(is_expert[0])) - jnp.mean(jnp.log(1 - is_expert[1])) + penalty

    return descend(loss, state.discriminator.params, judging["learning_rate"])


def patch_rewards(config, logits):
    d = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    forms = {
        "airl": np.log(d / (1 - d)),
        "gail": -np.log(1 - d),
        "gail_log_d": np.log(d),
        "fairl": -np.log(d / (1 - d)) * d / (1 - d),
    }
    return config["reward"]["scale"] * forms[config["reward"]["form"]]


def step_rewards(config, logits):
    """Rewards ``[B]`` of logits ``[B,P,P]``."""
    over = {"mean": np.mean, "max": np.max, "min": np.min, "median": np.median}[config["reward"]["aggregation"]]
    if config["reward"]["order"] == "aggregation_first":
        return np.asarray([patch_rewards(config, over(np.asarray(one, np.float64))) for one in logits])
    return np.asarray([over(patch_rewards(config, one)) for one in logits])


def scores(config, logits):
    """A positive number a patch."""
    logits = np.asarray(logits, np.float64)
    return {"sigmoid": 1 / (1 + np.exp(-logits)), "softmax": np.exp(logits)}[config["similarity"]["distribution"]]


def distribution(config, logits):
    """Delta: the scores over their sum."""
    return shares(scores(config, logits))


def shares(positive):
    return positive / positive.sum(axis=(-2, -1), keepdims=True)


def similarity(config, params, batch):
    """``[B,n]``, or ``[B,1]`` of whole windows."""
    choice = config["similarity"]
    apart = {"one_step": 1, "n_step": N}[config["discriminator"]["expert_successor"]]
    pairs = {"batch": (batch.expert.frames, 0, apart), "trajectory": (batch.demonstration, 0, 1)}
    experts = judge(params, pair(*pairs[choice["expert_pairs"]]))
    steps = {"steps": [(t, 1) for t in range(N)], "window": [(0, N)]}[choice["agent_pairs"]]
    agents = [distribution(config, judge(params, pair(batch.agent.frames, *step))) for step in steps]

    def divergence(p, q):
        return np.sum(p * np.log(p / q))

    def one(p):
        if choice["expert"] == "nearest":
            return np.exp(-min(divergence(p, q) for q in distribution(config, experts)))
        if choice["expert"] == "mean_scores":
            return np.exp(-divergence(p, shares(scores(config, experts).mean(axis=0))))
        if choice["expert"] == "mean_logits":
            return np.exp(-divergence(p, distribution(config, experts.mean(axis=0))))
        return np.exp(-divergence(p, distribution(config, experts).mean(axis=0)))

    return np.asarray([[one(p[b]) for p in agents] for b in range(len(batch.agent.frames))])


def rewards(config, params, state, batch):
    """``[B,n]``, lambda, and the similarity's mean."""
    found = batch.agent.rewards
    if config["reward"]["moment"] == "at_update":
        steps = [judge(params, pair(batch.agent.frames, t)) for t in range(N)]
        found = np.stack([step_rewards(config, logits) for logits in steps], axis=1)
    if config["similarity"]["regularizer"] == "none":
        return found, None, None
    similar = similarity(config, params, batch)
    scale = float(state.similarity_scale) or config["similarity"]["scale_initial"] / similar.mean()
    if config["similarity"]["regularizer"] == "weight":
        return scale * similar * found, scale, similar.mean()
    bonus = np.zeros_like(found)
    bonus[:, : similar.shape[1]] = scale * similar
    return found + bonus, scale, similar.mean()


def bounded(actions):
    return jnp.minimum(jnp.maximum(actions, -1 + 1e-6), 1 - 1e-6)


def learn(config, state, batch, earned, weigh=None):
    """Critic and encoder, actor, target: ``{field of drqv2.State: parameters}``, and the targets ``[B]``.

    ``weigh(critic, observations, features, actions)`` is ROT's weight, of the policy's own actions.
    """
    agent, cloning = config["agent"], config["cloning"]
    step = agent["first_update_step"] + agent["steps_per_update"] * int(state.update)
    done = min(step / agent["std_duration"], 1.0)
    noise = np.clip(
        (agent["std_initial"] * (1 - done) + agent["std_final"] * done) * np.tile(NOISE, (len(batch.sample_index), 1)),
        -agent["noise_clip"],
        agent["noise_clip"],
    )
    now = stack(batch.agent.frames, 0, agent["shift_pad"])
    later = encode(state.critic["encoder"], stack(batch.agent.frames, N, agent["shift_pad"]))
    beyond = np.min(value(state.target_critic, later, bounded(act(state.actor, later) + noise)), axis=0)
    targets = np.zeros(len(now))
    for b in range(len(now)):
        alive, power = 1.0, 1.0
        for t in range(N):
            targets[b] += power * alive * earned[b, t]
            alive, power = alive * batch.agent.discounts[b, t], power * agent["discount"]
        targets[b] += power * alive * beyond[b]

    def critic_loss(params):
        values = value(params["critic"], encode(params["encoder"], now), batch.agent.actions)
        return sum(jnp.mean((head - jnp.asarray(targets, jnp.float32)) ** 2) for head in values)

    critic = descend(critic_loss, state.critic, agent["critic_learning_rate"])
    features = encode(state.critic["encoder"], now)
    theirs = encode(state.critic["encoder"], stack(batch.expert.frames, 0, agent["shift_pad"]))
    past = min(step / cloning["weight_duration"], 1.0)
    weight = cloning["weight_initial"] * (1 - past) + cloning["weight_final"] * past
    weight = weight if cloning["weight_initial"] > 0 else 0.0
    if weigh is not None:
        weight = weigh(critic["critic"], now, features, bounded(act(state.actor, features) + noise))

    def actor_loss(params):
        mean = act(params, features)
        out_of_bounds = jax.lax.stop_gradient(bounded(mean + noise) - mean - noise)
        ours = jnp.mean(jnp.minimum(*value(critic["critic"], features, mean + noise + out_of_bounds)))
        likelihood = mean_likelihood(config, batch, act(params, theirs))
        inner = 2.0 * features @ params["actor"]
        penalty = agent["preactivation_penalty"] * jnp.mean(inner**2)
        return penalty - (1 - weight) * ours - cloning["likelihood_scale"] * weight * likelihood

    actor = descend(actor_loss, state.actor, agent["actor_learning_rate"])
    rate = agent["target_rate"]
    target = jax.tree.map(lambda old, new: (1 - rate) * old + rate * new, state.target_critic, critic["critic"])
    return {"critic": critic, "actor": actor, "target_critic": target}, targets


def mean_likelihood(config, batch, means):
    std = config["cloning"]["std"]
    square = (batch.expert.actions - means) ** 2 / (2 * std**2)
    return jnp.mean(jnp.sum(-square - np.log(std * np.sqrt(2 * np.pi)), axis=1))


def clone(config, policy, batch):
    """Encoder and actor after a step of behaviour cloning alone."""
    observations = stack(batch.expert.frames, 0, config["agent"]["shift_pad"])

    def loss(policy):
        return -mean_likelihood(config, batch, act(policy["actor"], encode(policy["encoder"], observations)))

    return descend(loss, policy, config["agent"]["actor_learning_rate"])


def update(config, state, batch):
    """All parameters after the update, and the metrics that say what it did."""
    judged = discriminator(config, state, batch)
    earned, scale, similar = rewards(config, judged, state, batch)
    learned, targets = learn(config, state.learner, batch, earned)
    metrics = {"reward/mean": np.mean(earned), "critic/target": np.mean(targets)}
    if scale is not None:
        metrics |= {"reward/similarity": similar, "reward/similarity_scale": scale}
    return {"discriminator": judged, **learned}, metrics
