r"""The recipe of `dmf_busi.py`, with its variants, on any folder of pictures and masks.

    python -m mlseg.main --config=configs/folder.py --config.data.root=DIR \
        --config.data.folder.images='images/{name}.png' \
        --config.data.folder.masks='masks/{name}.png'

Patterns are paths below DIR. `{name}` is what a picture and its mask have in common; `{label}` and
`{patient}` read the diagnosis and the patient from the path; `*` is any text that does not matter,
and in the pattern of masks it lets a picture have several, of which the union counts; `{class}`
says that every class has a mask file of its own. None of them reaches over a '/'. A picture
without a mask is an error, and so is a mask without a picture. Pictures are made square, whatever
their shape. Cases of one patient, and near-duplicates, are on one side of the split.

BUS-BRA (1,875 ultrasound pictures of 1,064 patients, with diagnosis):

    python -m mlseg.main --config=configs/folder.py --config.data.root=DIR/BUSBRA \
        --config.data.folder.images='Images/bus_{name}.png' \
        --config.data.folder.masks='Masks/mask_{name}.png' \
        --config.data.folder.table=bus_data.csv --config.data.folder.table_id='bus_{name}' \
        --config.data.folder.id_column=ID --config.data.folder.label_column=Pathology \
        --config.data.folder.patient_column=Case

Kvasir-SEG (1,000 endoscopic colour pictures; masks are JPEG, with noise about 0 and 255):

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

Three classes by colour, pictures and masks in one folder:

    python -m mlseg.main --config=configs/folder.py --config.data.root=DIR \
        --config.data.folder.images='{name}.png' --config.data.folder.masks='{name}_mask.png' \
        --config.data.folder.classes="(('background', '#000000'), ('benign', '#00ff00'),
        ('malignant', '#ff0000'))"

The time is that of `dmf_busi.py` by picture: about six minutes a seed for 647 pictures on two CPU
cores. No score is known, as the data are yours.
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
  files.images = "images/{name}.png"  # pattern of the pictures, below config.data.root
  files.masks = "masks/{name}.png"  # and of their masks
  # Name and value of each class in the masks, the background first: a grey value (in a picture with
  # a palette, an index; in one of bits, 0 or 255), or a colour as '#rrggbb'.
  files.classes = (("background", 0), ("lesion", 255))
  files.tolerance = 0  # largest difference, in any channel, at which a value is still of a class
  files.channels = 1  # of the pictures: grey, or 3 for colour
  files.table = ""  # CSV file, below config.data.root, of diagnoses and patients; '': none
  files.table_id = "{name}"  # how the table writes a picture's name
  files.id_column = ""  # headers of the table
  files.label_column = ""  # '': no diagnosis from the table
  files.patient_column = ""  # '': no patients from the table
  # Bits, of 255 of their hashes, up to which pictures are near-duplicates, which a split keeps
  # together: 24 finds a picture that was saved again, scaled or written on. The more pictures
  # resemble each other by nature, the lower it must be; -1: nothing is a duplicate.
  files.duplicate_bits = 24
  return config
