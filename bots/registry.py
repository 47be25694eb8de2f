"""Adapters by name, through the entry-point group `banterbrain.adapters`; a stranger's come in as ours do."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from pydantic import BaseModel

from bots.errors import AdapterMissing
from bots.messages import API_VERSION, Adapter

GROUP = "banterbrain.adapters"


def names() -> tuple[str, ...]:
    """Names of all installed adapters, sorted; none of them is loaded."""
    return tuple(sorted(_found()))


def load(name: str) -> type[Adapter]:
    """Import one adapter's class.

    Raises:
        AdapterMissing: there is none of this name, or two, or it cannot be imported, or it is none of ours.
    """
    points = _found().get(name, ())
    if not points:
        nearest = get_close_matches(name, names(), n=1, cutoff=0.5)
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"there are: {', '.join(names()) or 'none'}"
        raise AdapterMissing(f"no adapter '{name}' is installed, {hint}")
    if len(points) > 1:
        rivals = " and ".join(sorted(_owner(point) for point in points))
        raise AdapterMissing(f"adapter '{name}' is brought by {rivals}; uninstall one of them")
    [point] = points
    try:
        loaded = point.load()
    except (ImportError, AttributeError) as error:
        raise AdapterMissing(f"adapter '{name}' of {_owner(point)} cannot be loaded: {error}") from error
    return adapter_class(loaded, name, _owner(point))


def adapter_class(loaded: object, name: str, owner: str) -> type[Adapter]:
    """What an entry point holds, if it is an adapter's class of this name and API version.

    Raises:
        AdapterMissing: it is not; the sentence names what is wrong and whose it is.
    """
    config = getattr(loaded, "Config", None)
    if not isinstance(loaded, type):
        wrong = "it is no class"
    elif getattr(loaded, "name", None) != name:
        wrong = f"it calls itself {getattr(loaded, 'name', None)!r}"
    elif getattr(loaded, "api_version", None) != API_VERSION:
        spoken = getattr(loaded, "api_version", None)
        wrong = f"it speaks version {spoken!r} of bots.messages, here is {API_VERSION}"
    elif not (isinstance(config, type) and issubclass(config, BaseModel)):
        wrong = "its Config is no pydantic model"
    elif absent := [verb for verb in ("run", "send") if not callable(getattr(loaded, verb, None))]:
        wrong = f"it cannot {absent[0]}"
    else:
        return cast(type[Adapter], loaded)
    raise AdapterMissing(f"adapter '{name}' of {owner} cannot be used: {wrong}")


@cache
def _found() -> Mapping[str, tuple[EntryPoint, ...]]:
    # One distribution may be on the path twice, installed and as the current folder: equal points are one.
    found: dict[str, dict[str, EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, {})[point.value] = point
    return {name: tuple(points.values()) for name, points in found.items()}


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value
