"""The keys of the networks."""

from mlseg.models import unet
from mlseg.models.encoders import convention
from mlseg.models.encoders import encoder as encoders
from mlseg.recipe.networks import (
  DECODER_OFF,
  DILATED,
  DTYPES,
  HEADS,
  MULTITASK,
  NETWORKS,
  PRECISIONS,
  SLICE_ATTENTION,
)
from mlseg.recipe.schema.compound import distinct, optional, pair, sequence
from mlseg.recipe.schema.key import Key
from mlseg.recipe.schema.kinds import boolean, choice, integer, number, text

_MEMORY = "the arrays of wider layers exceed any memory"
_UNET = ("unet", "attention_unet")
_TWO_HEADS = (MULTITASK, "classifier", SLICE_ATTENTION)
_ENCODED = (*_TWO_HEADS, "mask_rcnn")
_FCN = ("histology_fcn",)
_RCNN = ("mask_rcnn",)
_SLICES = (SLICE_ATTENTION,)
_LABEL = integer(0, 255)
_CONVS = integer(0, 64, "the program repeats them")

MODEL: tuple[Key, ...] = (
  Key("model.name", choice(NETWORKS, "model"), "The network."),
  Key("model.heads", distinct(sequence(choice(HEADS), 1, 2), "the heads must differ"),
      "The heads that the network has.", of=(*_TWO_HEADS, *_FCN)),
  Key("model.containment", sequence(pair(_LABEL, _LABEL)),
      "Pairs (inner, outer) of classes of which one lies within the other.", (), _FCN),
  Key("model.encoder", choice(encoders.NAMES, "encoder"), "The encoder.", of=_ENCODED),
  Key("model.width", number(0, 16, _MEMORY, open_low=True),
      "Multiplier of the channels of mobilenet_v2.", 1.0, _ENCODED),
  Key("model.convention", choice((encoders.AUTO, *convention.CONVENTIONS), "convention"),
      "The library that the encoder's weights come from; 'auto': its usual one.", encoders.AUTO,
      _ENCODED),
  Key("model.pretrained", text(least=1),
      "'imagenet', 'none', or a file of the encoder's weights.", "none", _ENCODED),
  Key("model.frozen_statistics", boolean(),
      "Whether the encoder's batch normalisation keeps its statistics.", False, _ENCODED),
  Key("model.depth", integer(1, 12, "every level halves the image"), "How often images are halved.",
      of=(*_UNET, *_FCN)),
  Key("model.filters", integer(1, 4096, _MEMORY),
      "Channels of the first level, or of the feature pyramid.", of=(*_UNET, *_FCN, *_RCNN)),
  Key("model.convs_per_level", integer(1, 64, "the program repeats them"),
      "Convolutions of each level.", of=_UNET),
  Key("model.norm", choice(unet.NORMS), "The normalisation.", of=_UNET),
  Key("model.norm_momentum", number(0, 1, open_high=True),
      "Share of the running statistics that a step keeps.", of=(*_UNET, *_ENCODED, *_FCN)),
  Key("model.decoder_filters", sequence(integer(1, 8192, _MEMORY), 5, 5),
      "Channels of the decoder's levels, the coarsest first.", of=_TWO_HEADS),
  Key("model.decoder_convs", optional(_CONVS, "None (one fewer than in the encoder)"),
      "Convolutions of each level of the decoder.", None, _UNET),
  Key("model.decoder_convs", _CONVS, "Convolutions of each level of the decoder.", of=_TWO_HEADS),
  Key("model.upsampling", choice(unet.UPSAMPLINGS), "How the decoder enlarges.", of=_UNET),
  Key("model.upsampling_norm", boolean(),
      "Whether normalisation and ReLU follow the up-sampling.", True, _UNET),
  Key("model.skips", boolean(), "Whether the decoder reads the encoder's levels.", True,
      _TWO_HEADS),
  Key("model.attention", boolean(), "Whether attention gates weigh the skips.", False, _TWO_HEADS),
  Key("model.dropout", number(0, 1, open_high=True),
      "Probability that a channel is zero before the last layer of pixels, in training.",
      DECODER_OFF["dropout"], (*_UNET, MULTITASK)),
  Key("model.deep_supervision", integer(0, 11, "a decoder has at most 12 levels"),
      "Coarser levels of the decoder whose own scores the losses of pixels read too.",
      DECODER_OFF["deep_supervision"], (*_UNET, MULTITASK)),
  Key("model.bottleneck_dilations",
      sequence(integer(1, 4096, "no image is larger there"), 0, 16),
      "Dilations of a cascade of 3×3 convolutions, summed, on the coarsest activations; (): none.",
      (), DILATED),
  Key("model.units", sequence(integer(1, 65_536, _MEMORY)),
      "Sizes of the hidden layers of the classification head.", (), (*_TWO_HEADS, *_FCN)),
  Key("model.attention_units", integer(1, 65_536, _MEMORY),
      "Size of the attention over slices.", of=_SLICES),
  Key("model.embedding", integer(0, 65_536, _MEMORY),
      "Length of the embedding of a patient; 0: there is none.", 0, _SLICES),
  Key("model.num_textures", integer(2, 255, also=(0,)),
      "Classes of a lesion's texture; 0: there is no such head.", 0, _SLICES),
  Key("model.covariates",
      distinct(sequence(text(least=1)), "the names must differ"),
      "Columns of the cohort's manifest that the class scores depend on too; (): none.", (),
      _SLICES),
  Key("model.num_proposals", integer(1, 4096, "they are compared in pairs"),
      "Regions that are looked at.", of=_RCNN),
  Key("model.num_detections", integer(1, 4096, "they are compared in pairs"),
      "Most objects that are found in an image.", of=_RCNN),
  Key("model.max_objects", integer(1, 255),
      "Objects of a training image; further, smaller objects are background.", of=_RCNN),
  Key("model.min_score", number(0, 1, open_high=True),
      "Lowest probability of an object that is found.", of=_RCNN),
  Key("model.score_power", number(0, 100),
      "How much an object's probability counts in the map.", 0.0, _RCNN),
  Key("model.dtype", choice(DTYPES), "Of activations; losses and parameters are float32.",
      "float32"),
  Key("model.matmul_precision", choice(PRECISIONS),
      "To which the factors of products are rounded; arrays stay in their type.", PRECISIONS[0]),
  Key("model.remat", boolean(), "Whether activations are recomputed backward, to save memory.",
      False, _UNET),
)  # fmt: skip
