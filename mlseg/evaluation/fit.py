"""Makes a data set fit a trained run: classes, labels, channels, covariates; says what differs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlseg.data import covariates, multilabel, partial
from mlseg.data.cases import Cases
from mlseg.data.splits import grouped
from mlseg.errors import UserError, printable
from mlseg.io.pictures.picture import to_colour, to_grey
from mlseg.prediction.trained import Trained


class Fitted(NamedTuple):
  """A data set as a run sees it.

  Attributes:
    cases: with the classes, the diagnoses, the channels and the covariates of the run.
    has_diagnoses: whether the diagnoses of the run can be tested on it.
    warnings: what does not fit, a line each.
  """

  cases: Cases
  has_diagnoses: bool
  warnings: tuple[str, ...]


def fit(cases: Cases, run: Trained) -> Fitted:
  """Returns a data set as a run sees it.

  Classes are taken in their order, and diagnoses or findings by their names, without case.

  Args:
    cases: the data set.
    run: that is tested on it.

  Raises:
    UserError: a case lacks its mask or its diagnosis; it has another number of classes; the run
      gives diagnoses alone, and the data set has others; it gives findings, and one is missing; or
      it reads covariates, and one is missing.
  """
  lacking = np.flatnonzero(~partial.is_complete(cases.masks, cases.diagnoses))
  if len(lacking):
    raise UserError(
      f"--data has {len(lacking)} cases whose mask or diagnosis is not known, which cannot be"
      f" tested, such as {printable(cases.ids[lacking[0]])}"
    )
  warnings: list[str] = []
  if run.network.segments:
    warnings += _classes(cases.class_names, run.class_names)
  images, channels = cases.images, cases.images.shape[-1]
  if channels != run.channels:
    convert = to_grey if run.channels == 1 else to_colour
    shape = (*images.shape[:3], run.channels)
    plain = images[..., 0] if channels == 1 else images
    images = np.stack([convert(image) for image in plain]).reshape(shape)
    what = {1: "grey", 3: "in colour"}
    warnings.append(
      f"channels: the images are {what[channels]}, those of the run {what[run.channels]}; they are"
      " converted"
    )
  cases = cases._replace(images=images, class_names=run.class_names)
  if run.network.covariates:
    cases = _with_covariates(cases, run.network.covariates)
  if not run.label_names:
    return Fitted(cases, False, tuple(warnings))
  if run.model.has_findings:
    return Fitted(_with_findings(cases, run.label_names), True, tuple(warnings))
  index = {name.lower(): n for n, name in enumerate(run.label_names)}
  unknown = [name for name in cases.label_names if name.lower() not in index]
  if unknown and not run.network.segments:
    raise UserError(
      f"--data has the diagnoses {', '.join(map(repr, unknown))}, which the run does not know; it"
      f" gives {', '.join(run.label_names)}"
    )
  if unknown:
    warnings.append(
      f"diagnoses: {', '.join(map(repr, unknown))} is none of the run's"
      f" ({', '.join(run.label_names)}), so that diagnoses are not tested"
    )
    known = cases._replace(labels=0 * cases.labels, label_names=run.label_names)
    return Fitted(known, False, tuple(warnings))
  order = np.array([index[name.lower()] for name in cases.label_names], cases.labels.dtype)
  fitted = cases._replace(labels=order[cases.labels], label_names=run.label_names)
  return Fitted(fitted, True, tuple(warnings))


def _with_covariates(cases: Cases, names: Sequence[str]) -> Cases:
  """Returns a data set with the covariates that a run reads."""
  if missing := [name for name in names if name not in cases.covariate_names]:
    raise UserError(
      f"--data has no covariate {missing[0]!r}, which the network of the run reads; its manifest"
      f" has {', '.join(cases.covariate_names) or 'none'}"
    )
  chosen = covariates.columns(cases.covariates, cases.covariate_names, names)
  return cases._replace(network_covariates=chosen)


def _with_findings(cases: Cases, names: Sequence[str]) -> Cases:
  """Returns a data set with the findings of a run in its order; others are left out."""
  index = {name.lower(): n for n, name in enumerate(cases.finding_names)}
  if missing := [name for name in names if name.lower() not in index]:
    raise UserError(
      f"--data has no column of the finding {missing[0]!r}, which the run gives;"
      f" --data.folder.label_columns names {', '.join(cases.finding_names)}"
    )
  findings = cases.diagnoses[:, [index[name.lower()] for name in names]]
  combinations = [multilabel.combination(names, own) for own in findings]
  label_names, labels = np.unique(combinations, return_inverse=True)
  return cases._replace(
    findings=findings,
    finding_names=tuple(names),
    labels=labels.astype(np.int32),
    label_names=tuple(map(str, label_names)),
  )


def _classes(own: Sequence[str], known: Sequence[str]) -> list[str]:
  """Returns what differs in the classes, or raises a UserError where they cannot be compared."""
  if len(own) != len(known):
    raise UserError(
      f"--data has {len(own)} classes ({', '.join(own)}), and the run {len(known)}"
      f" ({', '.join(known)}); --data.folder.classes can unite values of a mask"
    )
  different = [(a, b) for a, b in zip(own, known, strict=True) if a.lower() != b.lower()]
  return [f"classes: {a!r} counts as {b!r}" for a, b in different]


def copies(own: Cases, trained: Cases, seen: Sequence[str]) -> list[tuple[str, str]]:
  """Returns the near-duplicates of a data set among the images that a run has seen.

  Args:
    own: the data set.
    trained: the data set of the run.
    seen: ids of the cases that the run was trained or validated on.

  Returns:
    Pairs of ids, of the data set and of the run's; one for each case of the data set.
  """
  ids = set(seen)
  used = np.array([n for n, case in enumerate(trained.ids) if case in ids], int)
  if not len(used) or own.hashes.shape[1:] != trained.hashes.shape[1:]:
    return []
  hashes = np.concatenate([own.hashes, trained.hashes[used]])
  bits, count = min(own.duplicate_bits, trained.duplicate_bits), len(own.ids)
  found: dict[str, str] = {}
  for i, j, _ in grouped.near_duplicates(hashes, bits):
    if i < count <= j:
      found.setdefault(own.ids[i], trained.ids[used[j - count]])
  return sorted(found.items())
