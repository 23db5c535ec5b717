"""The shell scripts of launch/: free of what shellcheck finds, helpful, and run for real."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
SCRIPTS = sorted([*ROOT.glob("launch/*.sh"), *ROOT.glob("tests/launch/*.sh")])
LOCAL = ROOT / "launch" / "local_processes.sh"
PROGRAM = {"PROGRAM": "tests.launch.program", "PYTHON": sys.executable}


def _run(*command, timeout=120, **environ):
  clean = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
  return subprocess.run(
    [str(part) for part in command],
    cwd=ROOT,
    env=clean | environ,
    capture_output=True,
    text=True,
    timeout=timeout,
  )


def test_shellcheck_finds_nothing(shellcheck):
  found = _run(shellcheck, "--external-sources", *SCRIPTS)
  assert not found.stdout + found.stderr


@pytest.mark.parametrize("script", sorted(ROOT.glob("launch/*.sh")), ids=lambda path: path.name)
def test_help_is_the_comment_at_the_head(script):
  help_ = _run(script, "--help")
  assert help_.returncode == 0, help_.stderr
  assert f"launch/{script.name} " in help_.stdout
  assert "PROGRAM" in help_.stdout
  assert "#" not in help_.stdout.replace("one # below", "")


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([], "N must be a whole number from 1, not ''"),
    (["0"], "N must be a whole number from 1, not '0'"),
    (["two"], "N must be a whole number from 1, not 'two'"),
    (["2", "--devices=x"], "--devices must be a whole number from 1, not 'x'"),
    (["2", "--config=x"], "unknown option '--config=x'"),
    (["2", "3"], "unexpected argument '3': the program's arguments follow a --"),
  ],
)
def test_wrong_use_of_local_processes_is_reported(arguments, message):
  result = _run(LOCAL, *arguments)
  assert result.returncode == 2
  assert result.stderr.strip() == f"local_processes.sh: {message}; --help shows how it is used"


def test_local_processes_run_to_the_end():
  result = _run(LOCAL, 2, "--devices=2", "--", "short", "two words", **PROGRAM)
  assert result.returncode == 0, result.stdout + result.stderr
  lines = result.stdout.splitlines()
  for process in range(2):
    assert f"[{process}] process {process} of 2, 4 devices" in lines
    assert f"[{process}] done  short two words" in lines


def test_local_processes_end_with_the_code_of_the_first_failure():
  result = _run(LOCAL, 2, "--", "error", "1", **PROGRAM, MLSEG_HEARTBEAT_SECONDS="3")
  assert result.returncode == 1
  assert "[1] OSError: no space left on device" in result.stdout
  assert result.stderr == "local_processes.sh: the first process that failed had exit code 1\n"


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_local_processes_hand_signals_on(signum, code):
  launcher = subprocess.Popen(
    [LOCAL, "2", "--", "long"],
    cwd=ROOT,
    env=os.environ | PROGRAM,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  output = ""
  while output.count("] process ") < 2:
    line = launcher.stdout.readline()
    assert line, output
    output += line
  launcher.send_signal(signum)
  output += launcher.communicate(timeout=60)[0]
  assert launcher.returncode == code, output
  assert output.count(f"stopped by {int(signum)}") == 2


@pytest.mark.parametrize("name", ["slurm.sh", "slurm_sweep.sh"])
def test_the_scripts_of_slurm_say_how_they_are_started(name):
  result = _run(ROOT / "launch" / name, "--config=configs/smoke.py")
  assert result.returncode == 2
  assert f"launch/{name} ARGS" in result.stderr.splitlines()[-1]


def test_a_sweep_wants_its_tasks_numbered_from_0():
  environ = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "1"}
  environ |= {"SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_MAX": "3"}
  result = _run(ROOT / "launch" / "slurm_sweep.sh", **environ)
  assert result.returncode == 2
  assert "--array must count from 0 without gaps, as in 0-7, not 3-3 with 1 tasks" in result.stderr


@pytest.fixture
def gcloud(tmp_path):
  """A gcloud that notes what it is asked for; returns a function that runs tpu.sh with it."""
  notes = tmp_path / "notes"
  program = tmp_path / "gcloud"
  program.write_text(
    f"#!{sys.executable}\nimport json, sys\n"
    f"print(json.dumps(sys.argv[1:]), file=open({str(notes)!r}, 'a'))\n"
  )
  program.chmod(0o755)

  def run(*arguments, **environ):
    notes.unlink(missing_ok=True)
    path = f"{tmp_path}:{os.environ['PATH']}"
    result = _run(ROOT / "launch" / "tpu.sh", *arguments, PATH=path, **environ)
    lines = notes.read_text().splitlines() if notes.exists() else []
    return result, [json.loads(line) for line in lines]

  return run


def test_tpu_calls(gcloud):
  tpu_vm, zone = ["compute", "tpus", "tpu-vm"], {"ZONE": "z"}
  result, calls = gcloud("create", **zone, PROJECT="p", SPOT="1", NAME="n")
  types = ["--accelerator-type=v5litepod-16", "--version=v2-alpha-tpuv5-lite", "--spot"]
  assert calls == [[*tpu_vm, "create", "n", *types, "--zone=z", "--project=p"]], result.stderr
  result, calls = gcloud("install", **zone)
  assert [call[3] for call in calls] == ["scp", "ssh"], result.stderr
  assert all("--worker=all" in call for call in calls)
  result, calls = gcloud("fetch", "runs", **zone)
  assert calls == [[*tpu_vm, "scp", "--recurse", "mlseg:runs", ".", "--worker=0", "--zone=z"]]
  result, calls = gcloud("delete", **zone)
  assert calls == [[*tpu_vm, "delete", "mlseg", "--zone=z"]]


def test_arguments_reach_the_hosts_of_a_tpu_as_they_were_given(gcloud, tmp_path):
  arguments = ["--config=a.py", "--config.losses=('dice', 'focal')", '$HOME `date` "x"']
  _, calls = gcloud("run", *arguments, ZONE="z")
  command = next(part for part in calls[0] if part.startswith("--command=")).partition("=")[2]
  (tmp_path / "mlseg" / ".venv" / "bin").mkdir(parents=True)
  (tmp_path / "mlseg" / ".venv" / "bin" / "python").symlink_to("/bin/echo")
  done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
  assert done.stdout.strip() == " ".join(["-u -m mlseg.main", *arguments])


@pytest.mark.parametrize(
  ("arguments", "environ", "message"),
  [
    ([], {}, "the first argument must be create, install, run, stop, fetch or delete, not ''"),
    (["start"], {}, "the first argument must be .*, not 'start'"),
    (["create"], {}, "the environment variable ZONE must be set, for instance us-central1-a"),
    (["run"], {"ZONE": "z"}, "run needs arguments, for instance --config="),
    (["fetch"], {"ZONE": "z"}, "fetch needs one argument, the folder"),
  ],
)
def test_wrong_use_of_tpu_is_reported(gcloud, arguments, environ, message):
  result, calls = gcloud(*arguments, **environ)
  assert result.returncode == 2
  assert not calls
  import re

  assert re.search(f"tpu.sh: {message}", result.stderr)
