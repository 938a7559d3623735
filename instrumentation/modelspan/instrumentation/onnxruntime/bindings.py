"""What a program binds to an `IOBinding`, which cannot be asked for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.onnxruntime.values import PREDICT, input_of, output_names, output_of
from modelspan.instrumentation.patching.signatures import wraps
from modelspan.instrumentation.patching.wrappers import Described, Method
from modelspan.instrumentation.recorder.snapshot import Unreadable
from modelspan.semconv.attributes import MlCaptureUnreadableValues as Reason


class Bindings:
    """Inputs and names of outputs of each binding. Holds what ONNX Runtime holds for the binding anyway, as long as it does."""

    def __init__(self) -> None:
        self._inputs: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()
        self._outputs: WeakKeyDictionary[Any, dict[str, None]] = WeakKeyDictionary()

    def followed(self) -> dict[str, Callable[[Method], Method]]:
        """Wrappers of the methods that bind, by their names."""
        return {
            "bind_cpu_input": lambda original: _then(original, self._array),
            "bind_ortvalue_input": lambda original: _then(original, self._array),
            "bind_input": lambda original: _then(original, self._pointer),
            "bind_output": lambda original: _then(original, self._output),
            "bind_ortvalue_output": lambda original: _then(original, self._output),
            "clear_binding_inputs": lambda original: _then(original, self._no_inputs),
            "clear_binding_outputs": lambda original: _then(original, self._no_outputs),
        }

    def run(self, session: Any, iobinding: Any, run_options: Any = None) -> Described:
        """What is bound when the session runs, and what the run will have left in the binding."""
        inputs = input_of(self._inputs.get(iobinding, {}))
        return Described(session, PREDICT, inputs, lambda _: self._left(session, iobinding))

    def _left(self, session: Any, binding: Any) -> Any:
        values = binding.get_outputs()
        names = tuple(self._outputs.get(binding, ()))
        return output_of(names if len(names) == len(values) else output_names(session), values, session)

    def _array(self, binding: Any, name: str, value: Any) -> None:
        self._inputs.setdefault(binding, {})[name] = value

    def _pointer(
        self, binding: Any, name: str, device_type: Any, device_id: Any, element_type: Any, shape: Any, buffer_ptr: Any
    ) -> None:
        self._inputs.setdefault(binding, {})[name] = Unreadable(
            Reason.UNKNOWN_TYPE if device_type == "cpu" else Reason.DEVICE, shape
        )

    def _output(self, binding: Any, name: str, *_: Any, **__: Any) -> None:
        self._outputs.setdefault(binding, {})[name] = None

    def _no_inputs(self, binding: Any) -> None:
        self._inputs.pop(binding, None)

    def _no_outputs(self, binding: Any) -> None:
        self._outputs.pop(binding, None)


_VALUES = ("arr_on_cpu", "ortvalue")
"""What the methods that bind an input call it."""


def _then(original: Method, follow: Callable[..., None]) -> Method:
    @wraps(original)
    def bind(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        try:
            follow(self, *args, **{"value" if key in _VALUES else key: value for key, value in kwargs.items()})
        except Exception as problem:
            failed("follow the binding of inputs and outputs", problem)
        return result

    return bind
