"""Methods that minimise over weights against the numbers of the reference implementations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w

SETS = ("J2", "J2b_nonconflict", "J2c_torchjd_doc", "J2d_conflict", "J3", "J3c")
over_sets = pytest.mark.parametrize("name", SETS)
pytestmark = pytest.mark.shared


@pytest.fixture(autouse=True)
def _float64():
  with jax.enable_x64(True):
    yield


def _rows(golden, name):
  return np.array(golden("upgrad")["inputs"]["gradients"][name])


@functools.cache
def _compiled(factory, *arguments):
  method = getattr(w, factory)(*arguments)
  return jax.jit(lambda losses, gram: method.update(losses, method.init(losses), gram=gram)[0])


def _weights(method, rows, losses=None):
  """Returns the weights of a method, given as the name of its factory and the arguments."""
  losses = jnp.ones(len(rows)) if losses is None else jnp.asarray(losses)
  return np.asarray(_compiled(*method)(losses, jnp.asarray(rows @ rows.T)))


def test_all_files_have_the_same_gradients(golden):
  """So the tests read them from one."""
  rows = golden("upgrad")["inputs"]["gradients"]
  for name in ("mgda", "cagrad", "nash_mtl", "fairgrad", "dualproj"):
    assert golden(name)["inputs"]["gradients"] == rows


@over_sets
def test_projections_equal_torchjd_with_its_regularization(golden, name):
  rows, outputs = _rows(golden, name), golden("upgrad")["outputs"][name]
  weights = _weights(("upgrad", 1e-4), rows)
  np.testing.assert_allclose(weights, outputs["TorchJD_weights"], rtol=1e-6)
  np.testing.assert_allclose(weights @ rows, outputs["TorchJD_direction"], rtol=1e-6)
  dual = _weights(("dual_projection", 1e-4), rows)
  np.testing.assert_allclose(
    dual, golden("dualproj")["outputs"][name]["TorchJD_weights"], rtol=1e-6
  )


@over_sets
@pytest.mark.parametrize("method", [("upgrad",), ("dual_projection",)], ids=str)
def test_without_regularization_nothing_conflicts(golden, name, method):
  """TorchJD's 1e-4 leaves a conflict of that order; here there is none but for rounding."""
  rows = _rows(golden, name)
  assert (rows @ (_weights(method, rows) @ rows)).min() > -1e-9


@over_sets
def test_mgda_equals_the_closed_form_for_two_gradients(golden, name):
  outputs = golden("mgda")["outputs"][name]
  if "closed_form_2task_exact_clip01" in outputs:
    actual = _weights(("mgda",), _rows(golden, name))
    expected = outputs["closed_form_2task_exact_clip01"]
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-12)
  else:
    assert name.startswith("J3")


@over_sets
def test_mgda_is_shorter_than_the_iterations_that_stop_early(golden, name):
  """Sener & Koltun's solver stops at 0.001 and 0.999; it and TorchJD's stop before the optimum."""
  rows, outputs = _rows(golden, name), golden("mgda")["outputs"][name]
  weights = _weights(("mgda",), rows)
  for key in (
    "SenerKoltun_MinNormSolver",
    "TorchJD_eps1e-3_iter100",
    "TorchJD_eps1e-12_iter100000",
  ):
    reference = np.array(outputs[key])
    np.testing.assert_allclose(weights, reference, atol=2e-3 if key.endswith("100") else 1.1e-3)
    lengths = [np.linalg.norm(v @ rows) for v in (weights, reference / reference.sum())]
    assert lengths[0] <= lengths[1] + 1e-12


@pytest.mark.slow
@over_sets
@pytest.mark.parametrize("normalization", ["none", "l2", "loss", "loss+"])
def test_mgda_under_a_normalization_equals_libmtl_where_that_converged(golden, name, normalization):
  """LibMTL's solver clamps two weights to 0.001 and 0.999, and stops early for three."""
  data = golden("mgda")
  rows, expected = _rows(golden, name), data["outputs"][name][f"LibMTL_gn_{normalization}"]
  losses = np.array(data["inputs"]["losses"][: len(rows)])
  norms = np.linalg.norm(rows, axis=1)
  divisors = {"none": 1.0, "l2": norms, "loss": losses, "loss+": losses * norms}[normalization]
  divisors = np.ones(len(rows)) * divisors
  weights = _weights(("mgda", normalization), rows, losses)
  np.testing.assert_allclose((weights * divisors).sum(), 1, rtol=1e-9)
  clamped = min(expected["weights"]) < 0.00101
  atol = 6e-3 if clamped else 1e-4 if len(rows) == 3 else 1e-6
  np.testing.assert_allclose(weights @ rows, expected["direction"], atol=atol)
  reference = np.array(expected["weights"]) / divisors
  assert np.linalg.norm(weights @ rows) <= np.linalg.norm(reference @ rows) + 1e-7


def _cagrad_objective(rows, c, v):
  mean = rows.mean(axis=0)
  length = np.linalg.norm(v @ rows)
  return (v @ rows) @ mean + c * np.linalg.norm(mean) * length


def _simplex_part(rows, c, weights):
  """The v of w = 1/K + λ v."""
  v = weights - 1 / len(rows)
  return v / v.sum()


@pytest.mark.slow
@over_sets
@pytest.mark.parametrize("c", [0.4, 0.5])
def test_cagrad_equals_the_references_to_where_their_solvers_stop(golden, name, c):
  """LibMTL's SLSQP stops with the objective above the optimum, TorchJD's conic solver near it."""
  rows, outputs = _rows(golden, name), golden("cagrad")["outputs"][name]
  weights = _weights(("cagrad", c, 0), rows)
  np.testing.assert_allclose(weights, outputs[f"TorchJD_c{c}"]["weights"], rtol=2e-5)
  np.testing.assert_allclose(
    weights @ rows, outputs[f"TorchJD_c{c}"]["direction"], rtol=5e-5, atol=1e-6
  )
  ours = _cagrad_objective(rows, c, _simplex_part(rows, c, weights))
  for rescale in (0, 1, 2):
    reference = outputs[f"LibMTL_c{c}_rescale{rescale}"]
    direction = _weights(("cagrad", c, rescale), rows) @ rows
    np.testing.assert_allclose(direction, reference["direction"], atol=4e-4)
    assert ours <= _cagrad_objective(rows, c, np.array(reference["simplex_w"])) + 1e-12
  if c == 0.4:
    direction = _weights(("cagrad", c, 1), rows) @ rows
    official = outputs["nash-mtl_c0.4_rescale1_before_xK"]["direction"]
    np.testing.assert_allclose(direction, official, atol=4e-4)


@pytest.mark.parametrize("name", SETS[:4])
@pytest.mark.parametrize("c", [0.4, 0.5])
def test_cagrad_equals_the_exact_optimum_of_two(golden, name, c):
  exact = golden("cagrad")["outputs"]["exact_2task_golden_section_eps0"]
  expected = exact[f"{name.split('_')[0]}_c{c}"]
  rows = _rows(golden, name)
  weights = _weights(("cagrad", c, 0), rows)
  np.testing.assert_allclose(weights, expected["total_weights_unrescaled"], rtol=1e-6)
  np.testing.assert_allclose(weights @ rows, expected["direction_unrescaled"], rtol=1e-6)
  part = _simplex_part(rows, c, weights)
  np.testing.assert_allclose(part, expected["simplex_w"], rtol=1e-6, atol=1e-9)


@over_sets
def test_nash_mtl_is_exact(golden, name):
  rows, outputs = _rows(golden, name), golden("nash_mtl")["outputs"][name]
  weights = _weights(("nash_mtl", 0.0), rows)
  exact = outputs["exact_solution_of_G_alpha=1/alpha"]
  np.testing.assert_allclose(weights, exact, rtol=1e-6)
  # The references' convex programs stop at their tolerance.
  np.testing.assert_allclose(weights, outputs["nash-mtl_alpha"], rtol=1e-6)
  np.testing.assert_allclose(weights, outputs["TorchJD_max_norm0"], rtol=1e-6)
  limited = _weights(("nash_mtl",), rows)
  np.testing.assert_allclose(limited, outputs["TorchJD_max_norm1"], rtol=1e-6)
  np.testing.assert_allclose(np.linalg.norm(limited @ rows), 1, rtol=1e-6)


@pytest.mark.slow
@over_sets
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_fairgrad_equals_torchjd(golden, name, alpha):
  rows = _rows(golden, name)
  expected = golden("fairgrad")["outputs"][name][f"TorchJD_alpha{alpha}"]
  np.testing.assert_allclose(_weights(("fairgrad", alpha), rows), expected, rtol=1e-6)
