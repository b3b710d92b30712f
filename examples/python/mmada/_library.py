# SPDX-License-Identifier: MIT
"""Finds and loads libmmada.so."""
import os
import pathlib

import torch


def library_path() -> pathlib.Path:
    """MMADA_LIBRARY, else the newest build/*/mmada/libmmada.so above this file; FileNotFoundError where there is neither."""
    named = os.environ.get("MMADA_LIBRARY")
    if named:
        path = pathlib.Path(named)
        if not path.is_file():
            raise FileNotFoundError(f"MMADA_LIBRARY: found no file {path}, expected libmmada.so")
        return path
    for folder in pathlib.Path(__file__).resolve().parents:
        built = sorted(folder.glob("build/*/mmada/libmmada.so"), key=lambda path: path.stat().st_mtime)
        if built:
            return built[-1]
    raise FileNotFoundError("libmmada.so: found neither MMADA_LIBRARY nor a build folder above this package, expected one of them")


torch.ops.load_library(str(library_path()))
