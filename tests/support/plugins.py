"""Source code of small plugins, for packages that tests install."""

from __future__ import annotations

SLOW_METHOD = '''
import sys, time
from dataclasses import dataclass
from isrbench.harness.api.method import Cost, MethodInfo, MethodPlugin, Restored

@dataclass(frozen=True)
class Options:
    """None."""

class Slow:
    weights_hash = ""
    def __init__(self, scale):
        self.scale = scale
    def restore(self, lr, *, image, seed):
        print("working", file=sys.stderr, flush=True)
        time.sleep(1)
        return Restored(lr.repeat_interleave(self.scale, 1).repeat_interleave(self.scale, 2))
    def cost(self, height, width):
        return Cost(macs=0, params_total=0)
    def input_hash(self, image):
        return ""

PLUGIN = MethodPlugin(
    MethodInfo(id="slow", title="Slow", summary="Takes its time.", license="Apache-2.0"),
    Options, lambda options, runtime: Slow(runtime.scale),
)
'''
"""A method that says "working" on standard error and takes a second for each image."""

SLOW_METRIC = """
import sys, time
from isrbench.harness.api.metric import Direction, Metric, Reference

def build(device):
    def slow(restored, hr, lr):
        print("working", file=sys.stderr, flush=True)
        time.sleep(1)
        return 0.0
    return slow

METRIC = Metric("slow", "Slow", Direction.LOWER, Reference.NONE, "RGB", "takes its time", build)
"""
"""A metric that does the same."""

FRAGILE_METHOD = """
import os, pathlib
from dataclasses import dataclass
from isrbench.harness.api.method import Cost, MethodInfo, MethodPlugin, Restored

@dataclass(frozen=True)
class Options:
    '''None.'''

class Fragile:
    weights_hash = ""
    def __init__(self, scale):
        self.scale = scale
    def restore(self, lr, *, image, seed):
        first = pathlib.Path(os.environ["FRAGILE"], image)
        if image == "always" or image == "once" and not first.exists():
            first.touch()
            os._exit(9)
        return Restored(lr.repeat_interleave(self.scale, 1).repeat_interleave(self.scale, 2))
    def cost(self, height, width):
        return Cost(macs=0, params_total=0)
    def input_hash(self, image):
        return ""

PLUGIN = MethodPlugin(
    MethodInfo(id="fragile", title="Fragile", summary="Ends its process.", license="Apache-2.0"),
    Options, lambda options, runtime: Fragile(runtime.scale),
)
"""
"""A method that ends its process on the image ``always``, and on ``once`` the first time (folder $FRAGILE)."""
