"""What a compiled program takes is counted as its text says; what the roofline gives is the larger of two times."""

import jax
import jax.numpy as jnp
import pytest

from patchail_jax.devices.described import TARGETS, Compiled, Target, compiled, kernels

PROGRAM = """\
HloModule jit_f, is_scheduled=true

%inside (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  ROOT %m = f32[2]{0} multiply(%p, %p)
}

%round.1 (t: (s32[], f32[2])) -> (s32[], f32[2]) {
  %t = (s32[], f32[2]{0}) parameter(0)
  %x = f32[2]{0} get-tuple-element(%t), index=1
  %y = f32[2]{0:T(256)} fusion(%x), kind=kLoop, calls=%inside, metadata={op_name="jit(f)/mul(x)"}
  %z = f32[2]{0} copy(%y)
  ROOT %next = (s32[], f32[2]{0}) tuple(%i, %z)
}

%more (t: (s32[], f32[2])) -> pred[] {
  %t = (s32[], f32[2]{0}) parameter(0)
  ROOT %c = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (a: f32[2]) -> f32[2] {
  %a = f32[2]{0} parameter(0)
  %one = f32[] constant(1)
  %conv = (f32[2]{0}, u8[64]{0}) custom-call(%a), custom_call_target="__cudnn$convForward"
  %first = f32[2]{0} get-tuple-element(%conv), index=0
  %start = f32[2]{0} all-reduce-start(%first), to_apply=%inside
  %done = f32[2]{0} all-reduce-done(%start)
  %loop = (s32[], f32[2]{0}) while(%pair), condition=%more, body=%round.1
  ROOT %out = f32[2]{0} fusion(%done), kind=kLoop, calls=%inside
}
"""


def test_kernels_are_what_starts_something_and_a_loop_s_body_once():
    # The library's call, the reduction, the loop's fusion and copy, the last fusion; not what is inside of fusions.
    assert kernels(PROGRAM) == 5


def test_a_program_s_memory_bytes_and_kernels():
    array = jax.ShapeDtypeStruct((256, 1024), jnp.float32)
    found = compiled(jax.jit(lambda x, y: (x + y).sum(0)).lower(array, array))
    assert found.kernels >= 1
    read = 2 * 256 * 1024 * 4
    assert read <= found.bytes <= 2.1 * read and found.memory_bytes >= read


@pytest.mark.parametrize(
    ("operations", "moved", "precision", "milliseconds", "bound"),
    [
        (6e9, 1e6, "bfloat16", 3.0, "operations"),
        (6e9, 1e6, "float32", 6.0, "operations"),
        (1, 8e6, "float32", 8, "memory"),
    ],
)
def test_the_roofline_is_the_larger_of_two_times(operations, moved, precision, milliseconds, bound):
    target = Target("cuda", "", {"bfloat16": 2e12, "float32": 1e12}, bandwidth=1e9, memory=1e9)
    seconds, which = Compiled(1, 1, moved).least_seconds(target, operations, precision)
    assert (1e3 * seconds, which) == (pytest.approx(milliseconds), bound)


def test_every_target_has_a_rate_for_each_precision():
    for target in TARGETS.values():
        assert set(target.matrix_rate) == {"bfloat16", "float32"}
        assert bool(target.cuda) == (target.platform == "cuda")
