from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="minicnn",
    version="0.1.0",
    description="Convolutional networks from scratch, without autograd: every forward and backward pass by hand",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[*find_packages(include=["minicnn", "minicnn.*"]), "minicnn.kernels"],
    package_dir={"minicnn.kernels": "kernels"},  # kernels/ stands beside the package, and ships inside it
    package_data={"minicnn.kernels": ["*.cu", "*.cuh", "*.md"], "minicnn.cuda_on_cpu": ["include/*.h"]},
    install_requires=["numpy>=2.0", "Pillow>=11", "threadpoolctl>=3.5", "tqdm>=4.66", "matplotlib>=3.10"],
    extras_require={
        "cupy": ["cupy-cuda12x[ctk]>=14"],
        "safetensors": ["safetensors>=0.4"],
        "test": ["pytest>=8", "hypothesis>=6", "safetensors>=0.4", "ruff",
                 "nvidia-cuda-nvrtc>=13; platform_system == 'Linux' and platform_machine in 'x86_64 aarch64'"],
        "notebooks": ["nbclient>=0.10", "ipykernel>=6"],
        "bench": ["torch>=2"],
    },
)
