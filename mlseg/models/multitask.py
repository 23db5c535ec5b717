"""A pretrained encoder with a U-Net's decoder, a head of classes, or both: Multi-task U-Net.

Reference: the Multi-task U-Net study, which takes VGG16 and MobileNetV2 as encoders; the decoder is
that of Ronneberger, Fischer, Brox, MICCAI 2015, its gates those of Oktay et al., MIDL 2018.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mlseg.models.base import Outputs
from mlseg.models.encoders.encoder import Encoder
from mlseg.models.layers import blocks, normalisation
from mlseg.models.layers.attention import AttentionGate

HALVINGS = 5  # of every encoder


class MultiTaskUNet(nn.Module):
  """Maps images [B, H, W, 1 or 3] to one score per pixel and class, and one per image and class.

  H and W are multiples of 32. The decoder goes up from the encoder's last features; a level is a
  2×2 transposed convolution, the encoder's features of that size beside it, and 3×3 convolutions
  with batch normalisation and ReLU. The head is fully connected on the mean of the last features.

  Attributes:
    encoder: from `make_encoder`.
    num_classes: of the pixels, background included; 0: no decoder.
    num_labels: of the images; 0: no head of classes.
    decoder_filters: channels of the levels, coarsest first.
    decoder_convs: 3×3 convolutions in a level.
    skips: whether the encoder's features are read beside the coarser level.
    attention: whether gates weigh them.
    units: of the head's hidden layers.
    norm_momentum: share of the old value in the decoder's running statistics.
    dtype: of the computation; parameters, statistics and scores are float32.

  Example:
    >>> from mlseg.models.encoder import make_encoder
    >>> net = MultiTaskUNet(make_encoder("mobilenet_v2", "keras", 0.35), 2, 3)
    >>> images = jax.ShapeDtypeStruct((4, 64, 64, 1), jnp.float32)
    >>> shapes, _ = jax.eval_shape(
    ...   lambda x: net.init_with_output(jax.random.key(0), x, False), images
    ... )
    >>> shapes.logits.shape, shapes.class_logits.shape
    ((4, 64, 64, 2), (4, 3))
  """

  encoder: Encoder
  num_classes: int
  num_labels: int
  decoder_filters: tuple[int, ...] = (256, 128, 64, 32, 16)
  decoder_convs: int = 2
  skips: bool = True
  attention: bool = False
  units: tuple[int, ...] = (128,)
  norm_momentum: float = 0.9
  dtype: jnp.dtype = jnp.float32

  def setup(self) -> None:
    """Makes the parts."""
    if self.num_classes:
      self.levels = [
        _Level(
          filters, self.decoder_convs, self.skips, self.attention, self.norm_momentum, self.dtype
        )
        for filters in self.decoder_filters
      ]
      self.segmentation = blocks.Conv(self.num_classes, size=1, use_bias=True)
    if self.num_labels:
      self.hidden = [nn.Dense(units) for units in self.units]
      self.classification = nn.Dense(self.num_labels)

  def __call__(self, images: jax.Array, train: bool) -> Outputs:
    """Returns the scores, and as features the encoder's last ones."""
    features = self.encoder(images, train)
    logits = self._decode(features, train) if self.num_classes else None
    class_logits = self.classify(features[-1]) if self.num_labels else None
    return Outputs(logits, class_logits, features[-1])

  def classify(self, features: jax.Array) -> jax.Array:
    """Returns the scores [B, num_labels] of the encoder's last features [B, h, w, F]."""
    return self._classes(features.astype(jnp.float32).mean((1, 2)))

  def _classes(self, activations: jax.Array) -> jax.Array:
    for layer in self.hidden:
      activations = nn.relu(layer(activations))
    return self.classification(activations)

  def _decode(self, features: tuple[jax.Array, ...], train: bool) -> jax.Array:
    by_halvings = {stride.bit_length() - 1: f for stride, f in zip(
      self.encoder.strides, features, strict=True
    )}  # fmt: skip
    activations = features[-1]
    for place, level in enumerate(self.levels):
      activations = level(activations, by_halvings.get(HALVINGS - 1 - place), train)
    return self.segmentation(activations.astype(jnp.float32))


class _Level(nn.Module):
  """A level of the decoder, twice the size of what it gets."""

  filters: int
  convs: int
  skips: bool
  attention: bool
  norm_momentum: float
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, coarse: jax.Array, skip: jax.Array | None, train: bool) -> jax.Array:
    activations = blocks.UpConv(self.filters, 2, use_bias=True, dtype=self.dtype)(coarse)
    if self.skips and skip is not None:
      if self.attention:
        skip = AttentionGate(max(1, skip.shape[-1] // 2), self.dtype)(skip, coarse)
      activations = jnp.concatenate([activations, skip], axis=-1)
    for _ in range(self.convs):
      activations = blocks.Conv(self.filters, dtype=self.dtype)(activations)
      activations = normalisation.BatchNorm(momentum=self.norm_momentum)(activations, train)
    return activations
