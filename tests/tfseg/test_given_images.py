import os

import pytest

from tfseg import given_images


@pytest.fixture
def tree(tmp_path):
    """Writes empty files below tmp_path; `find(given)` gives {name: path below tmp_path}, predictions go to `out`."""

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()

    def find(given, output="out"):
        found = given_images.find(str(tmp_path / given), tmp_path / output)
        return {name: os.path.relpath(path, tmp_path) for name, path in found.items()}

    make.find = find
    return make


@pytest.mark.parametrize(
    "name", ["br [1]/photo (1).png", "a,b.jpg", "~x/~y.png", "q?.png", "st*r.png", "ü {1}.png", "x"]
)
def test_a_file_that_is_there_is_that_file(tree, name):
    tree(name, "br 1/photo (1).png", "qq.png", "staaar.png")
    stem = os.path.splitext(os.path.basename(name))[0]
    assert tree.find(name) == {stem: name}


@pytest.mark.parametrize("folder", ["br [1]", "a, b", "~", "what?", "*"])
def test_a_folder_that_is_there_is_that_folder(tree, folder):
    tree(f"{folder}/a.png", f"{folder}/sub/b.JPG", "br 1/no.png", "whatX/no.png")
    assert tree.find(folder) == {"a": f"{folder}/a.png", "sub/b": f"{folder}/sub/b.JPG"}
    assert tree.find(f"{folder}/*.png") == {"a": f"{folder}/a.png"}


def test_patterns(tree):
    tree("p/a1.png", "p/a2.tif", "p/b/a3.webp", "p/b[0]x.png", "p/.hidden.png", "p/._a1.png", "q/a1.png")
    assert tree.find("p/a*") == {"a1": "p/a1.png", "a2": "p/a2.tif"}
    assert tree.find("p/a[12].*") == {"a1": "p/a1.png", "a2": "p/a2.tif"}
    assert tree.find("p/**/a*") == {"a1": "p/a1.png", "a2": "p/a2.tif", "b/a3": "p/b/a3.webp"}
    assert tree.find("?/a1.png") == {"p/a1": "p/a1.png", "q/a1": "q/a1.png"}
    # Brackets that match nothing as a pattern are taken literally.
    assert tree.find("p/b[0]*.png") == {"b[0]x": "p/b[0]x.png"}


def test_what_is_no_image_is_left_out_and_counted(tree, tmp_path, capsys):
    tree("p/ok.png", "p/._ok.png", "p/.hidden/a.png", "p/a.txt", "p/b.TXT", "p/c.csv", "p/README")
    (tmp_path / "p" / "dir.png").mkdir()
    assert tree.find("p") == {"ok": "p/ok.png"}
    assert capsys.readouterr().out == "4 files are no images: .txt (2), .csv (1), without an extension (1).\n"
    tree("r/ok.png", "r/a.txt")
    assert tree.find("r/*") == {"ok": "r/ok.png"}
    assert capsys.readouterr().out == "1 file is no image: .txt.\n"


def test_linked_folders_are_followed_and_loops_are_not(tree, tmp_path):
    tree("p/a.png", "far/b.png")
    (tmp_path / "p" / "linked").symlink_to(tmp_path / "far")
    (tmp_path / "p" / "loop").symlink_to(tmp_path / "p")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "p")
    expected = {"a": "p/a.png", "linked/b": "p/linked/b.png"}
    assert tree.find("p") == expected
    assert tree.find("p/**/*.png") == expected


def test_predictions_are_no_input(tree, tmp_path, capsys):
    own = ["labels/x.png", "colors/x.png", "overlays/x.png", "legend.png"]
    tree("p/x.png", *(f"p/out/{name}" for name in own), "p/outer/y.png")
    expected = {"x": "p/x.png", "outer/y": "p/outer/y.png"}
    assert tree.find("p", "p/out") == expected
    assert "4 files of --output_dir" in capsys.readouterr().out
    (tmp_path / "link").symlink_to(tmp_path / "p" / "out")
    assert tree.find("p", "link") == expected
    assert tree.find("p/**/*.png", "p/out") == expected
    # Beside the images there are only the folders of predictions.
    tree("s/x.png", *(f"s/{name}" for name in own), "s/labels2/y.png")
    assert tree.find("s", "s") == {"x": "s/x.png", "labels2/y": "s/labels2/y.png"}
    # The images may lie below the output.
    assert tree.find("p/outer", ".") == {"y": "p/outer/y.png"}
    with pytest.raises(FileNotFoundError, match="4 files of --output_dir"):
        tree.find("p/out", "p/out")
    with pytest.raises(ValueError, match="another --output_dir"):
        tree.find("p/out/labels/x.png", "p/out")
    assert tree.find("p/out/labels/x.png", "q") == {"x": "p/out/labels/x.png"}


def test_names_stay_apart(tree, capsys):
    tree("p/a.png", "p/a.jpg", "p/b.png", "p/sub/a.png", "p/a.png.bmp")
    # a.png and a.jpg would both be `a`; with its extension the first would be `a.png`, as a.png.bmp without its own.
    assert tree.find("p") == {
        "a.png": "p/a.png",
        "a.jpg": "p/a.jpg",
        "a.png.bmp": "p/a.png.bmp",
        "b": "p/b.png",
        "sub/a": "p/sub/a.png",
    }
    assert "a.jpg -> a.jpg.png" in capsys.readouterr().out


def test_no_images(tree):
    tree("p/a.txt", "p/b/.c.png")
    with pytest.raises(FileNotFoundError, match=r"1 file is no image: \.txt"):
        tree.find("p")
    with pytest.raises(FileNotFoundError, match="No such file or folder"):
        tree.find("nowhere/a.png")
    with pytest.raises(FileNotFoundError, match="Nothing matches"):
        tree.find("p/*.png")
