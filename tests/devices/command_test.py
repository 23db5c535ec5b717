"""How commands begin: Ctrl-C from the first moment, and a standard output that fails."""

import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import pytest

from mlseg.devices import command

ROOT = pathlib.Path(__file__).resolve().parents[2]
BEGIN = "from mlseg.devices import command; command.begin('mlseg'); "


def _start(code, shell_end="", **options):
  command = [sys.executable, "-c", code]
  if shell_end:
    command = ["sh", "-c", f"exec {shlex.join(command)} {shell_end}"]
  environ = os.environ | {"PYTHONPATH": str(ROOT), "GLIBC_TUNABLES": ""}
  return subprocess.Popen(
    command, env=environ, cwd=ROOT, text=True, stdout=options.pop("stdout", subprocess.PIPE),
    stderr=subprocess.PIPE, **options,
  )  # fmt: skip


def test_ctrl_c_ends_a_command_in_one_line_even_inside_a_library():
  swallows = "while True:\n  try: time.sleep(60)\n  except BaseException: pass\n"
  process = _start(f"{BEGIN}import time; print('ready', flush=True)\n{swallows}")
  assert process.stdout.readline() == "ready\n"
  process.send_signal(signal.SIGINT)
  said = process.communicate(timeout=30)[1]
  assert process.returncode == 130
  assert said == "\nmlseg: stopped by SIGINT; the same command goes on from what is saved\n"


def test_ctrl_c_waits_while_the_program_is_replaced():
  code = (
    "import os, signal, sys; from mlseg.devices import command\n"
    "command.hold_interrupts(); os.kill(os.getpid(), signal.SIGINT)\n"
    f"os.execv(sys.executable, [sys.executable, '-c', {BEGIN + 'print(1)'!r}])"
  )
  process = _start(code)
  out, said = process.communicate(timeout=60)
  assert (process.returncode, out) == (130, "")
  assert said.count("\n") == 2
  assert "stopped by SIGINT" in said


def test_a_command_that_was_started_without_ctrl_c_stays_so():
  code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + BEGIN
  process = _start(f"{code}import os; os.kill(os.getpid(), signal.SIGINT); print('goes on')")
  assert process.communicate(timeout=60)[0] == "goes on\n"
  assert process.returncode == 0


@pytest.mark.parametrize("module", ["mlseg.main", "mlseg.sweep", "mlseg.report"])
@pytest.mark.parametrize("delay", [0.15, 0.6])
def test_an_early_ctrl_c_ends_each_command_in_one_line(module, delay):
  code = f"import runpy; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
  process = _start(f"{BEGIN}print('ready', flush=True); {code}")
  assert process.stdout.readline() == "ready\n"
  time.sleep(delay)
  process.send_signal(signal.SIGINT)
  said = process.communicate(timeout=60)[1].strip()
  # It may be faster: then it names the flag that is missing (2), perhaps while Python ends (-2).
  assert process.returncode in (130, 2, -signal.SIGINT)
  assert len(said.splitlines()) == 1
  assert "Traceback" not in said


def test_a_temporary_folder_goes_in_the_end_and_after_ctrl_c(tmp_path):
  code = (
    f"{BEGIN}import pathlib, time\n"
    f"with command.temporary_folder(pathlib.Path({str(tmp_path)!r}), 'x') as folder:\n"
    "  (folder / 'half').touch(); print('ready', flush=True); time.sleep(60)"
  )
  process = _start(code)
  assert process.stdout.readline() == "ready\n"
  assert len(list(tmp_path.iterdir())) == 1
  process.send_signal(signal.SIGINT)
  process.communicate(timeout=30)
  assert (process.returncode, list(tmp_path.iterdir())) == (130, [])
  with command.temporary_folder(tmp_path, "x") as folder:
    (folder / "half").touch()
  assert not list(tmp_path.iterdir())


def test_temporary_folders_of_killed_processes_go_a_day_later(tmp_path):
  stale, fresh, keeps, other = (
    tmp_path / name
    for name in (".mlseg-x-abcd1234", ".mlseg-x-abcd1235", ".mlseg-x-abcd1236", ".mlseg-x-mine")
  )
  for folder in (stale, fresh, keeps, other):
    folder.mkdir()
  (keeps / command.OLD).mkdir()
  for folder in (stale, keeps, other):
    os.utime(folder, (0, 0))
  with command.temporary_folder(tmp_path, "x"):
    pass
  assert sorted(tmp_path.iterdir()) == [fresh, keeps, other]


PRINTS = (
  BEGIN + "import sys; [print('x' * 1000) for _ in range(1000)]; sys.stdout.flush(); sys.exit(3)"
)


def test_a_full_standard_output_is_said_and_ends_nothing():
  with open("/dev/full", "w") as full:
    process = _start(PRINTS, stdout=full)
    said = process.communicate(timeout=60)[1]
  assert process.returncode == 3
  assert said == (
    "mlseg: standard output cannot be written (No space left on device), and is left out\n"
  )


def test_a_reader_that_goes_away_ends_nothing():
  reader, writer = os.pipe()
  os.close(reader)
  process = _start(PRINTS, stdout=writer)
  os.close(writer)
  said = process.communicate(timeout=60)[1]
  assert process.returncode == 3
  assert said == "mlseg: standard output cannot be written (Broken pipe), and is left out\n"


def test_a_closed_standard_output_ends_nothing(tmp_path):
  code = (
    f"{BEGIN}import sys; print('lost'); file = open({str(tmp_path / 'f')!r}, 'w'); print('lost')\n"
    "file.write('kept'); file.close(); from mlseg.console import Reporter; Reporter().print('x')"
  )
  process = _start(code, shell_end=">&-")
  said = process.communicate(timeout=60)[1]
  assert (process.returncode, said) == (0, "")
  assert (tmp_path / "f").read_text() == "kept"


def test_names_that_are_no_text_can_be_printed():
  process = _start(f"{BEGIN}print('bad' + chr(0xDCFF))")
  assert process.communicate(timeout=60)[0] == "bad\\udcff\n"
  assert process.returncode == 0
