"""The whole path in seconds: a small U-Net on 32×32 pictures, two epochs; no score to speak of.

python -m mlseg.main --config=configs/smoke.py
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
  """Returns the recipe."""
  config = ConfigDict()
  config.name = "smoke"
  config.variant = "variance+class_balanced_dice"
  config.seed = 0  # of the first run
  config.num_seeds = 1
  config.num_epochs = 2
  config.batch_size = 32
  config.num_microbatches = 1  # parts in which a batch goes through the network, to save memory
  config.selection = "dice"  # of the validation set, which epoch is kept; or accuracy, mean
  config.patience = 0  # epochs without a better validation score before a run ends; 0: never
  config.log_every = 2  # steps; also how often the host looks at the device
  config.checkpoint_every = 1  # epochs
  config.max_nonfinite = 10  # skipped steps in a row that end a run

  config.seeds = ConfigDict()
  config.seeds.strategy = "auto"  # or vmap, map, loop: how several seeds are trained together
  config.seeds.vectorize = 0  # with 'vmap', most models at once; 0: what the memory holds

  config.mesh = ConfigDict()  # devices along each axis; 0: what fits
  config.mesh.seed = 0
  config.mesh.data = 0
  config.mesh.model = 1  # more: parameters and optimiser in parts

  config.data = ConfigDict()
  config.data.name = "busi"
  config.data.root = placeholder(str)  # folder of the originals; none: the embedded 128×128 set
  config.data.placement = "device"  # or 'host', for a data set that the device cannot hold
  config.data.image_size = 32
  # Pictures in their own size instead, of which patches are trained on: their side, or 0.
  config.data.patch_size = 0
  config.data.patch_overlap = 0.5  # of the tiles in which such pictures are predicted
  config.data.diameter = 5  # of the bilateral filter, pixels; 0: no filter
  config.data.sigma_space = 2.0  # pixels
  config.data.sigma_intensity = 25.0  # grey values of 0 to 255
  # Near-duplicates on one side; 'random': the paper's naive split; or the 'published' test part.
  config.data.split = "grouped"
  config.data.split_seed = 0
  config.data.resplit = True  # every seed draws a split of its own, as in the paper
  config.data.fractions = (0.7, 0.15, 0.15)  # training, validation, test
  config.data.num_folds = 0  # of a cross-validation, instead of a test set by fractions; 0: none
  config.data.fold = -1  # which of them is tested; -1: each seed's own, seed 0 the first

  config.augmentation = ConfigDict()  # all off, as in the paper
  config.augmentation.flip_horizontal = 0.0  # probability
  config.augmentation.flip_vertical = 0.0  # probability
  config.augmentation.rotation = 0.0  # largest angle, degrees
  config.augmentation.shear = 0.0  # largest angle, degrees
  config.augmentation.scale = 0.0  # largest relative change
  config.augmentation.elastic = 0.0  # standard deviation of the displacement, pixels
  config.augmentation.elastic_sigma = 10.0  # over which the displacement is smooth, pixels
  config.augmentation.brightness = 0.0  # largest shift, of the range 0 to 1
  config.augmentation.contrast = 0.0  # largest relative change

  config.model = ConfigDict()
  config.model.name = "unet"
  config.model.depth = 2
  config.model.filters = 4
  config.model.convs_per_level = 1
  config.model.norm = "batch"
  config.model.norm_momentum = 0.9
  config.model.decoder_convs = placeholder(int)  # none: one fewer than in the encoder
  config.model.upsampling = "transposed3"
  config.model.upsampling_norm = True  # normalise and rectify after up-sampling
  config.model.dtype = "float32"  # or bfloat16: of the network; losses and parameters stay float32
  config.model.remat = False  # compute activations again on the way back, to save memory

  config.optimizer = ConfigDict()
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.optimizer.schedule = "constant"
  config.optimizer.weight_decay = 0.0
  config.optimizer.clip_norm = 0.0  # largest global norm of the gradient; 0: no limit
  config.optimizer.stage_rates = ConfigDict()  # of an encoder; see multitask_busi.py

  config.losses = ("cross_entropy", "soft_iou", "soft_dice")
  config.loss_options = ConfigDict()
  config.loss_options.focal = ConfigDict({"gamma": 2.0, "alpha": 0.25})
  config.loss_options.tversky = ConfigDict({"alpha": 0.7, "beta": 0.3})
  config.loss_options.class_balanced_dice = ConfigDict({"class_weights": "paper"})
  config.loss_options.weighted_cross_entropy = ConfigDict({"class_weights": ()})  # 'balanced'

  config.metrics = ConfigDict()  # of the test; those of overlap are always there
  config.metrics.surface = True  # distances between surfaces
  config.metrics.spacing = (1.0, 1.0)  # of the pixels that the network sees, (row, column)
  config.metrics.tolerance = 2.0  # of the normalised surface Dice, in units of spacing
  config.metrics.objects = False  # F1, Dice and Hausdorff distance of single objects
  config.metrics.object_neck = 0.0  # pixels, half of a bridge at which predicted ones are cut
  config.metrics.object_size = 0  # pixels, below which predicted ones are left out
  config.metrics.num_processes = 0  # 0: this one for little work, else one for each CPU

  config.weighting = ConfigDict()
  config.weighting.name = "dynamic_memory_fusion"
  config.weighting.fixed = (1.0, 1.0, 1.0)  # for 'fixed': one weight per loss
  config.weighting.options = ConfigDict()  # by method; what is not here keeps its default
  config.weighting.options.dynamic_memory_fusion = fusion = ConfigDict()
  fusion.statistic = "variance"
  fusion.capacity = 150  # losses that are remembered
  fusion.min_history = 10  # losses that must be known before weights adapt
  fusion.forgetting = 0.0  # share of the initial prior, for 'bayesian'
  config.weighting.per_epoch = False  # weights from the mean losses of an epoch, once per epoch
  config.weighting.every = 1  # steps between two updates of the weights
  config.weighting.warm_up = 0  # steps with equal weights at first
  config.weighting.prior = ()  # ratios by which the weights are multiplied, one per loss
  config.weighting.ema = 0.0  # decay of an average over the weights; 0: none
  config.weighting.lower = 0.0  # bounds of a weight
  config.weighting.upper = 1.0
  config.weighting.rescale = "none"  # or sum_to_one, sum_to_num_losses, first_loss
  config.weighting.gram_at = "logits"  # where gradients are compared; or 'params'

  config.auxiliary = ConfigDict()
  config.auxiliary.name = "class_balanced_dice"
  config.auxiliary.initial = 5.0
  config.auxiliary.decay = 0.05
  config.auxiliary.decay_every = 5  # steps
  return config
