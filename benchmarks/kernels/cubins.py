# SPDX-License-Identifier: MIT
"""What the compiled kernels inside libmmada_cuda.so are made of, read with cuobjdump and nvdisasm: no GPU, no recompiling."""
import collections
import pathlib
import re
import shutil
import subprocess
import sysconfig
from typing import NamedTuple

ARCHITECTURES = ("80", "90a", "100")


class Kernel(NamedTuple):
    name: str  # forward_kernel
    arguments: str  # of its template: "bf16, 128"
    width: int  # the last of them, 0 where there is no number


class Resources(NamedTuple):
    registers: int
    stack: int  # spilled registers live there
    local: int


def cuobjdump():
    """The one third_party/setup.sh installs beside nvdisasm, else the CUDA toolkit's."""
    installed = pathlib.Path(sysconfig.get_paths()["platlib"], "nvidia/cu13/bin/cuobjdump")
    path = str(installed) if installed.exists() else shutil.which("cuobjdump")
    if path is None:
        raise FileNotFoundError("cuobjdump: found none, expected it from third_party/setup.sh tests or on the PATH")
    return path


def kernel_of(mangled):
    """Enough of a demangler for this project's kernels."""
    name, arguments = re.findall(r"\d([a-z_]+_kernel)(?:I(.*?)EEv)?", mangled)[-1]
    types = re.findall(r"13__nv_bfloat16|6__half|^f", arguments)
    names = {"13__nv_bfloat16": "bf16", "6__half": "fp16", "f": "fp32"}
    numbers = re.findall(r"Li(\d+)", arguments)
    return Kernel(name.lstrip("_"), ", ".join([names[t] for t in types] + numbers), int(numbers[-1]) if numbers else 0)


def resources(library, arch):
    """{Kernel: Resources}, in the library's order."""
    text = subprocess.run([cuobjdump(), "--dump-resource-usage", "-arch", f"sm_{arch}", str(library)], check=True,
                          capture_output=True, text=True).stdout
    pattern = r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)"
    return {kernel_of(name): Resources(int(r), int(s), int(local)) for name, r, s, local in re.findall(pattern, text)}


def instructions(library, arch):
    """{Kernel: Counter of opcodes}, "LDG.E.128" for example."""
    process = subprocess.Popen([cuobjdump(), "-sass", "-arch", f"sm_{arch}", str(library)], stdout=subprocess.PIPE, text=True)
    opcode = re.compile(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)")
    result, counts = {}, None
    for line in process.stdout:
        if "Function : " in line:
            counts = result.setdefault(kernel_of(line.split("Function : ")[1]), collections.Counter())
        elif counts is not None and (found := opcode.match(line)):
            counts[found.group(1)] += 1
    if process.wait() != 0:
        raise RuntimeError(f"cuobjdump -sass: failed on {library} for sm_{arch}")
    return result
