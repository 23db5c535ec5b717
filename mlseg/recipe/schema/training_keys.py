"""The keys of optimiser, losses, metrics, weighting and auxiliary loss."""

from mlseg.metrics.class_means import ABSENT as ABSENT_CLASSES
from mlseg.recipe.auxiliary_schedule import EXPONENTIAL, SCHEDULES
from mlseg.recipe.gram import PLACES
from mlseg.recipe.loss_table import LOSSES as TABLE
from mlseg.recipe.optimizer import ADAM, DECAY_MASKS, OFF, SGD, STAGES
from mlseg.recipe.rate_schedule import SCHEDULES as RATE_SCHEDULES
from mlseg.recipe.schema.compound import distinct, sequence
from mlseg.recipe.schema.key import ABSENT, Key
from mlseg.recipe.schema.kinds import boolean, choice, integer, number
from mlseg.recipe.weighting import FORMER_NAMES
from mlseg.weighting.registry import METHODS

_NONE = "none"
_RATES = "larger rates leave single precision within a few steps"
_WEIGHTS = sequence(number(0))

OPTIMIZER: tuple[Key, ...] = (
  Key("optimizer.name", choice(("adam", "adamw", "sgd"), "optimizer"), "The optimiser."),
  Key("optimizer.learning_rate",
      number(0, 1e38, "larger ones are infinite in single precision", open_low=True),
      "The learning rate."),
  Key("optimizer.schedule", choice(RATE_SCHEDULES), "How the rate changes over the run.",
      "constant"),
  Key("optimizer.power", number(0, 100, open_low=True),
      "Of 'polynomial': the exponent of the rest of the run.", OFF["power"]),
  Key("optimizer.warm_up", number(0),
      "Epochs in which the rate grows linearly from 0; fewer than num_epochs.", OFF["warm_up"]),
  Key("optimizer.end_rate", number(0, 1),
      "Of 'cosine' and 'polynomial': share of the rate at the end of the run.", OFF["end_rate"]),
  *(Key(f"optimizer.{name}", number(0, 1, open_high=True), meaning, ADAM[name])
    for name, meaning in (
      ("b1", "Of 'adam' and 'adamw': decay of the mean of the gradient."),
      ("b2", "Of 'adam' and 'adamw': decay of the mean of its square."),
    )),
  Key("optimizer.eps", number(0, 1, open_low=True), "Of 'adam' and 'adamw': added to a root.",
      ADAM["eps"]),
  Key("optimizer.momentum", number(0, 1, open_high=True), "Of 'sgd'; 0: plain steps.",
      SGD["momentum"]),
  Key("optimizer.nesterov", boolean(), "Of 'sgd': whether the momentum is Nesterov's.",
      SGD["nesterov"]),
  Key("optimizer.weight_decay", number(0, 1e6, _RATES), "Decoupled weight decay, of 'adamw'.", 0.0),
  Key("optimizer.decay_mask", choice(DECAY_MASKS),
      "Which parameters decay: 'all', or 'kernels', those of two axes or more.",
      OFF["decay_mask"]),
  Key("optimizer.clip_norm", number(0), "Largest global norm of the gradient; 0: no limit.", 0.0),
  Key("optimizer.ema", number(0, 1, open_high=True),
      "Decay of an average over the variables, which validation, testing and prediction use; 0:"
      " none.", OFF["ema"]),
  *(Key(f"optimizer.stage_rates.{stage}", number(0, 1e6, _RATES),
        "Factor of the learning rate of this part of the network; 0: it is frozen.", ABSENT)
    for stage in STAGES),
)  # fmt: skip

LOSSES: tuple[Key, ...] = (
  Key("losses", distinct(sequence(choice(TABLE, "loss"), 1), "the losses must be different"),
      "The losses, in the order of their weights."),
)  # fmt: skip

METRICS: tuple[Key, ...] = (
  Key("metrics.surface", boolean(), "Whether distances between surfaces are computed.", True),
  Key("metrics.spacing", sequence(number(0, open_low=True), 2, 2, "positive numbers"),
      "Of the pixels that the network sees, (row, column).", (1.0, 1.0)),
  Key("metrics.tolerance", number(0), "Of the normalised surface Dice, in units of spacing.", 2.0),
  Key("metrics.objects", boolean(), "Whether the metrics of single objects are computed.", False),
  Key("metrics.object_neck", number(0, 1000, "it is in pixels"),
      "Half width of bridges where predicted objects are cut, pixels.", 0.0),
  Key("metrics.object_size", integer(0), "Smaller predicted objects are left out, pixels.", 0),
  Key("metrics.absent", choice(ABSENT_CLASSES),
      "What a class that is neither true nor predicted counts in a mean over classes.", "left_out"),
  Key("metrics.num_processes", integer(0, 1024, "each is a process"),
      "For surface metrics; 0: one per CPU if there is enough work.", 0),
)  # fmt: skip

WEIGHTING: tuple[Key, ...] = (
  Key("weighting.name", choice((*METHODS, *FORMER_NAMES), "weighting"),
      "The method that decides the weights."),
  Key("weighting.fixed", _WEIGHTS, "For 'fixed': one weight per loss.", ()),
  Key("weighting.per_epoch", boolean(),
      "Whether weights come from the mean losses of an epoch, once per epoch.", False),
  Key("weighting.every", integer(1), "Steps between two updates of the weights.", 1),
  Key("weighting.warm_up", integer(0), "Steps with equal weights at first.", 0),
  Key("weighting.prior", _WEIGHTS,
      "Ratios by which the weights are multiplied, one per loss; (): none.", ()),
  Key("weighting.ema", number(0, 1, open_high=True),
      "Decay of an average over the weights; 0: none.", 0.0),
  Key("weighting.lower", number(0, 1), "Least weight of a loss.", 0.0),
  Key("weighting.upper", number(0, 1), "Largest weight of a loss.", 1.0),
  Key("weighting.rescale", choice((_NONE, "sum_to_one", "sum_to_num_losses", "first_loss")),
      "How all weights are scaled in the end.", _NONE),
  Key("weighting.gram_at", choice(PLACES), "Where methods that compare gradients take them.",
      "logits"),
)  # fmt: skip

AUXILIARY: tuple[Key, ...] = (
  Key("auxiliary.name", choice((*TABLE, _NONE), "loss"),
      "A further loss whose weight decays; 'none': there is none.", _NONE),
  Key("auxiliary.initial", number(0), "Its first weight.", 5.0),
  Key("auxiliary.decay", number(0), "What is taken from its weight at a time.", 0.05),
  Key("auxiliary.decay_every", integer(1), "Steps between two times.", 100),
  Key("auxiliary.schedule", choice((EXPONENTIAL, *SCHEDULES)),
      "How its weight changes: as above, or by a schedule of optax.", EXPONENTIAL),
)  # fmt: skip
