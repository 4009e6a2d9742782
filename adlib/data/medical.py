"""The medical data sets of the catalogue."""

from functools import partial

from adlib.data import layouts, listers
from adlib.data.dataset import Dataset

_TWO_FOLDERS = partial(layouts.two_folders, both=True)

MEDICAL = [
    Dataset(
        "brain_mri",
        "Brain MRI images for brain tumour detection",
        "not stated",
        "Chakrabarty, Brain MRI Images for Brain Tumor Detection, 2019 (competition page)",
        "https://www.kaggle.com/datasets/navoneel/brain-mri-images-for-brain-tumor-detection",
        {"brain": "object"},
        partial(listers.on_disk, layout=_TWO_FOLDERS, mixed=True),
        {"brain": {"n_normal": 98, "n_abnormal": 155}},
        "normal/ holds the official folder no, abnormal/ the folder yes. Collected from the web: "
        "sizes and pixel types vary and many images occur more than once. Copies by content are "
        "kept on one side, re-encoded or resized ones are not known. No masks, no official parts.",
    ),
    Dataset(
        "breast_ultrasound",
        "BUSI: breast ultrasound images",
        "free for research",
        "Al-Dhabyani, Gomaa, Khaled and Fahmy, Dataset of breast ultrasound images, Data in Brief "
        "28, 2020",
        "https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
        {"breast": "object"},
        partial(listers.on_disk, layout=layouts.breast_ultrasound),
        {"breast": {"n_normal": 133, "n_abnormal": 647}},
        "normal/ holds the official folder normal, abnormal/ the images of benign and malignant "
        "(437 and 210), together or in folders of these names; without the masks. Several images "
        "show one of 600 patients, whom the names do not identify, and Pawlowska et al., Data in "
        "Brief 48, 2023, found copies that are not byte-identical: a random split puts them on "
        "both sides. No official parts.",
    ),
    Dataset(
        "malaria",
        "NIH malaria cell images",
        "public domain",
        "Rajaraman et al., Pre-trained convolutional neural networks as feature extractors toward "
        "improved malaria parasite detection in thin blood smear images, PeerJ 6:e4568, 2018",
        "https://lhncbc.nlm.nih.gov/LHC-downloads/downloads.html",
        {"cell": "object"},
        partial(listers.on_disk, layout=_TWO_FOLDERS),
        {"cell": {"n_normal": 13_779, "n_abnormal": 13_779}},
        "normal/ holds the official folder Uninfected, abnormal/ the folder Parasitized. File "
        "names give slide and patient (C116P77, C12N where healthy): a random split puts cells of "
        "one slide and patient on both sides, so its numbers say nothing of patients not seen. No "
        "official parts.",
        colour=True,
        varied=True,
    ),
    Dataset(
        "pcam",
        "PatchCamelyon",
        "CC0",
        "Veeling, Linmans, Winkens, Cohen and Welling, Rotation Equivariant CNNs for Digital "
        "Pathology, MICCAI 2018; Ehteshami Bejnordi et al., JAMA 318, 2017",
        "https://github.com/basveeling/pcam",
        {"lymph_node": "object"},
        listers.pcam,
        {"lymph_node": {"n_images": 327_680}},
        "Colour patches of 96 x 96 pixels in six HDF5 files, abnormal where the centre shows "
        "metastatic tissue. The official validation part counts as training. The official parts "
        "share no slide; pooled ones do.",
        {"lymph_node": 96},
    ),
    Dataset(
        "oct",
        "Retinal OCT images",
        "CC BY 4.0",
        "Kermany et al., Identifying Medical Diagnoses and Treatable Diseases by Image-Based Deep "
        "Learning, Cell 172, 2018",
        "https://doi.org/10.17632/rscbjbr9sj",
        {"retina": "object"},
        partial(listers.on_disk, layout=layouts.retina),
        note="NORMAL is normal, CNV, DME and DRUSEN are the abnormal kinds. Folder val, which not "
        "all versions have, counts as training; the number of images differs between versions, "
        "too. File names give the patient, and some patients have scans in train and in test.",
    ),
]
