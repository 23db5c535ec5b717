"""A run whose cases may have several findings: its interface, tables, graph and card."""

import jax
import numpy as np
import pytest

import mlseg
from mlseg import predict
from mlseg.files import read_csv
from mlseg.postprocessing.temperature import Temperatures, scaled_findings
from mlseg.prediction import export, graph, model_card, trained
from tests.prediction.made import write_run
from tests.training import made

NAMES = ("effusion", "edema", "mass")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return write_run(tmp_path_factory.mktemp("run"), "data.diameter=0")


@pytest.fixture
def run(folder, monkeypatch):
  """Returns a toy run of two models, which `trained.load` gives wherever it is asked."""
  model = made.linear(2, 3)._replace(has_findings=True)
  parts = [model.init(jax.random.key(n), np.zeros((1, 32, 32, 1))) for n in range(2)]
  for n, part in enumerate(parts):
    part["params"]["labels"] = np.array([[8.0 + n, -6.0, 0.5]], np.float32)
  own = trained.load(folder)._replace(
    model=model,
    variables=jax.tree.map(lambda *leaves: np.stack(leaves), *parts),
    label_names=NAMES,
    seeds=(0, 1),
  )
  monkeypatch.setattr(trained, "load", lambda *_: own)
  return own


def _expected(run, images):
  """Returns the mean over the models of the sigmoid of the toy's logits."""
  means = np.asarray(images, np.float32).reshape(len(images), -1).mean(1) / 255
  logits = np.stack([means[:, None] * own[0] for own in run.variables["params"]["labels"]])
  return (1 / (1 + np.exp(-logits))).mean(0)


def _images(count=3):
  return np.random.default_rng(0).integers(0, 256, (count, 32, 32)).astype(np.uint8)


def test_the_interface_gives_a_probability_and_an_answer_for_each(run):
  images = _images()
  model = mlseg.load("anywhere")
  assert model.has_findings
  assert model.label_names == NAMES
  for found, values in zip(model.predict(list(images)), _expected(run, images), strict=True):
    assert found.diagnosis is None
    np.testing.assert_allclose(list(found.diagnoses.values()), values, rtol=1e-4)
    assert found.findings == ("effusion", "mass")
  black = model.predict(np.zeros((32, 32), np.uint8))  # all probabilities are 0.5
  assert black.findings == ()


def test_a_run_of_diagnoses_has_no_findings(folder):
  model = mlseg.load(folder)
  assert not model.has_findings
  assert model.predict(_images()[0]).findings is None


def test_the_command_writes_a_table_of_findings(run, tmp_path, capsys):
  images = tmp_path / "images"
  images.mkdir()
  from PIL import Image

  for n, image in enumerate([*_images(2), np.zeros((32, 32), np.uint8)]):
    Image.fromarray(image).save(images / f"{n}.png")
  words = [f"--workdir={tmp_path}", f"--images={images}", f"--out={tmp_path}/out"]
  assert predict.main(["mlseg", *words, "--saliency=none"]) == 0, capsys.readouterr().err
  assert "findings  effusion, edema, mass" in capsys.readouterr().out
  rows = read_csv(tmp_path / "out" / "findings.csv")
  assert [row["findings"] for row in rows] == ["effusion+mass", "effusion+mass", "none"]
  values = [[float(row[f"probability_{name}"]) for name in NAMES] for row in rows[:2]]
  np.testing.assert_allclose(values, _expected(run, _images(2)), rtol=1e-4)
  assert not (tmp_path / "out" / "diagnoses.csv").exists()


@pytest.mark.parametrize("value", [1.0, 2.5])
def test_the_graph_gives_the_findings_at_their_temperature(run, value):
  images = _images()[..., None]
  own = run._replace(manner=run.manner._replace(temperatures=Temperatures(1.0, value)))
  found = jax.jit(graph.make_graph(own))(images)
  assert set(found) == {"probabilities", "findings"}
  mean = _expected(run, images)
  logits = np.log(mean / (1 - mean)) / value
  np.testing.assert_allclose(found["findings"], 1 / (1 + np.exp(-logits)), rtol=1e-4)
  np.testing.assert_allclose(found["findings"], scaled_findings(mean, value), rtol=1e-4)


def test_the_metadata_and_the_card_name_findings(run, tmp_path):
  metadata = export.metadata_of(run, {"findings": (3,)}, "model.onnx")
  assert metadata["findings"] == list(NAMES)
  assert metadata["diagnoses"] == []
  text = model_card.text(run, tmp_path, metadata)
  assert "any of several findings (effusion, edema, mass)" in text
  assert "of effusion, edema, mass, each by itself; one is predicted above 0.5." in text
