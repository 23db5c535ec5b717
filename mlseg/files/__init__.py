"""Whole files or none, JSON, CSV tables, NumPy archives, and the cache of computed arrays."""

from mlseg.files.budget import check_archive, check_unfolded
from mlseg.files.cache import cache_folder, cached_arrays, digest, file_states
from mlseg.files.formats import (
  Row,
  parse_csv,
  read_csv,
  read_header,
  read_json,
  read_npz,
  to_csv,
  to_json,
  to_npz,
)
from mlseg.files.whole import (
  open_new,
  open_regular,
  read_bytes,
  reading,
  remove_temporaries,
  replacing,
  temporary_beside,
  write_file,
)

__all__ = [
  "Row",
  "cache_folder",
  "cached_arrays",
  "check_archive",
  "check_unfolded",
  "digest",
  "file_states",
  "open_new",
  "open_regular",
  "parse_csv",
  "read_bytes",
  "read_csv",
  "read_header",
  "read_json",
  "read_npz",
  "reading",
  "remove_temporaries",
  "replacing",
  "temporary_beside",
  "to_csv",
  "to_json",
  "to_npz",
  "write_file",
]
