"""The keys of prediction: views, the ensemble, and what is chosen on validation."""

from mlseg.models.averaging import ONE, VIEWS
from mlseg.recipe.prediction import ALL_COMPONENTS, ARGMAX, UNCALIBRATED, VALIDATION
from mlseg.recipe.schema.key import Key
from mlseg.recipe.schema.kinds import boolean, choice

PREDICTION: tuple[Key, ...] = (
  Key("prediction.views", choice(VIEWS),
      "Views of an image whose probabilities are averaged: the image, its left-right mirror image"
      " too, or all three mirror images.", ONE),
  Key("prediction.ensemble", boolean(),
      "Whether the mean of the probabilities of all seeds, which then share one split, is tested"
      " too.", False),
  Key("prediction.threshold", choice((ARGMAX, VALIDATION)),
      "Of two classes: the most probable one, or a threshold of the second one's probability that"
      " has the best Dice on the validation cases.", ARGMAX),
  Key("prediction.components", choice((ALL_COMPONENTS, VALIDATION)),
      "Whether components stay and holes too, or small ones go, with the sizes that have the best"
      " Dice on the validation cases.", ALL_COMPONENTS),
  Key("prediction.calibration", choice((UNCALIBRATED, VALIDATION)),
      "Whether probabilities, of pixels and of diagnoses, get a temperature that is fitted on the"
      " validation cases. Masks and diagnoses stay.", UNCALIBRATED),
)  # fmt: skip
