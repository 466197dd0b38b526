"""From a trained model to code that scores: a portable export, and a compiled package.

Both take the tables as arguments (`keys, values, table, slots`), so that neither holds them.

- **Portable export** (`model.pt2`): the graph as JSON and the weights as raw bytes. torch's loader
  would also read pickles if an archive held any; `load_portable` refuses such an archive first.
- **Compiled package** (`compiled.pt2`): AOTInductor with the dense weights frozen in, which is what
  makes it fast: weights that are constants are packed once for the matrix product. It is a shared
  library: loading it runs native code, so `bundle.load` verifies its digest before this module sees
  it. A compiled package crashes on non-contiguous arguments; `models/scoring/predict.py` makes them
  contiguous.
"""

from __future__ import annotations

import json
import logging
import platform
import re
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from models.errors import BundleInvalid, CompilerMissing
from models.ranker import Ranker
from models.scoring.compiler import COST_WITHOUT, find_compiler
from models.scoring.precision import Precision

log = logging.getLogger(__name__)

ScoringCode = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(keys (B, C), values (B, V), table (R, E), slots (S, 8)) -> logits (B, T)."""

X86_64_V3 = "x86-64-v3"
V3_FLAGS = frozenset({"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"})
# Without these bf16 is emulated, slower than float32.
BF16_FLAGS = frozenset({"avx512_bf16", "avx512bw", "avx512dq", "avx512vl"})
RAW_MEMBER = re.compile(
    r"[^/]+/(models/[^/]+\.json|data/weights/weight_\d+|data/constants/tensor_\d+|archive_\w+|byteorder|\.data/\w+)"
)
# The frozen package and eager may differ by this much on a probability, in float32.
TOLERANCE_F32 = 1e-5


@dataclass(frozen=True, kw_only=True, slots=True)
class CompiledInfo:
    """What a compiled package was made for; it runs only where this holds."""

    isa: str
    machine: str
    torch: str
    seconds: float
    precision: Precision = "f32"


def export(ranker: Ranker) -> ExportedProgram:
    """Return the dense part of a model as a graph with a free batch size, in eval mode."""
    dense = ranker.dense.cpu().eval()
    rows = 4  # any number above one: the batch dimension is free
    keys = torch.arange(rows * len(dense.lookup.base)).reshape(rows, -1)
    values = torch.zeros(rows, dense.value_columns)
    args = (keys, values, ranker.table.detach().cpu(), ranker.slots.cpu())
    batch = Dim("batch")
    with torch.no_grad():
        program = torch.export.export(
            dense, args, dynamic_shapes=({0: batch}, {0: batch}, None, None)
        )
    return program


def save_portable(program: ExportedProgram, path: Path) -> None:
    """Write the portable export."""
    examples = program.example_inputs
    # They would be pickled into the archive, tables and all; the compiler wants them back.
    program.example_inputs = None
    try:
        torch.export.save(program, path)
    finally:
        program.example_inputs = examples


def load_portable(path: Path) -> ScoringCode:
    """Return the scoring code of a portable export.

    Raises:
        BundleInvalid: the archive would make torch read a pickle.
    """
    refuse_pickles(path)
    module = torch.export.load(path).module()
    return torch.no_grad()(module)


def refuse_pickles(path: Path) -> None:
    """Return if torch will find JSON and raw tensors in the archive, and nothing to unpickle.

    Raises:
        BundleInvalid: a tensor is marked as pickled, or there is a member torch might unpickle.
    """
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith("_config.json"):
                entries = json.loads(archive.read(member)).get("config", {})
                for tensor, entry in entries.items():
                    if entry.get("use_pickle", True):
                        raise BundleInvalid(f"{path}: {tensor} is pickled; only raw tensors load")
            # torch leaves an empty member where the example arguments would be.
            elif member.file_size and not RAW_MEMBER.fullmatch(member.filename):
                raise BundleInvalid(f"{path}: holds {member.filename}, which is not read")


def package(
    program: ExportedProgram, path: Path, *, isa: str = X86_64_V3, precision: Precision = "f32"
) -> CompiledInfo | None:
    """Write the compiled package and return what it runs on; without a compiler, warn, return None.

    Single-threaded code: scoring runs one process per core, and two threads per worker collapse
    under load. On machines other than x86-64 the compiler's native target is used. `precision` is
    recorded; the program has it already.
    """
    compiler = find_compiler()
    if compiler.path is None:
        warning = CompilerMissing(compiler.why, compiler.remedy, COST_WITHOUT)
        warnings.warn(warning, stacklevel=2)
        return None
    from torch._inductor import aoti_compile_and_package

    started = time.monotonic()
    options: dict[str, object] = {
        "freezing": True,
        "cpp.threads": 1,
        "cpp.cxx": (None, compiler.path),
    }
    is_portable = isa == X86_64_V3 and is_x86()
    if is_portable:
        options |= {"cpp.march": X86_64_V3, "cpp.simdlen": 256}
    with torch.no_grad():
        aoti_compile_and_package(program, package_path=str(path), inductor_configs=options)
    seconds = time.monotonic() - started
    log.info("compiled path=%s bytes=%d seconds=%.1f", path, path.stat().st_size, seconds)
    return CompiledInfo(
        isa=X86_64_V3 if is_portable else "native",
        machine=platform.machine(),
        torch=torch.__version__.split("+")[0],
        precision=precision,
        seconds=round(seconds, 1),
    )


def load_package(path: Path) -> ScoringCode:
    """Return the scoring code of a compiled package; this runs native code of the package.

    torch's own `aoti_load_package` imports the whole compiler first (4 CPU seconds per worker
    process) and walks pytrees at every call; the loader under it needs neither.
    """
    loader = torch._C._aoti.AOTIModelPackageLoader(str(path), "model", False, 1, -1)

    def score(keys: Tensor, values: Tensor, table: Tensor, slots: Tensor) -> Tensor:
        return loader.boxed_run([keys, values, table, slots])[0]

    return score


def why_not_here(info: CompiledInfo) -> str | None:
    """Return why a compiled package cannot run on this machine, or None if it can."""
    if info.machine != platform.machine():
        return f"compiled for {info.machine}, this is {platform.machine()}"
    running = torch.__version__.split("+")[0]
    if info.torch != running:
        return f"compiled by torch {info.torch}, this is {running}"
    if info.isa == X86_64_V3 and not cpu_flags() >= V3_FLAGS:
        return (
            f"compiled for {info.isa}, this CPU lacks {', '.join(sorted(V3_FLAGS - cpu_flags()))}"
        )
    if info.precision == "bf16" and (missing := missing_for_bf16()):
        return f"compiled in bf16, this CPU lacks {', '.join(missing)}"
    return None


def missing_for_bf16() -> list[str]:
    """Return what this machine's CPU lacks to compute in bf16 itself; none on other than x86."""
    return sorted(BF16_FLAGS - cpu_flags()) if is_x86() else []


def is_x86() -> bool:
    """Whether this machine is an x86-64 one."""
    return platform.machine() in ("x86_64", "AMD64")


def cpu_flags() -> frozenset[str]:
    """Return the features of this machine's first CPU as Linux names them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), ":")
    return frozenset(flags.partition(":")[2].split())
