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

THREADS_METHOD = """
from dataclasses import dataclass
import torch
from isrbench.harness.api.method import Cost, MethodInfo, MethodPlugin, Restored

@dataclass(frozen=True)
class Options:
    '''None.'''

class Threads:
    weights_hash = ""
    def restore(self, lr, *, image, seed):
        return Restored(torch.full((3, 4 * lr.shape[1], 4 * lr.shape[2]), torch.get_num_threads() / 255))
    def cost(self, height, width):
        return Cost(macs=0, params_total=0)
    def input_hash(self, image):
        return ""

PLUGIN = MethodPlugin(
    MethodInfo(id="threads", title="Threads", summary="Shows torch's threads.", license="Apache-2.0"),
    Options, lambda options, runtime: Threads(),
)
"""
"""A method whose images have the number of torch's threads as their only grey level."""

MISBEHAVING = '''
import atexit, ctypes, os, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from isrbench.harness.api.method import Cost, MethodInfo, MethodPlugin, Restored
from isrbench.harness.api.metric import Direction, Metric, Reference

print("by import")

class Stop(BaseException):
    """What no `except Exception` holds."""

def say():
    print("by print")
    os.write(1, b"by descriptor\\n")
    ctypes.CDLL(None).puts(b"by libc")
    os.system("echo by child")
    atexit.register(print, "by exit handler")

def linger():
    threading.Thread(target=time.sleep, args=(600,), name="left").start()
    ThreadPoolExecutor(1, "left").submit(time.sleep, 600)

WAYS = {
    "exit": lambda: sys.exit(0),
    "interrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt),
    "stop": lambda: (_ for _ in ()).throw(Stop("enough")),
    "raise": lambda: 1 / 0,
    "say": say,
    "threads": linger,
}

@dataclass(frozen=True)
class Options:
    where: str = field(default="", metadata={"help": "where"})
    way: str = field(default="exit", metadata={"help": "how"})
    def __post_init__(self):
        if self.where == "options":
            WAYS[self.way]()

class Misbehaving:
    def __init__(self, options, scale):
        self.options, self.scale = options, scale
    def at(self, where):
        if self.options.where == where:
            WAYS[self.options.way]()
    @property
    def weights_hash(self):
        self.at("weights_hash")
        return ""
    @property
    def variant(self):
        self.at("variant")
        return ""
    def prepare(self, images):
        self.at("prepare")
    def input_hash(self, image):
        self.at("input_hash")
        return ""
    def restore(self, lr, *, image, seed):
        if image == "b":
            self.at("restore")
        return Restored(lr.repeat_interleave(self.scale, 1).repeat_interleave(self.scale, 2))
    def cost(self, height, width):
        self.at("cost")
        return Cost(macs=0, params_total=0)

def build(options, runtime):
    if options.where == "build":
        WAYS[options.way]()
    return Misbehaving(options, runtime.scale)

PLUGIN = MethodPlugin(MethodInfo("misbehaving", "Misbehaving", "As it is told.", "MIT"), Options, build)

def metric(id, compute, build=None):
    made = build or (lambda device: compute)
    return Metric(id, id, Direction.HIGHER, Reference.NONE, "RGB", "misbehaves", made)

LEAVES = metric("leaves", lambda *images: sys.exit(0))
UNFOUND = metric("unfound", None, "no_such_module:build")
UNBUILT = metric("unbuilt", None, lambda device: sys.exit(0))
WRITES = metric("writes", lambda restored, hr, lr: restored.fill(0))

def build_below(device):
    import torch
    return lambda restored, hr, lr: torch.from_numpy(restored).zero_().sum()

BELOW = metric("below", None, build_below)
'''
"""A method, and metrics, that do what options say, where they say: raise, end the process, print, leave threads."""

MISBEHAVING_POINTS = {
    "isrbench.methods": {"misbehaving": "misbehaving:PLUGIN"},
    "isrbench.metrics": {id: f"misbehaving:{id.upper()}" for id in ("below", "leaves", "unbuilt", "unfound", "writes")},
}
"""Its entry points; the module is ``misbehaving``."""
