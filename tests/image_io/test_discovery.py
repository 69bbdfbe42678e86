"""Images in folders as users have them, and lists of them: found, or refused."""

import os
import unicodedata

import pytest

from data_prep import images
from tests.data_prep import trees
from wss.errors import UserError
from wss.files import outputs
from wss.image_io import discovery


def test_scan_lists_images_below_a_folder(tmp_path):
    for name in ("b.jpg", "sub/a.PNG", "sub/ü c.jpeg", "x.png/d.tif", "e.f.jpg"):
        trees.save_image(tmp_path / name)
    for name in ("notes.txt", ".DS_Store", "._b.jpg", "MOV_1.mov", "README"):
        (tmp_path / name).write_text("no image")
    trees.save_image(tmp_path / ".cache" / "b.jpg")
    trees.save_image(tmp_path / "__MACOSX" / "b.jpg")
    found = discovery.scan(str(tmp_path))
    assert list(found.paths) == ["b", "e.f", "sub/a", "sub/ü c", "x.png/d"]
    assert list(discovery.find(str(tmp_path))) == list(found.paths)
    text = discovery.describe_left_out(str(tmp_path), found.left_out)
    assert text.startswith(f"{tmp_path}: 7 files left out (4 hidden, ")
    for kind in ("1 .mov", "1 .txt", "1 without extension"):
        assert kind in text


def test_one_file_left_out():
    text = discovery.describe_left_out("photos", ["photos/a.mov"])
    assert text == "photos: 1 file left out (1 .mov); the first is photos/a.mov."


def test_scan_takes_what_ends_with_a_suffix(tmp_path):
    for name in ("a_mask.png", "a.jpg", "sub/b_mask.png", "_mask.png"):
        trees.save_image(tmp_path / name)
    found = discovery.scan(str(tmp_path), "_mask")
    assert list(found.paths) == ["a", "sub/b"]
    assert str(tmp_path / "a.jpg") in found.left_out
    with pytest.raises(UserError, match="no image with names that end in '_label'"):
        discovery.scan(str(tmp_path), "_label")


def test_scan_follows_links_but_not_in_circles(tmp_path):
    trees.save_image(tmp_path / "elsewhere" / "a.jpg")
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    (tmp_path / "photos" / "b.jpg").symlink_to(tmp_path / "elsewhere" / "a.jpg")
    (tmp_path / "photos" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "sub" / "again").symlink_to(tmp_path / "photos")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "photos")
    found = discovery.find(str(tmp_path / "photos"))
    assert list(found) == ["b", "more/a"]


def test_a_link_to_itself_is_left_to_the_reader(tmp_path):
    trees.save_image(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "b.jpg")
    found = discovery.find(str(tmp_path))
    assert list(found) == ["a", "b"]
    with pytest.raises(UserError, match="b.jpg cannot be read .Too many levels"):
        images.read_example("b", found["b"])


def test_names_are_the_same_in_the_spellings_of_all_systems(tmp_path):
    trees.save_image(tmp_path / "u\u0308.jpg")  # As macOS writes it,
    assert list(discovery.find(str(tmp_path))) == ["\u00fc"]
    trees.save_image(tmp_path / "\u00fc.jpg")  # and the others.
    with pytest.raises(UserError, match="Two files have the id 'ü'"):
        discovery.find(str(tmp_path))


def test_names_that_are_no_text(tmp_path):
    trees.save_image(tmp_path / "a.jpg")
    os.rename(tmp_path / "a.jpg", os.fsencode(tmp_path) + b"/\xff.jpg")
    with pytest.raises(UserError, match=r"udcff.jpg' is not UTF-8. Rename it") as info:
        discovery.find(str(tmp_path))
    str(info.value).encode()


def test_two_files_with_one_id(tmp_path):
    trees.save_image(tmp_path / "b.png")
    trees.save_image(tmp_path / "b.JPG")
    with pytest.raises(UserError, match="Two files have the id 'b': .*b.JPG and .*png"):
        discovery.find(str(tmp_path))


def test_find_without_images(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        discovery.find(str(tmp_path / "missing"))
    with pytest.raises(UserError, match="no image in"):
        discovery.find(str(tmp_path))


def save_all(folder, *names):
    for name in names:
        trees.save_image(folder / name)


def collected(sources):
    return discovery.collect(sources).paths


def test_collect_names_photos_by_their_place_below_the_folder(tmp_path, monkeypatch):
    save_all(tmp_path, "photos/a.jpg", "photos/sub/ü c.PNG", "photos/.cache/b.jpg")
    (tmp_path / "photos" / "notes.md").write_text("no image")
    monkeypatch.chdir(tmp_path)
    found = {"a": "photos/a.jpg", "sub/ü c": "photos/sub/ü c.PNG"}
    assert collected(["photos"]) == found
    assert collected(["photos/**/*.*"]) == found
    absolute = str(tmp_path / "photos" / "sub" / ".." / "a.jpg")
    assert collected([absolute]) == {"a": absolute}
    assert collected(["photos", "photos/a.jpg"]) == found


def test_names_of_a_list_lead_out_of_no_folder(tmp_path, monkeypatch):
    save_all(tmp_path, "x/1.jpg", "y/z/2.jpg", "here/3.jpg")
    (tmp_path / "list.txt").write_text(f"../x/1.jpg\n{tmp_path}/y/z/2.jpg\n")
    monkeypatch.chdir(tmp_path / "here")
    found = collected(["../list.txt", "3.jpg"])
    assert found == {
        "3": "3.jpg",
        "x/1": "../x/1.jpg",
        "y/z/2": f"{tmp_path}/y/z/2.jpg",
    }


def test_photos_of_one_name_keep_their_ending(tmp_path):
    save_all(tmp_path, "a.jpg", "a.png", "b.jpg")
    assert list(collected([str(tmp_path)])) == ["a.jpg", "a.png", "b"]


def test_collect_refuses(tmp_path):
    save_all(tmp_path, "x/a.jpg", "y/a.jpg")
    with pytest.raises(
        UserError, match="would both be called 'a.jpg'. Use two commands"
    ):
        collected([str(tmp_path / "x"), str(tmp_path / "y")])
    with pytest.raises(UserError, match="no image or folder .*missing.jpg"):
        collected([str(tmp_path / "missing.jpg")])
    with pytest.raises(UserError, match=r"no image in .*\*.png"):
        collected([str(tmp_path / "x" / "*.png")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no image in .*empty"):
        collected([str(tmp_path / "empty")])


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("listed", ["NFC", "NFD"])
@pytest.mark.parametrize("slash", ["/", "\\"])
def test_lists_of_other_systems(tmp_path, monkeypatch, on_disk, listed, slash):
    monkeypatch.chdir(tmp_path)
    name = unicodedata.normalize(on_disk, "\u00fcber")
    trees.save_image(tmp_path / name / f"{name}.png")
    line = unicodedata.normalize(listed, f"\u00fcber{slash}\u00fcber.png")
    (tmp_path / "list.txt").write_text(f"# mine\r\n{line}\r\n", encoding="utf-16")
    assert collected(["list.txt"]) == {"\u00fcber": f"{name}/{name}.png"}
    absolute = f"{tmp_path}/{line}"
    (tmp_path / "list.txt").write_text(absolute, encoding="utf-8-sig")
    (path,) = collected(["list.txt"]).values()
    assert path == str(tmp_path / name / f"{name}.png")


def test_collect_counts_what_is_no_photo(tmp_path):
    save_all(tmp_path, "a.jpg", "sub/b.JPG", "alone/c.png")
    for name in ("MOV_7.MOV", "sub/clip.MOV", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).write_text("no image")
    pattern = f"{tmp_path}/**/*.*"
    found = discovery.collect([str(tmp_path), f"{tmp_path}/alone", pattern])
    assert list(found.paths) == ["a", "alone/c", "sub/b"]
    assert [len(paths) for paths in found.left_out.values()] == [4, 3]
    text = discovery.describe_left_out(pattern, found.left_out[pattern])
    assert text.startswith(f"{pattern}: 3 files left out (2 .MOV, 1 .txt); the first")
    (tmp_path / "alone" / "c.png").unlink()
    (tmp_path / "alone" / "c.MOV").write_text("")
    with pytest.raises(
        UserError, match=r"no image in .*alone .*1 file left out .1 .MO"
    ):
        collected([f"{tmp_path}/alone"])


def test_results_are_no_photos_of_the_folder_above(tmp_path):
    """Unless the user names them: corrected masks are masks."""
    save_all(tmp_path, "photos/a.jpg", "photos/predicted/masks/mine.png")
    content = (tmp_path / "photos" / "a.jpg").read_bytes()
    output = outputs.OutputFolder(str(tmp_path / "photos" / "predicted"))
    output.write("masks/a.png", content)
    for find in (discovery.scan, lambda path: discovery.collect([path])):
        found = find(str(tmp_path / "photos"))
        assert list(found.paths) == ["a", "predicted/masks/mine"]
    left_out = found.left_out[str(tmp_path / "photos")]
    text = discovery.describe_left_out(str(tmp_path / "photos"), left_out)
    assert "1 file left out (1 written by wss); the first is" in text
    pattern = f"{tmp_path}/photos/pre*/*/*"
    assert list(collected([pattern]).values()) == [
        f"{tmp_path}/photos/predicted/masks/mine.png"
    ]
    assert list(discovery.find(f"{tmp_path}/photos/predicted/masks")) == ["a", "mine"]
