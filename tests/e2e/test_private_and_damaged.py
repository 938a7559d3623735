"""Data on disk is readable by the user of the service alone, and refused if damaged."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from tests.e2e.conftest import PATIENCE, Service
from tests.e2e.test_too_much_at_once import batch, post
from tests.processor import otlp


def open_to_others(folder: Path) -> list[str]:
    entries = [folder, *folder.rglob("*")]
    return [str(entry) for entry in entries if not entry.is_symlink() and stat.S_IMODE(entry.stat().st_mode) & 0o077]


def test_nothing_that_the_service_keeps_is_readable_by_others_also_what_was_before(
    make_service: Callable[..., Service],
) -> None:
    service = make_service()
    before = os.umask(0o022)
    try:
        for folder in ("quarantine", "store", "journal"):
            (service.data_dir / folder).mkdir(parents=True)
        (service.data_dir / "quarantine" / "1.logs.pb").write_bytes(b"inputs")
        service.start()
        post(service, otlp.logs([batch("m", 10, 2)]))
        service.wait_rows(10)
        assert open_to_others(service.data_dir) == []
        assert service.stop() == 0
        assert open_to_others(service.data_dir) == []
    finally:
        os.umask(before)


def test_the_service_does_not_start_on_a_journal_that_was_cut_short(make_service: Callable[..., Service]) -> None:
    service = make_service().start()
    service.stop()
    file = service.data_dir / "journal" / "data.mdb"
    os.truncate(file, file.stat().st_size // 2)
    process = service.launch().process
    assert process is not None
    assert process.wait(PATIENCE) == 2
    assert (
        f"modelspan serve: cannot open the journal in {file.parent}: it is damaged, its file has"
        in service.log.read_text()
    )
