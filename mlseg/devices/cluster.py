"""Finds the job of several processes that this process belongs to, from its environment variables.

A job is described by the variables of a Slurm step, or by these:

    JAX_COORDINATOR_ADDRESS   host:port of process 0, the same for all; the port must be free there
    JAX_NUM_PROCESSES         number of processes
    JAX_PROCESS_ID            number of this process, from 0; Kubernetes sets JOB_COMPLETION_INDEX

Optional are
    JAX_COORDINATOR_PORT      port of process 0 under Slurm; by default it follows from the job's id
    JAX_LOCAL_DEVICE_IDS      GPUs of this process, such as "0,1"
    JAX_NUM_CPU_DEVICES       CPU devices of this process, for rehearsals; JAX reads this one itself

JAX's own detection of Slurm and Kubernetes is not used. Under Slurm it counts the tasks of the job
instead of those of the step, gives each process the one GPU of its number on the node whatever
Slurm bound to it (jax issues 16788, 23452, 28194), and drops the text after the bracket in a host
name like `n[1-2]-ib`. Under Kubernetes it needs a client library and permission to read pods.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from mlseg.errors import require


class Job(NamedTuple):
  """The job that a process belongs to.

  Attributes:
    address: host:port at which process 0 listens.
    num_processes: number of processes, at least 2.
    process_id: number of this process, from 0.
    device_ids: indices of its GPUs among those visible to it; None: all.
  """

  address: str
  num_processes: int
  process_id: int
  device_ids: tuple[int, ...] | None = None


def find_job(environ: Mapping[str, str]) -> Job | None:
  """Returns the job that the environment describes, or None if this process runs alone.

  Raises:
    UserError: a variable is missing, is not a number, or contradicts another.

  Example:
    >>> find_job({"JAX_COORDINATOR_ADDRESS": "node1:8476", "JAX_NUM_PROCESSES": "2",
    ...           "JAX_PROCESS_ID": "1"})
    Job(address='node1:8476', num_processes=2, process_id=1, device_ids=None)
    >>> find_job({}) is None
    True
  """
  if "JAX_NUM_PROCESSES" in environ or "JAX_PROCESS_ID" in environ:
    return _explicit_job(environ)
  # SLURM_NTASKS, which JAX reads, counts the tasks of the whole job, and is also set in a batch
  # script, which runs once.
  if "SLURM_STEP_ID" in environ and number(environ, "SLURM_STEP_NUM_TASKS", 1, 1) > 1:
    return _slurm_job(environ)
  if "JAX_COORDINATOR_ADDRESS" in environ:
    return _explicit_job(environ)  # raises, since the description is incomplete
  return None


def _explicit_job(environ: Mapping[str, str]) -> Job | None:
  num_processes = number(environ, "JAX_NUM_PROCESSES", 1)
  if num_processes == 1:
    return None
  name = "JAX_PROCESS_ID"
  if name not in environ and "JOB_COMPLETION_INDEX" in environ:
    name = "JOB_COMPLETION_INDEX"
  process_id = number(environ, name, 0)
  rule = f"{name} must be below JAX_NUM_PROCESSES, which is {num_processes}"
  require(process_id < num_processes, rule, process_id)
  return Job(_address(environ), num_processes, process_id, _device_ids(environ))


def _slurm_job(environ: Mapping[str, str]) -> Job:
  """Returns the job of an `srun` step."""
  num_processes = number(environ, "SLURM_STEP_NUM_TASKS", 1)
  process_id = number(environ, "SLURM_PROCID", 0)
  require(process_id < num_processes, "SLURM_PROCID must be below SLURM_STEP_NUM_TASKS", process_id)
  if "JAX_COORDINATOR_ADDRESS" in environ:
    address = _address(environ)
  else:
    # Above the ports that Linux assigns by itself; different for jobs and steps that share a node.
    job, step = number(environ, "SLURM_JOB_ID", 0), number(environ, "SLURM_STEP_ID", 0)
    port = number(environ, "JAX_COORDINATOR_PORT", 1, 61440 + (job + 64 * step) % 4096)
    address = f"{_first_host(environ.get('SLURM_STEP_NODELIST', ''))}:{port}"
  devices = _device_ids(environ) or _slurm_share(environ)
  return Job(address, num_processes, process_id, devices)


def _first_host(nodes: str) -> str:
  """Returns the host of process 0 from Slurm's list of nodes.

  Example:
    >>> [_first_host(nodes) for nodes in ("a1,a2", "gpu[007-010,12],x", "r[1-2]n[3,5]-ib")]
    ['a1', 'gpu007', 'r1n3-ib']
  """
  host = re.match(r"(?:\[[^]]*\]|[^,\[])+", nodes)
  require(host is not None, "SLURM_STEP_NODELIST must be a list of nodes", nodes)
  assert host is not None
  return re.sub(r"\[(\d+)[^]]*\]", r"\1", host[0])


def _slurm_share(environ: Mapping[str, str]) -> tuple[int, ...] | None:
  """Returns a task's share of its node's GPUs if all tasks of the node see all of them, else None.

  JAX would give task i of a node only GPU i. That wastes GPUs on a node with one task, and fails if
  Slurm itself gives each task its own GPUs.
  """
  visible = [name for name in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
  tasks = _tasks_of_node(environ)
  if tasks == 1 or not visible or len(visible) < number(environ, "SLURM_GPUS_ON_NODE", 0, 0):
    return None
  share, rest = divmod(len(visible), tasks)
  rule = f"the {tasks} tasks of a node must have equal numbers of its GPUs"
  require(share > 0 and not rest, rule, f"{len(visible)} GPUs")
  local_id = number(environ, "SLURM_LOCALID", 0)
  return tuple(range(local_id * share, (local_id + 1) * share))


def _tasks_of_node(environ: Mapping[str, str]) -> int:
  """Returns the number of tasks on this node, from a list such as "4(x2),3" for 4, 4 and 3."""
  counts: list[int] = []
  for part in environ.get("SLURM_STEP_TASKS_PER_NODE", "1").split(","):
    count, _, times = part.partition("(x")
    counts += [int(count)] * int(times.rstrip(")") or 1)
  return counts[min(number(environ, "SLURM_NODEID", 0, 0), len(counts) - 1)]


def number(environ: Mapping[str, str], name: str, least: int, default: int | None = None) -> int:
  """Returns the number in an environment variable.

  Args:
    environ: the environment.
    name: name of the variable.
    least: the smallest number allowed.
    default: the number if the variable is not set; None: it must be set.

  Raises:
    UserError: the value is not a number, is too small, or is missing and has no default.
  """
  text = environ.get(name)
  if text is None and default is not None:
    return default
  valid = text is not None and text.isascii() and text.isdigit() and int(text) >= least
  require(valid, f"the environment variable {name} must be a whole number from {least}", text)
  assert text is not None
  return int(text)


def _address(environ: Mapping[str, str]) -> str:
  address = environ.get("JAX_COORDINATOR_ADDRESS")
  parts = re.fullmatch(r"[^\s/]+:(\d{1,5})", address or "")
  valid = parts is not None and 0 < int(parts[1]) < 2**16
  rule = "the environment variable JAX_COORDINATOR_ADDRESS must be host:port of process 0"
  require(valid, rule, address)
  assert address is not None
  return address


def _device_ids(environ: Mapping[str, str]) -> tuple[int, ...] | None:
  text = environ.get("JAX_LOCAL_DEVICE_IDS", "")
  valid = re.fullmatch(r"(\d+(,\d+)*)?", text) is not None
  require(valid, "the environment variable JAX_LOCAL_DEVICE_IDS must be like 0,1", text)
  return tuple(map(int, text.split(","))) if text else None


def on_tpu(environ: Mapping[str, str]) -> bool:
  """Returns whether JAX found TPU chips, which it records in a variable when it is imported."""
  wanted = environ.get("JAX_PLATFORMS", "tpu").split(",")
  return environ.get("TPU_ML_PLATFORM") == "JAX" and "tpu" in wanted
