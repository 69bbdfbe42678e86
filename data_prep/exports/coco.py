"""COCO's format with own categories, from CVAT, Label Studio, Roboflow and others."""

import functools
import json
import os
from collections.abc import Sequence
from typing import Optional

from data_prep import coco_annotations, coco_masks, id_lists, listed_images, pairing
from data_prep.coco_annotations import Annotations
from data_prep.exports import export, json_files, label_studio_tasks
from data_prep.exports.export import Export, Place
from data_prep.listed_images import Listed
from data_prep.pairing import Item
from data_prep.photos import Drawn
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError

LAYOUT = "a JSON file with 'images', 'annotations' and 'categories'"
_KEYS = {"images", "annotations", "categories"}
# Folders with more JSON files have one for each photo.
_MOST_FILES = 20


def find(place: Place) -> Optional[Export]:
    """Finds annotations in COCO's format.

    Raises:
      UserError: they are broken, photos are missing, or pycocotools is.
    """
    paths = json_files.below(place.masks)
    paths = paths if len(paths) <= _MOST_FILES else []
    paths = [path for path in paths if _is_coco(path)]
    if not paths:
        return None
    coco_annotations.require_pycocotools()
    photos = place.photos()
    masks: dict[str, str] = {}
    path_of: dict[str, str] = {}
    held_out: dict[str, list[str]] = {}
    categories: list[str] = []
    for path in paths:
        annotations = coco_annotations.load(path)
        group = _group(path)
        categories += [name for name in annotations.categories if name != group]
        found = _masks(annotations, photos)
        for name in found:
            if path_of.setdefault(name, path) != path:
                raise UserError(
                    f"{path_of[name]} and {path} both have objects of the photo "
                    f"'{name}'. Pass one of them as --masks, or put each photo into "
                    "one file only."
                )
        masks.update(found)
        split = export.PARTS.get(_part(path))
        if split and len(paths) > 1:
            held_out.setdefault(split, []).extend(found)
    chosen = {name: masks[name] for name in photos.names if name in masks}
    return Export(
        f"COCO's format ({', '.join(paths)}): {len(chosen)} of {len(photos.names)} "
        f"photos in {place.images} have objects, the others count as unlabeled",
        photos,
        chosen,
        export.background_first(categories),
        paths[0],
        draw=functools.partial(draw, source=paths[0]),
        held_out=held_out,
    )


def _is_coco(path: str) -> bool:
    content = json_files.load(path)
    return isinstance(content, dict) and _KEYS <= set(content)


def _group(path: str) -> Optional[str]:
    """The category that Roboflow adds as the group of all others; None without it."""
    content = json_files.load(path)
    used = {one["category_id"] for one in content["annotations"]}
    first, *others = sorted(content["categories"], key=lambda one: str(one["id"]))
    is_group = first["id"] not in used and others
    is_group = is_group and all(
        one.get("supercategory") == first["name"] for one in others
    )
    return first["name"] if is_group else None


def _part(path: str) -> str:
    """The part of a data set that a file describes, by its folder or name."""
    folder, name = os.path.split(path)
    last = os.path.splitext(name)[0].rpartition("_")[2]
    return last if last in export.PARTS else os.path.basename(folder)


def _masks(annotations: Annotations, photos: pairing.Images) -> dict[str, str]:
    """{id: what `draw` draws} of the photos with objects."""
    known = photos.known
    inside = os.path.relpath(os.path.dirname(annotations.path) or ".", known.folder)
    prefix = inside.replace(os.sep, "/") + "/"
    # Photos beside the file go before photos of the same name elsewhere.
    near = {
        name[len(prefix) :]: name for name in known.paths if name.startswith(prefix)
    }
    near = near or {name: name for name in known.paths}
    # Label Studio puts a number before the names of uploaded files.
    entries = [
        Listed(
            name,
            [name, os.path.basename(name), label_studio_tasks.without_number(name)],
        )
        for name in annotations.sizes
    ]
    files = listed_images.find(entries, near, annotations.path)
    listed_images.note_elsewhere(entries, files, annotations.path)
    listed = list(zip(files, annotations.sizes))
    id_lists.refuse_missing(
        [name for file, name in listed if file is None and annotations.objects[name]],
        f"images with objects in {annotations.path} are not in {known.folder}",
        "Put them there, or pass their folder as --images.",
    )
    return {
        near[file]: _text(annotations, name)
        for file, name in listed
        if file is not None and annotations.objects[name]
    }


def _text(annotations: Annotations, name: str) -> str:
    """The size and the objects of an image, [[class name, segmentation], ...]."""
    objects = ",".join(
        f"[{json.dumps(annotations.categories[one.category])},{one.outline}]"
        for one in annotations.objects[name]
    )
    return f'{{"size":{json.dumps(annotations.sizes[name])},"objects":[{objects}]}}'


def draw(item: Item, spec: DatasetSpec, source: str) -> Drawn:
    """Draws the objects of a photo; later ones are on top.

    Raises:
      UserError: an outline is invalid, all are outside the photo, or the photo has
        another size.
    """
    content = json.loads(item.mask)
    height, width = content["size"]
    objects: Sequence[tuple[int, object]] = [
        (export.class_of(name, spec, source), outline)
        for name, outline in content["objects"]
    ]
    as_stored = coco_masks.is_as_stored(item.image, height, width, source)
    mask = coco_masks.draw(objects, height, width, item.name, source)
    if not mask.any() and any(class_id for class_id, _ in objects):
        raise UserError(
            f"No object of the image {item.name} in {source} covers one of its "
            f"{width} x {height} pixels. Export outlines in pixels of this image."
        )
    return Drawn(mask, as_stored)
