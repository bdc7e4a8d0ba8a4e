"""Random weight files under pyiqa's names, and the comparison of a metric with pyiqa's own call on them.

Random files stand in for the published ones under pyiqa's cache names, and their hashes for the published hashes.
"""

from contextlib import contextmanager

import pyiqa
import pytest
import torch
from PIL import Image

from isrbench.harness.api.metric import Reference
from isrbench.harness.api.records import ScoreStatus
from isrbench.harness.api.registry import metrics
from isrbench.harness.determinism import one_thread
from isrbench.harness.files import file_hash
from isrbench.harness.imaging.images import read_rgb, to_tensor
from isrbench.harness.metrics import weights
from isrbench.harness.metrics.scorer import Scorer


def random_state(build, device="meta", seed=0):
    """A state dict of the network's names and shapes whose layers keep the size of what passes through them."""
    with torch.device(device):
        shapes = build().state_dict()
    generator = torch.Generator().manual_seed(seed)

    def draw(name, tensor):
        if not tensor.is_floating_point():
            return torch.zeros(tensor.shape, dtype=tensor.dtype)
        if tensor.ndim < 2:
            near_one = name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight"))
            return torch.empty(tensor.shape).normal_(0, 0.02, generator=generator).abs() + near_one
        spread = (1.4 / tensor[0].numel()) ** 0.5
        return torch.empty(tensor.shape).normal_(0, spread, generator=generator)

    return {name: draw(name, tensor) for name, tensor in shapes.items()}


_REAL = {}
"""Weight files whose declared hash is a test's own for now, with the real one."""


@contextmanager
def declared():
    """Put the real hashes back when the block ends."""
    try:
        yield
    finally:
        for file, sha256 in _REAL.values():
            object.__setattr__(file, "sha256", sha256)
        _REAL.clear()


def put(metric, *contents):
    """Write ``contents``, in the order of the metric's weight files, where the metric looks for them.

    They are declared the published ones until the test ends: :func:`declared` puts the real hashes back.
    """
    for file, content in zip(metrics().get(metric).weights, contents, strict=True):
        path = weights.location(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "RN50.pt":
            as_archive(content).save(path)
        else:
            torch.save(content, path)
        _REAL.setdefault(id(file), (file, file.sha256))
        object.__setattr__(file, "sha256", file_hash(path))


def as_archive(state):
    """A TorchScript module with these parameters, the form that OpenAI's files have."""

    class Holder(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    root = Holder()
    for name, tensor in state.items():
        module = root
        *parents, leaf = name.split(".")
        for parent in parents:
            if parent not in module._modules:
                module.add_module(parent, Holder())
            module = module._modules[parent]
        module.register_buffer(leaf, tensor)
    return torch.jit.script(root)


def crop(path, side):
    """Write the top left of an image beside it."""
    cut = path.with_name(f"{path.stem}-{side}.png")
    Image.open(path).crop((0, 0, side, side)).save(cut)
    return cut


def agree(metric, files, registry=None):
    """Check both restored images against pyiqa's own call, and that the metric tells the two apart."""
    full = metrics().get(metric).reference is Reference.FULL
    hr, *restored = files
    reference = pyiqa.create_metric(metric, device="cpu")
    expected = []
    for path in restored:
        tensors = [to_tensor(read_rgb(p))[None] for p in ((path, hr) if full else (path,))]
        # One thread, as ours: a deep random network blows the order of summation up to 1e-4.
        with one_thread():
            expected.append(float(reference(*tensors)))
    rows = Scorer([metric], registry=registry).score_pairs([(path, hr) for path in restored], workers=2)
    assert [row[0].status for row in rows] == [ScoreStatus.OK, ScoreStatus.OK], rows
    assert [row[0].value for row in rows] == pytest.approx(expected, rel=1e-6)
    assert expected[0] != expected[1]


def state_of(network, **options):
    """A random state dict of one of pyiqa's networks, built as pyiqa builds it but without any weights."""
    return random_state(lambda: network(pretrained=False, **options), device="cpu")
