"""What trainings of whole recipes share."""

import pytest

from tests.end_to_end.short import make_short


@pytest.fixture(scope="module")
def short_encoder():
  """Makes MobileNetV2 short."""
  with pytest.MonkeyPatch.context() as patch:
    make_short(patch.setattr)
    yield
