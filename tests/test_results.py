"""What the README says was measured on a GPU is what the files in results/ hold."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"


def test_the_readme_s_milliseconds_on_a_gpu_are_those_measured():
    measured = json.loads((RESULTS / "paper/bench_h200.json").read_text())
    readme = (ROOT / "README.md").read_text()

    def shown(*labels):
        cases = [measured["update"][label] for label in labels]
        return [", ".join(f"{case[field]:.1f}" for case in cases) for field in ("ms", "floor_ms")]

    for start, labels in (
        ("`patchail`, rewards at episode end", ["patchail, at_episode_end, bfloat16"]),
        ("`patchail_w`, `patchail_b`, rewards at update", [f"patchail_{kind}, at_update, bfloat16" for kind in "wb"]),
        ("`shared_encoder_ail`, `drqv2`", ["shared_encoder_ail, bfloat16", "drqv2, bfloat16"]),
    ):
        assert f"| {start} | {' | '.join(shown(*labels))} |" in readme
    ours = [shown(f"patchail, at_update, {precision}") for precision in ("bfloat16", "float32")]
    milliseconds, floors = ("; ".join(both) for both in zip(*ours, strict=True))
    assert f"| `patchail`, rewards at update; in float32 | {milliseconds} | {floors} |" in readme
    for rate in measured["environments"].values():
        assert f"{rate:,.0f} " in readme
