"""Volumes as files: the same one as NIfTI and as a series of DICOM slices."""

import pathlib

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SPACING = (2.5, 0.8, 0.7)  # of slices, rows and columns, in mm
ORIGIN = (-30.0, -20.0, 100.0)  # of the first voxel, to the left, back and up (DICOM's)


def values(shape=(6, 10, 12), seed=0):
  """Returns Hounsfield units [Z, Y, X]: from the feet, from the front, from the patient's right."""
  rng = np.random.default_rng(seed)
  return rng.integers(-1000, 1500, shape).astype(np.int16)


def nifti_affine(origin=ORIGIN, spacing=SPACING):
  """Returns the matrix of an array [X, Y, Z] with the axes left, back, up, to RAS+."""
  depth, height, width = spacing
  affine = np.diag([-width, -height, depth, 1.0])
  affine[:3, 3] = np.array(origin) * (-1, -1, 1)
  return affine


def write_nifti(path: pathlib.Path, array, affine=None):
  """Writes [Z, Y, X]."""
  affine = nifti_affine() if affine is None else affine
  nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(np.transpose(array)), affine), path)
  return path


def write_series(folder: pathlib.Path, array, *, slope=1, intercept=-1024, series=None, first=0):
  """Writes [Z, Y, X] as files whose names are in no order."""
  folder.mkdir(parents=True, exist_ok=True)
  series, names = series or generate_uid(), np.random.default_rng(1).permutation(len(array))
  for number, (one, name) in enumerate(zip(array, names, strict=True), start=first):
    write_slice(folder / f"{name:03d}.dcm", one, number, slope, intercept, series)
  return folder


def write_slice(path, one, number, slope=1, intercept=-1024, series="1.2.3", **changes):
  """Writes [Y, X] as the slice of a number."""
  meta = FileMetaDataset()
  meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
  meta.TransferSyntaxUID = ExplicitVRLittleEndian
  dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
  dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
  dataset.SeriesInstanceUID, dataset.Modality = series, "CT"
  dataset.Rows, dataset.Columns = one.shape
  dataset.PixelSpacing = [SPACING[1], SPACING[2]]
  dataset.SliceThickness = SPACING[0]
  dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
  dataset.ImagePositionPatient = [*ORIGIN[:2], ORIGIN[2] + number * SPACING[0]]
  dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
  dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
  dataset.BitsAllocated = dataset.BitsStored = 16
  dataset.HighBit, dataset.PixelRepresentation = 15, 1
  dataset.PixelData = np.rint((one.astype(float) - intercept) / slope).astype("<i2").tobytes()
  for name, value in changes.items():
    setattr(dataset, name, value)
  pydicom.dcmwrite(path, dataset)
