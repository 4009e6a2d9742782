"""The industrial data sets of the catalogue."""

from functools import partial

from adlib.data import industrial_layouts, layouts, listers
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

# Images per category as several public projects have counted them: training and test.
_VISA = {
    "candle": (900, 100, 100), "capsules": (542, 60, 100), "cashew": (450, 50, 100),
    "chewinggum": (453, 50, 100), "fryum": (450, 50, 100), "macaroni1": (900, 100, 100),
    "macaroni2": (900, 100, 100), "pcb1": (904, 100, 100), "pcb2": (901, 100, 100),
    "pcb3": (905, 101, 100), "pcb4": (904, 101, 100), "pipe_fryum": (450, 50, 100),
}  # fmt: skip
_BTAD = {"01": (400, 21, 49), "02": (399, 30, 200), "03": (1000, 400, 41)}
_MPDD = {
    "bracket_black": (289, 32, 47), "bracket_brown": (185, 26, 51), "bracket_white": (110, 30, 30),
    "connector": (128, 30, 14), "metal_plate": (54, 26, 71), "tubes": (122, 32, 69),
}  # fmt: skip
# Training, validation, test normal, and abnormal: logical and structural.
_LOCO = {
    "breakfast_box": (351, 62, 102, 83, 90), "juice_bottle": (335, 54, 94, 142, 94),
    "pushpins": (372, 69, 138, 91, 81), "screw_bag": (360, 60, 122, 137, 82),
    "splicing_connectors": (360, 60, 119, 108, 85),
}  # fmt: skip
# Training, validation, public test normal and abnormal, and each of the two private tests.
_AD_2 = {
    "can": (412, 46, 72, 90, 321), "fabric": (387, 43, 66, 90, 314),
    "fruit_jelly": (263, 37, 20, 60, 255), "rice": (313, 35, 42, 90, 277),
    "sheet_metal": (137, 19, 24, 90, 142), "vial": (291, 41, 35, 105, 276),
    "wallplugs": (293, 33, 60, 90, 232), "walnuts": (432, 48, 60, 90, 228),
}  # fmt: skip
# Abnormal images of Class1 to Class10 in training and test.
_DAGM = zip((79, 66, 66, 82, 70, 83, *[150] * 4), (71, 84, 84, 68, 80, 67, *[150] * 4), strict=True)
_DAGM = {
    f"Class{i}": {"n_train_abnormal": train, "n_test_abnormal": test}
    for i, (train, test) in enumerate(_DAGM, 1)
}

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
    Dataset(
        "mvtec_ad_2",
        "MVTec AD 2",
        "CC BY-NC-SA 4.0",
        "Heckler-Kram, Neudeck, Scheler, König and Steger, The MVTec AD 2 Dataset: Advanced "
        "Scenarios for Unsupervised Anomaly Detection, arXiv 2503.21622, 2025",
        "https://www.mvtec.com/company/research/datasets/mvtec-ad-2",
        {name: "texture" if name == "fabric" else "object" for name in _AD_2},
        listers.mvtec_ad_2,
        {
            name: part_counts(train + held, good, bad) | {"n_left_out": 2 * private}
            for name, (train, held, good, bad, private) in _AD_2.items()
        },
        "The official validation part counts as training, the public test as the test. The images "
        "of the two private tests have no public labels and are left out; "
        "adlib.deploy.submission writes what the benchmark's server asks of them. Images are not "
        "square, so they are squeezed to one.",
        archive=Archive(
            (
                "https://www.mydrive.ch/shares/121573/7f68fe2c4f7c2ceaa08f463aaeb2f414/download/"
                "466712769-1743422799/mvtec_ad_2.tar.gz",
            ),
            "c0ded99ef32bfc8e352d52beb44515e5b292b8598cb963aadfa91ca0763505e4",
        ),
        lies_in=("mvtec_ad_2/{category}",),
    ),
    Dataset(
        "mvtec_loco",
        "MVTec LOCO AD",
        "CC BY-NC-SA 4.0",
        "Bergmann, Batzner, Fauser, Sattlegger and Steger, Beyond Dents and Scratches: Logical "
        "Constraints in Unsupervised Anomaly Detection and Localization, International Journal of "
        "Computer Vision 130, 2022",
        "https://www.mvtec.com/company/research/datasets/mvtec-loco",
        dict.fromkeys(_LOCO, "object"),
        partial(listers.on_disk, layout=industrial_layouts.mvtec_loco),
        {
            name: part_counts(train + held, good, logical + structural)
            for name, (train, held, good, logical, structural) in _LOCO.items()
        },
        "The official validation part counts as training. The kinds are logical_anomalies and "
        "structural_anomalies. The masks of an image are joined to one, so the set's own metric, "
        "sPRO, which lets each of them saturate, is not computed. The paper counts 1,772 training "
        "and 304 validation images; the archive holds 1,778 and 305, six and one more of "
        "splicing_connectors.",
        archive=Archive(
            (
                "https://www.mydrive.ch/shares/48237/1b9106ccdfbb09a0c414bd49fe44a14a/download/"
                "430647091-1646842701/mvtec_loco_anomaly_detection.tar.xz",
            ),
            "9e7c84dba550fd2e59d8e9e231c929c45ba737b6b6a6d3814100f54d63aae687",
        ),
        lies_in=("mvtec_loco/{category}",),
    ),
    Dataset(
        "visa",
        "VisA",
        "CC BY 4.0",
        "Zou, Jeong, Pemula, Zhang and Dabeer, SPot-the-Difference Self-supervised Pre-training "
        "for Anomaly Detection and Segmentation, ECCV 2022",
        "https://github.com/amazon-science/spot-diff",
        dict.fromkeys(_VISA, "object"),
        partial(listers.on_disk, layout=industrial_layouts.visa),
        {name: part_counts(*counts) for name, counts in _VISA.items()},
        "Official one-class split (split_csv/1cls.csv); a copy in MVTec layout is read, too. Masks "
        "hold class numbers, all of which count. The licence is that of the authors' page; other "
        "projects name CC BY-NC-SA 4.0.",
        archive=Archive(
            ("https://amazon-visual-anomaly.s3.us-west-2.amazonaws.com/VisA_20220922.tar",),
            "2eb8690c803ab37de0324772964100169ec8ba1fa3f7e94291c9ca673f40f362",
            ("split_csv",),
        ),
        lies_in=("visa/{category}", "visa/visa_pytorch/{category}"),
    ),
    Dataset(
        "btad",
        "BTAD: beanTech anomaly detection",
        "CC BY-SA",
        "Mishra, Verk, Fornasier, Piciarelli and Foresti, VT-ADL: A Vision Transformer Network for "
        "Image Anomaly Detection and Localization, ISIE 2021",
        "https://github.com/pankajmishra000/VT-ADL",
        dict.fromkeys(_BTAD, "object"),
        partial(listers.on_disk, layout=partial(layouts.mvtec, good="ok")),
        {name: part_counts(*counts) for name, counts in _BTAD.items()},
        "Three products, BMP and PNG; the only kind of defect is ko. Some masks of abnormal images "
        "are empty: by one count 1 of 02 and 10 of 03. The licence is that of the README in the "
        "archive; other projects name CC BY-NC-SA 4.0.",
        archive=Archive(
            ("https://avires.dimi.uniud.it/papers/btad/btad.zip",),
            "461c9387e515bfed41ecaae07c50cf6b10def647b36c9e31d239ab2736b10d2a",
        ),
        lies_in=("btad/{category}", "BTech_Dataset_transformed/{category}"),
    ),
    Dataset(
        "mpdd",
        "MPDD: metal parts defect detection",
        "CC BY-NC-SA 4.0",
        "Jezek, Jonak, Burget, Dvorak and Skotak, Deep learning-based defect detection of metal "
        "parts: evaluating current methods in complex conditions, ICUMT 2021",
        "https://github.com/stepanje/MPDD",
        dict.fromkeys(_MPDD, "object"),
        partial(listers.on_disk, layout=layouts.mvtec),
        {name: part_counts(*counts) for name, counts in _MPDD.items()},
        "Official train and test parts, masks of every defect, in MVTec layout.",
        lies_in=("mpdd/{category}", "MPDD/{category}"),
    ),
    Dataset(
        "dagm",
        "DAGM 2007: weakly supervised learning for industrial optical inspection",
        "CC BY 4.0",
        "Wieler, Hahn and Hamprecht, Weakly Supervised Learning for Industrial Optical Inspection, "
        "DAGM symposium 2007, Zenodo",
        "https://zenodo.org/records/12750201",
        dict.fromkeys(_DAGM, "texture"),
        partial(listers.on_disk, layout=industrial_layouts.dagm),
        _DAGM,
        "Ten generated textures. The training part holds abnormal images too, which one_class "
        "leaves out. Masks are ellipses around the defects, weak labels: pixel metrics against "
        "them say how well the ellipse is met. Labels.txt is not read.",
        lies_in=("dagm/{category}",),
    ),
]
