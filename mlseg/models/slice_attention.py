"""A network that predicts a patient's outcome from the slices of a volume, and a mask per slice.

References: the gated attention over slices is eq. 9 of Ilse, Tomczak, Welling, "Attention-based
deep multiple instance learning", ICML 2018; the slices are those of "Multi-loss learning for
ovarian cancer", arXiv 2605.14991; the projection for contrastive losses is that of Khosla et al.,
NeurIPS 2020.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mlseg.models.base import Outputs
from mlseg.models.covariates import COLLECTION, standardised
from mlseg.models.multitask import MultiTaskUNet


class SliceAttention(MultiTaskUNet):
  """Maps volumes to class scores per pixel, and to class scores and slice weights per volume.

  A volume is a tall image [S H, W]: its S slices one below the other, H and W multiples of 32. A
  slice of zeros counts as absent. With h_s the mean of the encoder's last features over slice s,
  the weights over the slices that are present are a_s = softmax_s(w · (tanh(V h_s) * sigmoid(U
  h_s))), and the volume's features are Σ_s a_s h_s. Up to three heads read the volume's features:
  one for its class, one for its texture, and a projection to an embedding.

  Where the network reads covariates, W z is added to the class scores: z are the standardised
  covariates (see `covariates.standardised`), and W begins at 0. For a head without hidden layers
  this is the same as concatenating z to the volume's features. Since the term does not depend on
  the features, `classify` leaves it out, and saliency maps of `classify` are those of the sum.

  Attributes:
    num_slices: S.
    attention_units: number of rows of V and U.
    embedding: length of the embedding, a vector of norm 1 that losses on embeddings compare; 0: no
      projection.
    num_textures: number of texture classes; 0: no texture head.
    num_covariates: K, the covariates of a patient that the class scores depend on; 0: none.

  Example:
    >>> from mlseg.models import make_encoder
    >>> encoder = make_encoder("mobilenet_v2", "keras", 0.35)
    >>> net = SliceAttention(encoder, 2, 2, num_slices=5, embedding=16)
    >>> volumes = jax.ShapeDtypeStruct((4, 5 * 64, 64, 1), jnp.float32)
    >>> shapes, _ = jax.eval_shape(
    ...   lambda x: net.init_with_output(jax.random.key(0), x, False), volumes
    ... )
    >>> shapes.logits.shape, shapes.class_logits.shape, shapes.attention.shape
    ((4, 320, 64, 2), (4, 2), (4, 5))
  """

  num_slices: int = 1
  attention_units: int = 64
  embedding: int = 0
  num_textures: int = 0
  num_covariates: int = 0

  def setup(self) -> None:
    """Makes the decoder, the attention and the heads."""
    super().setup()
    self.content = nn.Dense(self.attention_units)  # V
    self.gate = nn.Dense(self.attention_units)  # U
    self.score = nn.Dense(1, use_bias=False)  # w
    if self.embedding:
      self.projection = [nn.Dense(self.embedding), nn.Dense(self.embedding)]
    if self.num_textures:
      self.texture = nn.Dense(self.num_textures)
    if self.num_covariates:
      shape = (self.num_covariates,)
      self.covariate_mean = self.variable(COLLECTION, "mean", jnp.zeros, shape)
      self.covariate_deviation = self.variable(COLLECTION, "deviation", jnp.ones, shape)
      self.covariate_scores = nn.Dense(  # W
        self.num_labels, use_bias=False, kernel_init=nn.initializers.zeros
      )

  def __call__(
    self, images: jax.Array, train: bool, covariates: jax.Array | None = None
  ) -> Outputs:
    """Returns the scores, and the encoder's last features with the slices one below the other.

    Args:
      images: [B, S H, W, 1 or 3].
      train: whether the statistics of batch normalisation are those of the batch.
      covariates: [B, K], NaN where one is not known; None where K is 0.

    Raises:
      ValueError: the covariates are missing, or have another shape.
    """
    batch, height, *rest = images.shape
    wanted = (batch, self.num_covariates) if self.num_covariates else None
    shape = None if covariates is None else covariates.shape
    if shape != wanted:
      raise ValueError(f"covariates: must be of shape {wanted}, got {shape}")
    slices = images.reshape(batch * self.num_slices, height // self.num_slices, *rest)
    features = self.encoder(slices, train)
    logits = None
    if self.num_classes:
      logits = self._decode(features, train)[0].reshape(*images.shape[:3], self.num_classes)
    present = (slices > 0).any((1, 2, 3), keepdims=True)
    last = jnp.where(present, features[-1].astype(jnp.float32), 0)
    tall = last.reshape(batch, -1, *last.shape[2:])
    pooled, weights = self._gather(tall)
    class_logits = self._classes(pooled) if self.num_labels else None
    if class_logits is not None and covariates is not None:
      z = standardised(covariates, self.covariate_mean.value, self.covariate_deviation.value)
      class_logits += self.covariate_scores(z)
    return Outputs(
      logits,
      class_logits,
      tall,
      attention=weights,
      embeddings=self._project(pooled) if self.embedding else None,
      texture_logits=self.texture(pooled) if self.num_textures else None,
    )

  def classify(self, features: jax.Array) -> jax.Array:
    """Returns the class scores [B, num_labels] of `Outputs.features`, without covariates."""
    return self._classes(self._gather(features)[0])

  def _gather(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the features [B, F] of volumes and the weights [B, S] of their slices."""
    by_slice = features.reshape(len(features), self.num_slices, -1, features.shape[-1])
    present = (by_slice != 0).any((2, 3))
    means = by_slice.mean(2)
    scores = self.score(jnp.tanh(self.content(means)) * nn.sigmoid(self.gate(means)))[..., 0]
    # A volume in which every slice is absent gets equal weights, and features of 0.
    lowest = jnp.finfo(scores.dtype).min
    weights = jax.nn.softmax(jnp.where(present, scores, lowest), axis=1)
    return jnp.einsum("bs,bsf->bf", weights, means), weights

  def _project(self, pooled: jax.Array) -> jax.Array:
    first, second = self.projection
    projected = second(nn.relu(first(pooled)))
    squared = (projected**2).sum(-1, keepdims=True)
    # The floor keeps the gradient finite at a projection of 0, whose embedding is 0.
    return projected * jax.lax.rsqrt(jnp.maximum(squared, 1e-24))
