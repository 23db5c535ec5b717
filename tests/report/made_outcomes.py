"""Tables of diagnoses under a cross-validation, in the layout that a run leaves them in."""

import csv

import numpy as np

NAMES = ("stable", "progression")


def cohort(num_patients=90, cases_each=1):
  """Returns ids, labels and groups of cases; about every third patient has the outcome."""
  of_patient = np.arange(num_patients) % 7 % 3 == 1
  patients = np.repeat(np.arange(num_patients), cases_each)
  ids = [f"{patient:03}-{n % cases_each}" for n, patient in enumerate(patients)]
  return ids, of_patient[patients].astype(int), patients


def probabilities(labels, separation, rng):
  """Returns a probability per case, to six digits as files have it."""
  logits = separation * (labels - 0.4) + rng.normal(size=len(labels))
  return np.array([float(f"{1 / (1 + np.exp(-logit)):.6g}") for logit in logits])


def diagnosis_rows(
  separation, *, num_patients=90, cases_each=1, num_folds=3, num_seeds=3, shift=0, seed=0,
  names=NAMES,
):  # fmt: skip
  """Returns rows of the test part of each seed, or with shift 1 of its validation part."""
  rng = np.random.default_rng([seed, shift])
  ids, labels, patients = cohort(num_patients, cases_each)
  rows = []
  for number in range(num_seeds):
    given = probabilities(labels, separation, rng)
    for n in np.flatnonzero(patients % num_folds == (number + shift) % num_folds):
      values = [1 - given[n], given[n]]
      rows.append(
        {
          "seed": number, "id": ids[n], "label": names[labels[n]],
          "predicted": names[int(given[n] > 0.5)],
        }
        | {f"probability_{name}": f"{p:.6g}" for name, p in zip(names, values, strict=True)}
      )  # fmt: skip
  return rows


def data_rows(num_patients=90, cases_each=1, with_covariates=True):
  """Returns rows of `data.csv`: the age tells nothing, the volume something, both with gaps."""
  rng = np.random.default_rng(7)
  ids, labels, patients = cohort(num_patients, cases_each)
  rows = [
    {"id": case, "label": NAMES[labels[n]], "group": patients[n], "pixels_tissue": 250,
     "pixels_lesion": 6}
    for n, case in enumerate(ids)
  ]  # fmt: skip
  if with_covariates:
    age, volume = rng.normal(60, 9, num_patients), rng.gamma(2, 3, num_patients)
    for n, row in enumerate(rows):
      row["covariate_age"] = "" if patients[n] % 5 == 4 else f"{age[patients[n]]:.6g}"
      row["covariate_volume"] = f"{volume[patients[n]] + 2 * labels[n]:.6g}"
  return rows


def write(path, rows):
  with path.open("w", newline="") as file:
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def add_outcomes(folder, separation=1.0, *, validation=True, covariates=True, **options):
  """Writes the tables of a cohort into a run's folder, in place of what is there."""
  sizes = {k: options[k] for k in ("num_patients", "cases_each") if k in options}
  write(folder / "diagnoses.csv", diagnosis_rows(separation, **options))
  write(folder / "data.csv", data_rows(**sizes, with_covariates=covariates))
  if validation:
    rows = diagnosis_rows(separation, shift=1, **options)
    write(folder / "validation_diagnoses.csv", rows)
  return folder
