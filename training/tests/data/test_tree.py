"""Pictures in a folder per class."""

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import noise, unpack

from ask_training.data.pictures import DataError
from ask_training.data.sources import read_picture, read_source
from ask_training.export.golden import golden_photo

FRAMING = Path(__file__).resolve().parents[3] / "test" / "parity" / "framing.json"
RED, GREEN, BLUE = (220, 30, 20), (20, 200, 40), (30, 40, 210)


def save(path: Path, picture: Image.Image, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)


def flat(colour: tuple[int, ...], mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (40, 40), colour)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes of one flat picture each."""
    save(tmp_path / "apple" / "a.png", flat(RED))
    save(tmp_path / "pear" / "b.png", flat(GREEN))
    return tmp_path


def halves(left: tuple[int, int, int], right: tuple[int, int, int]) -> Image.Image:
    picture = flat(left)
    picture.paste(right, (20, 0, 40, 40))
    return picture


def test_a_folder_is_a_class_and_their_order_is_the_alphabets(tree: Path) -> None:
    save(tree / "banana" / "c.JPG", flat((250, 230, 10)), format="JPEG", quality=95)
    save(tree / "banana" / "d.webp", flat((250, 230, 10)), lossless=True)
    (tree / "banana" / "notes.txt").write_text("not a picture")
    (tree / ".cache").mkdir()
    (tree / "README.md").write_text("not a class")

    source = read_source(tree, 24)

    assert source.names == ["apple", "banana", "pear"]
    assert source.pictures.labels.tolist() == [0, 1, 1, 2]
    assert (source.pictures.pixels.shape, source.pictures.pixels.dtype) == ((4, 3, 24, 24), torch.uint8)
    middle = source.pictures.pixels[:, :, 12, 12].int()
    expected = torch.tensor([RED, (250, 230, 10), (250, 230, 10), GREEN])
    assert (middle - expected).abs().max() <= 3  # JPEG
    assert source.coarse is None
    assert source.title == "a folder of 4 pictures in 3 classes"


def test_a_picture_of_the_right_size_comes_back_as_it_is(tree: Path) -> None:
    pixels = noise(1)[0]
    save(tree / "apple" / "a.png", Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()))
    assert torch.equal(read_source(tree, 32).pictures.pixels[0], pixels)


def test_a_train_folder_stands_for_the_whole(tree: Path) -> None:
    (tree / "train").mkdir()
    for name in ("apple", "pear"):
        (tree / name).rename(tree / "train" / name)
    save(tree / "test" / "apple" / "a.png", flat(GREEN))
    source = read_source(tree, 32)
    assert (source.names, len(source.pictures)) == (["apple", "pear"], 2)


@pytest.mark.parametrize("name", ["Train", "TRAIN", "training", "Training"])
def test_the_training_part_is_found_however_it_is_written(tree: Path, name: str) -> None:
    for label, colour in (("apple", RED), ("pear", GREEN)):
        for part in (name, "Test"):
            save(tree / part / label / "c.png", flat(colour))
        shutil.rmtree(tree / label)
    assert read_source(tree, 32).names == ["apple", "pear"]


def test_parts_that_are_not_used_are_told(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label, colour in (("apple", RED), ("pear", GREEN)):
        for part in ("train", "valid", "test"):
            save(tree / part / label / "c.png", flat(colour))
        shutil.rmtree(tree / label)
    read_source(tree, 32)
    said = capsys.readouterr().err
    assert f"{tree}: test, valid are not used: validation is cut from train" in said


def test_everything_that_is_wrong_is_told_at_once(tree: Path) -> None:
    for name in ("1.jpg", "2.jpg"):
        (tree / "apple" / name).write_bytes(b"no picture")
    (tree / "plum").mkdir()
    shutil.copyfile(tree / "apple" / "a.png", tree / "pear" / "copy.png")
    with pytest.raises(DataError) as raised:
        read_source(tree, 32)
    said = str(raised.value).splitlines()
    assert said[0] == f"{tree}: 4 things are wrong; mend them, or move these files out:"
    assert [line.split(": ")[0] for line in said[1:]] == [
        str(tree / name) for name in ("apple/1.jpg", "apple/2.jpg", "pear/copy.png", "plum")
    ]
    assert said[3].endswith(f"the same file as {tree / 'apple' / 'a.png'}, which is of another class")


def test_of_many_mistakes_the_first_are_named_and_the_others_counted(tree: Path) -> None:
    for number in range(30):
        (tree / "apple" / f"{number:02}.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"30 things are wrong[\s\S]*19.jpg[^\n]*\nand 10 more$"):
        read_source(tree, 32)


def test_parts_without_classes_are_no_classes(tmp_path: Path) -> None:
    save(tmp_path / "Train" / "a.png", flat(RED))
    save(tmp_path / "Test" / "b.png", flat(GREEN))
    with pytest.raises(DataError, match=r"Test, Train are parts of a set: .* a folder for each class in Train"):
        read_source(tmp_path, 32)


def test_a_class_may_be_called_train(tree: Path) -> None:
    save(tree / "train" / "1914" / "c.png", flat(BLUE))
    assert read_source(tree, 32).names == ["apple", "pear", "train"]


def test_what_is_hidden_or_no_picture_is_left_out_and_the_latter_told(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tree / "__MACOSX" / "apple" / "a.png", flat(GREEN))
    for name in ("apple/._a.png", "apple/.cache/x.png", "pear/c.heic", "pear/d.HEIC", "pear/notes"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_bytes(b"not a picture")
    source = read_source(tree, 32)
    assert (source.names, len(source.pictures)) == (["apple", "pear"], 2)
    assert f"{tree}: left out 2 .heic, 1 notes; only .jpg, .jpeg, .png, .webp are read\n" in capsys.readouterr().err


def test_pictures_lie_at_any_depth(tree: Path) -> None:
    save(tree / "apple" / "2024" / "may" / "c.png", flat(BLUE))
    source = read_source(tree, 32)
    assert source.pictures.labels.tolist() == [0, 0, 1]
    assert source.names == ["apple", "pear"]


def test_a_large_picture_becomes_what_the_golden_photo_says(tree: Path) -> None:
    photo, expected = golden_photo(32)
    save(tree / "apple" / "a.png", Image.fromarray(photo))
    pixels = read_source(tree, 32).pictures.pixels[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(pixels, expected)


def test_pictures_of_odd_sizes_are_framed_as_the_services_frame_them(tree: Path) -> None:
    """shared/imaging/codec.ts is held to the same file."""
    for i, case in enumerate(json.loads(FRAMING.read_text())):
        unpack(case["png"]).save(tree / "apple" / f"framed-{i}.png")
        expected = np.frombuffer(base64.b64decode(case["pixels"]), np.uint8).reshape(32, 32, 3)
        found = read_picture(tree / "apple" / f"framed-{i}.png", 32)
        np.testing.assert_allclose(found.astype(int), expected, rtol=0, atol=3)


def test_a_picture_is_turned_as_its_camera_says(tree: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is on the right of what is stored
    save(tree / "apple" / "a.jpg", halves(RED, GREEN), exif=exif, quality=95)
    pixels = read_source(tree, 32).pictures.pixels[0].int()
    top, bottom = pixels[:, :12].float().mean((1, 2)), pixels[:, 20:].float().mean((1, 2))
    torch.testing.assert_close(top, torch.tensor(RED).float(), rtol=0, atol=8)
    torch.testing.assert_close(bottom, torch.tensor(GREEN).float(), rtol=0, atol=8)


def test_transparency_shows_white(tree: Path) -> None:
    picture = flat((*RED, 255), "RGBA")
    picture.paste((0, 0, 0, 0), (0, 0, 40, 20))
    picture.paste((0, 0, 0, 128), (0, 20, 20, 40))
    save(tree / "apple" / "a.png", picture)
    pixels = read_source(tree, 40).pictures.pixels[0]
    assert pixels[:, 5, 5].tolist() == [255, 255, 255]
    assert pixels[:, 35, 5].tolist() == pytest.approx([127, 127, 127], abs=1)
    assert tuple(pixels[:, 35, 35].tolist()) == RED


@pytest.mark.parametrize("mode", ["L", "P", "LA", "CMYK", "1"])
def test_pictures_of_other_colour_modes_are_read(tree: Path, mode: str) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    (tree / "apple" / "a.png").unlink()
    save(tree / "apple" / f"a.{suffix}", flat((255, 255, 255)).convert(mode))
    assert (read_source(tree, 32).pictures.pixels[0].int() >= 250).all()


def test_the_digest_follows_contents_and_names(tree: Path) -> None:
    first, again = (read_source(tree, 32).digest for _ in range(2))
    (tree / "apple" / "a.png").rename(tree / "apple" / "z.png")
    renamed = read_source(tree, 32).digest
    save(tree / "apple" / "z.png", flat(BLUE))
    assert first == again
    assert len({first, renamed, read_source(tree, 32).digest}) == 3


def broken_chunk(path: Path) -> None:
    """Damage in the second part of the pixels, which Pillow reports in another way than damage at the start."""
    picture = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    Image.fromarray(picture).save(path)
    content = bytearray(path.read_bytes())
    second = content.index(b"IDAT", content.index(b"IDAT") + 4)
    content[second : second + 4] = bytes(4)
    path.write_bytes(content)


BROKEN = {
    "no picture": lambda path: path.write_text("not a picture"),
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "broken chunk": broken_chunk,
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN)
def test_a_broken_picture_is_refused_by_its_name(tree: Path, spoil) -> None:
    save(tree / "pear" / "more" / "bad.png", Image.fromarray(noise(1)[0].permute(1, 2, 0).contiguous().numpy()))
    spoil(tree / "pear" / "more" / "bad.png")
    with pytest.raises(DataError, match=r"more/bad.png: the picture cannot be read: "):
        read_source(tree, 32)


def test_a_class_without_pictures_is_refused_by_its_name(tree: Path) -> None:
    (tree / "cherry").mkdir()
    (tree / "cherry" / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match=r"cherry: class 'cherry' has no pictures \(.jpg, .jpeg, .png, .webp\)"):
        read_source(tree, 32)


def test_a_folder_of_one_class_is_refused(tree: Path) -> None:
    (tree / "pear" / "b.png").unlink()
    (tree / "pear").rmdir()
    with pytest.raises(DataError, match=r"holds neither CIFAR records nor a folder for each of two or more classes"):
        read_source(tree, 32)


def test_a_path_that_is_no_folder_is_refused(tree: Path) -> None:
    for path in (tree / "nowhere", tree / "apple" / "a.png"):
        with pytest.raises(DataError, match=f"{path} is not a folder"):
            read_source(path, 32)


def test_sixteen_bits_of_grey_keep_their_brightness(tree: Path) -> None:
    save(tree / "apple" / "a.png", Image.fromarray(np.full((40, 40), 100 * 256, np.uint16)))
    assert read_source(tree, 24).pictures.pixels[0].unique().tolist() == [100]
