import numpy as np
import pytest
import torch
from PIL import Image

from ask_training.data.resample import resample, resize_matrices, resize_matrix


def pillow(picture: np.ndarray, height: int, width: int, box: tuple[float, float, float, float] | None = None):
    return np.asarray(Image.fromarray(picture, "F").resize((width, height), Image.Resampling.BICUBIC, box=box))


@pytest.mark.parametrize(("src", "dst"), [(32, 32), (32, 48), (32, 112), (32, 192), (48, 32), (32, 20), (64, 7), (5, 1)])
def test_a_resize_is_pillows_bicubic(src: int, dst: int) -> None:
    picture = np.random.default_rng(src).uniform(0, 255, (src, src + 3)).astype(np.float32)

    ours = resize_matrix(src, dst) @ torch.from_numpy(picture) @ resize_matrix(src + 3, dst + 2).T

    np.testing.assert_allclose(ours.numpy(), pillow(picture, dst, dst + 2), rtol=0, atol=2e-3)


def test_a_cut_out_box_is_pillows_too() -> None:
    picture = np.random.default_rng(0).uniform(0, 255, (32, 32)).astype(np.float32)
    rows = resize_matrices(torch.tensor([3.5]), torch.tensor([24.0]), 32, 40)
    cols = resize_matrices(torch.tensor([5.25]), torch.tensor([11.5]), 32, 9)

    ours = resample(torch.from_numpy(picture)[None, None], rows, cols)[0, 0]

    np.testing.assert_allclose(ours.numpy(), pillow(picture, 40, 9, (5.25, 3.5, 16.75, 27.5)), rtol=0, atol=2e-3)


def test_each_picture_is_resampled_by_its_own_matrices() -> None:
    x = torch.rand(2, 3, 8, 8)
    rows = torch.rand(2, 5, 8)
    cols = torch.rand(2, 6, 8)
    expected = torch.einsum("bih,bchw,bjw->bcij", rows, x, cols)
    torch.testing.assert_close(resample(x, rows, cols), expected)


def test_a_negative_extent_mirrors() -> None:
    start, extent = torch.tensor([-2.0, 4.5]), torch.tensor([30.0, 21.0])
    plain = resize_matrices(start, extent, 32, 24)
    mirrored = resize_matrices(start + extent, -extent, 32, 24)
    torch.testing.assert_close(mirrored, plain.flip(1), rtol=0, atol=1e-5)


def test_positions_outside_repeat_the_edge() -> None:
    left = resize_matrices(torch.tensor([-9.0]), torch.tensor([9.0]), 8, 9)[0]
    right = resize_matrices(torch.tensor([8.0]), torch.tensor([9.0]), 8, 9)[0]
    edge = torch.tensor([1.125, -0.125, 0, 0, 0, 0, 0, 0])  # Keys' kernel half a pixel from the first and 1.5 from the next
    torch.testing.assert_close(left, edge.repeat(9, 1))
    torch.testing.assert_close(right, edge.flip(0).repeat(9, 1))


def test_flat_pictures_stay_flat() -> None:
    generator = torch.Generator().manual_seed(3)
    start = torch.rand(50, generator=generator) * 40 - 10
    extent = torch.rand(50, generator=generator) * 80 - 40
    blur = 1 + torch.rand(50, generator=generator)
    for matrices in (resize_matrices(start, extent, 32, 24), resize_matrices(start, extent, 32, 24, blur)):
        torch.testing.assert_close(matrices.sum(2), torch.ones(50, 24), rtol=0, atol=1e-5)


def test_blur_widens_the_kernel() -> None:
    def spread(blur: float) -> float:
        weights = resize_matrices(torch.zeros(1), torch.tensor([33.0]), 33, 33, torch.tensor([blur]))[0, 16]
        return (weights.abs() * (torch.arange(33) - 16.0) ** 2).sum().item()

    assert spread(1.0) < 1e-9
    assert spread(1.0) < spread(1.5) < spread(2.0)
