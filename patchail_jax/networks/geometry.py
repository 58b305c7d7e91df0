"""Sizes and receptive fields of the convolution stacks, by arithmetic."""

from typing import NamedTuple

from patchail_jax.errors import UserError


class Layer(NamedTuple):
    """One convolution along one axis, all in pixels of its input."""

    kernel: int
    stride: int
    padding: int


ENCODER_STRIDES = (2, 1, 1, 1)


def encoder_layers() -> tuple[Layer, ...]:
    """Four 3-wide convolutions, strides 2, 1, 1, 1, no padding (paper, Appendix C.1)."""
    return tuple(Layer(3, stride, 0) for stride in ENCODER_STRIDES)


def patch_layers(kernel_size: int) -> tuple[Layer, ...]:
    """The four convolutions of the patch discriminator (paper, Appendix C.1 and Figure 6b).

    Kernel 1 keeps every pixel apart (stride 1, no padding); all others halve the image once and pad by 1.
    """
    if kernel_size < 1:
        raise UserError(f"config.discriminator.kernel_size is {kernel_size}; it must be at least 1")
    if kernel_size == 1:
        return (Layer(1, 1, 0),) * 4
    return (Layer(kernel_size, 2, 1), *(Layer(kernel_size, 1, 1),) * 3)


def tile_layers(tile_size: int, image_size: int) -> tuple[Layer, ...]:
    """The tiles of the patch transformer, which fill the image and do not overlap, as one convolution.

    ``UserError`` when tiles of ``tile_size`` pixels do not fill ``image_size``.
    """
    if tile_size < 1 or image_size % tile_size:
        fitting = [size for size in range(2, image_size) if image_size % size == 0]
        raise UserError(
            f"tiles of {tile_size} pixels do not fill images of {image_size}; use one of {fitting} "
            "as config.transformer.patch_size, or another config.env.image_size"
        )
    return (Layer(tile_size, tile_size, 0),)


def output_size(image_size: int, layers: tuple[Layer, ...]) -> int:
    """Entries per side after ``layers``; ``UserError`` when the image is too small for them."""
    size = image_size
    for layer in layers:
        size = (size + 2 * layer.padding - layer.kernel) // layer.stride + 1
        if size < 1:
            raise UserError(
                f"images of {image_size} pixels are too small for convolutions {[tuple(layer) for layer in layers]}"
                "; raise config.env.image_size, or lower config.discriminator.kernel_size if it is above 4"
            )
    return size


def receptive_field(layers: tuple[Layer, ...]) -> int:
    """Pixels per side that one output entry sees."""
    field, jump = 1, 1
    for layer in layers:
        field += (layer.kernel - 1) * jump
        jump *= layer.stride
    return field


def receptive_span(index: int, image_size: int, layers: tuple[Layer, ...]) -> tuple[int, int]:
    """First and one-past-last pixel, clipped to the image, that output entry ``index`` sees along one axis."""
    jump, start = 1, 0
    for layer in layers:
        start -= layer.padding * jump
        jump *= layer.stride
    first = start + index * jump
    return max(first, 0), min(first + receptive_field(layers), image_size)
