"""Every loss again, in numpy and scipy: one image at a time, from the definition, in float64.

`x` are logits [H, W, C], `g` masks [H, W, C]; each function returns a number.
"""

import itertools

import numpy as np
from scipy import ndimage

SMOOTH = 1e-5


def softmax(x):
  powers = np.exp(x - x.max(-1, keepdims=True))
  return powers / powers.sum(-1, keepdims=True)


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def _true_p(x, g):
  """Returns the probability of the true class of each pixel, and that class."""
  return (softmax(x) * g).sum(-1), g.argmax(-1)


def cross_entropy(x, g, weights=None):
  p, label = _true_p(x, g)
  weights = np.ones(x.shape[-1]) if weights is None else np.asarray(weights)
  return -(weights[label] * np.log(p)).mean()


def smoothed_cross_entropy(x, g, smoothing):
  p, classes = softmax(x), x.shape[-1]
  true = np.full(x.shape, smoothing / classes)
  for place in np.ndindex(*x.shape[:2]):
    true[place][g[place].argmax()] += 1 - smoothing
  return -(true * np.log(p)).sum(-1).mean()


def focal(x, g, gamma, alpha):
  p, label = _true_p(x, g)
  return -(np.broadcast_to(alpha, x.shape[-1])[label] * (1 - p) ** gamma * np.log(p)).mean()


def binary_cross_entropy(x, g, weights=1.0):
  s = sigmoid(x)
  return -(weights * g * np.log(s) + (1 - g) * np.log(1 - s)).mean()


def dynamic_weighted_cross_entropy(x, g):
  p, label = _true_p(x, g)
  return np.mean([-np.log(p[label == c]).mean() for c in np.unique(label)])


def dynamically_weighted_balanced(x, g, counts=None, regularization=1.0):
  p, (_, label) = softmax(x), _true_p(x, g)
  counts = np.maximum(g.sum((0, 1)), 1) if counts is None else np.asarray(counts)
  total = 0.0
  for place in np.ndindex(label.shape):
    true = label[place]
    weight = np.log(counts.max() / counts[true]) + 1
    total -= weight ** (1 - p[place][true]) * np.log(p[place][true])
    total += regularization * sum(q * (1 - q) for q in p[place])
  return total / label.size


def ordered_weighted_cross_entropy(x, g, alpha=0.5):
  p, label = _true_p(x, g)
  worst_first = sorted((-np.log(p[label == c]).mean() for c in np.unique(label)), reverse=True)
  m = len(worst_first)
  return sum(((k + 1) / m) ** alpha * v - (k / m) ** alpha * v for k, v in enumerate(worst_first))


def tversky_index(x, g, alpha, beta, activation=softmax):
  p = activation(x)
  tp, fp, fn = (p * g).sum((0, 1)), (p * (1 - g)).sum((0, 1)), ((1 - p) * g).sum((0, 1))
  return (tp + SMOOTH) / (tp + alpha * fp + beta * fn + SMOOTH)


def tversky(x, g, alpha=0.7, beta=0.3, activation=softmax, first=0):
  return 1 - tversky_index(x, g, alpha, beta, activation)[first:].mean()


def focal_tversky(x, g, alpha=0.3, beta=0.7, gamma=4 / 3):
  return ((1 - tversky_index(x, g, alpha, beta)) ** (1 / gamma)).mean()


def hard(formula, **options):
  """Returns a formula of the overlap, of the classes of the largest logits."""

  def most_likely(x):
    return np.eye(x.shape[-1])[x.argmax(-1)]

  return lambda x, g: formula(x, g, activation=most_likely, **options)


def dice_per_class(x, g, activation=softmax):
  p = activation(x)
  return (2 * (p * g).sum((0, 1)) + SMOOTH) / (p.sum((0, 1)) + g.sum((0, 1)) + SMOOTH)


def dice(x, g, activation=softmax, first=0):
  return 1 - dice_per_class(x, g, activation)[first:].mean()


def class_balanced_dice(x, g, weigh):
  weights = weigh(g.mean((0, 1)))
  return 1 - (weights / weights.sum() * dice_per_class(x, g)).sum()


def generalized_dice(x, g, exponent=2):
  p, size = softmax(x), g.sum((0, 1))
  present = size > 0
  weights = np.zeros(len(size))
  weights[present] = size[present] ** -float(exponent)
  weights[~present] = weights[present].max()
  weights /= weights.max()
  overlap, total = (weights * (p * g).sum((0, 1))).sum(), (weights * (p + g).sum((0, 1))).sum()
  return 1 - (2 * overlap + SMOOTH) / (total + SMOOTH)


def _jaccard_loss(wrong, g):
  """Returns 1 - IoU of a region where the pixels in `wrong` are predicted wrongly."""
  predicted = g ^ wrong
  union = (predicted | g).sum()
  return 1 - (predicted & g).sum() / union if union else 0.0


def _lovasz(errors, g):
  """Returns the Lovász extension from its definition: the loss of sets that grow by the worst."""
  order = np.argsort(-errors, kind="stable")
  wrong, before, total = np.zeros(len(g), bool), 0.0, 0.0
  for place in order:
    wrong[place] = True
    after = _jaccard_loss(wrong, g)
    total += errors[place] * (after - before)
    before = after
  return total


def lovasz_softmax(x, g, every_class=False):
  p = softmax(x)
  return np.mean(
    [
      _lovasz(np.abs(g - p)[..., c].ravel(), g[..., c].ravel() > 0)
      for c in range(x.shape[-1])
      if every_class or g[..., c].any()
    ]
  )


def lovasz_hinge(x, g):
  errors = np.maximum(1 - x * (2 * g - 1), 0)
  return np.mean(
    [_lovasz(errors[..., c].ravel(), g[..., c].ravel() > 0) for c in range(x.shape[-1])]
  )


def signed_distance(region):
  if not region.any() or region.all():
    return np.zeros(region.shape)
  inside, outside = ndimage.distance_transform_edt(region), ndimage.distance_transform_edt(~region)
  return outside - np.where(region, inside - 1, 0)


def boundary(x, g, first=1):
  p = softmax(x)
  maps = [signed_distance(g[..., c] > 0) for c in range(x.shape[-1])]
  return np.mean([(maps[c] * p[..., c]).mean() for c in range(first, x.shape[-1])])


def _distance_to_boundary(region):
  if not region.any() or region.all():
    return np.zeros(region.shape)
  return ndimage.distance_transform_edt(region) + ndimage.distance_transform_edt(~region)


def hausdorff(x, g, alpha=2.0):
  p, values = softmax(x), []
  for c in range(1, x.shape[-1]):
    of_p, of_g = (_distance_to_boundary(m[..., c] > 0.5) for m in (p, g))
    values.append(((p - g)[..., c] ** 2 * (of_p**alpha + of_g**alpha)).mean())
  return np.mean(values)


_CROSS = ndimage.generate_binary_structure(2, 1)


def skeleton(region, iterations):
  result = np.zeros(region.shape)
  for step in range(iterations + 1):
    if step:
      region = ndimage.grey_erosion(region, footprint=_CROSS, mode="nearest")
    opened = ndimage.grey_erosion(region, footprint=_CROSS, mode="nearest")
    opened = ndimage.grey_dilation(opened, footprint=np.ones((3, 3)), mode="nearest")
    lost = np.maximum(region - opened, 0)
    result = result + np.maximum(lost - result * lost, 0)
  return result


def cl_dice(x, g, iterations=3, smooth=1.0):
  p, values = softmax(x), []
  for c in range(1, x.shape[-1]):
    of_p, of_g = (skeleton(m[..., c], iterations) for m in (p, g))
    precision = ((of_p * g[..., c]).sum() + smooth) / (of_p.sum() + smooth)
    sensitivity = ((of_g * p[..., c]).sum() + smooth) / (of_g.sum() + smooth)
    values.append(2 * precision * sensitivity / (precision + sensitivity))
  return 1 - np.mean(values)


def _allowed(labels, containment, exclusion):
  contained = all(labels[outer] for inner, outer in containment if labels[inner])
  return contained and not any(labels[a] and labels[b] for a, b in exclusion)


def vector_probabilities(f, containment, exclusion):
  """Returns the probability of each valid label vector at one pixel, by plain enumeration."""
  vectors = [
    v for v in itertools.product((0, 1), repeat=len(f)) if _allowed(v, containment, exclusion)
  ]
  powers = {v: np.exp(np.dot(v, f)) for v in vectors}
  return {v: power / sum(powers.values()) for v, power in powers.items()}


def topology(x, g, containment=(), exclusion=()):
  values = []
  for place in np.ndindex(x.shape[:2]):
    p = vector_probabilities(x[place], containment, exclusion)
    true = tuple(g[place].astype(int))
    if true in p:
      values.append(-np.log(p[true]))
  return np.mean(values)


def geometry(x, g, containment=(), exclusion=()):
  height, width, num_labels = x.shape
  marginal = np.zeros(x.shape)
  for place in np.ndindex(height, width):
    for vector, p in vector_probabilities(x[place], containment, exclusion).items():
      marginal[place] += p * np.array(vector)
  total = 0.0
  for i, j in np.ndindex(height, width):
    for k, m in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
      if 0 <= k < height and 0 <= m < width and (g[i, j] == g[k, m]).all():
        for r in range(num_labels):
          total += g[i, j, r] * abs(np.log(marginal[i, j, r] / marginal[k, m, r]))
  return total / (height * width)
