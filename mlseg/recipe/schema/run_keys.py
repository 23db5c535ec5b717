"""The keys of a run: its name, its length, its seeds and its devices."""

from mlseg.devices import model_axis
from mlseg.metrics import SEGMENTATION_SCORES
from mlseg.recipe.schema.compound import distinct, sequence
from mlseg.recipe.schema.key import Key
from mlseg.recipe.schema.kinds import boolean, choice, integer, text
from mlseg.trackers import NAMES

# Scores of the validation set by which an epoch is the best, and the head that each needs. Of
# findings, 'accuracy' is the mean of their balanced accuracies, and 'auc' that of their areas.
SELECTIONS = {
  **dict.fromkeys(SEGMENTATION_SCORES, "segmentation"),
  "accuracy": "classification",
  "auc": "classification",
  "mean": "",  # of Dice and accuracy, as far as there are heads
}
_STEPS = "steps are counted in 32 bits"
_SEED = "the seeds of all models must be below 2**31"

RUN: tuple[Key, ...] = (
  Key("name", text(least=1, most=200), "Name of the recipe, for folders and tables."),
  Key("variant", text(most=200), "Name of the recipe's variant, for folders and tables.", ""),
  Key("seed", integer(0, 10**9, _SEED), "The first seed.", 0),
  Key("num_seeds", integer(1, 10_000, "each is a model"),
      "Number of models; each has the next seed.", 1),
  Key("num_epochs", integer(1, 100_000, _STEPS), "Epochs of training."),
  Key("batch_size", integer(1, 65_536, "a batch is held in memory"),
      "Images, or patients of a cohort, in a step."),
  Key("num_microbatches", integer(1, 65_536, "it divides the batch size"),
      "Parts in which a batch goes through the network, to save memory.", 1),
  Key("selection", choice(SELECTIONS),
      "Validation score that chooses the best epoch; of findings (data.folder.label_columns),"
      " 'accuracy' is the mean of their balanced accuracies, and 'auc' of their areas."),
  Key("patience", integer(0),
      "Epochs without a better validation score before a run ends; 0: never.", 0),
  Key("log_every", integer(1), "Steps between two log lines; the host reads the device as often.",
      10),
  Key("validation_every", integer(1),
      "Epochs between two validations; the last epoch has one in any case.", 1),
  Key("cosines_every", integer(0),
      "Epochs between two measurements of the cosines between the gradients of the losses, in the"
      " first step of an epoch, with respect to all parameters; 0: none. One takes a backward pass"
      " for each loss.", 0),
  Key("checkpoint_every", integer(1), "Epochs between two checkpoints.", 1),
  Key("max_nonfinite", integer(1),
      "Skipped steps in a row, of which loss or gradient is not finite, that end a run.", 10),
  Key("report", boolean(), "Whether mlseg.main ends with the report of the run, in its folder.",
      False),
  Key("trackers",
      distinct(sequence(choice(NAMES)), "two are the same"),
      "Where the log of training is written too; each needs the extra of its name.",
      ()),
  Key("seeds.strategy", choice(model_axis.STRATEGIES), "How several seeds are trained together.",
      "auto"),
  Key("seeds.vectorize", integer(0),
      "Most models at once with 'vmap'; 0: as many as the memory holds.", 0),
  Key("mesh.seed", integer(0, 65_536, "it is a number of devices"),
      "Devices over which models are spread; 0: the best that fits.", 0),
  Key("mesh.data", integer(0, 65_536, "it is a number of devices"),
      "Devices over which a batch is spread; 0: the best that fits.", 0),
  Key("mesh.model", integer(1, 65_536, "it is a number of devices"),
      "Devices over which parameters and optimiser state are split.", 1),
)  # fmt: skip
