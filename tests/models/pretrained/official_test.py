"""Official weights: downloaded once, checked; without network a line says what to do."""

import hashlib
import http.server
import re
import threading

import numpy as np
import pytest

from mlseg.errors import UserError
from mlseg.models import pretrained
from mlseg.models.encoders import make_encoder
from mlseg.models.encoders.mobilenet_v2 import MobileNetV2
from mlseg.models.encoders.vgg16 import VGG16
from mlseg.models.pretrained import official
from mlseg.models.pretrained.download import Checksum, fetch
from tests.models.pretrained import made_weights

CONTENT = bytes(range(256)) * 9000
SHA256 = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def server():
  """A server on this machine: '/file' is whole, '/short' ends early; `asked` has what was asked."""

  class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
      asked.append(self.path)
      found = self.path.rsplit("/", 1)[-1] in ("file.bin", "short.bin")
      self.send_response(200 if found else 404)
      self.send_header("Content-Length", str(len(CONTENT) if found else 0))
      self.end_headers()
      if found:
        self.wfile.write(CONTENT[:1000] if "short" in self.path else CONTENT)

    def log_message(self, *_):
      pass

  asked = []
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", asked
    running.shutdown()
    thread.join()


def _fail(url, checksum, folder):
  with pytest.raises(UserError) as caught:
    fetch(url, checksum, folder, lambda _: None)
  assert "\n" not in str(caught.value)
  return str(caught.value)


@pytest.mark.parametrize(
  "checksum",
  [
    SHA256,
    SHA256._replace(digest=SHA256.digest[:8]),
    Checksum("md5", hashlib.md5(CONTENT).hexdigest()),
  ],
)
def test_downloaded_once_and_reported(server, tmp_path, checksum):
  url, asked = server
  messages = []
  for _ in range(2):
    path = fetch(f"{url}/file.bin", checksum, tmp_path / "new", messages.append)
    assert path.read_bytes() == CONTENT
  assert asked == ["/file.bin"]
  assert messages[0] == f"pretrained weights: downloading {url}/file.bin"
  assert messages[1:] == [
    f"pretrained weights: {text}{path} ({checksum.algorithm} as released)"
    for text in ("kept as ", "")
  ]
  assert [p.name for p in path.parent.iterdir()] == ["file.bin"]


def test_without_a_checksum_the_digest_is_reported(server, tmp_path):
  messages = []
  fetch(f"{server[0]}/file.bin", None, tmp_path, messages.append)
  assert messages[-1].endswith(f"(its owner gives no checksum; sha256 {SHA256.digest})")


def test_wrong_short_and_missing_files_are_not_kept(server, tmp_path):
  url, _ = server
  wrong = Checksum("sha256", "0" * 64)
  message = _fail(f"{url}/file.bin", wrong, tmp_path)
  assert f"sha256 {SHA256.digest}, not {wrong.digest}" in message
  assert "1000 of 2304000 bytes came" in _fail(f"{url}/short.bin", None, tmp_path)
  message = _fail(f"{url}/other.bin", SHA256, tmp_path)
  assert "Not Found" in message
  assert f"put the file of {url}/other.bin there: {tmp_path / 'other.bin'}" in message
  assert list(tmp_path.iterdir()) == []


def test_without_network_a_line_says_where_to_put_the_file(tmp_path):
  message = _fail("http://127.0.0.1:1/file.bin", SHA256, tmp_path)
  assert "Connection refused" in message
  assert f"put the file of http://127.0.0.1:1/file.bin there: {tmp_path / 'file.bin'}" in message


def test_a_file_that_was_put_there_is_checked(tmp_path):
  (tmp_path / "file.bin").write_bytes(CONTENT[:-1])
  message = _fail("http://127.0.0.1:1/file.bin", SHA256, tmp_path)
  assert "delete it" in message
  (tmp_path / "file.bin").write_bytes(CONTENT)
  assert fetch("http://127.0.0.1:1/file.bin", SHA256, tmp_path, lambda _: None).exists()


def test_a_folder_that_cannot_be_made(tmp_path):
  (tmp_path / "file").write_text("")
  assert "cannot be downloaded" in _fail("http://127.0.0.1:1/x", None, tmp_path / "file")


def test_imagenet_uses_the_cache(monkeypatch, tmp_path):
  monkeypatch.setenv("MLSEG_CACHE", str(tmp_path))
  arrays = made_weights.torch_arrays(made_weights.variables())
  torch = pytest.importorskip("torch")
  (tmp_path / "pretrained").mkdir()
  path = tmp_path / "pretrained" / "weights.pth"
  torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  release = official.Release("http://127.0.0.1:1/weights.pth", Checksum("sha256", digest))
  monkeypatch.setattr(official, "release_of", lambda _: release)
  messages = []
  loaded = pretrained.imagenet(made_weights.ENCODER, messages.append)
  assert len(messages) == 1
  kernel = loaded["params"]["stage_0"]["stem"]["kernel"]
  np.testing.assert_array_equal(kernel, arrays["features.0.0.weight"].transpose(2, 3, 1, 0))


def test_releases_are_those_that_the_peers_name():
  from tests.models import peers

  models = peers.torchvision_models()
  for encoder, weights in (
    (VGG16("torchvision"), models.VGG16_Weights.IMAGENET1K_V1),
    (MobileNetV2(1.0, "torchvision"), models.MobileNet_V2_Weights.IMAGENET1K_V1),
  ):
    release = official.release_of(encoder)
    assert release.url == weights.url
    assert release.checksum.algorithm == "sha256"
    assert len(release.checksum.digest) == 64
    assert release.checksum.digest.startswith(re.search(r"-(\w{8})\.pth$", weights.url)[1])
  for name in ("resnet18", "resnet34", "resnet50", "convnext_tiny"):
    release = official.release_of(make_encoder(name, "auto"))
    assert release.url == models.get_model_weights(name).IMAGENET1K_V1.url
    assert release.checksum.digest == re.search(r"-(\w{8})\.pth$", release.url)[1]
  from keras.src.applications import mobilenet_v2, vgg16

  release = official.release_of(VGG16("keras"))
  assert release.url == vgg16.WEIGHTS_PATH_NO_TOP
  with open(vgg16.__file__) as file:
    assert f'file_hash="{release.checksum.digest}"' in file.read()
  url = official.release_of(MobileNetV2(0.5, "keras")).url
  name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.5_224_no_top.h5"
  assert url == mobilenet_v2.BASE_WEIGHT_PATH + name


def test_widths_without_weights():
  with pytest.raises(
    UserError, match=r"of width 0\.6 from keras: it has 0\.35, 0\.5, 0\.75, 1, 1\.3"
  ):
    official.release_of(MobileNetV2(0.6, "keras"))
  with pytest.raises(UserError, match="from torchvision: it has 1"):
    official.release_of(MobileNetV2(0.5, "torchvision"))
