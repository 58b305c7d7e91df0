"""Optimal-transport rewards (ROT, Haldar et al. 2022): how far an episode must be moved to become a demonstration.

With the cosine cost ``C_ij`` of the episode's observation i and the demonstration's j, and the entropic plan ``mu`` of
uniform masses, ``mu = argmin <mu, C> - epsilon * H(mu)``, the reward of step i is ``-sum_j mu_ij C_ij``.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int


def unit(features: Float[Array, "T F"]) -> Float[Array, "T F"]:
    """Features ``[T,F]`` of length 1, float32."""
    features = features.astype(jnp.float32)
    return features / jnp.maximum(jnp.linalg.norm(features, axis=-1, keepdims=True), 1e-8)


def cosine_cost(features: Float[Array, "T F"], others: Float[Array, "M F"]) -> Float[Array, "T M"]:
    """``1 - cos`` between every two rows, ``[T,M]`` in [0, 2], of ``unit`` features ``[T,F]`` and ``[M,F]``."""
    product = jnp.matmul(features, others.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.clip(1.0 - product, 0.0, 2.0)


def transport_plan(
    cost: Float[Array, "T M"],
    columns: Int[Array, ""] | None = None,
    rows: Int[Array, ""] | None = None,
    *,
    epsilon: float,
    iterations: int,
) -> Float[Array, "T M"]:
    """The entropic plan ``[T,M]`` of uniform masses at ``cost [T,M]``, by at most ``iterations`` of Sinkhorn's.

    ``columns []`` and ``rows []``: only the first so many are there, the others have no mass.
    """
    from ott.geometry import geometry
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn

    def masses(size: int, count: Int[Array, ""] | None) -> Array | None:
        return None if count is None else jnp.where(jnp.arange(size) < count, 1.0 / count, 0.0)

    problem = linear_problem.LinearProblem(
        geometry.Geometry(cost_matrix=cost, epsilon=epsilon),
        a=masses(cost.shape[0], rows),
        b=masses(cost.shape[1], columns),
    )
    with jax.numpy_rank_promotion("allow"):  # ott's own arithmetic relies on it
        # How often the threshold is looked at; the number of iterations is rounded up to a multiple of it.
        inner = math.gcd(iterations, 10)
        return sinkhorn.Sinkhorn(max_iterations=iterations, inner_iterations=inner, threshold=1e-6)(problem).matrix


def transport_rewards(
    cost: Float[Array, "T M"],
    columns: Int[Array, ""] | None = None,
    rows: Int[Array, ""] | None = None,
    *,
    epsilon: float,
    iterations: int,
) -> Float[Array, "T"]:
    """The rewards ``[T]``, none above 0, at ``cost [T,M]``; 0 where the episode is the demonstration, or not there."""
    plan = transport_plan(cost, columns, rows, epsilon=epsilon, iterations=iterations)
    return -jnp.sum(plan * cost, axis=1)
