"""Inputs of the parity cases: weights, batches and draws, from numpy alone.

``inputs(case)`` gives the arrays of one case, drawn one after the other from ``numpy.random.default_rng(seed)`` in the
order in which the dict has them. Weights are as flax has them: convolutions ``[height,width,in,out]``, dense layers
``[in,out]``, images ``[...,height,width,channel]``, feature maps flattened in the order height, width, channel. What
the published program computes of them is in ``golden.npz``; README.md says what each case is.
"""

import itertools
import zlib

import numpy as np

TASKS = (
    "walker_walk", "cheetah_run", "quadruped_run", "cartpole_swingup", "finger_spin", "hopper_stand", "walker_stand",
)  # fmt: skip

# What the cases of one kind have in common.
_LOGITS = {"kind": "logits", "pairs": 2, "stack": 3, "side": 84}
_PENALTY = {"kind": "penalty", "kernel": 4, "stack": 3, "side": 84}
_SIMILARITY = {"kind": "similarity", "agents": 16, "experts": 24, "patches": 39, "scale": 1.7}
_UPDATES = {
    "kind": "updates", "n_step": 3, "actions": 6, "feature": 16, "hidden": 48, "updates": 3, "demonstration": 0,
    "first_update": 0, "critic_rate": 0.01, "actor_rate": 0.01, "discriminator_rate": 0.01, "cloned": False,
    "sharp": 1.0,
}  # fmt: skip
_REGULARIZED = _UPDATES | {
    "stack": 1, "batch": 12, "experts": 6, "demonstration": 6, "discriminator_rate": 0.001, "sharp": 16.0,
}  # fmt: skip
_BY_FEATURES = _UPDATES | {"stack": 3, "batch": 16, "experts": 8}
_REPLAY = {"kind": "replay", "steps": 7, "stack": 3, "n_step": 3, "actions": 6}

CASES = {
    **{
        f"logits_kernel_{kernel}": _LOGITS | {"seed": 100 + kernel, "kernel": kernel}
        for kernel in (1, 2, 3, 4, 5, 8)
    },
    "loss_and_penalty_18_pairs": _PENALTY | {"seed": 200, "pairs": 18, "grouping": "both"},
    "penalty_by_channels_8_pairs": _PENALTY | {"seed": 301, "pairs": 8, "grouping": "channels"},
    "penalty_by_channels_128_pairs": _PENALTY | {"seed": 300, "pairs": 128, "grouping": "channels"},
    "rewards_airl": {"kind": "rewards", "seed": 400, "stack": 3, "steps": 12, "scale": 0.5},
    "similarity_spread_1": _SIMILARITY | {"seed": 411, "spread": 1.0},
    "similarity_spread_5": _SIMILARITY | {"seed": 415, "spread": 5.0},
    "similarity_spread_20": _SIMILARITY | {"seed": 430, "spread": 20.0},
    "networks_forward": {
        "kind": "networks", "seed": 500, "stack": 3, "feature": 50, "hidden": 1024, "actions": 6, "observations": 2,
    },
    "updates_patchail": _UPDATES | {"seed": 600, "method": "patchail", "stack": 3, "batch": 36, "experts": 18},
    "updates_patchail_w": _REGULARIZED | {"seed": 700, "method": "patchail_w"},
    "updates_patchail_b": _REGULARIZED | {"seed": 710, "method": "patchail_b"},
    "updates_shared_encoder_ail": _BY_FEATURES | {"seed": 720, "method": "shared_encoder_ail"},
    "updates_independent_encoder_ail": _BY_FEATURES | {"seed": 730, "method": "independent_encoder_ail"},
    "updates_bc": _UPDATES | {
        "seed": 740, "method": "bc", "stack": 3, "batch": 32, "experts": 16, "critic_rate": 0.0001,
        "actor_rate": 0.0001, "discriminator_rate": 0.0,
    },
    "updates_patchail_cloning": _UPDATES | {
        "seed": 750, "method": "patchail", "stack": 1, "batch": 12, "experts": 6, "first_update": 100000,
        "actor_rate": 0.001, "cloned": True,
    },
    "transport_20_steps": {
        "kind": "transport", "seed": 820, "features": "unrelated", "episode": 20, "demonstration": 20,
    },
    "transport_100_steps": {
        "kind": "transport", "seed": 900, "features": "walk", "episode": 100, "demonstration": 100,
    },
    "transport_300_steps": {
        "kind": "transport", "seed": 1100, "features": "alike", "episode": 300, "demonstration": 300,
    },
    "transport_of_an_episode": {
        "kind": "transported_episode", "seed": 810, "stack": 3, "feature": 16, "hidden": 8, "actions": 6, "steps": 20,
        "deviations": (12, 40),
    },
    "updates_rot": _UPDATES | {
        "seed": 831, "method": "rot", "stack": 2, "batch": 48, "experts": 24, "critic_rate": 0.15,
        "discriminator_rate": 0.0,
    },
    "random_shift": {"kind": "shift", "seed": 900, "images": 4, "stack": 3, "first": (4, -4)},
    "replay_terminated": _REPLAY | {"seed": 1000, "terminated": True},
    "replay_time_is_up": _REPLAY | {"seed": 1001, "terminated": False},
    **{
        f"environment_{task}": {"kind": "environment", "seed": 1100 + number, "task": task, "episode": 0, "frames": 5}
        for number, task in enumerate(TASKS)
    },
}  # fmt: skip


SAMPLES = 32  # entries of a large array that are kept


def inputs(case):
    """Everything that goes into ``case``: a dict of arrays, names of weights with slashes (``nested``)."""
    spec = CASES[case]
    rng = np.random.default_rng(spec["seed"])
    return _KINDS[spec["kind"]](rng, spec)


def nested(arrays, prefix):
    """The arrays whose names start with ``prefix/`` as a tree of dicts, as flax has it."""
    tree = {}
    for name, value in arrays.items():
        if name.startswith(prefix + "/"):
            *path, last = name[len(prefix) + 1 :].split("/")
            place = tree
            for step in path:
                place = place.setdefault(step, {})
            place[last] = value
    return tree


def flat(tree, prefix=""):
    """The opposite of ``nested``: ``{name: array}``, in alphabetical order."""
    if not isinstance(tree, dict):
        return {prefix: np.asarray(tree)}
    found = {}
    for key in sorted(tree):
        found.update(flat(tree[key], f"{prefix}/{key}" if prefix else key))
    return found


def summary(array):
    """``([4] float64: 2-norm, sum, largest magnitude, size; [SAMPLES] float64: entries)`` of a large array.

    Entry k is number ``k * (size - 1) // (SAMPLES - 1)`` of the array flattened in C order in the layout above.
    """
    x = np.asarray(array, np.float64).ravel()
    places = np.arange(SAMPLES) * (x.size - 1) // (SAMPLES - 1)
    return np.array([np.sqrt(np.sum(x * x)), x.sum(), np.abs(x).max(), x.size]), x[places]


def fingerprint(arrays):
    """CRC-32 of all inputs in order: differs where this numpy draws other numbers than the recorded ones."""
    crc = 0
    for name, value in arrays.items():
        value = np.asarray(value)
        crc = zlib.crc32(
            np.ascontiguousarray(value).tobytes(), zlib.crc32(f"{name}{value.dtype}{value.shape}".encode(), crc)
        )
    return crc


# ---- draws ----------------------------------------------------------------------------------------------------------


def _uniform(rng, shape, size):
    return ((2.0 * rng.random(shape) - 1.0) * size).astype(np.float32)


def _normal(rng, shape, mean=0.0, scale=1.0):
    """Rounded to 1/1024: the last bits of a platform's logarithm do not matter."""
    return (mean + scale * np.round(rng.standard_normal(shape) * 1024.0) / 1024.0).astype(np.float32)


def _frames(rng, count, length, side):
    """``[count,length,side,side,3] uint8``: large and small structure that moves a little from one to the next."""
    block = -(-side // 7)
    coarse = rng.integers(0, 256, (count, 1, 7, 7, 3)) + rng.integers(-30, 31, (count, length, 7, 7, 3))
    fine = coarse.repeat(block, axis=2).repeat(block, axis=3)[:, :, :side, :side]
    fine += rng.integers(-20, 21, fine.shape)
    return np.clip(fine, 0, 255).astype(np.uint8)


def _stacked(frames):
    """``[B,L,H,W,3]`` as ``[B,H,W,3L]``: channel ``3 * frame + colour``."""
    b, length, h, w, _ = frames.shape
    return np.ascontiguousarray(frames.transpose(0, 2, 3, 1, 4)).reshape(b, h, w, 3 * length)


def _layer(rng, name, shape, gain):
    """A kernel ``[...,in,out]``, then its bias; names end in kernel and bias."""
    fan_in = int(np.prod(shape[:-1]))
    return {
        f"{name}/kernel": _uniform(rng, shape, (3.0 * gain / fan_in) ** 0.5),
        f"{name}/bias": _uniform(rng, shape[-1:], 0.05),
    }


def _convolutions(rng, name, kernel, widths):
    found = {}
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        found.update(_layer(rng, f"{name}/convolution_{number}", (kernel, kernel, before, after), 2.0))
    return found


def _patch(rng, name, kernel, channels):
    """The patch discriminator's weights: 32, 64, 128 and 1 channels."""
    return _convolutions(rng, f"{name}/params", kernel, (channels, 32, 64, 128, 1))


def _encoder(rng, name, channels):
    return _convolutions(rng, name, 3, (channels, 32, 32, 32, 32))


def _trunk(rng, name, feature):
    found = _layer(rng, f"{name}/projection", (32 * 35 * 35, feature), 1.0)
    found[f"{name}/norm/scale"] = 1.0 + _uniform(rng, (feature,), 0.05)
    found[f"{name}/norm/bias"] = _uniform(rng, (feature,), 0.05)
    return found


def _perceptron(rng, name, sizes, last):
    found = {}
    for number, (before, after) in enumerate(itertools.pairwise(sizes)):
        layer = last if number == len(sizes) - 2 else f"hidden_{number}"
        found.update(_layer(rng, f"{name}/{layer}", (before, after), 2.0 if layer != last else 1.0))
    return found


def _actor(rng, name, spec):
    feature, hidden, actions = spec["feature"], spec["hidden"], spec["actions"]
    found = _trunk(rng, f"{name}/params/trunk", feature)
    found.update(_perceptron(rng, f"{name}/params", (feature, hidden, hidden, actions), "mean"))
    return found


def _critic(rng, name, spec):
    feature, hidden, actions = spec["feature"], spec["hidden"], spec["actions"]
    found = _trunk(rng, f"{name}/params/trunk", feature)
    for head in range(2):
        found.update(_perceptron(rng, f"{name}/params/heads_{head}", (feature + actions, hidden, hidden, 1), "value"))
    return found


# ---- the kinds of cases ---------------------------------------------------------------------------------------------


def _logits(rng, spec):
    found = _patch(rng, "discriminator", spec["kernel"], 6 * spec["stack"])
    found["pairs"] = _stacked(_frames(rng, spec["pairs"], 2 * spec["stack"], spec["side"]))
    return found


def _penalty(rng, spec):
    found = _patch(rng, "discriminator", spec["kernel"], 6 * spec["stack"])
    found["expert"] = _stacked(_frames(rng, spec["pairs"], 2 * spec["stack"], spec["side"]))
    found["agent"] = _stacked(_frames(rng, spec["pairs"], 2 * spec["stack"], spec["side"]))
    found["mix"] = rng.random(spec["pairs"]).astype(np.float32)
    return found


def _rewards(rng, spec):
    found = _patch(rng, "discriminator", 4, 6 * spec["stack"])
    found["frames"] = _frames(rng, 1, spec["steps"] + 1, 84)[0]
    return found


def _similarity(rng, spec):
    """Logits with a part that all samples have, one that a sample's patches have, and one for each."""
    count, side, spread = spec["agents"] + spec["experts"], spec["patches"], spec["spread"]
    parts = (
        _normal(rng, (1, side, side)).astype(np.float64),
        _normal(rng, (count, 1, 1)).astype(np.float64),
        _normal(rng, (count, side, side)).astype(np.float64),
    )
    logits = np.clip(spread * (0.5 * parts[0] + 0.5 * parts[1] + 0.7 * parts[2]), -80.0, 80.0).astype(np.float32)
    return {
        "agent_logits": logits[: spec["agents"]],
        "expert_logits": logits[spec["agents"] :],
        "rewards": _normal(rng, (spec["agents"],), 0.3),
        "scale": np.float32(spec["scale"]),
    }


def _networks(rng, spec):
    found = _encoder(rng, "encoder/params", 3 * spec["stack"])
    found.update(_actor(rng, "actor", spec))
    found.update(_critic(rng, "critic", spec))
    found.update(_encoder(rng, "features/params/encoder", 3 * spec["stack"]))
    found.update(_trunk(rng, "features/params/trunk", spec["feature"]))
    found.update(_perceptron(rng, "head/params", (2 * spec["feature"], spec["hidden"], spec["hidden"], 1), "logit"))
    found["observations"] = _stacked(_frames(rng, spec["observations"], spec["stack"], 84))
    found["action"] = _uniform(rng, (spec["observations"], spec["actions"]), 0.98)
    return found


def _updates(rng, spec):
    """Weights, then ``updates`` batches, every array with the update as its first axis."""
    method, stack, n, side = spec["method"], spec["stack"], spec["n_step"], 84
    rounds, batch, experts, actions = spec["updates"], spec["batch"], spec["experts"], spec["actions"]
    found = _encoder(rng, "critic/encoder/params", 3 * stack)
    found.update(_actor(rng, "actor", spec))
    if method != "bc":
        found.update(_critic(rng, "critic/critic", spec))
        for name in [name for name in found if name.startswith("critic/critic/")]:
            other = found[name] + _uniform(rng, found[name].shape, 0.005)
            found["target_critic" + name[len("critic/critic") :]] = other
    if method.startswith("patchail"):
        found.update(_patch(rng, "discriminator", 4, 6 * stack))
        # Logits far apart, where the case is about their distribution.
        found["discriminator/params/convolution_3/kernel"] *= np.float32(spec["sharp"])
    elif method == "independent_encoder_ail":
        found.update(_encoder(rng, "discriminator/features/params/encoder", 3 * stack))
        found.update(_trunk(rng, "discriminator/features/params/trunk", spec["feature"]))
    if method.endswith("encoder_ail"):
        sizes = (2 * spec["feature"], spec["hidden"], spec["hidden"], 1)
        found.update(_perceptron(rng, "discriminator/head/params", sizes, "logit"))
    if method == "rot":
        found.update(_actor(rng, "reference/actor", spec))
    if method != "bc":
        found["frames"] = np.stack([_frames(rng, batch, stack + n, side) for _ in range(rounds)])
        found["actions"] = _uniform(rng, (rounds, batch, actions), 0.98)
        found["rewards"] = _normal(rng, (rounds, batch, n), 0.3)
        found["discounts"] = (rng.random((rounds, batch, n)) >= 0.1).astype(np.float32)
    found["expert_frames"] = np.stack([_frames(rng, experts, stack + 1, side) for _ in range(rounds)])
    found["expert_actions"] = _uniform(rng, (rounds, experts, actions), 0.98)
    if spec["demonstration"]:
        found["demonstration"] = np.stack(
            [_frames(rng, 1, stack + spec["demonstration"], side)[0] for _ in range(rounds)]
        )
    if method == "bc":
        return found

    def shifts(count):
        return rng.integers(-4, 5, (rounds, count, 2)).astype(np.int32)

    found["shift_observation"], found["shift_next"] = shifts(batch), shifts(batch)
    found["shift_cloned"] = shifts(experts)
    if method != "rot":
        found["shift_expert"], found["shift_expert_next"] = shifts(experts), shifts(experts)
        found["shift_agent"], found["shift_agent_next"] = shifts(experts), shifts(experts)
        found["mix"] = rng.random((rounds, experts)).astype(np.float32)
    if method == "shared_encoder_ail":
        # The critic sees the discriminator's views. What stood there before stays by, for views of its own.
        found["own_shift_agent"], found["own_shift_agent_next"] = found["shift_agent"], found["shift_agent_next"]
        stride = batch // experts
        found["shift_agent"] = np.ascontiguousarray(found["shift_observation"][:, ::stride])
        found["shift_agent_next"] = np.ascontiguousarray(found["shift_next"][:, ::stride])
    found["noise_target"] = _normal(rng, (rounds, batch, actions))
    found["noise_actor"] = _normal(rng, (rounds, batch, actions))
    return found


def _transport(rng, spec):
    def walk(steps):
        return 0.15 * np.cumsum(_normal(rng, (steps, 50)).astype(np.float64), axis=0)

    shapes = {
        "unrelated": lambda steps: _normal(rng, (steps, 50)),
        "walk": walk,
        "alike": lambda steps: 10.0 + walk(steps),
    }
    return {name: shapes[spec["features"]](spec[name]).astype(np.float32) for name in ("episode", "demonstration")}


def _transported_episode(rng, spec):
    found = _encoder(rng, "target/encoder/params", 3 * spec["stack"])
    found.update(_actor(rng, "target/actor", spec))
    episode = _frames(rng, 1, spec["steps"] + 1, 84)[0]
    found["frames"] = episode
    shown = [episode + rng.integers(-d, d + 1, episode.shape) for d in spec["deviations"]]
    found["demonstrations"] = np.clip(np.stack(shown), 0, 255).astype(np.uint8)
    return found


def _shift(rng, spec):
    stacks = _stacked(_frames(rng, spec["images"], spec["stack"], 84))
    offsets = rng.integers(-4, 5, (spec["images"], 2)).astype(np.int32)
    offsets[0] = spec["first"]
    return {"stacks": stacks, "offsets": offsets}


def _replay(rng, spec):
    """Every pixel of frame t is t: windows can be read off the pixels."""
    steps = spec["steps"]
    discounts = np.ones(steps, np.float32)
    if spec["terminated"]:
        discounts[-1] = 0.0
    return {
        "frames": np.arange(steps + 1, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2).repeat(3, 3),
        "actions": _uniform(rng, (steps, spec["actions"]), 0.98),
        "rewards": _normal(rng, (steps,), 0.3),
        "discounts": discounts,
    }


def _environment(rng, spec):
    return {"actions": _uniform(rng, (spec["frames"] - 1, 12), 1.0), "seed": np.int64(spec["episode"])}


_KINDS = {
    "logits": _logits,
    "penalty": _penalty,
    "rewards": _rewards,
    "similarity": _similarity,
    "networks": _networks,
    "updates": _updates,
    "transport": _transport,
    "transported_episode": _transported_episode,
    "shift": _shift,
    "replay": _replay,
    "environment": _environment,
}
