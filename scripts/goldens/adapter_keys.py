"""Every key that PEFT's LoraConfig writes into adapter_config.json, with its default: tests/data/checkpoint/lora-config.json.

torch 2.15.0, peft 0.21.2; command: scripts/make_goldens adapter_keys

"default" is what LoraConfig() itself writes; "on" has a value that is not the default for every key that is a switch or a nested
configuration, as PEFT writes it; "init_lora_weights" says of each start whether PEFT changes the base when it loads such an
adapter. Read by tests/checkpoint/adapter_keys_test.cpp.
"""

import copy
import dataclasses
import json
import tempfile
import typing
import warnings
from pathlib import Path

import peft
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import config as lora

OUT = Path(__file__).resolve().parents[2] / "tests/data/checkpoint/lora-config.json"
warnings.simplefilter("ignore")


def written(**settings):
    with tempfile.TemporaryDirectory() as directory:
        LoraConfig(**settings).save_pretrained(directory)
        return json.loads((Path(directory) / "adapter_config.json").read_text())


def hint(field):
    return eval(LoraConfig.__annotations__.get(field.name, "None"), vars(lora))  # PeftConfig's own hold nothing nested


def nested(field):
    """The nested configurations that a field may hold."""
    return [t for t in typing.get_args(hint(field)) if dataclasses.is_dataclass(t)]


default = written()
on = {}
for field in dataclasses.fields(LoraConfig):
    if default.get(field.name) is False:
        on[field.name] = True
    elif field.name in default and default[field.name] is None and nested(field):
        on[field.name] = written(**{field.name: nested(field)[0]()})[field.name]
start = next(field for field in dataclasses.fields(LoraConfig) if field.name == "init_lora_weights")
starts = [value.replace("[number of iters]", "4") for option in typing.get_args(hint(start)) for value in typing.get_args(option)]


def changes_base(start):
    """Whether PEFT changes the base, or gives up, when it loads an adapter whose init_lora_weights is `start`."""
    torch.manual_seed(1)
    base = torch.nn.Sequential(torch.nn.Linear(64, 64))
    with tempfile.TemporaryDirectory() as directory:
        get_peft_model(copy.deepcopy(base), LoraConfig(target_modules=["0"])).save_pretrained(directory)
        path = Path(directory) / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"init_lora_weights": start, "loftq_config": {"loftq_bits": 4}}))
        try:
            loaded = PeftModel.from_pretrained(copy.deepcopy(base), directory)
        except Exception as error:
            print(start, "cannot be loaded:", error)
            return True
    return not torch.equal(loaded.base_model.model[0].base_layer.weight, base[0].weight)


starts = {str(start).lower(): changes_base(start) for start in [True, False, "lora_ga", "pissa_niter_16"] + starts}
OUT.write_text(json.dumps({"peft": peft.__version__, "default": default, "on": on, "init_lora_weights": starts}, indent=1,
                          sort_keys=True) + "\n")
print(OUT, len(default), "keys,", len(on), "that can be on, starts", starts)
