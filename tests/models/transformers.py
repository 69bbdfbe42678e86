"""A tiny DINOv2, registered like the published ones."""

import contextlib
import functools
from unittest import mock

from wss.models import backbone, dinov2
from wss.models.backbone import DecoderWidths

VARIANT = "dinov2_tiny"
TINY = dinov2.Size(24, 2, (1, 2, 3, 4), DecoderWidths(16, (8, 12, 16, 24)))


@contextlib.contextmanager
def registered(size: dinov2.Size = TINY, grid: int = 4):
    """Within this context, `VARIANT` is a transformer of this size.

    Args:
      size: see `dinov2.Size`.
      grid: side of the grid that its position embedding is stored for.
    """
    backbone.variants()  # Finds the others.
    with mock.patch.dict(backbone._variants):
        backbone.register_backbone(
            VARIANT,
            mean_pixel=dinov2.MEAN_PIXEL,
            namings=dinov2.namings(size.taken[-1]),
            patch_size=dinov2.PATCH,
        )(functools.partial(dinov2.DinoV2, VARIANT, size, trained_grid=grid))
        yield
