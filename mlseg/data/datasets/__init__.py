"""The data sets, one per module, and the registry that opens them by name.

A data set module has `open_source(root, options) -> Source`, its class of options, and its tfds
builder where `mlseg.data.prepare` can write it.
"""
