r"""The recipe of `dmf_busi.py`, with its variants, on any folder of images and masks.

    python -m mlseg.main --config=configs/folder.py --config.data.root=DIR \
        --config.data.folder.images='images/{name}.png' \
        --config.data.folder.masks='masks/{name}.png'

Patterns are paths below DIR with these fields, none of which matches a '/':

- `{name}`: the text that an image and its mask have in common;
- `{label}` and `{patient}`: the diagnosis and the patient;
- `{class}`, in the pattern of masks: every class has its own mask file;
- `*`: any text. In the pattern of masks, an image may then have several masks, which are united.

Suffixes are compared without case. A file that two patterns match is a mask where its image is
there. An image without a mask is an error, and so is a mask without an image; all are listed, and
`--config.data.skip_bad=True` trains without them. With `--config.data.folder.missing=True` an image
may lack its mask or its diagnosis, and trains what it has. Images of any shape are resized to a
square. All cases of one patient, and near-duplicates, go to the same part of the split.

BUS-BRA (1,875 ultrasound images of 1,064 patients, with diagnosis):

    python -m mlseg.main --config=configs/folder.py --config.data.root=DIR/BUSBRA \
        --config.data.folder.images='Images/bus_{name}.png' \
        --config.data.folder.masks='Masks/mask_{name}.png' \
        --config.data.folder.table=bus_data.csv --config.data.folder.table_id='bus_{name}' \
        --config.data.folder.id_column=ID --config.data.folder.label_column=Pathology \
        --config.data.folder.patient_column=Case

Kvasir-SEG (1,000 endoscopic colour images; the masks are JPEG files, with noise around 0 and 255):

    python -m mlseg.main --config=configs/folder.py --config.data.root=DIR/Kvasir-SEG \
        --config.data.folder.images='images/{name}.jpg' \
        --config.data.folder.masks='masks/{name}.jpg' \
        --config.data.folder.tolerance=127 --config.data.folder.channels=3 \
        --config.data.diameter=0

ISIC 2018, task 1 (2,594 colour photographs of the skin):

    python -m mlseg.main --config=configs/folder.py --config.data.root=DIR \
        --config.data.folder.images='ISIC2018_Task1-2_Training_Input/{name}.jpg' \
        --config.data.folder.masks='ISIC2018_Task1_Training_GroundTruth/{name}_segmentation.png' \
        --config.data.folder.channels=3 --config.data.diameter=0

Three classes by colour, with images and masks in one folder:

    python -m mlseg.main --config=configs/folder.py --config.data.root=DIR \
        --config.data.folder.images='{name}.png' --config.data.folder.masks='{name}_mask.png' \
        --config.data.folder.classes="(('background', '#000000'), ('benign', '#00ff00'),
        ('malignant', '#ff0000'))"

An image takes as long as in `dmf_busi.py`: with 647 images, a seed takes about six minutes on two
CPU cores. The score depends on your data.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("dmf_busi.py")))
VARIANTS = _BASE["VARIANTS"]


def get_config(variant: str = "variance+class_balanced_dice") -> ConfigDict:
  """Returns the recipe of a variant."""
  config = _BASE["get_config"](variant)
  config.name = "folder"
  config.data.name = "folder"

  config.data.folder = files = ConfigDict()
  files.images = "images/{name}.png"  # pattern of the images, below config.data.root
  files.masks = "masks/{name}.png"  # pattern of the masks, below config.data.root
  # Patterns of files that are passed over, such as ('masks/*_old.png',).
  files.ignored = ()
  # Name and value of each class in the masks, the background first. The value is a grey value (an
  # index if the file has a palette, 0 or 255 if it has one bit per pixel), a colour '#rrggbb', or
  # several of one kind, such as ('#ff0000', '#00ff00'). With the two classes below, masks may have
  # any two values of which one is 0: 0 and 1, 0 and 255, a colour on black.
  files.classes = (("background", 0), ("lesion", 255))
  # Value, in the masks, of pixels whose class is not known, such as 127, or several: they count
  # neither in training nor in testing. (): there are none. Classes then need their exact values.
  files.ignore_label = ()
  # Whether an image may lack its mask or its diagnosis: such cases are for training alone, under
  # the losses of what they have.
  files.missing = False
  files.tolerance = 0  # largest difference, in any channel, from the value of a class
  files.channels = 1  # 1: images are read as grey; 3: in colour
  files.table = ""  # CSV file, below config.data.root, of diagnoses and patients; '': none
  files.table_id = "{name}"  # pattern of an image's name in the table
  files.id_column = ""  # column of the table with the names
  files.label_column = ""  # column with the diagnosis; '': no diagnosis from the table
  # Columns of 0 and 1, one for each finding, such as ('effusion', 'edema'), of which a case may
  # have several or none; instead of label_column. `findings.py` is a recipe for them.
  files.label_columns = ()
  files.patient_column = ""  # column with the patient; '': no patients from the table
  # Two images are near-duplicates, which a split keeps together, if at most this many of the 255
  # bits of their hashes differ. 24 finds images that were saved again, scaled or written on. Images
  # that resemble each other by nature need a lower number; -1: there are no duplicates.
  files.duplicate_bits = 24
  return config
