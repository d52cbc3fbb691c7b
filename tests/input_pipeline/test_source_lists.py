"""Lists of images and masks: names with blanks, commas and brackets; paths of every kind; errors that quote the line."""

import numpy as np
import pytest
from PIL import Image

from input_pipeline.source import lists

ODD = ("photo 1", "photo 2", "a,b", "a,b c [1] (x)", "it's", '5" disk', "#1", "deep/er/c d")


@pytest.fixture
def source(tmp_path):
    for name in (*ODD, "plain", "other"):
        for folder in ("images", "masks"):
            path = tmp_path / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((2, 2), np.uint8)).save(path)
    return tmp_path.resolve()


def read(source, text):
    (source / "train.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    return [
        (e.id, e.image.relative_to(source).as_posix(), e.mask.relative_to(source).as_posix())
        for e in lists.read(source, source / "train.txt", "train")
    ]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("form", ["{}", "{}.png", "images/{}.png", "./images/{}.png", '"{}"', "  {}\t"])
def test_a_line_that_is_an_image_is_that_image(form, name, source):
    assert read(source, form.format(name) + "\n") == [(name, f"images/{name}.png", f"masks/{name}.png")]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize(
    "form", ["images/{0}.png,masks/{0}.png", "images/{0}.png\tmasks/{0}.png", "images/{0}.png , masks/{0}.png"]
)
def test_two_paths_with_a_comma_or_a_tab(form, name, source):
    assert read(source, form.format(name)) == [(f"images/{name}", f"images/{name}.png", f"masks/{name}.png")]


@pytest.mark.parametrize(
    "line",
    [
        "images/plain.png masks/other.png",
        "images\\plain.png\tmasks\\other.png",
        "/images/plain.png /masks/other.png",
        "plain.png other.png",
        '"images/plain.png" "masks/other.png"',
        "'images/plain.png', 'masks/other.png'",
    ],
)
def test_two_paths_in_every_form(line, source):
    ((_, image, mask),) = read(source, f"{line}\r\n")
    assert (image, mask) == ("images/plain.png", "masks/other.png")


def test_two_paths_with_blanks_in_quotes(source):
    assert read(source, '"images/photo 1.png" "masks/photo 2.png"') == [
        ("images/photo 1", "images/photo 1.png", "masks/photo 2.png")
    ]


def test_absolute_paths(source):
    text = f"{source}/images/photo 1.png, {source}/masks/photo 1.png\n{source}/images/plain.png\n"
    assert read(source, text) == [
        ("images/photo 1", "images/photo 1.png", "masks/photo 1.png"),
        ("plain", "images/plain.png", "masks/plain.png"),
    ]


def test_the_name_of_an_image_elsewhere_stays_below_what_is_written(source, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "x y.png"
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(other)
    (source / "train.txt").write_text(f"{other},masks/plain.png\n../{source.name}/images/plain.png masks/plain.png\n")
    ids = [e.id for e in lists.read(source, source / "train.txt", "train")]
    assert ids == [str(other.with_suffix(""))[1:], "images/plain"]


def test_comments_blank_lines_and_windows(source):
    text = "\ufeff# a comment\r\n\r\nplain\r\n#1\r\n  \r\ndeep\\er\\c d.png\r\n".encode("utf-16-le")
    assert [name for name, _, _ in read(source, text)] == ["plain", "#1", "deep/er/c d"]


def test_another_encoding(source):
    with pytest.raises(ValueError, match=r"train\.txt, whose byte 10 \(0xdf, in line 2.*Save it as UTF-8"):
        read(source, "plain\nStraße\n".encode("cp1252"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("images/photo 1.png masks/photo 1.png", "put a comma or a tab between paths with spaces"),
        ("a b.png c d.png", "put a comma or a tab between paths with spaces"),
        ("x.png, y.png, z.png", "more than one way"),
    ],
)
def test_a_line_that_is_not_understood_is_quoted(line, message, source):
    with pytest.raises(ValueError, match=r"train\.txt: line 2, ") as error:
        read(source, f"plain\n{line}\n")
    assert repr(line) in str(error.value)
    assert message in str(error.value)


def test_an_image_listed_twice_is_named_with_its_lines(source):
    with pytest.raises(ValueError, match=r"each image of train once.*lines 1 and 3 of .*train\.txt: plain\."):
        read(source, "plain\nother\nimages/plain.png masks/other.png\n")


def test_missing_files_are_found_when_the_pair_is_read(source):
    assert read(source, "plain\nphoto 9\nimages/gone.png masks/gone.png\nimages/other.png,masks/gone.png\n") == [
        ("plain", "images/plain.png", "masks/plain.png"),
        ("photo 9", "images/photo 9.png", "masks/photo 9.png"),
        ("images/gone", "images/gone.png", "masks/gone.png"),
        ("images/other", "images/other.png", "masks/gone.png"),
    ]


def test_a_list_of_nothing_that_is_there(source):
    with pytest.raises(
        FileNotFoundError, match=r"none of whose 2 lines.*first is 'foto 1', for which .*images/foto 1\.png is missing"
    ):
        read(source, "foto 1\nfoto 2\n")
    with pytest.raises(ValueError, match=r"Received: none in .*train\.txt"):
        read(source, "\n# nothing\n")


def test_a_name_that_differs_in_case(source):
    (source / "train.txt").write_text("plain\nPHOTO 1\n")
    image = lists.read(source, source / "train.txt", "train")[1].image
    with pytest.raises(ValueError, match=r"images/photo 1\.png, whose name is written otherwise"):
        image.read()
