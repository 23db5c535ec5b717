"""Exported files give the run's numbers, also where there is no JAX."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import mlseg
from mlseg import export as command
from mlseg.data import cases as data_cases
from mlseg.prediction import export_formats, graph, trained
from tests.prediction.made import write_run

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("jax2onnx")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  return write_run(tmp_path_factory.mktemp("run"), "data.diameter=0")


@pytest.fixture(scope="module")
def images():
  """Returns real images, [4, 32, 32, 1]."""
  return data_cases.load("busi", image_size=32, diameter=0).images[:4]


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
  out = tmp_path_factory.mktemp("exported") / "onnx"
  assert command.main(["mlseg", f"--workdir={run}", f"--out={out}", "--views=horizontal"]) == 0
  return out


def _expected(run, images, views="horizontal"):
  model = mlseg.load(run, views=views)
  return [found.probabilities for found in model.predict(list(images[..., 0]))]


def test_onnx_runtime_gives_the_runs_numbers_for_any_batch(run, exported, images):
  read = export_formats.read_onnx(exported / "model.onnx")
  expected = _expected(run, images)
  for count in (1, 4):
    found = read(images[:count])["probabilities"]
    np.testing.assert_allclose(found, expected[:count], atol=1e-6)


def test_the_onnx_file_is_valid_and_says_what_it_takes(exported):
  model = onnx.load(exported / "model.onnx")
  onnx.checker.check_model(model, full_check=True)
  (own,) = model.graph.input
  assert own.name == "images"
  assert own.type.tensor_type.elem_type == onnx.TensorProto.UINT8
  shape = own.type.tensor_type.shape.dim
  assert shape[0].dim_param
  assert [one.dim_value for one in shape[1:]] == [32, 32, 1]
  about = json.loads((exported / "model.json").read_text())
  assert about["classes"] == ["background", "lesion"]
  assert about["input"]["shape"] == ["batch", 32, 32, 1]
  assert about["outputs"]["probabilities"]["shape"] == ["batch", 32, 32, 2]
  card = (exported / "README.md").read_text()
  assert "the mean of 2 models, each on the image and its mirror image" in card
  assert "The run has not been tested." in card


def test_the_script_predicts_without_mlseg_and_jax(run, exported, images, tmp_path):
  image = np.kron(images[0, ..., 0], np.ones((2, 2), np.uint8))  # 64×64
  Image.fromarray(image).save(tmp_path / "a.png")
  code = (
    "import sys; sys.modules['jax'] = sys.modules['mlseg'] = None; import runpy;"
    f" sys.argv = ['run.py', 'nowhere.png', {str(tmp_path / 'a.png')!r}, '--out={tmp_path}/masks'];"
    f" runpy.run_path({str(exported / 'run.py')!r}, run_name='__main__')"
  )
  done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
  assert done.returncode == 1, done.stderr
  assert done.stderr.startswith("nowhere.png: cannot be read (")
  assert done.stdout.startswith(f"{tmp_path / 'a.png'}: ")
  mask = np.asarray(Image.open(tmp_path / "masks" / "a.png"))
  found = mlseg.load(run, views="horizontal").predict(image)
  assert (mask > 0).mean() == pytest.approx(found.mask.mean(), abs=0.01)
  assert ((mask > 0) == found.mask).mean() > 0.99


@pytest.mark.parametrize("platforms", ["cpu", "cpu,cuda,tpu"])
def test_stablehlo_gives_the_runs_numbers(run, images, tmp_path, platforms):
  words = [f"--workdir={run}", f"--out={tmp_path / 'out'}", "--format=stablehlo"]
  assert command.main(["mlseg", *words, f"--platforms={platforms}"]) == 0
  read = export_formats.read_stablehlo(tmp_path / "out" / "model.stablehlo")
  for count in (1, 4):
    found = read(images[:count])["probabilities"]
    np.testing.assert_allclose(found, _expected(run, images, "one")[:count], atol=1e-6)


@pytest.mark.slow
def test_the_strong_recipe_is_exported_with_its_diagnosis(images, tmp_path):
  run = trained.load(write_run(
    tmp_path, "model.pretrained=none", "data.image_size=32", "prediction.views=one",
    recipe="strong.py:busi+mobilenet_v2+joint", num_labels=2, seeds=(0,),
  ))  # fmt: skip
  made = graph.make_graph(run)
  export_formats.write_onnx(made, (32, 32, 1), tmp_path / "model.onnx")
  read = export_formats.read_onnx(tmp_path / "model.onnx")
  assert export_formats.compare(read, made, images, tmp_path) < 1e-5
  nodes = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
  assert set(read(images)) == {"probabilities", "diagnoses"}
  assert nodes.count("Conv") > 25  # depthwise ones included, one operation each


def test_a_file_with_other_numbers_is_refused(run, exported, images):
  made = graph.make_graph(trained.load(run, "flips"))
  read = export_formats.read_onnx(exported / "model.onnx")
  with pytest.raises(ValueError, match="gives other numbers than the run: they differ by"):
    export_formats.compare(read, made, images, exported / "model.onnx")


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ((), "--workdir is missing: --workdir and --out are needed"),
    (("--workdir=a",), "--out is missing: --workdir and --out are needed"),
    (("--workdir=a", "--out=b", "--format=tf"), "unknown --format 'tf': choose from onnx, stable"),
    (("--workdir=a", "--out=b", "--views=2"), "unknown --views '2': choose from flips, horizontal"),
    (
      ("--workdir=a", "--out=b", "--platforms=cpu,mps"),
      "unknown --platforms 'mps': choose from cp",
    ),
    (("--workdir=/no", "--out=b"), "workdir /no does not exist"),
    (("--workdir=a", "--out=b", "c"), "unexpected argument 'c'"),
  ],
)
def test_wrong_use_gets_one_line(words, message, capsys):
  assert command.main(["mlseg", *words]) == 2
  error = capsys.readouterr().err
  assert error.startswith(f"mlseg: {message}")
  assert error.count("\n") == 1


def test_a_folder_with_other_files_is_left_alone(run, tmp_path, capsys):
  (tmp_path / "mine.txt").write_text("")
  assert command.main(["mlseg", f"--workdir={run}", f"--out={tmp_path}"]) == 2
  assert "holds other files (mine.txt); give a new folder" in capsys.readouterr().err


def test_a_converter_that_is_not_there_is_named(run, tmp_path, capsys, monkeypatch):
  monkeypatch.setitem(sys.modules, "jax2onnx", None)
  assert command.main(["mlseg", f"--workdir={run}", f"--out={tmp_path / 'x'}"]) == 2
  assert "pip install --no-deps jax2onnx" in capsys.readouterr().err
