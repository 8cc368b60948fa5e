"""Stand-ins: in a runbook's own modules, what workflow code may not reach by name is behind a check (guard.py).

In activities they are what they stand for in every respect. Only names of a runbook's modules are replaced in here,
nothing of Python's own.
"""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

from dwf.core.banned import ASK, BLOCKS, CLOCKS, LOCKS, NAMES
from dwf.core.guard import active, check, disguised, function_proxy

_ABSENT = object()


def protect(namespace: dict[str, Any]) -> None:
    """Put proxies in place of what a runbook's module has imported. `__dwf_real__` keeps the originals by name."""
    known, real = _known(), {}
    for name, value in list(namespace.items()):
        stand_in = _stand_in(value, known)
        if stand_in is not None:
            real[name], namespace[name] = value, stand_in
    namespace["__dwf_real__"] = {**namespace.get("__dwf_real__", {}), **real}


def stand_in_for(value: Any) -> Any | None:
    """The proxy for a module, function or class that workflow code may not use freely; None if it may."""
    return _stand_in(value, _known())


def _known() -> dict[int, tuple[str, str, str]]:
    """What is watched, by identity: module, name, cure. A function of that name from elsewhere is none of ours."""
    known = {}
    for home, names in NAMES.items():
        module = sys.modules.get(home)
        for name, cure in names.items() if module is not None else ():
            value = getattr(module, name, _ABSENT)
            if value is not _ABSENT and value is not None:
                known[id(value)] = (home, name, cure)
    return known


def _stand_in(value: Any, known: dict[int, tuple[str, str, str]]) -> Any | None:
    if type(value) is types.ModuleType:
        return _ModuleProxy(value) if value.__name__ in NAMES else None
    if isinstance(value, _LOCK_TYPES):
        return _Lock(value)
    if id(value) not in known:
        return None
    home, name, cure = known[id(value)]
    if home == "sys":
        return _Stdin(name)
    what = f"{home}.{name}".replace("posixpath", "os.path")
    if isinstance(value, type):
        refused = dict.fromkeys((f"{name}.{clock}" for clock in CLOCKS.get(name, ("()",))), cure)
        return _ClassProxy(name, (), {"dwf_real": value, "dwf_refused": refused, "__module__": value.__module__})
    if callable(value):
        return function_proxy(value, what, cure)
    return _MappingProxy(value, what, cure)


class _ModuleProxy(types.ModuleType):
    """A module whose listed names are refused while workflow code runs."""

    def __init__(self, module: types.ModuleType) -> None:
        super().__init__(module.__name__, module.__doc__)
        self.__dict__["dwf_real"] = module

    def __getattr__(self, name: str) -> Any:
        module = self.__dict__["dwf_real"]
        value = getattr(module, name)
        if name in LOCKS.get(module.__name__, ()):
            return _lock_maker(value)
        watched = name in NAMES[module.__name__] or type(value) is types.ModuleType
        stand_in = stand_in_for(value) if watched else None
        if stand_in is None:
            return value
        # Kept, so that `datetime.datetime is datetime.datetime` stays true.
        self.__dict__[name] = stand_in
        return stand_in

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__.pop(name, None)
        setattr(self.__dict__["dwf_real"], name, value)

    def __dir__(self) -> list[str]:
        return dir(self.__dict__["dwf_real"])


class _MappingProxy(MutableMapping[Any, Any]):
    """`os.environ` behind a check."""

    def __init__(self, real: MutableMapping[Any, Any], what: str, cure: str) -> None:
        self.dwf_real, self._what, self._cure = real, what, cure

    def _checked(self) -> MutableMapping[Any, Any]:
        check(self._what, self._cure)
        return self.dwf_real

    def __getitem__(self, key: Any) -> Any:
        return self._checked()[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._checked()[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._checked()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._checked())

    def __len__(self) -> int:
        return len(self._checked())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._checked(), name)


class _Stdin:
    """`sys.stdin` behind a check; which one that is, is asked each time."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        check("sys.stdin", ASK)
        return getattr(getattr(sys, self._name), name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.__getattr__("readline"), "")


_LOCK_TYPES = (type(threading.Lock()), type(threading.RLock()))


def _lock_maker(real: Callable[[], Any]) -> Callable[[], Any]:
    """Steps get Python's own locks."""

    def make() -> Any:
        return _Lock(real()) if active() else real()

    return disguised(make, real)


class _Lock:
    """A lock of threads that workflow code may take as long as nobody else has it: it cannot be woken up in there."""

    def __init__(self, real: Any) -> None:
        self.dwf_real = real

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if not active() or not blocking or timeout == 0:
            return bool(self.dwf_real.acquire(blocking, timeout) if blocking else self.dwf_real.acquire(False))
        if not self.dwf_real.acquire(False):
            check("a lock that is taken", BLOCKS)
        return True

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.dwf_real.release()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dwf_real, name)


class _ClassProxy(type):
    """Makes a stand-in for `datetime`, `date` or `Random` that is them in every respect but for clock and chance."""

    dwf_real: type
    dwf_refused: dict[str, str]

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **more: Any) -> Any:
        if not bases:
            return super().__new__(cls, name, bases, namespace)
        # A class derived from a stand-in is derived from what it stands for.
        real = tuple(getattr(base, "dwf_real", base) for base in bases)
        return types.new_class(name, real, more, lambda body: body.update(namespace))

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if not args and not kwargs:
            cls._check(f"{cls.__name__}.()")
        return cls.dwf_real(*args, **kwargs)

    def _check(cls, what: str) -> None:
        if what in cls.dwf_refused:
            check(what.replace(".()", "() without a seed"), cls.dwf_refused[what])

    def __getattr__(cls, name: str) -> Any:
        cls._check(f"{cls.__name__}.{name}")
        return getattr(cls.dwf_real, name)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.dwf_real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(getattr(subclass, "dwf_real", subclass), cls.dwf_real)

    def __eq__(cls, other: object) -> bool:
        return getattr(other, "dwf_real", other) is cls.dwf_real

    def __hash__(cls) -> int:
        return hash(cls.dwf_real)
