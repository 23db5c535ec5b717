"""Volumes with their place in the patient: read, resampled, cropped, and listed in a manifest."""

from mlseg.volumes.files import read
from mlseg.volumes.manifest import Patient, read_manifest
from mlseg.volumes.sampling import crop_to, lesion_box, resample, window
from mlseg.volumes.volume import Volume, check_same_grid

__all__ = [
  "Patient",
  "Volume",
  "check_same_grid",
  "crop_to",
  "lesion_box",
  "read",
  "read_manifest",
  "resample",
  "window",
]
