"""The job of several processes that this process is part of, by its environment variables.

A process is told of its job by the variables of a Slurm step, or by these:

    JAX_COORDINATOR_ADDRESS   host:port of process 0; the port is free there, the same for all
    JAX_NUM_PROCESSES         how many there are
    JAX_PROCESS_ID            which this is, from 0; or JOB_COMPLETION_INDEX, as Kubernetes sets it

and may be told of
    JAX_COORDINATOR_PORT      the port of process 0 under Slurm, instead of one made of the job's id
    JAX_LOCAL_DEVICE_IDS      the GPUs of this process: "0,1"
    JAX_NUM_CPU_DEVICES       CPU devices of this process, for rehearsals; JAX reads this one itself

JAX has a guess of its own for Slurm and Kubernetes. It is not used: under Slurm it counts the tasks
of the job rather than of the step, gives each process one GPU by its number on the node whatever
Slurm bound to it (jax issues 16788, 23452, 28194), and drops what follows the bracket in a host
like `n[1-2]-ib`; under Kubernetes it needs a client library and the right to read pods.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from mlseg.errors import require


class Job(NamedTuple):
  """What a process has to know of the job that it is part of.

  Attributes:
    address: host:port where process 0 listens.
    num_processes: at least 2.
    process_id: of this process, from 0.
    device_ids: its GPUs among those that it sees; None: all.
  """

  address: str
  num_processes: int
  process_id: int
  device_ids: tuple[int, ...] | None = None


def find_job(environ: Mapping[str, str]) -> Job | None:
  """Returns the job that the environment describes; None where this process is alone.

  Raises:
    UserError: a variable is missing, is no number, or contradicts another.

  Example:
    >>> find_job({"JAX_COORDINATOR_ADDRESS": "node1:8476", "JAX_NUM_PROCESSES": "2",
    ...           "JAX_PROCESS_ID": "1"})
    Job(address='node1:8476', num_processes=2, process_id=1, device_ids=None)
    >>> find_job({}) is None
    True
  """
  if "JAX_NUM_PROCESSES" in environ or "JAX_PROCESS_ID" in environ:
    return _explicit_job(environ)
  # Not SLURM_NTASKS, by which JAX goes: that one counts for the whole job, and is there in a batch
  # script too, which runs once.
  if "SLURM_STEP_ID" in environ and number(environ, "SLURM_STEP_NUM_TASKS", 1, 1) > 1:
    return _slurm_job(environ)
  if "JAX_COORDINATOR_ADDRESS" in environ:
    return _explicit_job(environ)  # incomplete, which it says
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
    # Above the ports that Linux hands out by itself; jobs and steps that share a node differ.
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
  """Returns a task's share of the GPUs of its node, where all tasks of the node see all of them.

  JAX would give task i of a node GPU i and no other, and so fails or wastes GPUs where a node has
  one task, or where Slurm itself gives each task its own GPUs.
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
  """Returns the number of tasks on this node, from a list such as "4(x2),3": 4, 4 and 3."""
  counts: list[int] = []
  for part in environ.get("SLURM_STEP_TASKS_PER_NODE", "1").split(","):
    count, _, times = part.partition("(x")
    counts += [int(count)] * int(times.rstrip(")") or 1)
  return counts[min(number(environ, "SLURM_NODEID", 0, 0), len(counts) - 1)]


def number(environ: Mapping[str, str], name: str, least: int, default: int | None = None) -> int:
  """Returns the number in a variable.

  Raises:
    UserError: it is no number, is too small, or is missing and has no default.
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
  """Returns whether JAX found TPU chips when it was imported; it notes that in this variable."""
  wanted = environ.get("JAX_PLATFORMS", "tpu").split(",")
  return environ.get("TPU_ML_PLATFORM") == "JAX" and "tpu" in wanted
