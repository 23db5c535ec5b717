"""Volumes with their position in the patient: reading, resampling and cropping."""

from mlseg.io.volumes.files import read
from mlseg.io.volumes.sampling import crop_to, lesion_box, resample, window
from mlseg.io.volumes.volume import Volume, check_same_grid

__all__ = [
  "Volume",
  "check_same_grid",
  "crop_to",
  "lesion_box",
  "read",
  "resample",
  "window",
]
