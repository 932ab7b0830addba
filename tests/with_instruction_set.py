"""Runs a test program limited to an instruction set; skips, with the reason, where this CPU lacks it.

    python3 tests/with_instruction_set.py AVX2 PROGRAM [ARGUMENT ...]
"""
import os
import pathlib
import sys

SKIPPED = 77  # ctest's SKIP_RETURN_CODE
FLAGS = {"AVX2": "avx2", "AVX512_CORE": "avx512bw", "AVX512_CORE_BF16": "avx512_bf16", "AVX512_CORE_AMX": "amx_bf16"}

name, *command = sys.argv[1:]
if FLAGS[name] not in pathlib.Path("/proc/cpuinfo").read_text().split():
    print(f"not run: this CPU has no {FLAGS[name]}")
    sys.exit(SKIPPED)
os.environ["DNNL_MAX_CPU_ISA"] = name
os.execv(command[0], command)
