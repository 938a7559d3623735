"""A service whose embedded engine is handed a pipe that nobody reads for a file of rows, so that its next insert does not return.

The pipe is taken away when a line is read.
"""

import os
import sys
import threading

from modelspan.processor import logs
from modelspan.processor.config import Config
from modelspan.processor.service import Service
from modelspan.processor.store import embedded

config = Config()
logs.configure(config.log)
service = Service(config)
service.start()
[pipeline] = [thread for thread in threading.enumerate() if thread.name == "pipeline"]
pipe = config.data_dir / "store-work" / f"{embedded._RUN}-{pipeline.ident}.arrow"
os.mkfifo(pipe)
print("started", flush=True)
sys.stdin.readline()
reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
pipe.unlink(missing_ok=True)
os.close(reader)
sys.stdin.readline()
service.stop()
