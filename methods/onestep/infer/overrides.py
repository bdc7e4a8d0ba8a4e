"""Where a user overrules the routing: an adapter that is off, or a fixed number of active experts."""

from __future__ import annotations

from isrbench.harness.api.method import RoutingTrace
from isrbench.harness.errors import UserError
from isrbench.methods.onestep.adapter import Adapter, FixedActive
from isrbench.methods.onestep.base.load import shipped
from isrbench.methods.onestep.options import MixtureOptions, OneStepOptions, RoutedOptions


def overrule(adapter: Adapter, options: RoutedOptions, method: str) -> None:
    """Switch the adapter off or fix how many experts are active, where the options say so.

    Raises:
        UserError: If the adapter cannot have that many.
    """
    if options.adapter_off:
        adapter.set_enabled(False)
    if isinstance(options, MixtureOptions) and options.active is not None:
        if not isinstance(adapter, FixedActive):
            raise UserError(f"the adapter of {method} has no number of experts to fix", "leave out -o active=")
        adapter.fix_active(options.active)


def no_routing(layers: tuple[str, ...]) -> RoutingTrace:
    """Return the trace of an image that no expert touched."""
    none = (0,) * len(layers)
    return RoutingTrace(layers, none, none, macs=0, params=0)


def variant(options: OneStepOptions) -> str:
    """Return what a title has to say: results of the tiny weights or of another routing are not the method's own."""
    words = [word] if (word := shipped(options.base)) else []
    if isinstance(options, RoutedOptions):
        words += ["adapter off"] if options.adapter_off else []
        words += ["given severities"] if options.severities else []
    if isinstance(options, MixtureOptions) and options.active is not None:
        words.append(f"{options.active} active experts")
    return ", ".join(words)
