"""Reading and writing images: pictures (two axes) and volumes (three axes).

No other package imports tifffile, pydicom or nibabel.
"""
