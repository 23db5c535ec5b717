"""The fully convolutional network of BenTaieb & Hamarneh for tissue regions and tissue classes."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mlseg.models.base import Outputs
from mlseg.models.layers import blocks, pooling
from mlseg.models.layers.dilated import DilatedCascade
from mlseg.models.layers.normalisation import LINEAR, ClippedBatchNorm


def class_labels(num_classes: int, containment: Sequence[tuple[int, int]]) -> np.ndarray:
  """Returns which labels a pixel of each class has: its region's, and those of all around it.

  Args:
    num_classes: C.
    containment: pairs (inner, outer) of classes: a pixel of region inner is also one of outer.

  Returns:
    [C, R] float32 with R = C, 1 where a pixel of class c has label r, else 0.

  Raises:
    ValueError: a pair is not two different classes, or two regions contain each other.

  Example:
    >>> class_labels(3, [(2, 1)]).tolist()  # stroma, gland, and lumen inside glands
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 1.0]]
  """
  reach = np.eye(num_classes, dtype=bool)
  for pair in containment:
    if len(pair) != 2 or pair[0] == pair[1] or not all(0 <= c < num_classes for c in pair):
      rule = f"must be pairs of different classes below {num_classes}"
      raise ValueError(f"containment: {rule}, got {tuple(pair)}")
    reach[pair[0], pair[1]] = True
  for _ in range(num_classes):  # containment is transitive
    reach |= reach @ reach
  mutual = np.argwhere(np.triu(reach & reach.T, 1))
  if len(mutual):
    raise ValueError(f"containment: {mutual[0].tolist()} lie in each other")
  return reach.astype(np.float32)


def class_scores(regions: jax.Array, labels: np.ndarray) -> jax.Array:
  """Returns the scores of the classes: for each class the sum of the scores of its labels.

  Their softmax is the probability of a label vector among those of the classes; see
  `mlseg.losses.topology`.

  Args:
    regions: scores of the labels, [..., R].
    labels: the labels of each class, [C, R], from `class_labels`.

  Returns:
    [..., C].
  """
  # By default accelerators round the factors of a matrix product to about 10 bits.
  return jnp.matmul(regions, labels.T, precision=jax.lax.Precision.HIGHEST)


class HistologyFCN(nn.Module):
  """Maps images [B, H, W, 1 or 3] of any size to scores of tissue regions and of the tissue class.

  A level of the encoder is a 3×3 convolution, ReLU and batch normalisation. Between two levels, 2×2
  max pooling halves the size and rounds up: 250, 125, 63, 32, 16. A level of the decoder is a 2×2
  transposed convolution, cropped to the size of the encoder's level and concatenated with its
  features, then a 3×3 convolution, ReLU and batch normalisation. The classification head reads the
  encoder's last activations, and the regions come from the decoder's last.

  Reference: BenTaieb & Hamarneh, LABELS 2017, figure 1, which does not give the number of filters.

  Attributes:
    num_classes: number of pixel classes, each a region; 0: no decoder.
    num_labels: number of image classes; 0: no classification head.
    containment: pairs of classes, as `class_labels` takes them.
    depth: how many times the image is halved.
    filters: channels of the first level; each halving doubles them.
    units: sizes of the classification head's hidden layers.
    norm_momentum: share of the old value in the running statistics.
    bottleneck_dilations: of the 3×3 convolutions of a `DilatedCascade` on the encoder's last
      activations, which decoder and classification head then read; (): there is none.
    dtype: type of the computation; parameters, statistics and scores are float32.

  Example:
    >>> net = HistologyFCN(2, 3, filters=4)
    >>> images = jax.ShapeDtypeStruct((1, 250, 250, 3), jnp.float32)
    >>> shapes, _ = jax.eval_shape(
    ...   lambda x: net.init_with_output(jax.random.key(0), x, False), images
    ... )
    >>> shapes.logits.shape, shapes.class_logits.shape, shapes.features.shape
    ((1, 250, 250, 2), (1, 3), (1, 16, 16, 64))
  """

  num_classes: int
  num_labels: int
  containment: tuple[tuple[int, int], ...] = ()
  depth: int = 4
  filters: int = 32
  units: tuple[int, ...] = ()
  norm_momentum: float = 0.9
  bottleneck_dilations: tuple[int, ...] = ()
  dtype: jnp.dtype = jnp.float32

  def setup(self) -> None:
    """Makes the levels, the bottleneck and the heads."""
    widths = [self.filters << level for level in range(self.depth + 1)]
    rest = (self.norm_momentum, self.dtype)
    self.encoder = [_Level(width, *rest) for width in widths]
    if self.bottleneck_dilations:
      self.bottleneck = DilatedCascade(self.bottleneck_dilations, self.dtype)
    if self.num_classes:
      self.ups = [blocks.UpConv(width, 2, True, self.dtype) for width in widths[-2::-1]]
      self.decoder = [_Level(width, *rest) for width in widths[-2::-1]]
      self.segmentation = blocks.Conv(self.num_classes, size=1, use_bias=True)
    if self.num_labels:
      self.hidden = [nn.Dense(units) for units in self.units]
      self.classification = nn.Dense(self.num_labels)

  def __call__(self, images: jax.Array, train: bool) -> Outputs:
    """Returns the scores, and the activations at the bottleneck as features."""
    activations, skips = images.astype(self.dtype), []
    for number, level in enumerate(self.encoder):
      if number:
        activations = _halved(activations)
      activations = level(activations, train)
      skips.append(activations)
    if self.bottleneck_dilations:
      activations = self.bottleneck(activations)
    features = activations
    class_logits = self.classify(features) if self.num_labels else None
    if not self.num_classes:
      return Outputs(class_logits=class_logits, features=features)
    for up, level, skip in zip(self.ups, self.decoder, skips[-2::-1], strict=True):
      activations = up(activations)[:, : skip.shape[1], : skip.shape[2]]
      activations = level(jnp.concatenate([activations, skip], axis=-1), train)
    scores = self.segmentation(activations.astype(jnp.float32))
    if not self.containment:
      return Outputs(scores, class_logits, features)
    labels = class_labels(self.num_classes, self.containment)
    return Outputs(class_scores(scores, labels), class_logits, features, regions=scores)

  def classify(self, features: jax.Array) -> jax.Array:
    """Returns the scores [B, num_labels] of the activations at the bottleneck [B, h, w, F]."""
    activations = features.astype(jnp.float32).mean((1, 2))
    for layer in self.hidden:
      activations = nn.relu(layer(activations))
    return self.classification(activations)


class _Level(nn.Module):
  """A 3×3 convolution, ReLU and batch normalisation, in this order."""

  filters: int
  norm_momentum: float
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, activations: jax.Array, train: bool) -> jax.Array:
    activations = nn.relu(blocks.Conv(self.filters, use_bias=True, dtype=self.dtype)(activations))
    return ClippedBatchNorm(LINEAR, self.norm_momentum, name="BatchNorm_0")(activations, train)


def _halved(activations: jax.Array) -> jax.Array:
  """Returns the maxima of 2×2 windows; at an odd size the last window is one pixel wide."""
  _, height, width, _ = activations.shape
  odd = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
  return pooling.max_pool(jnp.pad(activations, odd, mode="edge"))
