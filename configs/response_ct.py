"""Response to chemotherapy from a CT before treatment and a mask of the lesion, under five losses.

    python -m mlseg.main --config=configs/response_ct.py --config.data.root=DIR

DIR holds `manifest.csv` (`--config.data.cohort.manifest` names another file) with the columns
patient, image, mask and label. Further columns are numeric covariates, with which the report
compares the network, and which it reads too with `--config.model.covariates="('age','volume_ml')"`,
for columns of these names. An image is a NIfTI file or a folder of DICOM slices, in Hounsfield
units; a mask is a file of the same kind on the same grid.

A pretrained encoder reads the axial slices of the lesion, and gated attention combines them. The
losses are those of the outcome, of embeddings (supervised contrastive, and triplets of the hardest
pairs), of the lesion's mask, and of its texture, whose classes are computed from its grey levels.
Dynamic weight averaging balances them. The variants, named after a colon, are `all`,
`classification` (the first loss alone), `without_contrastive`, `without_hard_negatives`,
`without_segmentation` and `without_texture`. `--config.num_seeds=5` trains the five folds of a
cross-validation, which `python -m mlseg.report` combines.

No public cohort has such data, so neither time nor score has been measured; `response_synthetic.py`
is the same recipe on a generated cohort.

References: Multi-loss learning for ovarian cancer, arXiv 2605.14991; dynamic weight averaging: Liu,
Johns, Davison, CVPR 2019.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_MULTITASK = pathlib.Path(__file__).with_name("multitask_busi.py")
_BASE = runpy.run_path(str(_MULTITASK))
LOSSES = {
  "classification": "classification_cross_entropy",
  "contrastive": "supervised_contrastive",
  "hard_negatives": "triplet_hard",
  "segmentation": "soft_dice",
  "texture": "texture_cross_entropy",
}
VARIANTS = ("all", "classification", *(f"without_{term}" for term in list(LOSSES)[1:]))


def get_config(variant: str = "all") -> ConfigDict:
  """Returns the recipe of a variant."""
  if variant not in VARIANTS:
    raise ValueError(f"unknown variant {variant!r}: choose from {', '.join(VARIANTS)}")
  left_out = tuple(LOSSES)[1:] if variant == "classification" else variant.split("without_")[1:]
  terms = [term for term in LOSSES if term not in left_out]

  config = _BASE["get_config"]()
  config.name = "response_ct"
  config.variant = variant
  config.num_epochs = 40
  config.patience = 15
  config.batch_size = 8  # patients
  config.log_every = 4
  config.selection = "auc"

  config.data.name = "cohort"
  config.data.image_size = 96  # side of a slice, in pixels of the spacing below
  config.data.num_folds = 5  # each seed tests one fold
  config.data.cohort = own = ConfigDict()
  own.manifest = "manifest.csv"
  own.positive = ""  # the label whose probability is reported; '': the last in the alphabet
  own.spacing = (5.0, 1.0, 1.0)  # of slices, rows and columns, mm; 0: that of the file
  own.window = (-160.0, 240.0)  # Hounsfield units that become black and white
  own.margin = 20.0  # around the lesion, mm
  own.slices = 12  # most slices of a patient, evenly spaced
  own.mask_label = 0  # value of the lesion in the masks; 0: the only one beside 0
  own.mask_threshold = 0.0  # values above it are the lesion, such as 0.5; 0: masks have labels

  config.augmentation.flip_horizontal = 0.5
  config.augmentation.flip_vertical = 0.5
  config.augmentation.rotation = 20.0
  config.augmentation.shear = 0.0
  config.augmentation.scale = 0.1

  config.metrics.surface = False  # slices are not neighbours

  rates = config.optimizer.stage_rates  # the encoder is partly frozen
  rates.stage_0 = rates.stage_1 = rates.stage_2 = 0.0
  rates.stage_3 = rates.stage_4 = 0.1

  config.model.name = "slice_attention"
  config.model.frozen_statistics = True
  heads = {"segmentation": "segmentation" in terms, "classification": True}
  config.model.heads = tuple(head for head, there in heads.items() if there)
  config.model.decoder_filters = (64, 32, 32, 16, 8)
  config.model.decoder_convs = 1
  config.model.units = ()
  config.model.attention_units = 64
  contrasts = "contrastive" in terms or "hard_negatives" in terms
  config.model.embedding = 64 if contrasts else 0  # length of the embedding
  config.model.num_textures = 3 if "texture" in terms else 0
  config.model.covariates = ()  # columns of the manifest that the class scores depend on too

  config.losses = tuple(LOSSES[term] for term in terms)
  table = config.loss_options
  table.soft_dice = ConfigDict({"include_background": False})
  table.supervised_contrastive = ConfigDict({"temperature": 0.1, "num_hard_negatives": 0})
  # With the hardest negatives of all, every embedding collapses to one point.
  table.triplet_hard = ConfigDict({"margin": 0.3, "mining": "semihard"})
  table.texture_cross_entropy = ConfigDict({"statistic": "entropy"})  # or deviation, contrast

  config.weighting.fixed = (1.0,) * len(terms)
  if len(terms) > 1:
    config.weighting.name = "dynamic_weight_average"
    config.weighting.per_epoch = True
  return config
