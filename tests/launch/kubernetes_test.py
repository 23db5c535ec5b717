"""launch/kubernetes.yaml: by Kubernetes' own schema, in agreement with itself, and its command."""

import os
import pathlib
import signal
import subprocess
import sys

import kubernetes_validate
import pytest
import yaml

from mlseg.devices import cluster, processes
from tests.devices.processes_test import free_port

ROOT = pathlib.Path(__file__).parent.parent.parent
SERVICE, JOB = yaml.safe_load_all((ROOT / "launch" / "kubernetes.yaml").read_text())
POD = JOB["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
ENVIRON = {variable["name"]: variable["value"] for variable in CONTAINER["env"]}


@pytest.mark.parametrize("document", [SERVICE, JOB], ids=["service", "job"])
def test_the_schema_of_kubernetes_holds(document):
  kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_the_schema_would_find_a_mistake():
  wrong = JOB | {"spec": JOB["spec"] | {"completionsMode": "Indexed"}}
  with pytest.raises(kubernetes_validate.ValidationError):
    kubernetes_validate.validate(wrong, kubernetes_validate.latest_version(), strict=True)


def test_shellcheck_finds_nothing_in_the_command(tmp_path, shellcheck):
  shell, option, script, _ = CONTAINER["command"]
  assert (shell, option) == ("bash", "-c")
  (tmp_path / "command.sh").write_text(f"#!/usr/bin/env bash\n{script}")
  found = subprocess.run([shellcheck, tmp_path / "command.sh"], capture_output=True, text=True)
  assert not found.stdout + found.stderr


def test_service_and_job_agree():
  name = JOB["metadata"]["name"]
  assert SERVICE["metadata"]["name"] == POD["subdomain"]
  assert SERVICE["spec"]["selector"] == {"job-name": name}
  assert SERVICE["spec"]["clusterIP"] == "None"
  (port,) = SERVICE["spec"]["ports"]
  assert [p["containerPort"] for p in CONTAINER["ports"]] == [port["port"]]
  host = f"{name}-0.{POD['subdomain']}"  # how Kubernetes names pod 0 of an indexed Job
  assert ENVIRON["JAX_COORDINATOR_ADDRESS"] == f"{host}:{port['port']}"
  mounted = {mount["name"] for mount in CONTAINER["volumeMounts"]}
  assert mounted == {volume["name"] for volume in POD["volumes"]}


def test_every_pod_finds_its_job():
  spec = JOB["spec"]
  count = spec["completions"]
  assert spec["parallelism"] == count
  jobs = [cluster.find_job(ENVIRON | {"JOB_COMPLETION_INDEX": str(i)}) for i in range(count)]
  assert [job.process_id for job in jobs] == list(range(count))
  assert {(job.address, job.num_processes) for job in jobs} == {
    (ENVIRON["JAX_COORDINATOR_ADDRESS"], count)
  }


def test_only_what_would_happen_again_ends_the_job():
  rules = JOB["spec"]["podFailurePolicy"]["rules"]
  (fail,) = [rule["onExitCodes"] for rule in rules if rule["action"] == "FailJob"]
  assert fail["containerName"] == CONTAINER["name"]
  assert set(fail["values"]) == {1, 2}
  assert processes.EXIT_LOST not in fail["values"]


def _pods(workdir, *mode):
  """Starts the command of each pod on this machine."""
  port = free_port()
  environ = os.environ | ENVIRON | {
    "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
    "JAX_PLATFORMS": "cpu",
    "WORKDIR": str(workdir),
    "PROGRAM": "tests.launch.program",
    "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
  }  # fmt: skip
  return [
    subprocess.Popen(
      [*CONTAINER["command"], *mode],
      cwd=ROOT,
      env=environ | {"JOB_COMPLETION_INDEX": str(i)},
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for i in range(JOB["spec"]["completions"])
  ]


def test_the_pods_run_to_the_end(tmp_path):
  pods = _pods(tmp_path, "short")
  outputs = [pod.communicate(timeout=60)[0] for pod in pods]
  assert [pod.returncode for pod in pods] == [0, 0], outputs
  for i, output in enumerate(outputs):
    assert f"process {i} of 2" in output
    assert "done  short" in output


def test_a_run_that_was_told_to_stop_is_not_taken_for_done(tmp_path):
  pods = _pods(tmp_path, "long")
  for pod in pods:
    while "process " not in pod.stdout.readline():
      assert pod.poll() is None
  pods[1].send_signal(signal.SIGTERM)  # one pod is evicted
  outputs = [pod.communicate(timeout=60)[0] for pod in pods]
  assert all("stopped by 15" in output for output in outputs)
  assert [pod.returncode for pod in pods] == [processes.EXIT_LOST] * 2
