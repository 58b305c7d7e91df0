"""Whole updates of every method from given weights, batches and draws: what they tell and what they change.

The published variant is the published program; a field that departs from it by design is put back to its default, and
the departure must be of a stated size.
"""

import pytest

from tests.parity.golden import EXACT, LOSS, MOVED, MOVED_ENTRIES, PENALTY, STEEP, cases, load, relative
from tests.parity.program import METRICS, Training, default


def methods(*names, **options):
    return cases("updates", lambda spec: spec["method"] in names, **options)


@pytest.fixture(scope="module")
def training(name):
    """As published; compiled once for the first update and for all of them."""
    return Training(load(name))


def tolerance(spec, metric, count):
    """A critic that learns in large steps carries on, and makes larger, what rounding changed in the steps before."""
    if metric == "penalty":
        return PENALTY
    return STEEP if count > 1 and spec["critic_rate"] >= 0.1 else LOSS


def compare_metrics(compare, training, count):
    found = training.metrics(count)
    assert [name for name in METRICS if name in compare.case] == list(found)
    for name, values in found.items():
        error = relative(values, compare.case[name][:count])
        compare.error(f"{name}, {count} updates", error, tolerance(compare.case.spec, name, count))


@cases("updates", scope="module")
def test_the_first_update_is_the_published_one(compare, training, name):
    compare_metrics(compare, training, 1)


@pytest.mark.slow
@cases("updates", scope="module")
def test_all_updates_are_the_published_ones(compare, training, name):
    compare_metrics(compare, training, compare.case.spec["updates"])
    compare.tensors("what tensors moved by", "change", training.change(), MOVED, MOVED_ENTRIES)


def departure(case, name, training, count=1):
    """How far the metric ``name`` of the last of ``count`` updates is off."""
    return relative(training.metrics(count)[name][-1], case[name][count - 1])


@pytest.mark.slow  # the similarity alone is tested beside the rewards
@methods("patchail_w", "patchail_b")
def test_similarity_to_the_mean_of_shares_by_default(compare, name):
    case = compare.case
    training = Training(case, **default(case.spec["method"], "similarity__expert"))
    for metric in ("similarity", "lambda"):
        compare.departs(f"{metric}, the mean of shares", departure(case, metric, training), 2 * LOSS, 0.1)


@methods("shared_encoder_ail", scope="module")
def test_the_shared_encoder_s_discriminator_sees_the_critic_s_views_as_published(compare, training, name):
    compare.error("views that differ from the critic's", int(not training.shares_views()), EXACT)


@pytest.mark.slow
@methods("shared_encoder_ail")
def test_the_shared_encoder_s_discriminator_has_views_of_its_own_by_default(compare, name):
    case = compare.case
    training = Training(case, own_views=True, **default(case.spec["method"], "discriminator__agent_views"))
    assert not training.shares_views()
    for metric in ("classification", "penalty"):
        compare.departs(f"{metric}, views of its own", departure(case, metric, training), 1e-3, 1.0)


@methods("bc")
def test_behaviour_cloning_shifts_by_default(compare, name):
    case = compare.case
    training = Training(case, **default("bc", "agent__shift_pad"))
    error = departure(case, "log_likelihood", training)
    compare.departs("log_likelihood, shifted observations", error, 1e-3, 1.0)


@pytest.mark.slow
@methods("rot")
def test_rot_s_filter_reads_the_critic_s_own_features_by_default(compare, name):
    """The features are the same until the encoder has learnt."""
    case, last = compare.case, compare.case.spec["updates"]
    training = Training(case, **default("rot", "optimal_transport__filter_features"))
    compare.error("cloning_weight of the first update, own features", departure(case, "cloning_weight", training), LOSS)
    error = departure(case, "cloning_weight", training, last)
    compare.departs(f"cloning_weight of update {last}, own features", error, 1e-3, 1.0)
