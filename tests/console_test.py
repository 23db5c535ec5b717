"""What the console prints where no bar can be drawn."""

from mlseg import console
from mlseg.console import Reporter


def _record(dice, weight, epoch=3):
  return {
    "epoch": epoch,
    "losses": {"soft_dice": 1 - dice},
    "weights": {"soft_dice": weight},
    "images_per_second": 20.4,
    "validation": {"dice": dice},
  }


def test_the_line_of_an_epoch_has_means_and_the_span_of_several_models(capsys):
  reporter = Reporter()
  reporter.epoch("busi", [], 10)  # all models have stopped
  reporter.epoch("busi", [_record(0.5, 0.25)], 10)
  reporter.epoch("busi", [_record(0.5, 0.25), _record(0.7, 0.75)], 10)
  assert capsys.readouterr().out.splitlines() == [
    "busi  epoch   3/10  soft_dice 0.500×0.25  20 images/s  validation dice 0.5000",
    "busi  epoch   3/10  soft_dice 0.400×0.50  20 images/s"
    "  validation dice 0.6000 (0.5000 to 0.7000)",
  ]


def test_the_line_of_an_epoch_has_the_share_of_the_auxiliary_loss_and_the_score_that_decides(
  capsys,
):
  records = [_record(0.5, 0.25) | {"auxiliary_share": share} for share in (0.8, 0.9)]
  for record in records:
    record["validation"] |= {"dice_pooled": 0.25, "losses": {"soft_dice": 0.1}}
  Reporter().epoch("busi", records, 10)
  line = capsys.readouterr().out
  assert "  auxiliary 85 % of the weight  20 images/s" in line
  assert line.endswith("dice 0.5000 (0.5000 to 0.5000), dice_pooled 0.2500 (0.2500 to 0.2500)\n")


def test_several_classes_have_a_table_of_their_own(capsys):
  def entry(value):
    return {"mean": value, "std": None, "per_seed": [value]}

  def of_class(dice, number):
    scores = dict.fromkeys((*console.OF_CLASSES, "iou"), entry(dice))
    return scores | {"num_true": entry(number), "num_predicted": entry(2.5)}

  names = ("dice", "dice_with_background", "dice_pooled", "dice_with_background_pooled")
  results = {"metrics": dict.fromkeys(names, entry(0.5))}
  classes = {"background": of_class(0.9, 4.0), "gland": of_class(0.25, 3.0)}
  Reporter().results("glands", results | {"classes": classes}, "gland")
  assert "images with it" not in capsys.readouterr().out
  classes["lumen"] = of_class(float("nan"), 0.0)  # in no case
  Reporter().results("glands", results | {"classes": classes}, "foreground")
  lines = [line for line in capsys.readouterr().out.splitlines() if "│" in line]
  cells = {line.split("│")[1].strip(): [c.strip() for c in line.split("│")[2:-1]] for line in lines}
  assert cells["gland"] == ["3", "2.5", *["25.00"] * 4]
  assert cells["lumen"] == ["0", "2.5", *[""] * 4]


def test_progress_over_parts_is_printed_with_each_epoch(capsys, monkeypatch):
  now = iter([100.0, 200.0, 500.0, 500.0])
  monkeypatch.setattr(console.time, "monotonic", lambda: next(now))
  reporter = Reporter()
  reporter.begin_part(0, 4)
  with reporter.bar("train", 10, 0, models=2):
    reporter.epoch("a", [_record(0.5, 1.0, epoch=5)], 10)
  with reporter.bar("surface metrics", 10, 0):
    pass
  reporter.begin_part(2, 4)  # of two programs
  for _ in range(2):
    with reporter.bar("train", 10, 0, models=1):
      reporter.epoch("b", [_record(0.5, 1.0, epoch=5)], 10)
  lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("all")]
  assert lines == [
    "all     25 % of 4 models, 5 min left",  # a quarter took 100 s
    "all     62 % of 4 models, 4 min left",  # 5/8 took 400 s
    "all     88 % of 4 models, 1 min left",  # 7/8 took 400 s
  ]


def test_results_are_in_percent_and_distances_as_they_are(capsys):
  of_pixels = ("dice", "hausdorff", "object_hausdorff", "class_balanced_dice")
  names = (*of_pixels, "classification_accuracy", *console.BOXES)
  metrics = {name: {"mean": 0.5, "std": None} for name in names}
  for name in of_pixels:
    metrics |= {f"{name}_pooled": metrics[name], f"{name}_with_background": metrics[name]}
  metrics["dice"] = {"mean": 0.25, "std": 0.01}
  Reporter().results("test", {"metrics": metrics}, "lesion")
  lines = [line.replace("│", "|") for line in capsys.readouterr().out.splitlines()]
  cells = {
    line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
    for line in lines
    if line.startswith("|")
  }
  assert cells["dice"] == ["25.00 ± 1.00", "50.00", "50.00"]
  assert cells["hausdorff"] == cells["object hausdorff"] == ["0.50", "0.50", "0.50"]
  assert cells["class balanced dice"] == ["", "50.00", ""]
  assert cells["classification accuracy"] == ["50.00"]
  assert cells["classification f1, mean"] == [""]
  assert cells["roc auc"] == [""]
  boxes = "box_ap 50.00, box_ap50 50.00, box_ap75 50.00"
  assert f"boxes, average precision in percent: {boxes}" in lines


def test_images_without_a_lesion_have_a_line(capsys):
  shares = {"dice_where_present": 0.75, "image_sensitivity": 0.9, "image_specificity": 0.5}
  numbers = zip(console.OF_IMAGES, (18, 2, 1.5, 1.5), strict=True)
  values = shares | {f"images_{name}": number for name, number in numbers} | {"dice": 0.7}
  metrics = {name: {"mean": value, "std": None} for name, value in values.items()}
  Reporter().results("test", {"metrics": metrics}, "lesion")
  assert (
    "images with lesion: dice 75.00 %, found 18 of 20 (sensitivity 90.00 %);"
    " without: empty 1.5 of 3 (specificity 50.00 %)"
  ) in capsys.readouterr().out


def test_the_positive_diagnosis_is_named_beside_its_metrics(capsys):
  metrics = {name: {"mean": 0.5, "std": None} for name in console.OF_CASES}
  Reporter().results("test", {"metrics": metrics}, "lesion", "malignant")
  text = capsys.readouterr().out
  for name in ("classification f1", "average precision", "sensitivity at specificity"):
    assert f"{name} of malignant" in text
  assert "roc auc of" not in text


def test_a_quiet_console_prints_nothing(capsys):
  reporter = Reporter(quiet=True)
  reporter.print("a message")
  reporter.epoch("busi", [_record(0.5, 0.25)], 10)
  assert capsys.readouterr().out == ""


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
