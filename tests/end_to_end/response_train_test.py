"""Outcomes from volumes: trained in folds, tested, reported and predicted from the files up."""

import csv
import json
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import main, metrics, predict
from mlseg.data import padding
from mlseg.errors import UserError
from mlseg.models import Outputs
from mlseg.recipe import data as recipe_data
from mlseg.recipe import experiment, parse
from mlseg.recipe import losses as recipe_losses
from mlseg.recipe import model as recipe_model
from mlseg.recipe.networks import has_head
from mlseg.report import write
from mlseg.training import batches, objective, validation
from mlseg.workdir import patients_file
from tests.io.volumes import made
from tests.models.pretrained import made_weights

CONFIG = pathlib.Path(__file__).parents[2] / "configs" / "response_ct.py"
PATIENTS, SLICES, SIDE, SEEDS = 24, 3, 32, 2
TINY = {
  "num_epochs": 2, "batch_size": 4, "num_seeds": SEEDS, "data.num_folds": 2,
  "data.image_size": SIDE, "data.cohort.slices": SLICES, "data.cohort.spacing": "(2.5,1.0,1.0)",
  "model.decoder_filters": "(8,8,8,8,8)", "model.width": made_weights.ENCODER.width,
  "model.attention_units": 8, "model.embedding": 8, "model.pretrained": "none",
}  # fmt: skip


def _write(folder, count=PATIENTS):
  """Writes patients whose lesions are rough where the label says so."""
  rng = np.random.default_rng(0)
  rows = ["patient,image,mask,label,age"]
  for n in range(count):
    array = rng.normal(40, 5, (6, 40, 40))
    lesion = np.zeros(array.shape, bool)
    lesion[1 : 3 + n % 3, 12:28, 10:30] = True
    array[lesion] += rng.normal(0, 80 if n % 2 else 5, lesion.sum())
    made.write_nifti(folder / f"{n}.nii.gz", array.astype(np.int16))
    made.write_nifti(folder / f"{n}_mask.nii.gz", lesion.astype(np.uint8))
    rows.append(f"p{n},{n}.nii.gz,{n}_mask.nii.gz,{'no' if n % 2 else 'yes'},{50 + n}")
  (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
  return folder


def _arguments(root, variant="all", **changes):
  options = TINY | {"data.root": root} | changes
  return [f"--config={CONFIG}:{variant}", *(f"--config.{k}={v}" for k, v in options.items())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, short_encoder):
  folder = tmp_path_factory.mktemp("response")
  (folder / "cohort").mkdir()
  return _write(folder / "cohort").parent


@pytest.fixture(scope="module")
def run(folder):
  """Two folds of the whole recipe."""
  assert main.main(["main", *_arguments(folder / "cohort"), f"--workdir={folder}/run"]) == 0
  return folder / "run"


def _rows(path):
  with path.open(newline="") as file:
    return list(csv.DictReader(file))


def test_every_patient_is_tested_in_one_fold_and_none_is_on_both_sides(run):
  parts = json.loads((run / "split.json").read_text())["seeds"]
  assert sorted(row["id"] for row in _rows(run / "diagnoses.csv")) == sorted(
    f"p{n}" for n in range(PATIENTS)
  )
  validated = {(row["seed"], row["id"]) for row in _rows(run / "validation_diagnoses.csv")}
  for seed, part in parts.items():
    sets = [set(ids) for ids in part.values()]
    assert sum(map(len, sets)) == len(set.union(*sets)) == PATIENTS
    assert {name for own, name in validated if own == seed} == set(part["validation"])


def test_a_run_logs_all_losses_and_what_it_was_selected_by(run):
  records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
  assert len(records[0]["losses"]) == 5
  assert all(np.isfinite(value) for record in records for value in record["losses"].values())
  last = [record["validation"] for record in records if "validation" in record]
  assert len(last) == 2 * SEEDS
  assert all(0 <= one["auc"] <= 1 for one in last)


def test_attention_and_covariates_are_in_tables(run):
  rows = _rows(run / "attention.csv")
  totals: dict = {}
  for row in rows:
    totals[row["seed"], row["id"]] = totals.get((row["seed"], row["id"]), 0) + float(
      row["attention"]
    )
  assert len(totals) == PATIENTS
  np.testing.assert_allclose([*totals.values()], 1, atol=1e-4)
  # Of a lesion of two slices the third is absent.
  assert [row["slice"] for row in rows if row["id"] == "p0"] == ["1", "2"]
  ages = {row["id"]: float(row["covariate_age"]) for row in _rows(run / "data.csv")}
  assert ages["p7"] == 57


def test_patients_have_pictures_and_a_page(run, tmp_path):
  found = patients_file.read(run)
  assert found.images.shape == (PATIENTS, SLICES, SIDE, SIDE)
  absent = ~found.images.any((2, 3))
  assert absent.any()
  assert (found.attention[absent] == 0).all()
  assert not found.masks[absent].any()
  assert len(list((run / "figures" / "patients").iterdir())) == 12
  path = write.report([run], tmp_path / "page")
  assert "Patients" in path.read_text()


def test_a_run_predicts_patients_without_outcomes(run, folder, tmp_path, capsys):
  rows = _rows(folder / "cohort" / "manifest.csv")[:3]
  lines = [f"{r['patient']},{folder}/cohort/{r['image']},{folder}/cohort/{r['mask']}" for r in rows]
  broken = tmp_path / "broken.nii.gz"
  broken.write_bytes(b"nothing")
  lines.append(f"bad,{broken},{broken}")
  (tmp_path / "new.csv").write_text("\n".join(["patient,image,mask", *lines]) + "\n")
  arguments = [f"--workdir={run}", f"--images={tmp_path}/new.csv", f"--out={tmp_path}/out"]
  assert predict.main(["predict", *arguments]) == 1
  assert "mlseg: patient bad: " in capsys.readouterr().err
  answers = _rows(tmp_path / "out" / "diagnoses.csv")
  assert [row["file"] for row in answers] == ["p0", "p1", "p2"]
  for row in answers:
    assert float(row["probability_no"]) + float(row["probability_yes"]) == pytest.approx(
      1, abs=1e-5
    )
  assert len(list((tmp_path / "out" / "patients").iterdir())) == 3
  # Patients of a fold's test part, whose seed's answer is a half of the mean of both.
  tested = {row["id"]: row for row in _rows(run / "diagnoses.csv")}
  for row in answers:
    mean, own = float(row["probability_yes"]), float(tested[row["file"]]["probability_yes"])
    assert 0 <= 2 * mean - own <= 1


@pytest.mark.slow
def test_a_large_volume_is_predicted_within_4_gib(run, tmp_path):
  shape, lesion = (300, 512, 512), np.zeros((300, 512, 512), np.uint8)
  lesion[100:220, 150:360, 200:400] = 1  # resampled whole, with its margin
  image = np.broadcast_to(np.arange(512, dtype=np.int16), shape)
  affine = made.nifti_affine(spacing=(1.0, 0.7, 0.7))
  made.write_nifti(tmp_path / "image.nii", image, affine)
  made.write_nifti(tmp_path / "mask.nii.gz", lesion, affine)
  (tmp_path / "manifest.csv").write_text("patient,image,mask\nA,image.nii,mask.nii.gz\n")
  code = (  # not ru_maxrss, which begins at that of the process that started this one
    "from tests.models import short_encoder; short_encoder.make_short();"
    "import sys; from mlseg import predict; code = predict.main(sys.argv);"
    "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]); sys.exit(code)"
  )
  arguments = [f"--workdir={run}", f"--images={tmp_path}", f"--out={tmp_path}/out"]
  done = subprocess.run(
    [sys.executable, "-c", code, *arguments],
    cwd=CONFIG.parents[1],
    capture_output=True,
    text=True,
    check=True,
  )
  assert len(_rows(tmp_path / "out" / "diagnoses.csv")) == 1
  assert int(done.stdout.split()[-1]) * 1024 < 4 * 2**30


def _parts(folder, *changes):
  config, _ = parse.parse(["", *_arguments(folder / "cohort"), *changes])
  loaded = recipe_data.load_cases(recipe_data.read(config), [recipe_losses.read(config).targets])
  return config, loaded


def test_absent_slices_and_textures_are_in_batches(folder):
  config, loaded = _parts(folder)
  arrays = jax.tree.map(jnp.asarray, batches.cases_of(loaded))
  data = batches.Data(arrays, jnp.arange(8))
  batch = jax.jit(batches.make_batch_at(experiment.read(config)))(
    data, jax.random.key(0), jnp.int32(0)
  )
  np.testing.assert_array_equal(batch.valid, batch.masks != padding.IGNORED)
  by_slice = np.asarray(batch.valid).reshape(4, SLICES, -1)
  assert (by_slice.all(-1) | ~by_slice.any(-1)).all()
  assert not by_slice.all()
  assert np.isin(batch.textures, loaded.textures).all()
  rough = loaded.textures[loaded.labels == 0], loaded.textures[loaded.labels == 1]
  assert rough[0].min() > rough[1].max()


def test_losses_read_their_heads(folder):
  config, loaded = _parts(folder)
  edges = recipe_losses.texture_edges(recipe_losses.read(config), loaded.textures)
  functions = recipe_losses.make_losses(recipe_losses.read(config), 2, 2, edges=jnp.asarray(edges))
  rng = np.random.default_rng(0)
  masks = jnp.asarray(loaded.masks[:6])
  outputs = Outputs(
    jnp.asarray(rng.normal(size=(*masks.shape, 2)), jnp.float32),
    jnp.asarray(rng.normal(size=(6, 2)), jnp.float32),
    embeddings=jnp.asarray(rng.normal(size=(6, 8)), jnp.float32),
    texture_logits=jnp.asarray(rng.normal(size=(6, 3)), jnp.float32),
  )
  labels, textures = jnp.array([0, 0, 0, 1, 0, 0]), jnp.asarray(loaded.textures[:6])
  batch = batches.Batch(masks, masks, labels, valid=masks != 255, textures=textures)
  values = objective.per_example(functions, outputs, batch, 2)
  classes = np.searchsorted(edges, loaded.textures[:6], side="right")
  log_softmax = np.asarray(jax.nn.log_softmax(outputs.texture_logits))
  expected = -log_softmax[np.arange(6), classes]
  np.testing.assert_allclose(values["texture_cross_entropy"], expected, rtol=1e-5)
  # What a prediction is where there is no slice does not count.
  noise = jnp.where((masks == 255)[..., None], 100.0, outputs.logits)
  again = objective.per_example(functions, outputs._replace(logits=noise), batch, 2)
  np.testing.assert_array_equal(again["soft_dice"], values["soft_dice"])
  # The mean of contrastive losses leaves out the patient who is alone with his label.
  split = objective.make_loss_fn(None, functions, 2)
  whole = split.losses(outputs, {}, batch)
  contrast = np.asarray(values["supervised_contrastive"])
  np.testing.assert_allclose(whole["supervised_contrastive"], contrast.sum() / 5, rtol=1e-5)
  np.testing.assert_allclose(whole["soft_dice"], values["soft_dice"].mean(), rtol=1e-5)


def test_the_auc_that_selects_is_that_of_the_metrics():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 2, 40)
  scores = np.round(labels + rng.normal(size=40), 1).astype(np.float32)
  found = validation._auc(jnp.asarray(scores), jnp.asarray(labels))
  np.testing.assert_allclose(found, metrics.roc_auc(labels, scores), rtol=1e-6)
  assert validation._auc(jnp.asarray(scores), jnp.zeros(40, int)) == 0.5


@pytest.mark.parametrize("variant", ["classification", "without_contrastive", "without_texture"])
def test_variants_leave_out_what_no_loss_reads(variant):
  config, _ = parse.parse(["", f"--config={CONFIG}:{variant}"])
  names = recipe_losses.loss_names(config)
  heads = {
    "segmentation": "soft_dice", "texture": "texture_cross_entropy",
    "embedding": ("supervised_contrastive", "triplet_hard"),
  }  # fmt: skip
  for head, losses in heads.items():
    reads = any(name in losses for name in names)
    assert has_head(config.model, head) == reads


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ("data.diameter=3", "config.data.diameter must be 0 for volumes"),
    ("model.num_textures=1", "config.model.num_textures must be 0"),
    ("model.embedding=0", "'supervised_contrastive' needs the head of embedding"),
    ("metrics.surface=True", "surface and objects must be False"),
    ("loss_options.texture_cross_entropy.statistic=rough", "texture statistic 'rough'"),
    ("model.name=multitask_unet", "config.model.name must be 'slice_attention'"),
    ("losses=('boundary',)", "'boundary' is not for the slices of a volume"),
    ("data.split=published", "no published test part"),
  ],
)
def test_wrong_recipes_are_refused_before_anything_is_written(folder, change, message, capsys):
  weights = ["--config.weighting.fixed=(1.0,)"] if change.startswith("losses") else []
  arguments = [*_arguments(folder / "cohort"), f"--config.{change}", *weights]
  workdir = folder / "refused"
  assert main.main(["main", *arguments, f"--workdir={workdir}"]) == 2
  assert message in capsys.readouterr().err
  assert not workdir.exists()


def test_the_network_of_slices_is_for_cohorts_alone():
  other = CONFIG.with_name("multitask_busi.py")
  config, _ = parse.parse(["", f"--config={other}", "--config.model.name=slice_attention"])
  with pytest.raises(UserError, match="only for them"):
    recipe_model.make_model(config, 2, 2)
