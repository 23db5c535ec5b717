"""Which job a process is part of, from environment variables alone."""

import pytest

from mlseg.devices.cluster import Job, find_job, number, on_tpu
from mlseg.errors import UserError

EXPLICIT = {
  "JAX_COORDINATOR_ADDRESS": "node1:8476",
  "JAX_NUM_PROCESSES": "4",
  "JAX_PROCESS_ID": "3",
}
BATCH = {  # what a batch script sees: it runs once, whatever the number of tasks
  "SLURM_JOB_ID": "70",
  "SLURM_NTASKS": "4",
  "SLURM_NODELIST": "gpu[07-08]",
  "SLURM_PROCID": "0",
  "SLURM_LOCALID": "0",
  "SLURM_NODEID": "0",
}
STEP = BATCH | {  # what task 3 of a step on two nodes sees
  "SLURM_STEP_ID": "1",
  "SLURM_STEP_NUM_TASKS": "4",
  "SLURM_STEP_NODELIST": "gpu[07-08]",
  "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
  "SLURM_PROCID": "3",
  "SLURM_LOCALID": "1",
  "SLURM_NODEID": "1",
}
PORT = 61440 + 70 + 64


@pytest.mark.parametrize(
  "environ",
  [
    {},
    {"JAX_NUM_PROCESSES": "1"},
    {"JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0", "JAX_COORDINATOR_ADDRESS": "a:1"},
    {"JOB_COMPLETION_INDEX": "1"},  # an indexed Job of independent runs
    BATCH,
    STEP | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},  # a shell from `srun --pty`
  ],
)
def test_a_process_may_be_alone(environ):
  assert find_job(environ) is None


def test_explicit_variables():
  assert find_job(EXPLICIT) == Job("node1:8476", 4, 3, None)
  assert find_job(EXPLICIT | {"JAX_LOCAL_DEVICE_IDS": "0,2"}) == Job("node1:8476", 4, 3, (0, 2))
  assert find_job(EXPLICIT | {"JAX_COORDINATOR_ADDRESS": "[::1]:80"}).address == "[::1]:80"


def test_kubernetes_gives_the_index():
  environ = {k: v for k, v in EXPLICIT.items() if k != "JAX_PROCESS_ID"}
  assert find_job(environ | {"JOB_COMPLETION_INDEX": "2"}) == Job("node1:8476", 4, 2, None)
  assert find_job(EXPLICIT | {"JOB_COMPLETION_INDEX": "2"}).process_id == 3


def test_a_slurm_step():
  assert find_job(STEP) == Job(f"gpu07:{PORT}", 4, 3, None)
  assert find_job(STEP | {"SLURM_NTASKS": "9"}).num_processes == 4  # the job's, not the step's
  assert find_job(STEP | {"JAX_COORDINATOR_PORT": "99"}).address == "gpu07:99"
  assert find_job(STEP | {"JAX_COORDINATOR_ADDRESS": "ib07:99"}).address == "ib07:99"
  assert find_job(STEP | EXPLICIT).address == "node1:8476"


@pytest.mark.parametrize("job", ["0", "4095", "4096", "123456789"])
def test_slurm_ports_are_above_those_that_linux_hands_out(job):
  port = int(find_job(STEP | {"SLURM_JOB_ID": job}).address.rpartition(":")[2])
  assert 60999 < port < 65536


def test_jobs_and_steps_that_share_a_node_have_ports_of_their_own():
  ports = {
    find_job(STEP | {"SLURM_JOB_ID": str(job), "SLURM_STEP_ID": str(step)}).address
    for job in range(50)
    for step in range(3)
  }
  assert len(ports) == 150


@pytest.mark.parametrize(
  ("gpus", "changes", "expected"),
  [
    ("0,1,2,3", {}, (2, 3)),  # both tasks of the node see all four: each takes its half
    ("0,1,2,3", {"SLURM_LOCALID": "0"}, (0, 1)),
    ("0,1", {}, None),  # Slurm gave each task two of the four
    ("0,1,2,3", {"SLURM_STEP_TASKS_PER_NODE": "3,1"}, None),  # alone on its node: all
    ("GPU-a,GPU-b", {"SLURM_GPUS_ON_NODE": "2"}, (1,)),
    ("0,1,2,3", {"JAX_LOCAL_DEVICE_IDS": "0"}, (0,)),
  ],
)
def test_tasks_of_a_node_share_its_gpus(gpus, changes, expected):
  environ = STEP | {"CUDA_VISIBLE_DEVICES": gpus, "SLURM_GPUS_ON_NODE": "4"} | changes
  assert find_job(environ).device_ids == expected


def test_jax_reads_the_names_of_nodes_alike():
  from jax._src.clusters.slurm_cluster import SlurmCluster

  for nodes in ("a", "a,b", "n[001-015],b", "n[001,007-015],b"):
    environ = STEP | {"SLURM_STEP_NODELIST": nodes}
    with pytest.MonkeyPatch.context() as patch:
      for name, value in environ.items():
        patch.setenv(name, value)
      theirs = SlurmCluster.get_coordinator_address(None, None).partition(":")[0]
    assert find_job(environ).address.partition(":")[0] == theirs


@pytest.mark.parametrize(
  ("environ", "message"),
  [
    ({"JAX_COORDINATOR_ADDRESS": "a:1"}, "JAX_NUM_PROCESSES must be a whole number from 1, not N"),
    ({"JAX_PROCESS_ID": "0"}, "JAX_NUM_PROCESSES must be a whole number from 1, not None"),
    ({"JAX_NUM_PROCESSES": "2"}, "JAX_PROCESS_ID must be a whole number from 0, not None"),
    (EXPLICIT | {"JAX_NUM_PROCESSES": "0"}, "JAX_NUM_PROCESSES must be .* from 1, not '0'"),
    (EXPLICIT | {"JAX_NUM_PROCESSES": "two"}, "JAX_NUM_PROCESSES must be .*, not 'two'"),
    (EXPLICIT | {"JAX_PROCESS_ID": "-1"}, "JAX_PROCESS_ID must be a whole .*, not '-1'"),
    (EXPLICIT | {"JAX_PROCESS_ID": "4"}, "JAX_PROCESS_ID must be below .*, which is 4, not 4"),
    (EXPLICIT | {"JAX_COORDINATOR_ADDRESS": "node1"}, "must be host:port of .*, not 'node1'"),
    (EXPLICIT | {"JAX_COORDINATOR_ADDRESS": "a:70000"}, "must be host:port of .*, not 'a:70000'"),
    ({"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "0"}, "JAX_COORDINATOR_ADDRESS must be .*None"),
    (EXPLICIT | {"JAX_LOCAL_DEVICE_IDS": "a"}, "JAX_LOCAL_DEVICE_IDS must be like 0,1, not 'a'"),
    (STEP | {"SLURM_PROCID": "4"}, "SLURM_PROCID must be below SLURM_STEP_NUM_TASKS, .* 4"),
    (STEP | {"SLURM_STEP_NODELIST": ""}, "SLURM_STEP_NODELIST must be a list of nodes, not ''"),
    (
      STEP | {"CUDA_VISIBLE_DEVICES": "0,1,2"},
      "the 2 tasks of a node must have equal numbers of its GPUs, not '3 GPUs'",
    ),
  ],
)
def test_contradictions_are_reported_in_one_line(environ, message):
  with pytest.raises(UserError, match=message) as caught:
    find_job(environ)
  assert "\n" not in str(caught.value)


def test_numbers_have_defaults():
  assert number({}, "X", 1, 60) == 60
  assert number({"X": "2"}, "X", 1, 60) == 2
  with pytest.raises(UserError, match="variable X must be a whole number from 1, not '0'"):
    number({"X": "0"}, "X", 1, 60)


def test_a_tpu_is_what_jax_says():
  assert on_tpu({"TPU_ML_PLATFORM": "JAX"})
  assert not on_tpu({"TPU_ML_PLATFORM": "JAX", "JAX_PLATFORMS": "cpu"})
  assert not on_tpu({})
