import pytest
import torch

from ask_training.data.golden import golden_pixels


@pytest.mark.parametrize(("side", "count"), [(32, 8), (64, 3)])
def test_golden_pictures_are_the_same_on_every_call_and_unlike_one_another(side: int, count: int) -> None:
    pixels = golden_pixels(side, count)
    assert torch.equal(pixels, golden_pixels(side, count))
    assert (pixels.shape, pixels.dtype) == ((count, 3, side, side), torch.uint8)
    assert (pixels.float().flatten(1).std(1) > 30).all()
    assert len({picture.numpy().tobytes() for picture in pixels}) == count
