#!/usr/bin/env bash
# Measures mlseg on one GPU in at most eight minutes, after its numbers were compared with a CPU's.
#
#   benchmarks/gpu.sh                    # writes benchmarks/results/gpu.md, gpu.json and a figure
#   OUT=DIR benchmarks/gpu.sh            # writes them into another folder
#   OUT=DIR benchmarks/gpu.sh --rehearse # the same at toy size on a CPU
#   benchmarks/gpu.sh --wheels DIR 3.12  # where there is a network: what an image below lacks
#   WHEELS=DIR benchmarks/gpu.sh         # where there is none: with these packages
#   PARTS=correct,floor benchmarks/gpu.sh
#
# An image with JAX (for CUDA), Flax, optax, orbax, chex, NumPy, SciPy, scikit-image, OpenCV, Pillow,
# tifffile, h5py, safetensors, Matplotlib, contourpy, Jinja2, rich and tqdm needs the packages below
# besides. They are downloaded for its version of Python, and installed from their files into a
# temporary folder. PyTorch is measured where it is there.
set -euo pipefail
cd "$(dirname "$0")/.."

NEEDED=(
  ml-collections tensorflow-datasets array-record immutabledict tensorflow-metadata toml
  six wrapt importlib-resources dm-tree termcolor simple-parsing docstring-parser googleapis-common-protos
)
python=${PYTHON:-python3}
out=${OUT:-benchmarks/results}

if [[ ${1:-} == --wheels ]]; then
  "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version "$3" \
    --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d "$2" "${NEEDED[@]}"
  "$python" -m pip wheel --quiet --no-deps -w "$2" promise # Python alone, but comes as source
  exit
fi

export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
if [[ -n ${WHEELS:-} ]]; then
  site=$(mktemp -d)
  trap 'rm -rf "$site"' EXIT
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$WHEELS"/*.whl
  PYTHONPATH="$site:$PYTHONPATH"
fi
"$python" -c 'import mlseg.training.train' || {
  echo "benchmarks/gpu.sh: a package is missing: see --wheels in the script" >&2
  exit 2
}

# In the order of their worth, since a part that would begin too late is left out.
parts=${PARTS:-correct,floor,frameworks,table,multitask,seeds,memory}
if [[ ${1:-} == --rehearse ]]; then
  options=(--small --device=cpu "--frameworks=mlseg;PyTorch, eager" --budget=1200)
  limit=1800
else
  options=(--device=gpu --rounds=5 --block=0.5 --budget=400)
  limit=470
fi
# What is measured is written after each part, so that the limit costs the last one alone.
timeout "$limit" "$python" benchmarks/speed.py --parts="$parts" --out="$out" "${options[@]}" || {
  code=$?
  ((code == 124)) && echo "benchmarks/gpu.sh: stopped after $limit s: the part after the last above is missing" >&2
  exit "$code"
}
