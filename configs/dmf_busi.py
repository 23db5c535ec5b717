"""Dynamic Memory Fusion on breast ultrasound (BUSI), the recipe of Golnari & Diba.

    python -m mlseg.main --config=configs/dmf_busi.py

The variants are the 13 rows of the paper's table 1. A variant is named after a colon: a statistic
and an auxiliary loss, `variance|mad|bayesian + tversky|focal|class_balanced_dice|none`, or `fixed`:

    python -m mlseg.main --config=configs/dmf_busi.py:mad+tversky

The default is the paper's best row, `variance+class_balanced_dice`. Measured over three seeds
(`--config.num_seeds=3`, each with its own grouped split of 451, 98 and 98 images), on the test set,
mean ± standard deviation:

- Dice of the lesion, mean over images: 63.0 ± 2.0 %
- Dice, mean over both classes, then over images: 79.9 ± 1.2 %

A seed takes about six minutes on two CPU cores (28 images per second, validation included). For the
second score the paper reports 95.2 ± 0.5 %, on its own split.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

STATISTICS = ("variance", "mad", "bayesian")
AUXILIARIES = ("tversky", "focal", "class_balanced_dice", "none")
VARIANTS = (*(f"{s}+{a}" for s in STATISTICS for a in AUXILIARIES), "fixed")


def get_config(variant: str = "variance+class_balanced_dice") -> ConfigDict:
  """Returns the recipe of a variant."""
  if variant not in VARIANTS:
    raise ValueError(f"unknown variant {variant!r}: choose from {', '.join(VARIANTS)}")
  statistic, _, auxiliary = variant.partition("+")

  config = ConfigDict()
  config.name = "dmf_busi"
  config.variant = variant
  config.seed = 0  # the first seed
  config.num_seeds = 1
  config.num_epochs = 20
  config.batch_size = 32
  config.num_microbatches = 1  # parts in which a batch goes through the network, to save memory
  # The validation score that chooses the epoch: dice, of the classes that are true or predicted, or
  # dice_pooled, dice_absent_as_one (the mean over all classes), class_balanced_dice (the paper's),
  # class_balanced_dice_pooled, accuracy, auc, or mean (of dice and accuracy).
  config.selection = "dice"
  config.patience = 0  # epochs without a better validation score before a run ends; 0: never
  config.log_every = 2  # steps between two log lines; the host reads the device as often
  config.checkpoint_every = 1  # epochs
  config.max_nonfinite = 10  # skipped steps in a row that end a run

  config.seeds = ConfigDict()
  config.seeds.strategy = "auto"  # or vmap, map, loop: how several seeds are trained together
  config.seeds.vectorize = 0  # most models at once with 'vmap'; 0: as many as the memory holds

  config.mesh = ConfigDict()  # number of devices along each axis; 0: the best that fits
  config.mesh.seed = 0
  config.mesh.data = 0
  config.mesh.model = 1  # above 1: parameters and optimiser state are split over devices

  config.data = ConfigDict()
  config.data.name = "busi"
  config.data.root = placeholder(str)  # folder of the original files; none: the embedded data
  config.data.placement = "device"  # or 'host', for a data set that the device cannot hold
  config.data.image_size = 128  # side to which images are resized, pixels
  # Side of the patches to train on, of images that keep their size; 0: images are resized.
  config.data.patch_size = 0
  config.data.patch_overlap = 0.5  # share by which tiles overlap when such images are predicted
  config.data.diameter = 5  # of the bilateral filter, pixels; 0: no filter
  config.data.sigma_space = 2.0  # of the bilateral filter, pixels
  config.data.sigma_intensity = 25.0  # of the bilateral filter, in grey values of 0 to 255
  # Values that become black and white in images of more than 8 bits: 'minmax', those of the image,
  # or 'range', those of its type.
  config.data.sixteen_bit = "minmax"
  # What is done with a mask of another size than its image: 'refuse', or resize it by 'nearest'
  # pixel or by 'area'.
  config.data.mask_resize = "refuse"
  config.data.skip_bad = False  # whether bad files are left out, and listed in skipped.csv
  # 'grouped': near-duplicates stay in one part; 'random': the paper's split; or 'published'.
  config.data.split = "grouped"
  config.data.split_seed = 0
  config.data.resplit = True  # whether every seed draws another split, as in the paper
  config.data.fractions = (0.7, 0.15, 0.15)  # training, validation, test
  config.data.num_folds = 0  # of a cross-validation, instead of a test set by fractions; 0: none
  config.data.fold = -1  # the fold to test; -1: seed 0 tests the first, seed 1 the second, ...

  config.augmentation = ConfigDict()  # all off, as in the paper
  config.augmentation.flip_horizontal = 0.0  # probability
  config.augmentation.flip_vertical = 0.0  # probability
  config.augmentation.rotation = 0.0  # largest angle, degrees
  config.augmentation.shear = 0.0  # largest angle, degrees
  config.augmentation.scale = 0.0  # largest relative change
  config.augmentation.elastic = 0.0  # standard deviation of the displacement, pixels
  config.augmentation.elastic_sigma = 10.0  # of the Gaussian that smooths the displacement, pixels
  config.augmentation.brightness = 0.0  # largest shift, of the range 0 to 1
  config.augmentation.contrast = 0.0  # largest relative change

  config.model = ConfigDict()
  config.model.name = "unet"
  config.model.depth = 4
  config.model.filters = 32
  config.model.convs_per_level = 1
  config.model.norm = "batch"
  # The paper does not give it. With 0.99, Keras's default, half of the running statistics would
  # still be their initial value after the first five epochs of 14 steps.
  config.model.norm_momentum = 0.9
  config.model.decoder_convs = placeholder(int)  # none: one fewer than in the encoder
  config.model.upsampling = "transposed3"
  config.model.upsampling_norm = True  # whether normalisation and ReLU follow the up-sampling
  config.model.dtype = "float32"  # or bfloat16, for activations; losses and parameters are float32
  config.model.remat = False  # whether activations are recomputed backward, to save memory

  config.optimizer = ConfigDict()
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.optimizer.schedule = "constant"
  config.optimizer.b1 = 0.9  # of adam and adamw: decay of the mean of the gradient
  config.optimizer.b2 = 0.999  # of adam and adamw: decay of the mean of its square
  config.optimizer.eps = 1e-8  # of adam and adamw
  config.optimizer.momentum = 0.9  # of sgd; 0: plain steps
  config.optimizer.nesterov = True  # of sgd
  config.optimizer.weight_decay = 0.0  # of adamw
  config.optimizer.clip_norm = 0.0  # largest global norm of the gradient; 0: no limit
  config.optimizer.stage_rates = ConfigDict()  # for the stages of an encoder: multitask_busi.py

  config.losses = ("cross_entropy", "soft_iou", "soft_dice")
  config.loss_options = ConfigDict()
  config.loss_options.focal = ConfigDict({"gamma": 2.0, "alpha": 0.25})
  config.loss_options.tversky = ConfigDict({"alpha": 0.7, "beta": 0.3})
  config.loss_options.class_balanced_dice = ConfigDict({"class_weights": "paper"})
  more = config.loss_options  # of losses that are not in the paper
  more.binary_cross_entropy = ConfigDict({"positive_weight": 1.0, "label_reduction": "mean"})
  more.weighted_cross_entropy = ConfigDict({"class_weights": ()})  # (): n / (C n_c), 'balanced'
  more.dynamically_weighted_balanced = ConfigDict({"class_counts": (), "regularization": 1.0})
  more.ordered_weighted_cross_entropy = ConfigDict({"alpha": 0.5})
  more.soft_dice = ConfigDict({"include_background": True})
  more.soft_iou = ConfigDict({"include_background": True})
  more.generalized_dice = ConfigDict({"class_weights": "square", "include_background": True})
  more.focal_tversky = ConfigDict({"alpha": 0.3, "beta": 0.7, "gamma": 4 / 3})
  more.lovasz_softmax = ConfigDict({"classes": "present"})
  more.boundary = ConfigDict({"include_background": False})
  more.hausdorff_distance_transform = ConfigDict({"alpha": 2.0, "include_background": False})
  more.cl_dice = ConfigDict({"iterations": 3, "smooth": 1.0, "include_background": False})
  more.classification_weighted_cross_entropy = ConfigDict({"class_weights": ()})  # of diagnoses
  more.topology = ConfigDict({"containment": (), "exclusion": (), "need_label": False})
  more.geometry = ConfigDict({"containment": (), "exclusion": (), "need_label": False})

  config.metrics = ConfigDict()  # of the test set; metrics of overlap are always computed
  config.metrics.surface = True  # distances between surfaces
  config.metrics.spacing = (1.0, 1.0)  # of the pixels that the network sees, (row, column)
  config.metrics.tolerance = 2.0  # of the normalised surface Dice, in units of spacing
  config.metrics.objects = False  # F1, Dice and Hausdorff distance of single objects
  config.metrics.object_neck = 0.0  # half width of bridges where predicted objects are cut, pixels
  config.metrics.object_size = 0  # smaller predicted objects are left out, pixels
  config.metrics.absent = "left_out"  # from means, classes neither true nor predicted; or 'one'
  config.metrics.num_processes = 0  # for surface metrics; 0: one per CPU if there is enough work

  config.weighting = ConfigDict()
  config.weighting.name = "fixed" if statistic == "fixed" else "dynamic_memory_fusion"
  config.weighting.fixed = (1.0, 1.0, 1.0)  # for 'fixed': one weight per loss
  config.weighting.options = ConfigDict()  # by method; an option that is not here has its default
  config.weighting.options.dynamic_memory_fusion = fusion = ConfigDict()
  fusion.statistic = "variance" if statistic == "fixed" else statistic
  fusion.capacity = 150  # steps whose losses are remembered
  fusion.min_history = 50  # steps before the weights adapt
  fusion.forgetting = 0.0  # share of the initial prior, for 'bayesian'
  fusion.prior = placeholder(tuple)  # for 'bayesian': one number per loss; none: equal ones
  others = config.weighting.options
  others.softadapt = ConfigDict({"variant": "original", "beta": 0.1, "window": 5})
  others.dynamic_weight_average = ConfigDict({"temperature": 2.0, "include_current": False})
  others.coefficient_of_variation = ConfigDict({"mean": "full", "decay": 0.99})
  others.relobralo = ConfigDict({"decay": 0.999, "temperature": 0.1, "expected_saudade": 0.9999})
  others.random_weighting = ConfigDict({"distribution": "normal"})
  others.smooth_tchebycheff = ConfigDict({"mu": 0.1, "log": False, "warm_up": 0})
  others.soft_optimal_uncertainty = ConfigDict({"temperature": 1.0})
  others.cosmos = ConfigDict({"penalty": 1.0})
  others.penalty_boundary_intersection = ConfigDict({"theta": 5.0})
  learned: dict = {"optimizer": "adam", "learning_rate": 0.025}  # or sgd
  others.famo = ConfigDict({"gamma": 0.001, **learned})
  others.uncertainty = ConfigDict({"kind": "regression", **learned})
  others.revised_uncertainty = ConfigDict({"initial": 1.0, **learned})
  others.impartial_losses = ConfigDict(learned)
  others.robust = ConfigDict({"shape": 1.0, "scale": 1.0, **learned})
  others.gradnorm = ConfigDict({"alpha": 1.5, **learned})
  others.mgda = ConfigDict({"normalization": "none"})
  others.pcgrad = ConfigDict({"reduction": "sum"})
  others.gradvac = ConfigDict({"beta": 0.01})
  others.cagrad = ConfigDict({"c": 0.5, "rescale": 1})
  others.nash_mtl = ConfigDict({"max_norm": 1.0})
  others.fairgrad = ConfigDict({"alpha": 2.0})
  others.aligned_mtl = ConfigDict({"scale": "min"})
  others.dual_projection = ConfigDict({"regularization": 0.0})
  others.upgrad = ConfigDict({"regularization": 0.0})
  others.modo = ConfigDict({"gamma": 0.1, "rho": 0.1})
  others.sdmgrad = ConfigDict({"learning_rate": 0.1, "num_steps": 20, "regularization": 0.3})
  config.weighting.per_epoch = False  # weights from the mean losses of an epoch, once per epoch
  config.weighting.every = 1  # steps between two updates of the weights
  config.weighting.warm_up = 0  # steps with equal weights at first
  config.weighting.prior = ()  # ratios by which the weights are multiplied, one per loss
  config.weighting.ema = 0.0  # decay of an average over the weights; 0: none
  config.weighting.lower = 0.0  # lower and upper bound of a weight
  config.weighting.upper = 1.0
  config.weighting.rescale = "none"  # or sum_to_one, sum_to_num_losses, first_loss
  # Where gradients are compared: 'logits', 'params', or 'auto': at the logits where all losses read
  # the same ones, else at the parameters, which takes a backward pass for each loss.
  config.weighting.gram_at = "auto"

  config.auxiliary = ConfigDict()
  config.auxiliary.name = auxiliary or "none"
  config.auxiliary.initial = 5.0
  config.auxiliary.decay = 0.05
  config.auxiliary.decay_every = 100  # steps
  # 'exponential', as above; or a schedule of optax, whose steps may be shares of the run:
  config.auxiliary.schedule = "exponential"
  config.auxiliary.schedule_options = fading = ConfigDict()
  fading.linear_schedule = ConfigDict({"end_value": 0.0, "transition_steps": 0.5})
  fading.cosine_decay_schedule = ConfigDict({"alpha": 0.0, "decay_steps": 0.5})
  fading.polynomial_schedule = ConfigDict(
    {"end_value": 0.0, "power": 2.0, "transition_steps": 0.5, "transition_begin": 0}
  )
  fading.exponential_decay = ConfigDict({"transition_steps": 0.1, "decay_rate": 0.5})
  fading.piecewise_constant_schedule = ConfigDict({"boundaries_and_scales": ((0.3, 0.0),)})
  return config
