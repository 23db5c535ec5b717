"""All keys of a recipe, section by section, in the order in which a recipe has them."""

from mlseg.recipe.schema.data_keys import AUGMENTATION, DATA
from mlseg.recipe.schema.key import ABSENT, NEEDED, Key
from mlseg.recipe.schema.model_keys import MODEL
from mlseg.recipe.schema.prediction_keys import PREDICTION
from mlseg.recipe.schema.run_keys import RUN
from mlseg.recipe.schema.training_keys import AUXILIARY, LOSSES, METRICS, OPTIMIZER, WEIGHTING

KEYS: tuple[Key, ...] = (
  *RUN, *DATA, *AUGMENTATION, *MODEL, *OPTIMIZER, *LOSSES, *METRICS, *PREDICTION, *WEIGHTING,
  *AUXILIARY,
)  # fmt: skip
# Sections whose entries `options` knows, and the word for what each of their sections is of.
OPTIONS = {"weighting.options": "weighting", "loss_options": "loss",
           "auxiliary.schedule_options": "schedule"}  # fmt: skip

__all__ = ["ABSENT", "KEYS", "NEEDED", "OPTIONS", "Key"]
