"""What a record says of the machine that it was made on."""

from __future__ import annotations

import datetime
import json
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import convkit as ck

QUERY = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit,memory.total"


def facts() -> dict[str, str]:
    """Date, GPU, driver and versions, by name."""
    found = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "convkit": ck.__version__,
    }
    if ck.cuda.is_available():
        gpu = ck.cuda.device_info()
        found["gpu"] = (
            f"{gpu.name}, compute capability {gpu.capability[0]}.{gpu.capability[1]}, "
            f"{gpu.multiprocessors} multiprocessors, {gpu.memory_bytes / 1e9:.0f} GB"
        )
        found["cuda"] = f"driver {gpu.driver}, runtime {gpu.runtime}"
    else:
        found["gpu"] = f"none: {ck.cuda.why_unavailable()}"
    if smi := shutil.which("nvidia-smi"):
        command = [smi, f"--query-gpu={QUERY}", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        found["nvidia-smi"] = f"{done.stdout.strip()} ({QUERY})"
    try:
        import torch
    except ImportError:
        return found
    cudnn = torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else "none"
    found["torch"] = f"{torch.__version__}, CUDA {torch.version.cuda}, cuDNN {cudnn}"
    return found


def write(folder: Path, name: str, record: dict[str, Any], text: str) -> None:
    """Write ``<name>.json`` and ``<name>.md``, with the facts of the machine at the top."""
    folder.mkdir(parents=True, exist_ok=True)
    told = "\n".join(f"{key:<10} {value}" for key, value in record["machine"].items())
    title, _, rest = text.partition("\n")
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    (folder / f"{name}.md").write_text(f"{title}\n\n```\n{told}\n```\n{rest}\n")
