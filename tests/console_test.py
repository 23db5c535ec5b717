"""What the console says where no bar can be drawn."""

from mlseg.console import Reporter


def test_progress_of_many_cases_is_a_line_for_each_250(capsys):
  reporter = Reporter()
  reporter.advance(3)  # without a bar nothing happens
  with reporter.bar("surface metrics", 1000, 0):
    for done in range(0, 1001, 100):
      reporter.advance(done)
  lines = capsys.readouterr().out.splitlines()
  assert [line for line in lines if line] == [
    f"surface metrics: {done} of 1000" for done in (300, 500, 800, 1000)
  ]


def test_progress_of_few_cases_is_silent(capsys):
  reporter = Reporter()
  with reporter.bar("surface metrics", 98, 0):
    for done in range(99):
      reporter.advance(done)
  assert not capsys.readouterr().out.strip()
