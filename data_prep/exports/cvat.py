"""CVAT's "Segmentation mask": VOC's folders, and labelmap.txt with the colors."""

import dataclasses
import os
from typing import Optional

from data_prep.exports import voc
from data_prep.exports.export import Export, Place

LAYOUT = "labelmap.txt and a folder SegmentationClass with masks"


def find(place: Place) -> Optional[Export]:
    """Finds CVAT's masks.

    Raises:
      UserError: nothing pairs, or the photos are missing.
    """
    folder = voc.masks_folder(place.masks)
    if folder is None:
        return None
    if not os.path.isfile(os.path.join(os.path.dirname(folder), "labelmap.txt")):
        return None
    export = voc.find(place)
    return dataclasses.replace(export, found=f"CVAT's masks: {export.found}")
