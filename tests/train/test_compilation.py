"""Compiling keeps names and numbers; the repair for one combination of versions touches no other."""

import importlib.util
from collections import namedtuple

import torch
from tiny_run import TinyDataset, TinyModel

from genet5.train.compilation import compile_parts, repair_cluster_dims
from genet5.train.loader import load


def heuristics(tmp_path, text):
    path = tmp_path / "heuristics.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("heuristics", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kernel():
    class Kernel:
        def __init__(self, warps):
            self.metadata = namedtuple("KernelMetadata", ["num_warps"])(warps)

    return Kernel


def test_repair_where_the_launcher_needs_it(tmp_path):
    module = heuristics(tmp_path, "def launch(binary):\n    return (1, *binary.metadata.cluster_dims)\n")
    repaired = kernel()
    assert repair_cluster_dims(module, repaired)
    made = repaired(4)
    assert made.metadata.num_warps == 4
    assert module.launch(made) == (1, 1, 1, 1)


def test_no_repair_where_it_is_not_needed(tmp_path):
    guarded = (
        'def launch(it):\n    return hasattr(binary.metadata, "cluster_dims") and (*binary.metadata.cluster_dims,)\n'
    )
    assert not repair_cluster_dims(heuristics(tmp_path, guarded), kernel())
    from torch._inductor.runtime import triton_heuristics

    untouched = kernel()
    assert not repair_cluster_dims(triton_heuristics, untouched)


def test_compiling_keeps_names_and_losses(monkeypatch):
    model = TinyModel()
    names = list(model.state_dict())
    arguments = load(TinyDataset(4).batch(range(4)), pin=False).inputs(torch.device("cpu"), True, True)
    expected = model(**arguments).loss_sums
    # The graph is captured and run without generating C++, which a test has no time for.
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self, **options: compile_module(self, backend="aot_eager", **options)
    )
    assert compile_parts(model, cuda=False) == ["encoder", "base_head", "decoder"]
    assert list(model.state_dict()) == names
    found = model(**arguments).loss_sums
    for part, value in expected.items():
        torch.testing.assert_close(found[part], value)
