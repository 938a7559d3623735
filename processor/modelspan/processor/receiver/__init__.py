"""OTLP receiver: gRPC and HTTP in, durable bytes out (OTLP specification 1.11)."""

from __future__ import annotations

from modelspan.processor.ports import PortTaken
from modelspan.processor.receiver.limits import Limits
from modelspan.processor.receiver.pages import Page
from modelspan.processor.receiver.receiver import Receiver
from modelspan.processor.receiver.sink import Sink

__all__ = ["Limits", "Page", "PortTaken", "Receiver", "Sink"]
