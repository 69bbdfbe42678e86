"""Masks as files, one for each photo, under the same or similar names."""

from typing import Optional

from data_prep import name_patterns, pairing
from data_prep.exports import class_files
from data_prep.exports.export import Export, Place
from wss.errors import UserError
from wss.image_io.patterns import Pattern

LAYOUT = "a mask file for each photo, of the same name"


def find(place: Place, folder: Optional[str] = None) -> Export:
    """Pairs photos with the mask files in a folder.

    Args:
      place: the folders of photos and masks, and the patterns of their names.
      folder: of the masks, instead of that of `place`.

    Raises:
      UserError: no mask pairs with a photo; the message proposes patterns.
    """
    folder = folder or place.masks
    if folder == place.masks and place.is_one_folder:
        _refuse_one_name(place)
    photos = place.photos(place.mask_pattern if place.is_one_folder else None)
    found = pairing.find_masks(photos, folder, place.mask_pattern)
    chosen = {name: found[name] for name in photos.names if name in found}
    if not chosen:
        raise UserError(_nothing_pairs(photos, folder, place.mask_pattern))
    names = class_files.find(folder, place.has_names)
    return Export(
        f"{len(chosen)} of {len(photos.names)} photos in {place.images} have a mask "
        f"file in {folder}",
        photos,
        chosen,
        names.names if names else None,
        names.path if names else "",
        names.labels if names else Export.labels,
    )


def _refuse_one_name(place: Place) -> None:
    """Refuses photos and masks in one folder whose names are not told apart."""
    if place.mask_pattern.text != place.image_pattern.text:
        return
    advice = name_patterns.propose(place.images, place.images)
    if advice:
        advice = advice.replace("Add ", f"Add --masks={place.images} ", 1)
    raise UserError(
        f"No masks are recognized in {place.images}. "
        + (advice or "Pass their folder, or that of an export, as --masks.")
    )


def _nothing_pairs(photos: pairing.Images, folder: str, pattern: Pattern) -> str:
    expected = pairing.expected_mask(photos.names[0], folder, pattern)
    proposal = name_patterns.propose(photos.known.folder, folder)
    return (
        f"No photo in {photos.known.folder} has a mask in {folder}. Looked for "
        f"{expected}. "
        + (proposal or "Add --mask_pattern, such as '{id}_mask'; see --from.")
    )
