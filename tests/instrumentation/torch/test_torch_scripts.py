"""Scripts whose functions PyTorch's own tests free, while calls of them wait to be recorded."""

from __future__ import annotations

from collections.abc import Callable


def test_functions_of_scripts_that_are_freed_are_not_read_any_more(program: Callable[..., str]) -> None:
    said = program(
        """
        import torch
        from modelspan.instrumentation.torch import TorchInstrumentor

        set_up_sdk()
        TorchInstrumentor().instrument(flush_interval=1000.0)
        for _ in range(5):
            model = torch.jit.script(torch.nn.Conv2d(3, 2, 1)).eval()
            with torch.no_grad():
                model(torch.ones(1, 3, 4, 4))
            # As `clear_class_registry` of PyTorch's tests of scripts.
            torch._C._jit_clear_class_registry()
            torch.jit._recursive.concrete_type_store = torch.jit._recursive.ConcreteTypeStore()
        print(rows())
        TorchInstrumentor().uninstrument()
        assert not hasattr(torch._C._jit_clear_class_registry, "__wrapped__")
        """
    )
    assert said == "5"
