"""The U-Net, whose defaults are those of the Dynamic Memory Fusion paper.

References: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", MICCAI 2015; the defaults are those of Golnari & Diba, arXiv 2410.19745: one 3×3
convolution per level, batch normalisation, ReLU and 2×2 max pooling until 8×8, then 3×3 transposed
convolutions with skips.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mlseg.models.base import Outputs
from mlseg.models.layers import blocks, normalisation, pooling
from mlseg.models.layers.attention import AttentionGate
from mlseg.models.layers.dilated import DilatedCascade

NORMS = ("batch", "group", "instance", "none")
UPSAMPLINGS = ("transposed3", "transposed2", "resize")


class UNet(nn.Module):
  """Maps images [B, H, W, I] to logits [B, H, W, num_classes].

  Attributes:
    num_classes: number of classes, background included.
    depth: how many times the image is halved; H and W must be multiples of 2**depth.
    filters: channels of the first level; each level doubles them.
    convs_per_level: number of 3×3 convolutions in a level of the encoder, each followed by
      normalisation and ReLU.
    decoder_convs: number of 3×3 convolutions in a level of the decoder, after up-sampling and
      concatenation; None: one fewer than in the encoder.
    norm: normalisation: 'batch', 'group' (8 channels a group), 'instance' or 'none'.
    norm_momentum: share of the old value in the running statistics of batch normalisation.
    upsampling: 'transposed3' or 'transposed2' (transposed convolution 3×3 or 2×2, stride 2), or
      'resize' (nearest neighbour, then a 3×3 convolution).
    upsampling_norm: whether normalisation and ReLU follow the up-sampling; if not, it has a bias.
    attention: whether attention gates weigh the skips, as in Attention U-Net.
    remat: whether the activations inside a level are recomputed in the backward pass instead of
      being kept: less memory for more time, with the same numbers.
    dropout: probability that a channel of an image is zero before a last 1×1 convolution, in
      training; the others are divided by its complement (Tompson et al., CVPR 2015).
    deep_supervision: how many coarser levels of the decoder, below `depth`, have a 1×1 convolution
      of their own, whose scores are `Outputs.deep_logits` in training (Lee et al., AISTATS 2015).
    bottleneck_dilations: of the 3×3 convolutions of a `DilatedCascade` on the coarsest activations,
      before the decoder; (): there is none.
    dtype: type of the computation; parameters, statistics and logits are float32.

  Example:
    >>> import jax, jax.numpy as jnp
    >>> net = UNet(num_classes=2, depth=2, filters=4)
    >>> images = jnp.zeros((1, 16, 16, 1))
    >>> variables = net.init(jax.random.key(0), images, False)
    >>> net.apply(variables, images, False).logits.shape
    (1, 16, 16, 2)
  """

  num_classes: int
  depth: int = 4
  filters: int = 32
  convs_per_level: int = 1
  decoder_convs: int | None = None
  norm: str = "batch"
  norm_momentum: float = 0.9
  upsampling: str = "transposed3"
  upsampling_norm: bool = True
  attention: bool = False
  remat: bool = False
  dropout: float = 0.0
  deep_supervision: int = 0
  bottleneck_dilations: tuple[int, ...] = ()
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> Outputs:
    encode, decode = UNet._encode, UNet._decode
    if self.remat:
      encode = nn.remat(encode, static_argnums=(2, 3))
      decode = nn.remat(decode, static_argnums=(3, 4))
    activations = images.astype(self.dtype)
    skips = []
    for level in range(self.depth):
      skips.append(encode(self, activations, self.filters << level, train))
      activations = pooling.max_pool(skips[-1])
    activations = encode(self, activations, self.filters << self.depth, train)
    if self.bottleneck_dilations:
      cascade = DilatedCascade(self.bottleneck_dilations, self.dtype, name="bottleneck")
      activations = cascade(activations)
    features = activations
    drop = nn.Dropout(self.dropout, broadcast_dims=(1, 2), deterministic=not train)
    deep: tuple[jax.Array, ...] = ()
    for level in reversed(range(self.depth)):
      activations = decode(self, activations, skips[level], self.filters << level, train)
      if 0 < level <= self.deep_supervision and (train or self.is_initializing()):
        deep = (self._scores(drop(activations), f"deep_{level}"), *deep)
    return Outputs(logits=self._scores(drop(activations)), features=features, deep_logits=deep)

  def _scores(self, activations: jax.Array, name: str | None = None) -> jax.Array:
    """Returns scores in float32, as the losses are computed, whatever the activations' type."""
    conv = blocks.Conv(self.num_classes, size=1, use_bias=True, name=name)
    return conv(activations.astype(jnp.float32))

  def _encode(self, activations: jax.Array, filters: int, train: bool) -> jax.Array:
    for _ in range(self.convs_per_level):
      activations = self._convolve(activations, filters, train)
    return activations

  def _decode(
    self, activations: jax.Array, skip: jax.Array, filters: int, train: bool
  ) -> jax.Array:
    if self.attention:
      skip = AttentionGate(max(1, filters // 2), self.dtype)(skip, activations)
    up = self._upsample(activations, filters, train)
    activations = jnp.concatenate([up, skip], axis=-1)
    count = self.convs_per_level - 1 if self.decoder_convs is None else self.decoder_convs
    for _ in range(count):
      activations = self._convolve(activations, filters, train)
    return activations

  def _convolve(self, activations: jax.Array, filters: int, train: bool) -> jax.Array:
    conv = blocks.Conv(filters, use_bias=self.norm == "none", dtype=self.dtype)
    return self._normalise(conv(activations), train)

  def _upsample(self, activations: jax.Array, filters: int, train: bool) -> jax.Array:
    use_bias = self.norm == "none" or not self.upsampling_norm
    if self.upsampling == "resize":
      up = pooling.repeat2(activations)
      up = blocks.Conv(filters, use_bias=use_bias, dtype=self.dtype)(up)
    else:
      size = int(self.upsampling[-1])
      up = blocks.UpConv(filters, size, use_bias=use_bias, dtype=self.dtype)(activations)
    return self._normalise(up, train) if self.upsampling_norm else up

  def _normalise(self, activations: jax.Array, train: bool) -> jax.Array:
    if self.norm == "batch":
      return normalisation.BatchNorm(momentum=self.norm_momentum)(activations, train)
    if self.norm == "group":
      activations = nn.GroupNorm(None, group_size=8, dtype=self.dtype)(activations)
    elif self.norm == "instance":
      activations = nn.InstanceNorm(dtype=self.dtype)(activations)
    return nn.relu(activations)
