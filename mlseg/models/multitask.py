"""The Multi-task U-Net: a pretrained encoder with a decoder, a classification head, or both.

Reference: the Multi-task U-Net study, which takes VGG16 and MobileNetV2 as encoders. The decoder is
that of Ronneberger, Fischer, Brox, MICCAI 2015, with the gates of Oktay et al., MIDL 2018.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mlseg.models.base import Outputs
from mlseg.models.encoders.encoder import Encoder
from mlseg.models.layers import blocks, normalisation
from mlseg.models.layers.attention import AttentionGate
from mlseg.models.layers.dilated import DilatedCascade

HALVINGS = 5  # how many times every encoder halves the image


class MultiTaskUNet(nn.Module):
  """Maps images [B, H, W, 1 or 3] to one score per pixel and class, and one per image and class.

  H and W are multiples of 32. The decoder starts from the encoder's last features. Each of its
  levels is a 2×2 transposed convolution, whose result is concatenated with the encoder's features
  of the same size, followed by 3×3 convolutions with batch normalisation and ReLU. The
  classification head is fully connected and reads the mean of the last features.

  Attributes:
    encoder: the encoder, from `make_encoder`.
    num_classes: number of pixel classes, background included; 0: no decoder.
    num_labels: number of image classes; 0: no classification head.
    decoder_filters: channels of the decoder's levels, coarsest first.
    decoder_convs: number of 3×3 convolutions in a level of the decoder.
    skips: whether the decoder reads the encoder's features beside its own coarser level.
    attention: whether attention gates weigh these skips.
    units: sizes of the classification head's hidden layers.
    norm_momentum: share of the old value in the decoder's running statistics.
    dropout: probability that a channel of an image is zero before a last 1×1 convolution, in
      training; the others are divided by its complement (Tompson et al., CVPR 2015).
    deep_supervision: how many coarser levels of the decoder, at most four, have a 1×1 convolution
      of their own, whose scores are `Outputs.deep_logits` in training (Lee et al., AISTATS 2015).
    bottleneck_dilations: of the 3×3 convolutions of a `DilatedCascade` on the encoder's last
      features, which decoder and classification head then read; (): there is none.
    dtype: type of the computation; parameters, statistics and scores are float32.

  Example:
    >>> from mlseg.models import make_encoder
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
  dropout: float = 0.0
  deep_supervision: int = 0
  bottleneck_dilations: tuple[int, ...] = ()
  dtype: jnp.dtype = jnp.float32

  def setup(self) -> None:
    """Makes the bottleneck, the decoder and the head."""
    if self.bottleneck_dilations:
      self.bottleneck = DilatedCascade(self.bottleneck_dilations, self.dtype)
    if self.num_classes:
      self.levels = [
        _Level(
          filters, self.decoder_convs, self.skips, self.attention, self.norm_momentum, self.dtype
        )
        for filters in self.decoder_filters
      ]
      self.drop = nn.Dropout(self.dropout, broadcast_dims=(1, 2))
      self.segmentation = blocks.Conv(self.num_classes, size=1, use_bias=True)
      self.deep = [
        blocks.Conv(self.num_classes, size=1, use_bias=True) for _ in range(self.deep_supervision)
      ]
    if self.num_labels:
      self.hidden = [nn.Dense(units) for units in self.units]
      self.classification = nn.Dense(self.num_labels)

  def __call__(self, images: jax.Array, train: bool) -> Outputs:
    """Returns the scores, and the last features, of the encoder or of the bottleneck."""
    features = self.encoder(images, train)
    if self.bottleneck_dilations:
      features = (*features[:-1], self.bottleneck(features[-1]))
    logits, deep = self._decode(features, train) if self.num_classes else (None, ())
    class_logits = self.classify(features[-1]) if self.num_labels else None
    return Outputs(logits, class_logits, features[-1], deep_logits=deep)

  def classify(self, features: jax.Array) -> jax.Array:
    """Returns the scores [B, num_labels] of the last features [B, h, w, F]."""
    return self._classes(features.astype(jnp.float32).mean((1, 2)))

  def _classes(self, activations: jax.Array) -> jax.Array:
    for layer in self.hidden:
      activations = nn.relu(layer(activations))
    return self.classification(activations)

  def _decode(
    self, features: tuple[jax.Array, ...], train: bool
  ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """Returns the scores of the pixels, and those of the coarser levels, finest first."""
    by_halvings = {stride.bit_length() - 1: f for stride, f in zip(
      self.encoder.strides, features, strict=True
    )}  # fmt: skip
    activations = features[-1]
    deep: tuple[jax.Array, ...] = ()
    for index, level in enumerate(self.levels):
      halvings = HALVINGS - 1 - index
      activations = level(activations, by_halvings.get(halvings), train)
      if 0 < halvings <= self.deep_supervision and (train or self.is_initializing()):
        deep = (self._scores(self.deep[halvings - 1], activations, train), *deep)
    return self._scores(self.segmentation, activations, train), deep

  def _scores(self, conv: blocks.Conv, activations: jax.Array, train: bool) -> jax.Array:
    dropped = self.drop(activations, deterministic=not train)
    return conv(dropped.astype(jnp.float32))


class _Level(nn.Module):
  """A level of the decoder, which doubles the height and width of its input."""

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
