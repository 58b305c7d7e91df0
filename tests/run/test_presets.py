"""The numbers of the paper's methods, as they stand in the paper."""

from patchail_jax.run.config import paper_config


def test_the_regularised_methods_are_the_paper_s():
    chosen = {name: paper_config("cheetah_run", name) for name in ("patchail", "patchail_w", "patchail_b")}
    found = {
        name: (config.similarity.regularizer, config.similarity.scale_initial, config.reward.scale)
        for name, config in chosen.items()
        if name != "patchail"
    }
    assert found == {"patchail_w": ("weight", 1.3, 1.0), "patchail_b": ("bonus", 0.5, 0.5)}
    assert (chosen["patchail"].similarity.regularizer, chosen["patchail"].reward.scale) == ("none", 1.0)
    for config in chosen.values():
        assert (config.reward.form, config.reward.aggregation, config.reward.moment) == ("airl", "mean", "at_update")
        assert (config.similarity.expert, config.discriminator.kernel_size) == ("mean", 4)
        assert config.discriminator.penalty_weight == 10.0


def test_the_published_program_departs_where_it_does():
    config = paper_config("cheetah_run", "patchail_w+published")
    assert config.reward.moment == "at_episode_end"
    assert config.discriminator.agent_successor == "n_step"
    assert (config.similarity.expert_pairs, config.similarity.agent_pairs) == ("trajectory", "window")
    assert config.similarity.regularizer == "weight"
