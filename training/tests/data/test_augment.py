from dataclasses import replace

import torch
from torch import Tensor

from ask_training.data.augment import Augment, augment, mix
from ask_training.data.resample import resample, resize_matrix

STILL = Augment(zoom=(1, 1), aspect=0, margin=0, blur=0, sharpen=0, colour=0)


def views(x: Tensor, size: int = 48, options: Augment | None = None, seed: int = 4) -> Tensor:
    return augment(x, size, options or Augment(), torch.Generator().manual_seed(seed))


def pictures(count: int) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def slopes(x: Tensor, dim: int) -> Tensor:
    """Rise along ``dim`` over the middle of each picture, per output width."""
    middle = x.mean(1).transpose(1, dim).mean(2)[:, 16:33]
    return (middle[:, -1] - middle[:, 0]) / 16 * 48


def test_the_generator_decides_the_views() -> None:
    x = pictures(6)
    torch.manual_seed(1)
    first = views(x)
    torch.manual_seed(2)
    again = views(x)
    assert torch.equal(first, again)
    assert not torch.allclose(first, views(x, seed=5), atol=0.05)


def test_views_have_the_size_asked_for_and_stay_in_range() -> None:
    x = pictures(40).round()  # only black and white: the kernel overshoots everywhere
    before = x.clone()
    for size in (16, 32, 112):
        out = views(x, size)
        assert out.shape == (40, 3, size, size)
        assert out.dtype == torch.float32
        assert out.min().item() == 0
        assert out.max().item() == 1
    assert torch.equal(x, before)


def test_without_any_option_a_view_is_the_plain_resize_or_its_mirror() -> None:
    x = pictures(32)
    matrix = resize_matrix(32, 48)[None]
    plain = resample(x, matrix, matrix).clamp(0, 1)

    out = views(x, options=STILL)

    as_is, mirrored = ((out - other).abs().amax((1, 2, 3)) < 1e-4 for other in (plain, plain.flip(3)))
    assert torch.equal(as_is, ~mirrored)
    assert 8 <= mirrored.sum() <= 24


def test_crops_zoom_over_the_whole_range_and_keep_upright() -> None:
    ramp = torch.arange(32) / 32
    across = ramp.expand(1, 3, 32, 32)
    options = Augment(zoom=(0.7, 1.0), aspect=0, margin=0, blur=0, sharpen=0, colour=0)

    wide = slopes(views(across.repeat(200, 1, 1, 1), options=options), 2)
    high = slopes(views(across.transpose(2, 3).repeat(200, 1, 1, 1), options=options), 1)

    torch.testing.assert_close(wide.abs(), high, rtol=0, atol=0.02)  # without stretching both axes zoom alike
    assert 0.68 < high.min() < 0.73
    assert 0.97 < high.max() < 1.02
    assert 60 < (wide < 0).sum() < 140


def test_stretching_zooms_the_axes_apart() -> None:
    across = (torch.arange(32) / 32).expand(200, 3, 32, 32)
    options = Augment(zoom=(0.7, 0.7), aspect=0.12, margin=0, blur=0, sharpen=0, colour=0)
    wide, high = slopes(views(across, options=options), 2).abs(), slopes(views(across.mT, options=options), 1)
    torch.testing.assert_close(wide * high, torch.full((200,), 0.49), rtol=0, atol=0.02)
    assert (wide / high).max() > 1.2
    assert (wide / high).min() < 0.83


def test_each_option_alone_changes_views() -> None:
    x = pictures(32)
    still = views(x, options=STILL)
    for change in ({"margin": 0.2, "zoom": (0.9, 0.9)}, {"blur": 0.5}, {"sharpen": 0.5}, {"colour": 0.3}):
        out = views(x, options=replace(STILL, **change))
        changed = (out - still).abs().amax((1, 2, 3)) > 0.02
        assert changed.any(), change


def test_colour_changes_leave_the_layout_alone() -> None:
    flat = (0.3 + 0.4 * pictures(16)[:, :, :1, :1]).expand(16, 3, 32, 32)
    out = views(flat)
    assert out.std((2, 3)).max() < 1e-4
    assert (out[:, :, 0, 0] - flat[:, :, 0, 0]).abs().amax() > 0.05


def test_mixing_keeps_each_share_it_reports() -> None:
    """Views are flat and all different, so that every pixel tells which view it is of."""
    views = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 16, 16)
    pasted = blended = 0
    for seed in range(40):
        mixed, other, share = mix(views, torch.Generator().manual_seed(seed))
        assert sorted(other.tolist()) == list(range(6))
        expected = share * torch.arange(6.0) + (1 - share) * other.float()
        torch.testing.assert_close(mixed.mean((1, 2, 3)), expected)
        whole = bool((mixed == mixed.round()).all())
        pasted += whole
        blended += not whole
    assert min(pasted, blended) > 10
    assert torch.equal(views[:, 0, 0, 0], torch.arange(6.0))
