"""The industrial data sets of the catalogue."""

from functools import partial

from adlib.data import layouts, listers
from adlib.data.dataset import Archive, Dataset, part_counts

# Images per category: training normal, test normal, test abnormal; side in pixels (Carrara et al.
# 2020, Table I).
_MVTEC = {
    "carpet": (280, 28, 89, 1024), "grid": (264, 21, 57, 1024), "leather": (245, 32, 92, 1024),
    "tile": (230, 33, 84, 840), "wood": (247, 19, 60, 1024), "bottle": (209, 20, 63, 900),
    "cable": (224, 58, 92, 1024), "capsule": (219, 23, 109, 1000), "hazelnut": (391, 40, 70, 1024),
    "metal_nut": (220, 22, 93, 700), "pill": (267, 26, 141, 800), "screw": (320, 41, 119, 1024),
    "toothbrush": (60, 12, 30, 1024), "transistor": (213, 60, 40, 1024),
    "zipper": (240, 32, 119, 1024),
}  # fmt: skip
_TEXTURES = ("carpet", "grid", "leather", "tile", "wood")

# As anomalib publishes them over its versions; all lead to one archive of 5,264,982,680 bytes.
_MVTEC_ARCHIVE = Archive(
    (
        "https://www.mydrive.ch/shares/150996/b52ecdcbf521176e9db9c731f2304b27/download/"
        "420938113-1629960298/mvtec_anomaly_detection.tar.xz",
        "https://www.mydrive.ch/shares/38536/3830184030e49fe74747669442f0f283/download/"
        "420938113-1629960298/mvtec_anomaly_detection.tar.xz",
        "https://www.mydrive.ch/shares/38536/3830184030e49fe74747669442f0f282/download/"
        "420938113-1629952094/mvtec_anomaly_detection.tar.xz",
    ),
    "cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
)

INDUSTRIAL = [
    Dataset(
        "elpv",
        "ELPV: electroluminescence images of solar cells",
        "CC BY-NC-SA 4.0",
        "Buerhop-Lutz et al., EU PVSEC 2018; Deitsch et al., Solar Energy 185, 2019; "
        "Deitsch et al., Machine Vision and Applications 32, 2021",
        "https://github.com/zae-bayern/elpv-dataset",
        {"mono": "object", "poly": "object"},
        listers.elpv,
        {
            "mono": {"n_normal": 588, "n_abnormal": 313, "n_left_out": 173},
            "poly": {"n_normal": 920, "n_abnormal": 402, "n_left_out": 228},
        },
        "Comes with the package elpv-dataset. Normal = defect probability 0, abnormal = 1; cells "
        "with 1/3 and 2/3 are left out. No masks.",
        packaged=("mono", "poly"),
    ),
    Dataset(
        "mvtec_ad",
        "MVTec AD",
        "CC BY-NC-SA 4.0",
        "Bergmann et al., MVTec AD: A Comprehensive Real-World Dataset for Unsupervised Anomaly "
        "Detection, CVPR 2019",
        "https://www.mvtec.com/company/research/datasets/mvtec-ad",
        {name: "texture" if name in _TEXTURES else "object" for name in _MVTEC},
        partial(listers.on_disk, layout=layouts.mvtec),
        {name: part_counts(*counts) for name, (*counts, _) in _MVTEC.items()},
        "Official train and test parts, masks of every defect.",
        {name: side for name, (*_, side) in _MVTEC.items()},
        _MVTEC_ARCHIVE,
        ("mvtec_ad/{category}",),
    ),
    Dataset(
        "magnetic_tile",
        "Magnetic tile surface defects",
        "research use",
        "Huang, Qiu and Yuan, Surface defect saliency of magnetic tile, The Visual Computer 36, "
        "2020",
        "https://github.com/abin24/Magnetic-tile-defect-datasets.",
        {"tile": "texture"},
        partial(listers.on_disk, layout=layouts.magnetic_tile),
        {"tile": {"n_normal": 952, "n_abnormal": 392}},
        "Grey; sizes vary, so images are squeezed to a square. No official parts. Four images of "
        "the kind uneven come with an empty mask. Tiles were photographed at several exposures "
        "(exp1 to exp6 in the names), so shots of one tile may stand in training and in test.",
    ),
    Dataset(
        "wood_surface",
        "Wood surface defects",
        "CC BY 4.0",
        "Kodytek, Bodzas and Bilik, A large-scale image dataset of wood surface defects for "
        "automated vision-based quality control processes, F1000Research 10:581, 2022",
        "https://doi.org/10.12688/f1000research.52903",
        {"wood": "texture"},
        partial(listers.on_disk, layout=layouts.mvtec),
        note="A selection in MVTec layout with masks; not the category wood of MVTec AD. Normal "
        "test images 71 and 83 are re-encoded copies of training images.",
    ),
]
